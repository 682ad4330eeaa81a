//! Pause and resume, on either side: everything closed while it lasts, everything back after it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{
    LOOK, PATIENCE, connected, echo, ended, hosts, is_connected, is_reachable, is_running, open_echo,
    reaches, serve, until,
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
    // What can't come to pass is refused, and not waited for.
    for args in [&["ping", "remote"][..], &["nc", "remote", "80"]] {
        let ran = laptop.ormesh(args);
        assert!(
            ran.stderr.contains("the agent is paused\nhint: ormesh agent resume"),
            "{args:?}: {}",
            ran.stderr
        );
        assert_eq!(ran.code, 3, "{args:?}");
    }
    laptop.good(&["agent", "resume"]);
    laptop.wait_until("the remote is reached again", is_connected("remote"));
    open_echo(import);
}

#[test]
fn an_answer_that_a_pause_cuts_off_is_no_clean_end() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let held = Arc::new(AtomicBool::new(true));
    let backend = serve({
        let held = Arc::clone(&held);
        move |mut stream| {
            let _ = stream.write_all(&[b'x'; 1000]);
            // The other half would come after this.
            while held.load(Ordering::SeqCst) {
                thread::sleep(LOOK);
            }
        }
    });
    let import = connected(&mut server, &mut laptop, backend.addr, 80);
    let mut stream = TcpStream::connect(import).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();

    server.good(&["agent", "pause"]);

    let end = stream.read(&mut [0]).map_err(|error| error.kind());
    held.store(false, Ordering::SeqCst);
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}
