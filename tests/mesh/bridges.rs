//! Bridges: a host that is told of one enters the network by it and by nothing else, plainly or disguised.

use std::fs;
use std::path::PathBuf;

use ormesh_core::model::problem::{Code, Subject};
use serde_json::Value;
use tornet::bridge::Bridge;
use tornet::{Tools, shared};

use crate::support::{Host, children, connected, echo, hosts, open_echo, tcp_peers, until};

/// Whether its tor is connected to a relay of the network without a bridge.
fn is_at_a_relay(host: &Host) -> bool {
    let is_relay = |port| shared().nodes().iter().any(|node| node.or_port == port || node.dir_port == port);
    tcp_peers(host.tor_pid()).iter().any(|peer| is_relay(peer.port()))
}

fn network_layer(host: &Host) -> Value {
    let layers: Vec<Value> = serde_json::from_str(&host.ormesh(&["doctor", "--json"]).stdout).unwrap();
    layers.into_iter().find(|layer| layer["layer"] == "network").unwrap()
}

#[test]
fn a_host_enters_the_network_by_its_bridge_alone() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let bridge = Bridge::start(shared(), &laptop.home().join("bridge"), &Tools::find().unwrap()).unwrap();
    laptop.good(&["config", "set", "agent.bridges", &format!("Bridge {}", bridge.line())]);
    let import = connected(&mut server, &mut laptop, echo.addr, 80);

    open_echo(import).bulk(100_000).unwrap();

    let peers = tcp_peers(laptop.tor_pid());
    assert_eq!(peers.into_iter().collect::<Vec<_>>(), [bridge.address()]);
    assert!(!is_at_a_relay(&laptop) && is_at_a_relay(&server));
    let yaml: Value = serde_saphyr::from_str(&laptop.good(&["status"])).unwrap();
    assert_eq!(yaml["agent"]["bridges"], 1);
    let network = network_layer(&laptop);
    assert_eq!(
        (&network["ok"], &network["sentence"]),
        (&true.into(), &"connected through 1 of 1 bridge".into())
    );
    assert!(
        !laptop.good(&["status", "--json"]).contains(&bridge.address().to_string()),
        "bridges are private"
    );

    // Without them it is at the relays, by another tor, and with them again.
    let tor = laptop.tor_pid();
    laptop.good(&["config", "set", "agent.bridges", ""]);
    until("another tor is at a relay", || laptop.tor_pid() != tor && is_at_a_relay(&laptop));
    open_echo(import).bulk(1_000).unwrap();
    let tor = laptop.tor_pid();
    laptop.good(&["config", "set", "agent.bridges", bridge.line()]);
    until("another tor is at the bridge", || {
        laptop.tor_pid() != tor && tcp_peers(laptop.tor_pid()).contains(&bridge.address())
    });
    open_echo(import).bulk(1_000).unwrap();
    assert!(!is_at_a_relay(&laptop));
}

#[test]
fn a_disguised_bridge_needs_its_program_and_works_with_it() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let program = obfs4proxy();
    let dir = laptop.home().join("bridge");
    let bridge = Bridge::start_obfs4(shared(), &dir, &Tools::find().unwrap(), &program).unwrap();
    laptop.good(&["config", "set", "agent.bridges", bridge.line()]);

    let empty = laptop.home().join("empty");
    fs::create_dir(&empty).unwrap();
    laptop.start_with(&[("PATH", empty.to_str().unwrap())]);
    let status = laptop.wait_until("the program is missed", |status| !status.problems.is_empty());
    let ran = laptop.ormesh(&["doctor"]);
    laptop.stop();
    let problem = &status.problems[0];
    assert_eq!(problem.id(), (Code::TorFailed, Some(&Subject::Tor)));
    assert!(problem.message.contains("the program for obfs4 bridges was not found"), "{problem:?}");
    assert!(problem.hint.contains("install obfs4proxy"), "{problem:?}");
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(
        ran.stdout.contains("tor           FAILED  the program for obfs4 bridges was not found"),
        "{ran:?}"
    );

    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    open_echo(import).bulk(100_000).unwrap();
    let tor = laptop.tor_pid();
    assert!(!is_at_a_relay(&laptop));
    assert!(
        children(tor).iter().any(|child| tcp_peers(*child).contains(&bridge.address())),
        "tor's program is not at the bridge"
    );
}

/// The program that `cargo xtask setup` unpacks.
fn obfs4proxy() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("obfs4proxy")).find(|path| path.is_file());
    found.expect("obfs4proxy is in no directory of PATH: `cargo xtask setup` unpacks it")
}
