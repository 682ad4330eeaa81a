//! The life of an invite: shown until first use, replaced by rotation, or answered to a request so that no key travels.

use std::fs;

use ormesh_core::model::status::Status;

use crate::support::{
    Host, PATIENCE, connected, echo, ended, hosts, is_connected, is_kept_out, is_reachable, open_echo,
    try_echo, until,
};

#[test]
fn an_invite_is_erased_at_first_use_and_replaced_by_rotation() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    // Warming is no use of it.
    server.good(&["client", "token", "client"]);
    let private = client_keys(&server);
    assert_eq!(private.len(), 1);

    let session = open_echo(import);

    until("the private key is erased", || client_keys(&server).is_empty());
    let refused = server.ormesh(&["client", "token", "client"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (4, ""), "{refused:?}");
    assert!(refused.stderr.contains("client rotate"), "{}", refused.stderr);
    assert_eq!(server.ormesh(&["client", "add", "client"]).code, 4);
    let old = address(&server.status());

    // Erased for good: a restart does not bring it back, and the client still comes in.
    server.stop();
    server.start();
    assert_eq!(server.ormesh(&["client", "token", "client"]).code, 4);
    server.wait_until("the service is published", is_reachable("client"));
    assert!(ended(session.stream(), PATIENCE));
    until("the client comes in", || try_echo(import).is_ok());

    let invite = server.good(&["client", "rotate", "client"]);
    assert_ne!(address(&server.status()), old);
    assert!(is_kept_out(import), "the old key works after a rotation");
    let refused = laptop.ormesh_reading(&["remote", "add", "remote", "-"], &invite);
    assert_eq!(refused.code, 4, "{refused:?}");
    let replaced = laptop.ormesh_reading(&["remote", "add", "remote", "-", "--replace"], &invite);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    server.wait_until("the new service is published", is_reachable("client"));
    laptop.wait_until("the remote is reached", is_connected("remote"));
    open_echo(import).turn().expect("the import leads to the new service");
    assert_eq!(client_keys(&laptop).len(), 1, "the replaced key is kept");
}

#[test]
fn a_request_lets_a_client_in_whose_key_never_travels() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    server.export(echo.addr, 80);
    server.start();
    laptop.start();

    let request = laptop.good(&["remote", "request", "server"]);
    assert!(request.starts_with("ormeshreq1"), "{request}");
    let invite = server.invite("laptop", &["--request", request.trim()]);
    assert!(client_keys(&server).is_empty(), "the exporter has the client's private key");
    laptop.add_remote("server", &invite);
    let import = laptop.import("server", 80);
    server.wait_until("the service is published", is_reachable("laptop"));
    laptop.wait_until("the remote is reached", is_connected("server"));
    open_echo(import);

    // No key was in the invite, so it can be shown after the first use, too.
    assert_eq!(server.good(&["client", "token", "laptop"]).trim(), invite);
    assert!(laptop.status().requests.is_empty());
}

/// The files of private client keys in the store.
fn client_keys(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.secrets()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("client-")).collect()
}

fn address(status: &Status) -> String {
    status.clients[0].address.to_string()
}
