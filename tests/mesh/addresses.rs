//! Addresses of every kind, at both ends: Unix sockets, IPv6's loopback, a target's name.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use crate::support::{
    PATIENCE, echo, echo_v6, free_port, hosts, is_connected, is_reachable, open_echo, unix_echo,
};

#[test]
fn unix_sockets_and_ipv6_serve_at_both_ends() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let (v4, v6) = (echo(), echo_v6());
    let target = server.home().join("app.sock");
    unix_echo(&target);
    server.export(v4.addr, 4);
    server.export(v6.addr, 6);
    server.good(&["export", "add", &format!("unix:{}", target.display()), "8"]);
    // A server on either loopback address, as development servers are.
    server.good(&["export", "add", &format!("localhost:{}", v4.addr.port()), "9"]);
    server.good(&["export", "add", &format!("localhost:{}", v6.addr.port()), "10"]);
    laptop.add_remote("remote", &server.invite("client", &[]));
    let listen = laptop.home().join("import.sock");
    laptop.good(&["import", "add", "remote", "8", &format!("unix:{}", listen.display())]);
    let v6_listen = format!("[::1]:{}", free_port());
    laptop.good(&["import", "add", "remote", "4", &v6_listen]);
    let [to_v6, to_unix, to_name, to_name_v6] = [6, 8, 9, 10].map(|port| laptop.import("remote", port));

    server.start();
    server.wait_until("the service is published", is_reachable("client"));
    laptop.start();
    laptop.wait_until("the remote is reached", is_connected("remote"));

    open_echo(v6_listen.parse().unwrap()).bulk(100_000).unwrap();
    open_echo(to_v6).bulk(100_000).unwrap();
    open_echo(to_unix).bulk(100_000).unwrap();
    open_echo(to_name).bulk(100_000).unwrap();
    open_echo(to_name_v6).bulk(100_000).unwrap();
    assert_eq!((v4.accepted(), v6.accepted()), (2, 2));
    // The ping asks the other host whether its port accepts.
    laptop.good(&["ping", "remote", "10", "--count", "1"]);

    let mode = listen.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may use the socket");
    let mut stream = UnixStream::connect(&listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = [0; 5];
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *b"hello");

    // A socket that an earlier agent left behind is taken over.
    laptop.kill_agent();
    assert!(listen.exists());
    laptop.start();
    let mut stream = UnixStream::connect(&listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"again").unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *b"again");
    laptop.stop();
    assert!(!listen.exists(), "the socket is left behind");
}
