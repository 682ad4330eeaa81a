//! The shortest way from nothing to bytes: an invite, an import, a connection.

use std::time::Instant;

use crate::support::{connected, echo, figure, hosts, open_echo, resident_kib};

#[test]
fn bytes_go_through_an_import_at_the_first_try() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();

    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    let begun = Instant::now();
    let mut connection = open_echo(import);
    figure("first connection through an import, both online", format!("{:?}", begun.elapsed()));
    connection.bulk(1_000_000).unwrap();

    assert_eq!(echo.accepted(), 1);
    figure("resident memory of an exporter's agent, KiB", resident_kib(server.agent_pid()));
    figure("resident memory of an importer's agent, KiB", resident_kib(laptop.agent_pid()));
}
