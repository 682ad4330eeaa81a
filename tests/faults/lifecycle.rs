//! One agent for one directory, from its start to its end, however either comes about.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::alone::{alone, refused, run_agent, socket, start, tor, with_remote};
use crate::support::{Host, ORMESH, Ran, Signal, is_running, send, until};

/// A further agent of a host, killed at the end.
pub(crate) struct Further(Child);

impl From<Child> for Further {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Further {
    fn start(host: &Host, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = host.command(ORMESH);
        command.args(["agent", "run"]).env("ORMESH_TOR_NETWORK", host.home().join("no-network.torrc"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        prepare(&mut command);
        Self(command.spawn().unwrap())
    }

    fn ended(&mut self) -> ExitStatus {
        until("a further agent ends", || self.0.try_wait().unwrap())
    }
}

impl Drop for Further {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn agent_of(host: &Host) -> Option<u32> {
    host.status().agent.map(|agent| agent.pid)
}

#[test]
fn a_second_agent_is_refused_and_disturbs_nothing() {
    let mut host = alone();
    start(&mut host);
    let its_tor = tor(&host);

    let ran = run_agent(&host, &[]);

    assert!(ran.stderr.contains(&format!("process {}", host.agent_pid())), "{}", ran.stderr);
    refused(&ran, 1);
    assert_eq!(agent_of(&host), Some(host.agent_pid()));
    assert_eq!(tor(&host), its_tor);
}

#[test]
fn a_socket_that_was_removed_is_made_again_and_meanwhile_the_agent_is_named() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let agent = host.agent_pid();
    let run = socket(&host).parent().unwrap().to_owned();
    for remove in [&|| std::fs::remove_file(socket(&host)), &|| std::fs::remove_dir_all(&run)]
        as [&dyn Fn() -> std::io::Result<()>; 2]
    {
        // So that it can't be made again before it was asked for.
        send(agent, Signal::STOP);
        remove().unwrap();

        for args in [&["agent", "stop"][..], &["agent", "pause"], &["nc", "web", "22"], &["ping", "web"]] {
            let ran = host.ormesh(args);
            assert_eq!(ran.code, 3, "{ran:?}");
            let said = ran.stdout + &ran.stderr;
            assert!(said.contains(&format!("an agent runs (process {agent})")), "{args:?}: {said}");
        }
        let (_, hint) = refused(&host.ormesh(&["agent", "stop"]), 3);
        assert!(hint.contains(&format!("`kill {agent}` ends it")), "{hint}");
        let (_, hint) = refused(&run_agent(&host, &[]), 1);
        assert!(hint.contains(&format!("`kill {agent}`")), "{hint}");
        assert!(host.good(&["status"]).contains(&format!("process {agent}")));

        send(agent, Signal::CONT);
        until("it is made again", || agent_of(&host) == Some(agent));
        assert_eq!(std::fs::metadata(&run).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(socket(&host)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(TcpStream::connect(import).is_ok());
    }
    host.stop();
}

#[test]
fn of_many_started_at_once_one_runs() {
    let host = alone();
    let mut agents: Vec<_> = (0..6).map(|_| Further::start(&host, |_| {})).collect();

    until("all but one have ended", || {
        agents.iter_mut().filter_map(|agent| agent.0.try_wait().unwrap()).count() == 5
    });

    let mut winner = None;
    for mut agent in agents {
        match agent.0.try_wait().unwrap() {
            Some(status) => assert_eq!(status.code(), Some(1)),
            None => winner = Some(agent),
        }
    }
    let mut winner = winner.unwrap();
    until("the winner answers", || agent_of(&host) == Some(winner.0.id()));
    host.good(&["agent", "stop"]);
    assert!(winner.ended().success());
}

#[test]
fn hosts_run_side_by_side() {
    let (mut one, mut other) = (alone(), alone());
    start(&mut one);
    start(&mut other);
    one.good(&["export", "add", "22"]);
    one.stop();
    assert!(other.status().agent.is_some() && other.status().exports.is_empty());
}

#[test]
fn after_a_kill_the_next_agent_starts_over_what_was_left() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    for _ in 0..3 {
        start(&mut host);
        let its_tor = tor(&host);
        host.kill_agent();
        assert!(!is_running(its_tor));
        assert!(socket(&host).exists() && host.state().join("agent.pid").exists(), "nothing was left");
        assert!(host.status().agent.is_none());
    }
    start(&mut host);
    assert!(TcpStream::connect(import).is_ok());
    tor(&host);
    host.stop();
}

#[test]
fn a_restart_does_not_wait_for_the_tor_of_the_killed() {
    let mut host = alone();
    start(&mut host);
    let (agent, old) = (host.agent_pid(), tor(&host));
    send(agent, Signal::KILL);
    host.ended();
    start(&mut host);
    let new = tor(&host);
    until("the old tor is gone", || !is_running(old));
    // Had it taken the new one's sockets along, the new one would have been given up.
    until("another look", || host.json_status()["agent"]["state"]["is"] == "connecting");
    assert_eq!(tor(&host), new, "the new one was disturbed");
}

#[test]
fn under_systemd_a_second_agent_stands_by_and_takes_over() {
    let mut host = alone();
    start(&mut host);
    let mut waiting = Further::start(&host, |command| {
        command.env("INVOCATION_ID", "x");
    });
    let mut given_up = Further::start(&host, |command| {
        command.env("INVOCATION_ID", "x").env("ORMESH_LOG", "info").stderr(Stdio::piped());
    });
    let said = {
        use std::io::{BufRead as _, BufReader};
        let mut line = String::new();
        BufReader::new(given_up.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
        line
    };
    assert!(said.contains("standing by") && said.contains(&host.agent_pid().to_string()), "{said}");
    send(given_up.0.id(), Signal::TERM);
    assert!(given_up.ended().success());

    send(host.agent_pid(), Signal::TERM);
    assert!(host.ended().success());
    until("the other took over", || agent_of(&host) == Some(waiting.0.id()));
    send(waiting.0.id(), Signal::TERM);
    assert!(waiting.ended().success());
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut host = with_remote();
        let import = host.import("web", 22);
        start(&mut host);
        let its_tor = tor(&host);
        assert!(TcpStream::connect(import).is_ok() && TcpStream::connect(host.socks()).is_ok());

        send(host.agent_pid(), signal);

        assert!(host.ended().success(), "{signal:?}");
        assert!(!is_running(its_tor));
        assert!(TcpStream::connect(import).is_err() && TcpStream::connect(host.socks()).is_err());
        assert!(!socket(&host).exists() && !host.state().join("agent.pid").exists());
        assert!(host.log().contains("the agent has ended"));
        // The lock is free.
        start(&mut host);
    }
}

#[test]
fn a_hangup_reloads_and_ends_only_who_has_lost_a_terminal() {
    let mut host = alone();
    start(&mut host);
    send(host.agent_pid(), Signal::HUP);
    until("it says what it read", || host.log().contains("asked to read the configuration again"));
    assert_eq!(agent_of(&host), Some(host.agent_pid()));
    host.stop();

    // As nohup(1) starts it.
    let mut ignoring = host.command("sh");
    ignoring.args(["-c", "trap '' HUP; exec \"$0\" agent run", ORMESH]).stderr(Stdio::null());
    ignoring.env("ORMESH_TOR_NETWORK", host.home().join("no-network.torrc"));
    let mut ignoring = Further(ignoring.spawn().unwrap());
    until("it answers", || agent_of(&host) == Some(ignoring.0.id()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", ignoring.0.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 1, 1, "it is not ignored any more");
    host.good(&["agent", "stop"]);
    assert!(ignoring.ended().success());

    // In a terminal, which is then closed.
    let log = host.home().join("terminal.log");
    let mut terminal = host.command("script");
    terminal.args(["-qc", &format!("exec {ORMESH} agent run 2>{}", log.display()), "/dev/null"]);
    terminal.env("ORMESH_TOR_NETWORK", host.home().join("no-network.torrc")).stdout(Stdio::null());
    let mut terminal = Further(terminal.spawn().unwrap());
    let pid = until("it answers", || agent_of(&host));
    terminal.0.kill().unwrap();
    terminal.ended();
    until("it has ended in order", || {
        !is_running(pid) && std::fs::read_to_string(&log).unwrap().contains("the agent has ended")
    });
}

#[test]
fn a_second_signal_ends_what_sessions_hold_up() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let _held: Vec<_> = (0..3).map(|_| TcpStream::connect(import).unwrap()).collect();
    until("the sessions are open", || host.json_status()["remotes"][0]["imports"][0]["sessions"] == 3);
    let its_tor = tor(&host);

    send(host.agent_pid(), Signal::TERM);
    until("the first one is heard", || host.log().contains("asked to end by a signal"));
    send(host.agent_pid(), Signal::INT);

    assert!(host.ended().success());
    assert!(!is_running(its_tor));
    assert!(host.log().contains("open sessions are cut off"), "they were waited for");
}

#[test]
fn stopping_leaves_no_socket_behind() {
    let mut host = with_remote();
    host.import("web", 22);
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "laptop"]);
    start(&mut host);
    let its_tor = tor(&host);
    host.stop();
    assert!(!is_running(its_tor));
    let left: Vec<_> = std::fs::read_dir(host.state().join("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| !name.to_string_lossy().starts_with("tor-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let ran: Ran = host.ormesh(&["agent", "stop"]);
    refused(&ran, 3);
}
