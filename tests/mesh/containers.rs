//! A host that is set up by its environment alone, as in a container.

use crate::support::{echo, hosts, is_connected, is_reachable, open_echo};

#[test]
fn exports_and_clients_come_from_the_environment() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let exports = format!("{} 80;9", echo.addr.port());
    // Where tests run, /tmp may be in memory, which counts as not lasting.
    let environment = [
        ("ORMESH_EXPORTS", exports.as_str()),
        ("ORMESH_CLIENTS", "desktop;laptop"),
        ("ORMESH_EPHEMERAL", "1"),
    ];
    server.start_with(&environment);

    let invite = server.good(&["client", "token", "laptop"]);
    laptop.add_remote("server", &invite);
    let import = laptop.import("server", 80);
    laptop.start();
    server.wait_until("the service is published", is_reachable("laptop"));
    laptop.wait_until("the remote is reached", is_connected("server"));
    open_echo(import);

    // The same again changes nothing: same keys, same exports.
    let before = server.status();
    server.stop();
    server.start_with(&environment);
    let after = server.status();
    assert_eq!(after.exports, before.exports);
    let addresses = |status: &ormesh_core::model::status::Status| {
        status.clients.iter().map(|client| (client.name.clone(), client.address)).collect::<Vec<_>>()
    };
    assert_eq!(addresses(&after), addresses(&before));
    assert_eq!(after.clients.len(), 2);
    server.wait_until("the service is published", is_reachable("laptop"));
}
