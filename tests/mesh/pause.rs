//! Pause and resume, on either side: everything closed while it lasts, everything back after it.

use std::net::TcpStream;

use crate::support::{
    PATIENCE, connected, echo, ended, hosts, is_connected, is_reachable, is_running, open_echo, reaches,
    until,
};

#[test]
fn a_pause_ends_sessions_and_tor_and_a_resume_brings_all_back() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let import = connected(&mut server, &mut laptop, echo.addr, 80);

    let session = open_echo(import);
    let tor = server.tor_pid();
    server.good(&["agent", "pause"]);
    assert!(ended(session.stream(), PATIENCE), "a session goes on at a paused exporter");
    until("the session ends at the server", || echo.open() == 0);
    until("tor ends", || !is_running(tor));
    server.good(&["agent", "resume"]);
    server.wait_until("the service is published again", is_reachable("client"));
    let session = reaches(import);

    let tor = laptop.tor_pid();
    laptop.good(&["agent", "pause"]);
    assert!(ended(session.stream(), PATIENCE), "a session goes on at a paused importer");
    assert!(TcpStream::connect(import).is_err(), "a paused import accepts");
    until("tor ends", || !is_running(tor));
    laptop.good(&["agent", "resume"]);
    laptop.wait_until("the remote is reached again", is_connected("remote"));
    open_echo(import);
}
