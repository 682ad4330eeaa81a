//! The shape of `ormesh status`, kept by snapshots; and that a YAML parser reads what was meant, whatever the texts hold.

use std::net::SocketAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::address::Port;
use crate::model::problem::{Code, Problem, Subject};
use crate::model::status::{ExportStatus, ImportStatus, TorStatus, VERSION};

const ADDRESS: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

fn empty() -> Status {
    Status {
        version: VERSION,
        agent: None,
        exports: Vec::new(),
        clients: Vec::new(),
        remotes: Vec::new(),
        requests: Vec::new(),
        problems: Vec::new(),
        events: Vec::new(),
    }
}

fn export(target: &str, port: i64) -> ExportStatus {
    ExportStatus { target: target.parse().unwrap(), port: port.try_into().unwrap(), clients: None }
}

fn client(name: &str, state: Option<ClientState>) -> ClientStatus {
    ClientStatus {
        name: name.parse().unwrap(),
        address: ADDRESS.parse().unwrap(),
        ports: None,
        may_reach: Vec::new(),
        expires: None,
        state,
        sessions: 0,
        bytes: (0, 0),
        full: Vec::new(),
        last_seen: None,
    }
}

fn import(listen: &str, remote_port: i64, state: Option<ImportState>) -> ImportStatus {
    let (listen, remote_port) = (listen.parse().unwrap(), remote_port.try_into().unwrap());
    ImportStatus {
        listen,
        remote_port,
        users: Some(Users::All),
        note: None,
        state,
        through: None,
        sessions: 0,
        bytes: (0, 0),
    }
}

fn remote(name: &str, state: Option<RemoteState>, imports: Vec<ImportStatus>) -> RemoteStatus {
    let (name, address) = (name.parse().unwrap(), ADDRESS.parse().unwrap());
    RemoteStatus { name, address, expires: None, state, unconfirmed: None, offers: None, imports }
}

fn agent(state: AgentState) -> AgentStatus {
    AgentStatus {
        unconfirmed: None,
        version: "0.1.0".into(),
        pid: 4711,
        uptime: 7_500,
        state,
        tor: Some(TorStatus {
            version: "0.4.9.11".into(),
            path: "/usr/bin/tor".into(),
            found: "PATH".into(),
            passed_over: None,
        }),
        socks: Some(SocketAddr::from(([127, 0, 0, 1], 9250))),
        socks_users: Some(Users::Me),
        socks_note: None,
        network: None,
        secrets: Some("os-keyring".into()),
        bridges: None,
    }
}

fn parsed(status: &Status) -> Value {
    let yaml = to_yaml(status);
    serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

#[test]
fn nothing_is_said_of_nothing() {
    assert_eq!(to_yaml(&empty()), "");
}

#[test]
fn at_rest_it_is_the_shape_that_was_asked_for() {
    let mut host = empty();
    host.exports = vec![export("22", 22), export("80", 80)];
    insta::assert_snapshot!(to_yaml(&host), @r"
    service:
      export:
        - 127.0.0.1:22
        - 127.0.0.1:80
    ");
    host.clients = vec![client("my-MacBook", None)];
    insta::assert_snapshot!(to_yaml(&host), @r"
    service:
      export:
        - 127.0.0.1:22
        - 127.0.0.1:80
      clients:
        - name: my-MacBook
          address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
    ");

    let mut macbook = empty();
    macbook.remotes = vec![remote("website", None, vec![])];
    insta::assert_snapshot!(to_yaml(&macbook), @r"
    remotes:
      - name: website
        address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
    ");
    // The list of imports is not indented under its key.
    macbook.remotes = vec![remote("website", None, vec![import("127.0.0.1:10022", 22, None)])];
    insta::assert_snapshot!(to_yaml(&macbook), @r"
    remotes:
      - name: website
        address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
        imports:
        - local-addr: 127.0.0.1:10022
          remote-port: 22
    ");
}

#[test]
fn what_yaml_would_misread_is_quoted() {
    let mut status = empty();
    status.exports = vec![
        export("[::1]:22", 22),
        export("[::1]:8080", 80),
        export("127.0.0.1:8080", 81),
        export("nas.lan:445", 445),
        export("unix:/run/a: b #c.sock", 99),
    ];
    let mut limited = client("null", None);
    limited.ports = Some(vec![22.try_into().unwrap(), 80.try_into().unwrap()]);
    limited.expires = Some("2027-01-31".parse().unwrap());
    status.clients = vec![limited, client("yes", None)];
    let imports = vec![
        import("[::1]:10022", 22, None),
        import("0.0.0.0:25", 25, None),
        import("unix:/tmp/a b", 80, None),
    ];
    status.remotes = vec![remote("on", None, imports)];
    status.requests = vec!["n".parse().unwrap(), "nas".parse().unwrap()];
    insta::assert_snapshot!(to_yaml(&status), @r#"
    service:
      export:
        - "[::1]:22"
        - "[::1]:8080 → 80"
        - 127.0.0.1:8080 → 81
        - nas.lan:445
        - "unix:/run/a: b #c.sock → 99"
      clients:
        - name: "null"
          address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
          ports: [22, 80]
          expires: "2027-01-31"
        - name: "yes"
          address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
    remotes:
      - name: "on"
        address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
        imports:
        - local-addr: "[::1]:10022"
          remote-port: 22
        - local-addr: 0.0.0.0:25
          remote-port: 25
        - local-addr: "unix:/tmp/a b"
          remote-port: 80
    requests:
      - "n"
      - nas
    "#);
    let yaml = parsed(&status);
    assert_eq!(yaml["service"]["export"][1], "[::1]:8080 → 80");
    assert_eq!(yaml["remotes"][0]["imports"][2], json!({"local-addr": "unix:/tmp/a b", "remote-port": 80}));
}

#[test]
fn with_an_agent_states_and_problems_are_added() {
    let mut status = empty();
    status.agent = Some(agent(AgentState::Connecting { percent: 45, doing: "asking for relays".into() }));
    status.exports = vec![export("22", 22)];
    let mut connected = client("laptop", Some(ClientState::Connected));
    (connected.sessions, connected.last_seen) = (3, Some(1_795_363_200));
    let failing = client("phone", Some(ClientState::Failing { why: "tor is not running".into() }));
    status.clients = vec![connected, failing];
    let blocked = ImportState::Blocked { why: "127.0.0.1:80 is in use by nginx (pid 12)".into() };
    let mut used = import("127.0.0.1:10022", 22, Some(ImportState::Listening));
    used.sessions = 1;
    let imports = vec![used, import("127.0.0.1:80", 80, Some(blocked))];
    status.remotes = vec![
        remote("website", Some(RemoteState::Reachable { round_trip: 420 }), imports),
        remote("nas", Some(RemoteState::Unreachable { why: "the host is offline".into() }), vec![]),
    ];
    status.problems = vec![
        Problem::new(Code::AddressInUse, "127.0.0.1:80 is in use by nginx (pid 12)")
            .about(Subject::Import("127.0.0.1:80".parse().unwrap()))
            .hint("stop nginx (pid 12), or choose another port"),
        Problem::new(Code::ConfigMistake, "config.toml, line 3, column 1: unknown field `prot`")
            .about(Subject::Configuration),
    ];
    status.problems[0].since = Some(1_795_363_200);
    insta::assert_snapshot!(to_yaml(&status), @r#"
    agent:
      state: "connecting to Tor, 45 % (asking for relays)"
      bootstrap: 45
      tor: "0.4.9.11"
      tor-path: /usr/bin/tor
      tor-found: PATH
      uptime: 2h 5m
      socks: "127.0.0.1:9250"
      secrets: os-keyring
      pid: 4711
      version: "0.1.0"
    service:
      export:
        - 127.0.0.1:22
      clients:
        - name: laptop
          address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
          state: connected
          sessions: 3
          last-seen: "2026-11-22T16:00:00Z"
        - name: phone
          address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
          state: "failing (tor is not running)"
    remotes:
      - name: website
        address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
        state: "reachable (420 ms)"
        imports:
        - local-addr: 127.0.0.1:10022
          remote-port: 22
          state: listening
          sessions: 1
        - local-addr: 127.0.0.1:80
          remote-port: 80
          state: "blocked (127.0.0.1:80 is in use by nginx (pid 12))"
      - name: nas
        address: 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion
        state: "unreachable (the host is offline)"
    problems:
      - subject: "import 127.0.0.1:80"
        sentence: "127.0.0.1:80 is in use by nginx (pid 12)"
        since: "2026-11-22T16:00:00Z"
        hint: "stop nginx (pid 12), or choose another port"
      - subject: "config"
        sentence: "config.toml, line 3, column 1: unknown field `prot`"
    "#);
    let yaml = parsed(&status);
    assert_eq!(yaml["agent"]["bootstrap"], 45);
    assert_eq!(yaml["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn every_state_of_an_agent_is_one_line() {
    for (state, words) in [
        (AgentState::Starting, "starting"),
        (AgentState::Online, "online"),
        (AgentState::Paused, "paused"),
        (AgentState::Offline { why: "tor was not found".into() }, "offline (tor was not found)"),
    ] {
        let mut status = empty();
        status.agent = Some(AgentStatus { socks: None, tor: None, secrets: None, ..agent(state) });
        status.agent.as_mut().unwrap().bridges = Some(2);
        let yaml = parsed(&status);
        assert_eq!(yaml["agent"]["bridges"], 2);
        assert_eq!(yaml["agent"]["state"], words);
        assert_eq!(yaml["agent"]["socks"], "off");
        assert!(to_yaml(&status).starts_with("agent:\n  state: "));
    }
}

#[test]
fn how_a_session_stands_is_said_in_words() {
    for (connections, circuits, holding, words) in [
        (1, 1, None, "1 connection over 1 circuit"),
        (3, 4, None, "3 connections over 4 circuits"),
        (1, 0, Some(0), "holding 1 connection (waiting for the network, 0 s)"),
        (2, 0, Some(42), "holding 2 connections (waiting for the network, 42 s)"),
    ] {
        assert_eq!(session(SessionStatus { connections, circuits, holding }), words);
    }
}

#[test]
fn durations_and_moments_are_for_people() {
    for (seconds, text) in [(0, "0s"), (59, "59s"), (90, "1m 30s"), (7_500, "2h 5m"), (273_600, "3d 4h")] {
        assert_eq!(uptime(seconds), text);
    }
    assert_eq!(timestamp(1_795_363_200), "2026-11-22T16:00:00Z");
    assert_eq!(timestamp(u64::MAX), u64::MAX.to_string());
}

/// Texts of any characters, with those that YAML, terminals and people take for something else among them.
fn text() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(
        "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{a0}\u{2028}\u{2029}\u{202e}\u{feff}\u{fffe}\"'\\:#-? {}[]&*!|>%@`"
            .chars()
            .collect::<Vec<_>>(),
    );
    let char = prop_oneof![any::<char>(), awkward];
    prop::collection::vec(char, 0..20).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn any_text_comes_back_from_yaml_as_it_was(why in text(), hint in text()) {
        let mut status = empty();
        status.agent = Some(agent(AgentState::Offline { why: why.clone() }));
        status.clients = vec![client("a", Some(ClientState::Failing { why: why.clone() }))];
        status.problems = vec![Problem::new(Code::TorFailed, why.clone()).about(Subject::Store).hint(hint.clone())];

        let yaml = parsed(&status);

        prop_assert_eq!(&yaml["agent"]["state"], &json!(format!("offline ({why})")));
        prop_assert_eq!(&yaml["service"]["clients"][0]["state"], &json!(format!("failing ({why})")));
        prop_assert_eq!(&yaml["problems"][0]["sentence"], &json!(why));
        prop_assert_eq!(&yaml["problems"][0]["subject"], &json!("secrets"));
        if !hint.is_empty() {
            prop_assert_eq!(&yaml["problems"][0]["hint"], &json!(hint));
        }
        // Nothing in it steers a terminal or starts a line.
        let control = |c: char| c.is_control() && c != '\n';
        prop_assert!(!to_yaml(&status).contains(control));
    }

    #[test]
    fn any_name_comes_back_from_yaml_as_a_string(name in "[a-zA-Z][a-zA-Z0-9_-]{0,5}") {
        let mut status = empty();
        status.clients = vec![client(&name, None)];
        status.remotes = vec![remote(&name, None, vec![])];
        status.requests = vec![name.parse().unwrap()];
        let yaml = parsed(&status);
        prop_assert_eq!(&yaml["service"]["clients"][0]["name"], &json!(name));
        prop_assert_eq!(&yaml["remotes"][0]["name"], &json!(name));
        prop_assert_eq!(&yaml["requests"][0], &json!(name));
    }
}

#[test]
fn a_client_s_ports_are_those_that_are_for_it_and_none_is_named_where_all_are() {
    let ports = |ports: &[u16]| Some(ports.iter().map(|port| Port::new(*port).unwrap()).collect::<Vec<_>>());
    let of = |for_ann_alone: bool, granted: Option<Vec<Port>>| {
        let mut limited = export("127.0.0.1:80", 80);
        limited.clients = for_ann_alone.then(|| vec!["ann".parse().unwrap()]);
        let status = Status { exports: vec![export("127.0.0.1:22", 22), limited], ..empty() };
        ["ann", "bob"]
            .map(|name| status.ports_of(&ClientStatus { ports: granted.clone(), ..client(name, None) }))
    };
    assert_eq!(of(false, None), [None, None]);
    assert_eq!(of(true, None), [None, ports(&[22])]);
    assert_eq!(of(false, ports(&[80])), [ports(&[80]), ports(&[80])]);
    assert_eq!(of(true, ports(&[80])), [ports(&[80]), ports(&[])]);
}
