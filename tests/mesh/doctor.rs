//! `ormesh doctor`: on hosts that are well, and with one thing wrong at a time, which it must find in its layer.

use serde_json::Value;

use crate::support::{Host, connected, echo, free_address, hosts, is_online, is_reachable, until};

/// The layers, and the exit code.
fn doctor(host: &Host, args: &[&str]) -> (Vec<Value>, i32) {
    let ran = host.ormesh(&[&["doctor", "--json"], args].concat());
    assert_eq!(ran.stderr, "");
    (serde_json::from_str(&ran.stdout).unwrap(), ran.code)
}

/// Waits until a layer fails, and gives the layers up to the exit code.
fn until_failed(host: &Host, layer: &str) -> (Vec<Value>, i32) {
    until(&format!("{layer} fails"), || {
        let (layers, code) = doctor(host, &[]);
        verdict(&layers, layer).eq(&Some(false)).then_some((layers, code))
    })
}

fn verdict(layers: &[Value], name: &str) -> Option<bool> {
    find(layers, name)["ok"].as_bool()
}

fn find<'a>(layers: &'a [Value], name: &str) -> &'a Value {
    layers.iter().find(|layer| layer["layer"] == name).unwrap()
}

fn sentence<'a>(layers: &'a [Value], name: &str) -> &'a str {
    find(layers, name)["sentence"].as_str().unwrap()
}

const HERE: [&str; 6] = ["agent", "secrets", "tor", "clock", "network", "bootstrap"];

#[test]
fn all_is_well_then_a_backend_is_closed_then_the_exporter_is_offline() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    connected(&mut server, &mut laptop, echo.addr, 80);

    // Either end sees its own side of it.
    let (layers, code) = doctor(&server, &[]);
    assert_eq!(code, 0, "{layers:#?}");
    for name in HERE.iter().chain(&["descriptor", "introduction", "listeners"]) {
        assert_eq!(verdict(&layers, name), Some(true), "{name}: {layers:#?}");
    }
    assert!(sentence(&layers, "descriptor").starts_with("published for client ("), "{layers:#?}");
    assert_eq!(sentence(&layers, "key"), "there are no remotes");
    for args in [&[][..], &["remote"]] {
        let (layers, code) = doctor(&laptop, args);
        assert_eq!(code, 0, "{layers:#?}");
        for name in HERE.iter().chain(&["key", "rendezvous", "port"]) {
            assert_eq!(verdict(&layers, name), Some(true), "{name}: {layers:#?}");
        }
        assert_eq!(sentence(&layers, "descriptor"), "this host has no clients");
        assert_eq!(sentence(&layers, "port"), "port 80 of remote is open");
    }
    let text = laptop.ormesh(&["doctor", "remote"]);
    println!("{}", text.stdout);
    assert_eq!((text.code, text.stdout.lines().count()), (0, 12), "{text:?}");

    // Its own host needs no client to try the port first.
    let nowhere = free_address();
    server.export(nowhere, 81);
    let (layers, code) = doctor(&server, &[]);
    assert_eq!((code, verdict(&layers, "listeners")), (1, Some(false)), "{layers:#?}");
    let said = format!("nothing accepts connections at {nowhere}, to which port 81 leads");
    assert_eq!(sentence(&layers, "listeners"), said);
    let there = std::net::TcpListener::bind(nowhere).unwrap();
    until("its server is there", || verdict(&doctor(&server, &[]).0, "listeners") == Some(true));
    drop(there);
    // A port that nobody here imports is no fault of this host.
    let (layers, code) = doctor(&laptop, &[]);
    assert_eq!((code, verdict(&layers, "port")), (0, Some(true)), "{layers:#?}");
    laptop.import("remote", 81);
    let (layers, code) = until_failed(&laptop, "port");
    assert_eq!(code, 4, "{layers:#?}");
    assert_eq!(sentence(&layers, "port"), "nothing accepts connections behind port 81 of remote");
    // What is sent there arrives nowhere: that is no success.
    let lost = laptop.ormesh(&["nc", "remote", "81"]);
    assert_eq!((lost.code, lost.stdout.as_str()), (4, ""), "{lost:?}");
    assert!(lost.stderr.contains("nothing accepts connections behind its port 81"), "{lost:?}");
    assert_eq!(verdict(&layers, "rendezvous"), Some(true), "{layers:#?}");

    server.stop();
    // At first its relays still say that it is there, and it only does not answer.
    let (layers, code) = until("its host is known to be offline", || {
        let (layers, code) = until_failed(&laptop, "rendezvous");
        sentence(&layers, "rendezvous").contains("offline").then_some((layers, code))
    });
    println!("{}", laptop.ormesh(&["doctor", "remote"]).stdout);
    assert_eq!(code, 1, "{layers:#?}");
    let why = sentence(&layers, "rendezvous");
    assert!(why.starts_with("remote can't be reached: "), "{why}");
    assert_eq!(verdict(&layers, "port"), None, "{layers:#?}");
    // Nothing was wrong with the key.
    assert_ne!(verdict(&layers, "key"), Some(false), "{layers:#?}");
    // Its own host says that no agent runs there, and still what it knows.
    let (layers, code) = doctor(&server, &[]);
    assert_eq!((code, verdict(&layers, "tor")), (3, Some(true)), "{layers:#?}");
}

#[test]
fn a_wrong_key_and_an_access_that_was_ended_are_told_apart() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    server.export(echo.addr, 80);
    server.good(&["client", "add", "anna"]);
    server.good(&["client", "add", "ben"]);
    let [anna, ben] =
        ["anna", "ben"].map(|name| server.good(&["client", "token", name, "--format", "auth-private"]));
    let (address, _) = anna.trim().split_once(":descriptor:").unwrap();
    let (_, key) = ben.trim().split_once(":descriptor:").unwrap();
    laptop.add_remote("mistaken", &format!("{address}:descriptor:{key}"));
    laptop.add_remote("revoked", &server.invite("carl", &[]));
    server.good(&["client", "delete", "carl"]);
    server.start();
    server.wait_until("anna's service is published", is_reachable("anna"));
    laptop.start();
    laptop.wait_until("online", is_online);

    let (layers, code) = until_failed(&laptop, "key");

    println!("{}", laptop.ormesh(&["doctor"]).stdout);
    assert_eq!(code, 4, "{layers:#?}");
    let key = find(&layers, "key");
    assert_eq!(key["sentence"], "mistaken: the host refused the key: it was rotated or revoked");
    assert!(key["hint"].as_str().unwrap().contains("remote add mistaken --replace"), "{key}");
    let (layers, code) = until("the other one is not found", || {
        let (layers, code) = doctor(&laptop, &["revoked"]);
        sentence(&layers, "rendezvous").contains("ended your access").then_some((layers, code))
    });
    assert_eq!((code, verdict(&layers, "key")), (1, None), "{layers:#?}");
    assert_eq!(verdict(&layers, "rendezvous"), Some(false), "{layers:#?}");
}
