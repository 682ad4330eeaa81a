//! Who waits for a remote at a terminal is told what for, and a script is not.

use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use crate::support::{Host, ORMESH, Running, Terminal, connected, echo, hosts, until};

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
    let mut ping = Watched::start(&laptop, &["ping", "-c", "2", "remote"]);
    for attempt in ["seq=1", "seq=2"] {
        until("ping says what is known, and of each attempt that it is on its way", || {
            ping.shown()
                .contains(&format!("remote: {attempt} is on its way; at the last attempt: its service"))
        });
    }
    script.kill().unwrap();
    assert_eq!(String::from_utf8(script.wait_with_output().unwrap().stderr).unwrap(), "");
}

#[test]
fn an_import_of_a_port_that_is_not_exported_is_waited_for_and_a_pause_is_an_event() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let web = echo();
    connected(&mut server, &mut laptop, web.addr, 80);
    let other = laptop.import("remote", 81);

    let wait = until("it is known", || {
        Some(laptop.ormesh(&["wait", "--timeout", "3"])).filter(|wait| wait.code != 0)
    });

    assert_eq!(wait.code, 3, "{wait:?}");
    assert!(wait.stderr.contains(&format!("import {other} is not exported by remote")), "{wait:?}");
    assert!(laptop.good(&["import", "list"]).contains("not exported by remote"));
    assert!(laptop.good(&["status"]).contains("not exported by remote"));
    assert_eq!(laptop.json_status()["remotes"][0]["imports"].as_array().unwrap().len(), 2);

    server.export(web.addr, 81);
    laptop.good(&["wait", "--timeout", "300"]);

    // What the end of an agent does to a connection is no question that was not answered.
    let begin = || {
        let mut nc = laptop.command(ORMESH);
        nc.env_remove("ORMESH_LOG").args(["nc", "remote", "80"]);
        nc.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut nc = nc.spawn().unwrap();
        nc.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        nc.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        nc
    };
    let ended_by = |nc: Child, why: &str| {
        let ended = nc.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("was cut off: ") && said.contains(why), "{said}");
    };
    let nc = begin();
    laptop.good(&["agent", "pause"]);
    laptop.good(&["agent", "resume"]);
    laptop.good(&["wait", "--timeout", "300"]);
    let events = laptop.json_status()["events"].clone();
    let is: Vec<_> =
        events.as_array().unwrap().iter().filter_map(|event| event["what"]["is"].as_str()).collect();
    assert_eq!(
        is.iter().filter(|is| ["online", "offline"].contains(is)).collect::<Vec<_>>(),
        [&"online", &"offline", &"online"],
        "{events}"
    );
    ended_by(nc, "the tor of this host has ended");
    let nc = begin();
    laptop.kill_agent();
    ended_by(nc, "the agent of this host has ended");
}
