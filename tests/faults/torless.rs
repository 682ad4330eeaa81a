//! A tor that is missing, too old, no tor at all, or ends at once: said in words, and everything else goes on.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use ormesh_core::model::problem::Code;
use serde_json::json;

use crate::alone::{start_with, tor, wait_for_no_problem, wait_for_words, with_remote};
use crate::support::{Host, until};

/// Writes a program that stands for tor.
fn fake(host: &Host, name: &str, script: &str) -> PathBuf {
    let path = host.home().join(name);
    fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Starts the agent with this for `ORMESH_TOR`, and no other tor that it could find.
fn start_with_tor(host: &mut Host, tor: &str) {
    let empty = host.home().join("empty");
    fs::create_dir_all(&empty).unwrap();
    start_with(host, &[("ORMESH_TOR", tor), ("PATH", empty.to_str().unwrap())]);
}

const IS_NEW: &str = "[ \"$1\" = --version ] && echo 'Tor version 0.4.9.11.' && exit 0";

/// What stands for tor, and what must be said of it.
fn broken_tors(host: &Host) -> Vec<(PathBuf, &'static str)> {
    let plain = host.home().join("plain");
    fs::write(&plain, "no program").unwrap();
    vec![
        (fake(host, "old", "echo 'Tor version 0.4.8.9.'"), "0.4.8.9, and 0.4.9.11 is the oldest"),
        (fake(host, "other", "echo hello"), "not tor"),
        (fake(host, "ends", &format!("{IS_NEW}\necho 'Nov 22 [err] I give up' >&2; exit 1")), "I give up"),
        (fake(host, "silent", &format!("{IS_NEW}\nexit 3")), "tor ended (exit status: 3)"),
        (host.home().join("missing"), "could not be run"),
        (plain, "could not be run"),
    ]
}

#[test]
fn a_tor_that_can_not_run_is_said_in_words_and_holds_up_nothing() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start_with_tor(&mut host, "/nonexistent/tor");
    wait_for_words(&host, "/nonexistent/tor");
    host.stop();
    for (tor, sentence) in broken_tors(&host) {
        start_with_tor(&mut host, tor.to_str().unwrap());

        let problem = wait_for_words(&host, sentence);

        assert!([json!("tor-missing"), json!("tor-failed")].contains(&problem["code"]), "{problem}");
        assert_eq!(problem["subject"]["is"], "tor");
        assert!(problem["hint"].as_str().unwrap().len() > 10, "{problem}");
        let state = &host.json_status()["agent"]["state"];
        assert_eq!(state["is"], "offline", "{state}");
        assert!(TcpStream::connect(import).is_ok(), "{sentence}");
        host.good(&["export", "add", "22"]);
        host.good(&["export", "delete", "22"]);
        let ran = host.ormesh(&["wait", "--timeout", "0"]);
        assert_eq!(ran.code, 3, "{ran:?}");
        host.stop();
    }
}

#[test]
fn another_tor_is_taken_as_soon_as_it_is_named() {
    let mut host = with_remote();
    let real = tornet::Tools::find().unwrap().tor;
    let old = fake(&host, "old", "echo 'Tor version 0.4.8.9.'");
    host.good(&["config", "set", "agent.tor-path", old.to_str().unwrap()]);
    start_with_tor(&mut host, "");
    wait_for_words(&host, "0.4.8.9");

    host.good(&["config", "set", "agent.tor-path", real.to_str().unwrap()]);

    wait_for_no_problem(&host, Code::TorMissing);
    until("tor runs", || host.json_status()["agent"]["state"]["is"] == "connecting");
    assert_eq!(host.json_status()["agent"]["tor"]["path"], real.display().to_string());
}

#[test]
fn a_tor_that_can_not_be_used_and_the_same_one_by_another_path_end_no_session() {
    let mut host = with_remote();
    let real = tornet::Tools::find().unwrap().tor.canonicalize().unwrap();
    let (usual, again) = (host.home().join("empty/tor"), host.home().join("again"));
    fs::create_dir(host.home().join("empty")).unwrap();
    for link in [&usual, &again] {
        std::os::unix::fs::symlink(&real, link).unwrap();
    }
    start_with_tor(&mut host, "");
    let first = tor(&host);
    let set = |path: &str| {
        let ran = host.ormesh(&["config", "set", "agent.tor-path", path]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
        ran.stderr
    };

    for (path, why) in [("/nonexistent/tor", "could not be run"), ("/bin/ls", "is not tor")] {
        let said = set(path);
        assert!(said.contains(path) && said.contains(why), "{said}");
        assert!(said.contains(&format!("at {} is used", usual.display())), "{said}");
        assert!(!said.contains("ends open sessions"), "{said}");
        let problem = wait_for_words(&host, path);
        assert_eq!(problem["code"], Code::TorPassedOver.as_str(), "{problem}");
        assert_eq!(host.tor_pid(), first, "{path}: tor was started anew");
    }
    assert_eq!(set(again.to_str().unwrap()), "");
    wait_for_no_problem(&host, Code::TorPassedOver);
    assert_eq!(host.json_status()["agent"]["tor"]["found"], "agent.tor-path");
    assert_eq!(host.tor_pid(), first, "the same tor was started anew");

    // It is told that sessions end where they do.
    let other = fake(&host, "other", &format!("exec {} \"$@\"", real.display()));
    let said = set(other.to_str().unwrap());
    assert!(said.contains("tor is started anew for that, which ends open sessions"), "{said}");
    until("the other one runs", || {
        host.json_status()["agent"]["tor"]["path"] == other.display().to_string() && host.tor_pid() != first
    });
    until("it is started", || host.json_status()["agent"]["state"]["is"] == "connecting");
    let second = tor(&host);
    assert_ne!(second, first);

    // One that is gone is missed when tor is started the next time, and no sooner.
    fs::remove_file(&other).unwrap();
    host.good(&["agent", "pause"]);
    host.good(&["agent", "resume"]);
    assert_ne!(tor(&host), second);
    let problem = wait_for_words(&host, other.to_str().unwrap());
    assert_eq!(problem["code"], Code::TorPassedOver.as_str(), "{problem}");
}

#[test]
fn a_tor_that_is_installed_later_is_found_by_itself() {
    let mut host = with_remote();
    start_with_tor(&mut host, "");
    let problem = wait_for_words(&host, "tor was not found");
    assert!(problem["hint"].as_str().unwrap().contains("found by itself"), "{problem}");

    let real = tornet::Tools::find().unwrap().tor;
    std::os::unix::fs::symlink(real, host.home().join("empty/tor")).unwrap();

    // By its process alone: a command would have it looked for.
    host.tor_pid();
    until("tor runs", || host.json_status()["agent"]["state"]["is"] == "connecting");
    wait_for_no_problem(&host, Code::TorMissing);
}

#[test]
fn a_tor_that_keeps_ending_is_started_again_and_again() {
    let mut host = with_remote();
    let count = host.home().join("count");
    let real = tornet::Tools::find().unwrap().tor;
    // The first three ends are its own fault; then it is the real one.
    let script = format!(
        "{IS_NEW}\necho x >> {count}\n[ $(wc -l < {count}) -le 3 ] && exit 1\nexec {real} \"$@\"",
        count = count.display(),
        real = real.display()
    );
    let flaky = fake(&host, "flaky", &script);
    start_with_tor(&mut host, flaky.to_str().unwrap());
    until("the fourth runs", || host.json_status()["agent"]["state"]["is"] == "connecting");
    assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 4);
}
