//! Addresses that somebody else has: said with the holder, taken as soon as they are free, and nothing else is held up.

use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use crate::alone::{alone, problems, start, wait_for_problem, with_remote};
use crate::support::until;

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

    let problem = wait_for_problem(&host, &host.socks().to_string());

    assert!(problem["message"].as_str().unwrap().contains(&us()), "{problem}");
    assert!(problem["subject"].as_str().unwrap().contains("SOCKS"), "{problem}");
    assert_eq!(problems(&host).len(), 1);
    assert_eq!(host.json_status()["agent"]["socks"], Value::Null);
    assert!(TcpStream::connect(listen).is_ok());
    host.tor_pid();
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
    let problem = wait_for_problem(&host, &taken.to_string());
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
    let problem = wait_for_problem(&other, "in use");
    assert!(
        problem["message"].as_str().unwrap().contains(&format!("ormesh (pid {})", one.agent_pid())),
        "{problem}"
    );
    one.stop();
    until("it is taken over", || other.json_status()["agent"]["socks"] == one.socks().to_string());
}
