//! Too few open files, from the start or from some moment on: said, and all goes on as soon as there are enough.

use std::net::TcpStream;
use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::alone::{start, tor, wait_for_words, with_remote};
use crate::lifecycle::Further;
use crate::support::{ORMESH, until};

#[test]
fn a_limit_of_open_files_that_keeps_tor_from_starting_is_named() {
    let host = with_remote();
    let mut shell = host.command("sh");
    shell.args(["-c", "ulimit -n 900 && exec \"$0\" agent run", ORMESH]).stderr(Stdio::null());
    shell.env("ORMESH_TOR_NETWORK", host.home().join("no-network.torrc"));
    let _agent = Further::from(shell.spawn().unwrap());

    let problem = wait_for_words(&host, "tor needs 1000 open files, and this agent may have 900");

    let hint = problem["hint"].as_str().unwrap();
    assert!(hint.contains("`ulimit -n 4096`") && hint.contains("LimitNOFILE=4096"), "{hint}");
    let doctor = host.ormesh(&["doctor"]);
    assert!(doctor.code == 6 && doctor.stdout.contains("tor needs 1000 open files"), "{doctor:?}");
    assert!(doctor.stdout.contains("ulimit -n"), "{doctor:?}");
    host.good(&["agent", "stop"]);
}

#[test]
fn that_they_run_out_is_said_once_and_it_goes_on_when_there_are_more() {
    let mut host = with_remote();
    let listen = host.import("web", 22);
    start(&mut host);
    tor(&host);
    let agent = Pid::from_raw(host.agent_pid().try_into().unwrap());
    let limit = |current| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(agent, Resource::Nofile, Rlimit { current, maximum }).unwrap()
    };
    let before = limit(Some(3));
    let connection = TcpStream::connect(listen).unwrap();
    assert_eq!(host.ormesh(&["status"]).code, 3);
    let tries = || host.log().matches("a connection could not be accepted").count();
    until("it has tried again", || tries() > 10);

    limit(before.current);
    until("it answers", || host.ormesh(&["status"]).code == 0);
    drop(connection);
    for line in ["a connection can't be accepted", "a command can't be answered"] {
        assert_eq!(host.log().matches(line).count(), 1, "{line}");
    }
    host.stop();
}
