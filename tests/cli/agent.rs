//! Commands with an agent that runs and finds no tor: they go to it, and what they say is what it does.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::Value;
use support::{Ran, Running, finished, until};

use crate::refused::{Host, ORMESH, assert_refused};

/// A running agent, stopped at the end.
struct Agent<'a> {
    host: &'a Host,
    child: Running,
}

impl<'a> Agent<'a> {
    /// Starts one and waits until it answers. Its SOCKS server is off, so that tests can run side by side.
    fn start(host: &'a Host) -> Self {
        Self::start_logging_to(host, Stdio::inherit())
    }

    /// The same, with another standard error.
    fn start_logging_to(host: &'a Host, log: impl Into<Stdio>) -> Self {
        host.good(&["config", "set", "agent.socks-addr", "off"]);
        let child = host
            .command(ORMESH)
            .args(["agent", "run"])
            .env("ORMESH_TOR", "/nonexistent/tor")
            // Where no other tor is to be found.
            .env("PATH", "/nonexistent")
            .stderr(log)
            .spawn()
            .unwrap();
        let agent = Self { host, child: Running(child) };
        until("the agent answers", || status(host)["agent"].is_object());
        agent
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.host.ormesh(&["agent", "stop"]);
    }
}

/// Has the agent log much, and asserts that it does all that it should meanwhile and ends in order.
fn log_hurts_nobody(host: &Host, mut agent: Agent<'_>, lines: usize) {
    for _ in 0..lines {
        host.good(&["agent", "pause"]);
        host.good(&["agent", "resume"]);
    }
    host.good(&["export", "add", "22"]);
    assert_eq!(status(host)["exports"].as_array().unwrap().len(), 1);
    agent.child.terminate();
    assert!(agent.child.ended().success(), "it did not end in order");
}

#[test]
fn a_reader_of_the_log_that_goes_away_is_no_harm() {
    let host = Host::new();
    let (reader, log) = std::io::pipe().unwrap();
    let agent = Agent::start_logging_to(&host, log);
    drop(reader);
    log_hurts_nobody(&host, agent, 5);
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_of_the_log_that_stands_still_is_no_harm() {
    let host = Host::new();
    let (mut reader, log) = std::io::pipe().unwrap();
    // The smallest that there is.
    rustix::pipe::fcntl_setpipe_size(&log, 4096).unwrap();
    let agent = Agent::start_logging_to(&host, log);
    // A pause and its end are two lines of more than 40 bytes.
    log_hurts_nobody(&host, agent, 60);
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
    assert!(read.len() >= 3900, "the pipe was never full: {}", read.len());
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_on_a_full_disk_is_no_harm() {
    let host = Host::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let agent = Agent::start_logging_to(&host, full);
    log_hurts_nobody(&host, agent, 5);
}

fn status(host: &Host) -> Value {
    serde_json::from_str(&host.good(&["status", "--json"])).unwrap()
}

/// An address of this machine where nothing listens.
fn free_address() -> String {
    support::free_address().to_string()
}

/// A host with a remote, made by another host.
fn with_remote() -> Host {
    let (host, exporter) = (Host::new(), Host::new());
    let invite = exporter.good(&["client", "add", "a"]);
    host.good(&["remote", "add", "web", invite.trim()]);
    host
}

#[test]
fn status_gains_the_agent_and_its_problems() {
    let host = Host::new();
    let agent = Agent::start(&host);
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "laptop"]);
    let yaml: Value = serde_saphyr::from_str(&host.good(&["status"])).unwrap();
    assert_eq!(yaml["agent"]["pid"], agent.child.id());
    assert_eq!(yaml["agent"]["socks"], "off");
    assert_eq!(yaml["service"]["export"][0], "127.0.0.1:22");
    assert_eq!(yaml["service"]["clients"][0]["state"], "invited");
    let problem = &yaml["problems"][0];
    assert_eq!(problem["subject"], "tor");
    assert!(problem["sentence"].is_string() && problem["hint"].is_string());
}

#[test]
fn an_import_listens_when_the_command_is_done() {
    let host = with_remote();
    let _agent = Agent::start(&host);
    let address = free_address();
    host.good(&["import", "add", "web", "22", &address]);
    assert!(TcpStream::connect(&address).is_ok());
    host.good(&["import", "delete", &address]);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn a_blocked_import_is_added_and_says_so() {
    let host = with_remote();
    let _agent = Agent::start(&host);
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let ran = host.ormesh(&["import", "add", "web", "22", &address]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("note: ") && ran.stderr.contains(&address), "{}", ran.stderr);
    assert_eq!(status(&host)["remotes"][0]["imports"][0]["state"]["is"], "blocked");
}

#[test]
fn a_pause_closes_listeners_until_resumed() {
    let host = with_remote();
    let _agent = Agent::start(&host);
    let address = free_address();
    host.good(&["import", "add", "web", "22", &address]);
    host.good(&["agent", "pause"]);
    assert_eq!(status(&host)["agent"]["state"]["is"], "paused");
    assert!(TcpStream::connect(&address).is_err());
    host.good(&["agent", "resume"]);
    assert!(TcpStream::connect(&address).is_ok());
}

#[test]
fn a_watch_gives_the_state_now_and_at_each_change() {
    let host = Host::new();
    let _agent = Agent::start(&host);
    let mut watch =
        host.command(ORMESH).args(["status", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut exports = || {
        let status: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        status["exports"].as_array().unwrap().len()
    };
    assert_eq!(exports(), 0);
    host.good(&["export", "add", "22"]);
    until("the change is shown", || exports() == 1);
    host.good(&["agent", "stop"]);
    assert_eq!(watch.wait().unwrap().code(), Some(3));
}

#[test]
fn what_is_refused_without_an_agent_is_refused_with_one() {
    let host = Host::new();
    let _agent = Agent::start(&host);
    for (args, code) in [
        (&["export", "add", "1"][..], 4),
        (&["client", "delete", "nobody"], 4),
        (&["remote", "show", "nobody"], 4),
        (&["import", "add", "nobody", "22", "127.0.0.1:1"], 4),
        (&["nc", "nobody", "22"], 4),
        (&["ssh", "nobody"], 4),
    ] {
        let before = host.kept();
        assert_refused(&host.ormesh(args), code, &args.join(" "));
        assert!(host.kept() == before, "{args:?} changed something");
    }
    let ran = host.ormesh(&["ping", "nobody"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (4, 1), "{ran:?}");
}

#[test]
fn a_tor_that_is_missing_is_the_layer_that_fails() {
    let host = with_remote();
    let _agent = Agent::start(&host);
    until("tor was looked for", || status(&host)["agent"]["state"]["is"] == "offline");

    let ran = host.ormesh(&["doctor", "web"]);

    assert_eq!((ran.code, ran.stderr.as_str()), (6, ""), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("agent         ok      process "), "{ran:?}");
    assert!(lines[1].starts_with("secrets       ok      the directory of key files can be used"), "{ran:?}");
    assert!(lines[2].starts_with("tor           FAILED  /nonexistent/tor could not be run"), "{ran:?}");
    assert!(lines[3].trim_start().starts_with("hint: install tor"), "{ran:?}");
    assert!(
        lines[4..].iter().all(|line| line.ends_with("–       not tried, since tor does not run")),
        "{ran:?}"
    );
    assert_refused(&host.ormesh(&["doctor", "nobody"]), 4, "no such remote");

    host.good(&["agent", "pause"]);
    let ran = host.ormesh(&["doctor", "--json"]);
    assert_eq!(ran.code, 3, "a script must not take it for well");
    let layers: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(layers[3]["sentence"], "not tried, since the agent is paused");
}

#[test]
fn waiting_ends_with_what_is_missing() {
    let host = Host::new();
    let _agent = Agent::start(&host);
    let ran = host.ormesh(&["wait", "--timeout", "1"]);
    assert_refused(&ran, 3, "wait");
    assert!(ran.stderr.contains("tor"), "{}", ran.stderr);
}

#[test]
fn a_bad_edit_of_the_file_is_shown_and_stops_changes() {
    let host = Host::new();
    host.good(&["export", "add", "22"]);
    let _agent = Agent::start(&host);
    let good = std::fs::read_to_string(host.config()).unwrap();
    std::fs::write(host.config(), "nonsense = 1\n").unwrap();
    until("the problem is shown", || host.good(&["status"]).contains("line 1"));
    assert_eq!(status(&host)["exports"].as_array().unwrap().len(), 1);
    assert_refused(&host.ormesh(&["export", "add", "80"]), 2, "an edit of a spoilt file");
    std::fs::write(host.config(), good).unwrap();
    until("the file is read again", || !host.good(&["status"]).contains("line 1"));
    host.good(&["export", "add", "80"]);
}

#[test]
fn a_second_agent_names_the_first() {
    let host = Host::new();
    let agent = Agent::start(&host);
    let ran: Ran = finished(host.command(ORMESH).args(["agent", "run"])).into();
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(&agent.child.id().to_string()), "{}", ran.stderr);
}

#[test]
fn stopping_waits_until_it_is_gone() {
    let host = Host::new();
    let mut agent = Agent::start(&host);
    host.good(&["agent", "stop"]);
    assert_eq!(status(&host)["agent"], Value::Null);
    assert!(agent.child.ended().success());
}
