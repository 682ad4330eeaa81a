//! Who waits for a remote at a terminal is told what for, and a script is not.

use std::process::Stdio;

use crate::support::{Host, ORMESH, Running, Terminal, hosts, until};

/// A command whose standard error is a terminal.
struct Watched {
    terminal: Terminal,
    _command: Running,
}

impl Watched {
    fn start(host: &Host, args: &[&str]) -> Self {
        let terminal = Terminal::new();
        let mut command = host.command(ORMESH);
        command.env_remove("ORMESH_LOG").args(args).stdin(Stdio::piped()).stdout(Stdio::null());
        let command = command.stderr(terminal.end()).spawn().unwrap();
        Self { terminal, _command: Running(command) }
    }

    /// What was shown so far.
    fn shown(&mut self) -> &str {
        self.terminal.shown()
    }
}

#[test]
fn who_waits_for_a_remote_is_told_what_for() {
    let [server, mut laptop] = hosts(["server", "laptop"]);
    server.export("127.0.0.1:1", 22);
    laptop.add_remote("remote", &server.invite("client", &[]));
    laptop.start_online();

    let mut script = laptop.command(ORMESH);
    script.env_remove("ORMESH_LOG").args(["nc", "remote", "22"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut script = script.spawn().unwrap();
    let mut quiet = Watched::start(&laptop, &["nc", "--quiet", "remote", "22"]);
    let mut quiet_ssh = Watched::start(&laptop, &["ssh", "remote", "-q", "-o", "BatchMode=yes"]);
    for args in [&["nc", "remote", "22"][..], &["ssh", "remote", "-o", "BatchMode=yes"]] {
        let mut waiting = Watched::start(&laptop, args);
        // The server's agent never ran.
        until("it is said what is waited for", || {
            waiting.shown().contains("waiting for remote: its service")
        });
    }
    // By now it is known, and told at once.
    let mut at_once = Watched::start(&laptop, &["nc", "remote", "22"]);
    until("it is said again", || !at_once.shown().is_empty());
    assert!(at_once.shown().starts_with("waiting for remote: its service"), "{}", at_once.shown());
    assert_eq!((quiet.shown(), quiet_ssh.shown()), ("", ""));
    script.kill().unwrap();
    assert_eq!(String::from_utf8(script.wait_with_output().unwrap().stderr).unwrap(), "");
}
