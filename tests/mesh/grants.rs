//! Many clients of one host: each reaches its own ports at an address of its own, and no others.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::thread;

use ormesh_core::model::status::{ClientState, RemoteState};

use crate::support::{PATIENCE, SocksError, echo, hosts, socks_dial, try_echo};

const CLIENTS: usize = 12;
const PORTS: [u16; 4] = [1001, 1002, 1003, 1004];

/// The ports of a client: each has another choice of them, none has none.
fn ports_of(client: usize) -> Vec<u16> {
    (0..PORTS.len()).filter(|bit| (client + 1) & (1 << bit) != 0).map(|bit| PORTS[bit]).collect()
}

#[test]
fn each_of_many_clients_reaches_its_ports_alone() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let servers: Vec<_> = PORTS.iter().map(|_| echo()).collect();
    for (server_at, port) in servers.iter().zip(PORTS) {
        server.export(server_at.addr, port);
    }
    for client in 0..CLIENTS {
        let name = format!("c{client}");
        let ports = ports_of(client).into_iter().map(|port| port.to_string());
        let more: Vec<String> = ports.flat_map(|port| ["--port".to_owned(), port]).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        laptop.add_remote(&name, &server.invite(&name, &more));
    }
    let refused_import = laptop.import("c0", 1002);

    server.start();
    server.wait_until("all services are published", |status| {
        status.clients.iter().all(|client| client.state == Some(ClientState::Reachable))
    });
    laptop.start();
    laptop.wait_until("all remotes are reached", |status| {
        status.remotes.iter().all(|remote| matches!(remote.state, Some(RemoteState::Reachable { .. })))
    });

    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let socks = laptop.socks();
            scope.spawn(move || {
                for port in PORTS {
                    let granted = ports_of(client).contains(&port);
                    match socks_dial(socks, &format!("c{client}"), port) {
                        Ok(mut stream) => {
                            assert!(granted, "c{client} reached port {port}");
                            stream.set_read_timeout(Some(PATIENCE)).unwrap();
                            let mut heard = [0; 4];
                            stream.write_all(b"ping").unwrap();
                            stream.read_exact(&mut heard).unwrap();
                            assert_eq!(heard, *b"ping");
                        }
                        Err(SocksError::Reply(code)) => {
                            assert!(!granted && code == 5, "c{client} was refused port {port}: {code}");
                        }
                        Err(SocksError::Io(error)) => panic!("c{client}, port {port}: {error}"),
                    }
                }
            });
        }
    });
    assert!(try_echo(refused_import).is_err());
    let refused = laptop.ormesh(&["nc", "c0", "1002"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (4, ""), "{refused:?}");
    assert!(refused.stderr.contains("does not export port 1002 to you"), "{}", refused.stderr);

    for (bit, server_at) in servers.iter().enumerate() {
        let granted = (0..CLIENTS).filter(|client| ports_of(*client).contains(&PORTS[bit])).count();
        assert_eq!(server_at.accepted(), granted, "connections to port {}", PORTS[bit]);
    }
    let addresses: BTreeSet<_> = server.status().clients.into_iter().map(|client| client.address).collect();
    assert_eq!(addresses.len(), CLIENTS, "an address is shared");
}

#[test]
fn an_export_for_one_client_is_reached_by_that_one_alone() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let (open, own) = (echo(), echo());
    server.export(open.addr, 1001);
    for name in ["alice", "bob"] {
        laptop.add_remote(name, &server.invite(name, &[]));
    }
    server.good(&["export", "add", &own.addr.to_string(), "1002", "--client", "alice"]);
    server.start();
    server.wait_until("all services are published", |status| {
        status.clients.iter().all(|client| client.state == Some(ClientState::Reachable))
    });
    laptop.start();
    laptop.wait_until("all remotes are reached", |status| {
        status.remotes.iter().all(|remote| matches!(remote.state, Some(RemoteState::Reachable { .. })))
    });
    let reaches = |name: &str, port| match socks_dial(laptop.socks(), name, port) {
        Ok(mut stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut heard = [0; 4];
            stream.write_all(b"ping").unwrap();
            stream.read_exact(&mut heard).map(|()| assert_eq!(heard, *b"ping")).is_ok()
        }
        Err(_) => false,
    };
    assert!(reaches("alice", 1001) && reaches("bob", 1001) && reaches("alice", 1002));
    assert!(!reaches("bob", 1002));
    assert_eq!(own.accepted(), 1);

    // The agent obeys a change at once, and both can be told from its status.
    let ran = server.ormesh(&["export", "set", "1002", "--client", "bob"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "note: bob can now reach port 1002\n"), "{ran:?}");
    assert!(!reaches("alice", 1002));
    crate::support::until("bob reaches it", || reaches("bob", 1002));
    let status = server.json_status();
    assert_eq!(status["exports"][1]["clients"], serde_json::json!(["bob"]));
    assert_eq!(status["clients"][0]["may_reach"], serde_json::json!([1001]));
    assert_eq!(status["clients"][1]["may_reach"], serde_json::json!([1001, 1002]));
}
