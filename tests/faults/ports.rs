//! Addresses that somebody else has: said with the holder, taken as soon as they are free, and nothing else is held up.

use std::net::{SocketAddr, TcpListener, TcpStream};

use ormesh_core::model::problem::Code;
use serde_json::{Value, json};

use crate::alone::{alone, problems, start, tor, wait_for_problem, with_remote};
use crate::lifecycle::Further;
use crate::support::{ORMESH, until};

fn import(host: &crate::support::Host, listen: SocketAddr) -> Value {
    let status = host.json_status();
    let imports = status["remotes"][0]["imports"].as_array().unwrap();
    imports.iter().find(|import| import["listen"] == listen.to_string()).unwrap()["state"].clone()
}

/// How a holder is named: this process.
fn us() -> String {
    format!("(pid {})", std::process::id())
}

#[test]
fn a_taken_socks_address_is_one_problem_and_no_more() {
    let mut host = with_remote();
    let listen = host.import("web", 22);
    let holder = TcpListener::bind(host.socks()).unwrap();
    start(&mut host);

    let problem = wait_for_problem(&host, Code::AddressInUse);

    assert!(problem["message"].as_str().unwrap().contains(&us()), "{problem}");
    assert_eq!((&problem["code"], &problem["subject"]["is"]), (&json!("address-in-use"), &json!("socks")));
    assert_eq!(problems(&host).len(), 1);
    assert_eq!(host.json_status()["agent"]["socks"], Value::Null);
    assert!(TcpStream::connect(listen).is_ok());
    tor(&host);
    host.good(&["export", "add", "22"]);

    drop(holder);
    until("it is taken", || host.json_status()["agent"]["socks"] == host.socks().to_string());
    assert!(problems(&host).is_empty());
}

#[test]
fn a_taken_import_is_blocked_alone_and_by_whom() {
    let mut host = with_remote();
    let (taken, other) = (host.import("web", 22), host.import("web", 80));
    let holder = TcpListener::bind(taken).unwrap();
    start(&mut host);

    until("it is blocked", || import(&host, taken)["is"] == "blocked");

    let why = import(&host, taken)["why"].as_str().unwrap().to_owned();
    assert!(why.contains(&us()) && why.contains(&taken.to_string()), "{why}");
    assert_eq!(import(&host, other)["is"], "listening");
    let problem = wait_for_problem(&host, Code::AddressInUse);
    assert!(problem["hint"].as_str().unwrap().contains(&us()), "{problem}");
    assert_eq!(problems(&host).len(), 1);

    drop(holder);
    until("it listens", || import(&host, taken)["is"] == "listening");
    assert!(problems(&host).is_empty() && TcpStream::connect(taken).is_ok());
}

#[test]
fn a_port_lost_to_another_host_of_ours_is_named_too() {
    let (mut one, mut other) = (alone(), alone());
    other.good(&["config", "set", "agent.socks-addr", &one.socks().to_string()]);
    start(&mut one);
    start(&mut other);
    let problem = wait_for_problem(&other, Code::AddressInUse);
    assert!(
        problem["message"].as_str().unwrap().contains(&format!("ormesh (pid {})", one.agent_pid())),
        "{problem}"
    );
    // What takes a free one is named, and does; meanwhile a stanza for ssh doesn't lead to the other's.
    other.add_remote("web", &crate::alone::invite_of_nobody());
    let stanza = || other.good(&["remote", "ssh-config", "web"]);
    assert!(!stanza().contains("-x"), "{}", stanza());
    let hint = problem["hint"].as_str().unwrap();
    let (command, _) = hint.strip_prefix("ormesh ").unwrap().split_once(" takes").unwrap();
    other.good(&command.split(' ').collect::<Vec<_>>());
    let free = command.rsplit(' ').next().unwrap();
    until("the free one is taken", || other.json_status()["agent"]["socks"] == free);
    assert!(problems(&other).is_empty());
    assert!(stanza().contains(&format!("-x {free}")), "{}", stanza());

    other.good(&["config", "set", "agent.socks-addr", &one.socks().to_string()]);
    wait_for_problem(&other, Code::AddressInUse);
    one.stop();
    until("it is taken over", || other.json_status()["agent"]["socks"] == one.socks().to_string());
}

#[test]
fn a_low_port_without_the_right_is_blocked_with_what_gives_it() {
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first_free.trim().parse::<u16>().unwrap() < 80 || !rustix::process::geteuid().is_root() {
        println!("not root, or anyone may listen on low ports here: nobody can be made to lack the right");
        return;
    }
    let host = with_remote();
    host.good(&["import", "add", "web", "22", "127.0.0.1:79"]);
    let other = host.import("web", 80);
    let program = host.home().join("ormesh");
    std::fs::copy(ORMESH, &program).unwrap();
    // The whole host is given to a user who has no right of root's.
    let given = host.command("chown").args(["-R", "65534:65534"]).arg(host.home()).status().unwrap();
    assert!(given.success());
    let ormesh = |args: &[&str]| {
        let mut command = host.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(args);
        command.env("ORMESH_TOR_NETWORK", host.home().join("no-network.torrc")).env_remove("ORMESH_LOG");
        command
    };
    let log = std::fs::File::create(host.home().join("agent.log")).unwrap();
    let _agent = Further::from(ormesh(&["agent", "run"]).stderr(log).spawn().unwrap());
    let status =
        || ormesh(&["status"]).output().map(|output| String::from_utf8(output.stdout).unwrap()).unwrap();

    until("it is blocked", || {
        status().contains("blocked (127.0.0.1:79 may not be listened on by this user)")
    });

    assert!(status().contains("setcap cap_net_bind_service=+ep"), "{}", status());
    assert!(TcpStream::connect(other).is_ok());
    assert!(ormesh(&["agent", "stop"]).status().unwrap().success());
}

#[test]
fn an_address_that_the_agent_itself_has_is_not_blamed_on_another_program() {
    let mut host = with_remote();
    let listen = host.import("web", 22);
    // By hand, since the command refuses it: the SOCKS address, written otherwise.
    let text = std::fs::read_to_string(host.config()).unwrap();
    let clash = SocketAddr::from(([0, 0, 0, 0], host.socks().port()));
    std::fs::write(host.config(), text.replace(&listen.to_string(), &clash.to_string())).unwrap();
    start(&mut host);

    let problem = wait_for_problem(&host, Code::AddressInUse);

    assert!(problem["message"].as_str().unwrap().contains("in use by this agent itself"), "{problem}");
    let hint = problem["hint"].as_str().unwrap();
    // Whichever of the two came second.
    let helps = hint.contains("choose another port") || hint.contains("takes a free one");
    assert!(helps && !hint.contains("stop "), "{hint}");
}
