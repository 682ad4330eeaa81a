//! What cleaners of temporary directories take: the sockets of gates, imports and tor, and the directory that they are in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ormesh_core::model::status::ImportState;

use crate::support::{Host, connected, echo, hosts, is_reachable, open_echo, reaches, until};

/// Whether an echo server answers at a Unix socket now.
fn unix_echoed(path: &Path) -> bool {
    let echoed = || {
        let mut stream = UnixStream::connect(path)?;
        stream.write_all(b"hello")?;
        stream.read_exact(&mut [0; 5])
    };
    echoed().is_ok()
}

/// Takes from the run directory what a cleaner does whose name begins so; how many these were.
fn clean(host: &Host, prefix: &str) -> usize {
    let entries = fs::read_dir(host.state().join("run")).unwrap().map(Result::unwrap);
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.inspect(|entry| fs::remove_file(entry.path()).unwrap()).count()
}

#[test]
fn sockets_that_are_removed_come_back_and_open_sessions_go_on() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let import = connected(&mut server, &mut laptop, echo().addr, 80);
    let socket = laptop.home().join("import.sock");
    let listen = format!("unix:{}", socket.display());
    laptop.good(&["import", "add", "remote", "80", &listen]);
    until("an echo at the socket", || unix_echoed(&socket));
    let mut session = open_echo(import);

    assert_eq!(clean(&server, "g-"), 2, "one gate, and the responder's");
    // What is there now is not ours, and is not replaced.
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();

    let state = |host: &Host| {
        let import = host.status().remotes[0]
            .imports
            .iter()
            .find(|import| import.listen.to_string() == listen)
            .cloned();
        import.and_then(|import| import.state)
    };
    until("the import is told to be blocked", || matches!(state(&laptop), Some(ImportState::Blocked { .. })));
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_file(&socket).unwrap();
    until("the import's socket is back", || unix_echoed(&socket));
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(state(&laptop), Some(ImportState::Listening));
    reaches(import);
    session.turn().expect("a session that was open goes on");
    assert!(laptop.good(&["ping", "remote", "--count", "1"]).contains("round trip"), "the responder is back");
    assert!(server.log().contains("a cleaner of temporary files does that"), "{}", server.log_tail());
    assert!(server.status().problems.is_empty() && laptop.status().problems.is_empty());

    // The gates that came back are closed with the client.
    server.good(&["client", "delete", "client"]);
    assert!(session.turn().is_err(), "a session that outlived its socket is not ended");
}

#[test]
fn a_run_directory_that_is_removed_comes_back_with_tor_in_it() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let import = connected(&mut server, &mut laptop, echo().addr, 80);

    for host in [&server, &laptop] {
        fs::remove_dir_all(host.state().join("run")).unwrap();
    }

    reaches(import);
    until("the server answers its own commands", || server.ormesh(&["status"]).code == 0);
    server.wait_until("the service is published again", is_reachable("client"));
    // What is seen first depends on who dials.
    let said = |host: &Host| host.log().contains("tor was stopped: its ");
    assert!(said(&server) && said(&laptop), "{}", server.log_tail());
}
