//! What a container is told by its environment: applied at the first start that is told so, and the same at each.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;

use ormesh_core::model::problem::{Code, Subject};

use crate::alone::{
    alone, invite_of_nobody, refused, run_agent, start_with, wait_for_no_problem, wait_for_problem,
    with_remote,
};
use crate::support::{Host, ORMESH, Ran};

const EXPORTS: &str = "22; 8080 80 ;";
const CLIENTS: &str = "desktop;laptop";

fn addresses(host: &Host) -> Vec<String> {
    host.status().clients.iter().map(|client| format!("{} {}", client.name, client.address)).collect()
}

#[test]
fn it_is_applied_once_and_the_same_at_each_start() {
    let mut host = alone();
    let told = [("ORMESH_EXPORTS", EXPORTS), ("ORMESH_CLIENTS", CLIENTS), ("ORMESH_EPHEMERAL", "1")];
    start_with(&mut host, &told);
    let (clients, invite) = (addresses(&host), host.good(&["client", "token", "laptop"]));
    let exports: Vec<_> =
        host.status().exports.iter().map(|export| format!("{} {}", export.target, export.port)).collect();
    assert_eq!(exports, ["127.0.0.1:22 22", "127.0.0.1:8080 80"]);
    assert!(clients.len() == 2 && invite.starts_with("ormesh1"));
    host.stop();
    let config = fs::read(host.config()).unwrap();

    start_with(&mut host, &told);
    assert_eq!(addresses(&host), clients);
    assert_eq!(fs::read(host.config()).unwrap(), config, "the second start wrote");
    host.kill_agent();

    // It adds, and never removes.
    start_with(
        &mut host,
        &[("ORMESH_EXPORTS", "443"), ("ORMESH_CLIENTS", "phone"), ("ORMESH_EPHEMERAL", "1")],
    );
    assert_eq!(host.status().exports.len(), 3);
    assert_eq!(addresses(&host).len(), 3);
    assert_eq!(host.good(&["client", "token", "laptop"]), invite);
}

#[test]
fn what_a_command_deleted_is_not_made_again_at_the_next_start() {
    // Where the configuration can be written, and where it can't.
    for given in [None, Some(("ORMESH_CONFIG", "/proc/ormesh/config.toml"))] {
        let mut host = alone();
        let told = |exports, clients| {
            let named = [("ORMESH_EXPORTS", exports), ("ORMESH_CLIENTS", clients), ("ORMESH_EPHEMERAL", "1")];
            named.into_iter().chain(given).collect::<Vec<_>>()
        };
        let ports =
            |host: &Host| host.status().exports.iter().map(|export| export.port.get()).collect::<Vec<_>>();
        let (all, fewer) = (told(EXPORTS, CLIENTS), told("22", "desktop"));
        start_with(&mut host, &all);
        let before = addresses(&host);
        host.good(&["client", "delete", "laptop"]);
        host.good(&["export", "delete", "80"]);
        for _ in 0..2 {
            host.stop();
            start_with(&mut host, &all);
            assert_eq!(addresses(&host), before[..1], "a client that was deleted is there again");
            assert_eq!(ports(&host), [22], "an export that was deleted is there again");
        }
        // One that is named anew is made anew.
        for told in [&fewer, &all] {
            host.stop();
            start_with(&mut host, told);
        }
        let after = addresses(&host);
        assert!(after.len() == 2 && after[0] == before[0] && after[1] != before[1], "{after:?}");
        assert_eq!(ports(&host), [22, 80]);
        // What was named before can't be known: nobody is let in for that.
        host.good(&["client", "delete", "laptop"]);
        host.stop();
        fs::write(host.state().join("environment.json"), "spoilt").unwrap();
        for _ in 0..2 {
            start_with(&mut host, &all);
            assert_eq!(addresses(&host), before[..1]);
            host.stop();
        }
        // That is over once there is a note again.
        start_with(&mut host, &told(EXPORTS, "desktop;laptop;phone"));
        assert_eq!(addresses(&host).len(), 2);
        host.stop();
    }
}

#[test]
fn it_is_applied_at_each_start_beside_a_configuration_that_can_not_be_written() {
    let mut host = alone();
    // Nobody makes a file there, root neither; so there is none to be read, as where only the environment says anything.
    let given = "/proc/ormesh/config.toml";
    let told = [
        ("ORMESH_CONFIG", given),
        ("ORMESH_EXPORTS", EXPORTS),
        ("ORMESH_CLIENTS", CLIENTS),
        ("ORMESH_EPHEMERAL", "1"),
    ];
    start_with(&mut host, &told);
    let clients = addresses(&host);
    assert_eq!(clients.len(), 2);
    // Nothing was ever in the given one, so nothing is lost.
    let mut check = host.command(crate::support::ORMESH);
    assert!(check.args(["config", "check"]).env("ORMESH_CONFIG", given).status().unwrap().success());
    host.stop();

    start_with(&mut host, &told);
    assert_eq!(addresses(&host), clients);
    assert_eq!(host.status().exports.len(), 2);
    assert!(host.status().problems.iter().all(|problem| !problem.is_about(&Subject::Configuration)));
}

#[test]
fn what_makes_no_sense_is_refused_whole() {
    let host = alone();
    let before = fs::read(host.config()).unwrap();
    for (name, value, word) in [
        ("ORMESH_EXPORTS", "22;x", "ORMESH_EXPORTS"),
        ("ORMESH_EXPORTS", "22;80 90 100", "80 90 100"),
        ("ORMESH_EXPORTS", "22;70000", "70000"),
        ("ORMESH_CLIENTS", "desktop;1st", "starts with a letter"),
        ("ORMESH_CLIENTS", "a b", "letters, digits"),
    ] {
        let good =
            if name == "ORMESH_EXPORTS" { ("ORMESH_CLIENTS", "ok") } else { ("ORMESH_EXPORTS", "443") };
        let (sentence, hint) =
            refused(&run_agent(&host, &[(name, value), good, ("ORMESH_EPHEMERAL", "1")]), 2);
        assert!(sentence.contains(word) && hint.contains(name), "{sentence}\n{hint}");
        assert_eq!(fs::read(host.config()).unwrap(), before, "{name}={value} was half done");
    }
}

#[test]
fn a_state_that_does_not_last_is_refused_until_allowed() {
    let mut host = alone();
    // Always a tmpfs on Linux.
    let state = tempfile::tempdir_in("/dev/shm").unwrap();
    let state = state.path().join("state").display().to_string();
    let before = fs::read(host.config()).unwrap();
    let told = [("ORMESH_STATE", state.as_str()), ("ORMESH_CLIENTS", CLIENTS), ("ORMESH_EXPORTS", "22")];

    let (sentence, hint) = refused(&run_agent(&host, &told), 4);

    assert!(sentence.contains(&state) && hint.contains("ORMESH_EPHEMERAL=1"), "{sentence}\n{hint}");
    assert_eq!(fs::read(host.config()).unwrap(), before);
    host.spawn_agent(&[&told[..], &[("ORMESH_EPHEMERAL", "1"), ("ORMESH_TOR", "/nonexistent/tor")]].concat());
    crate::support::until("it runs", || {
        let mut command = host.command(crate::support::ORMESH);
        let ran = command.args(["status"]).env("ORMESH_STATE", &state).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).contains("pid: ")
    });
    assert_eq!(
        host.command(crate::support::ORMESH)
            .args(["agent", "stop"])
            .env("ORMESH_STATE", &state)
            .output()
            .unwrap()
            .status
            .code(),
        Some(0)
    );
    assert!(host.ended().success());
}

#[test]
fn what_commands_change_outlasts_restarts_beside_a_configuration_that_can_not_be_written() {
    let mut host = with_remote();
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "desktop"]);
    host.good(&["client", "add", "laptop"]);
    let real = host.home().join("given.toml");
    fs::rename(host.config(), &real).unwrap();
    let file = File::open(&real).unwrap();
    // Nobody makes a file there, root neither.
    let given = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let told = [("ORMESH_CONFIG", given.as_str()), ("ORMESH_EXPORTS", "443")];
    let there = |host: &Host, args: &[&str]| -> Ran {
        let mut command = host.command(ORMESH);
        command.args(args).env("ORMESH_CONFIG", &given).output().unwrap().into()
    };
    let good = |host: &Host, args: &[&str]| {
        let ran = there(host, args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    };
    let ports =
        |host: &Host| host.status().exports.iter().map(|export| export.port.get()).collect::<Vec<_>>();
    let names =
        |host: &Host| host.status().clients.iter().map(|client| client.name.to_string()).collect::<Vec<_>>();
    let own = host.state().join("config.toml").display().to_string();

    start_with(&mut host, &told);
    good(&host, &["export", "add", "80"]);
    good(&host, &["export", "delete", "22"]);
    good(&host, &["client", "delete", "laptop"]);
    good(&host, &["client", "add", "phone"]);
    good(&host, &["remote", "add", "other", &invite_of_nobody()]);
    good(&host, &["config", "set", "agent.max-sessions", "77"]);
    for is_running in [true, false, true] {
        // What is in force is what the commands see, with an agent or without one.
        if !is_running {
            host.stop();
        } else if there(&host, &["agent", "resume"]).code != 0 {
            start_with(&mut host, &told);
        }
        assert_eq!(good(&host, &["config", "get", "agent.max-sessions"]), "77\n");
        assert_eq!(good(&host, &["config", "path"]).trim(), own);
        assert!(good(&host, &["remote", "ssh-config", "other"]).contains("Host other"));
        let clients = good(&host, &["client", "list"]);
        assert!(
            clients.contains("phone") && clients.contains("desktop") && !clients.contains("laptop"),
            "{clients}"
        );
    }
    assert_eq!((ports(&host), names(&host)), (vec![80, 443], vec!["desktop".into(), "phone".into()]));
    host.stop();

    // Another export is given, and another client no more.
    let text = fs::read_to_string(&real).unwrap().replace("[client.desktop]", "[client.tablet]");
    fs::write(&real, text + "\n[[export]]\ntarget = \"8080\"\n").unwrap();
    start_with(&mut host, &told);
    assert_eq!((ports(&host), names(&host)), (vec![80, 443, 8080], vec!["phone".into(), "tablet".into()]));
    assert_eq!(host.status().remotes.len(), 2);
}

#[test]
fn what_is_lost_in_a_container_is_said_and_takes_nothing_away() {
    let mut host = alone();
    host.good(&["export", "add", "22"]);
    let real = host.home().join("given.toml");
    fs::rename(host.config(), &real).unwrap();
    let whole = fs::read_to_string(&real).unwrap();
    let file = File::open(&real).unwrap();
    // Nobody makes a file there, root neither.
    let given = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let told = [("ORMESH_CONFIG", given.as_str()), ("ORMESH_EXPORTS", "443")];
    let ports =
        |host: &Host| host.status().exports.iter().map(|export| export.port.get()).collect::<Vec<_>>();
    start_with(&mut host, &told);
    host.stop();

    // The given one is emptied.
    fs::write(&real, "").unwrap();
    start_with(&mut host, &told);
    assert_eq!(ports(&host), [22, 443]);
    let lost = wait_for_problem(&host, Code::GivenLost);
    assert!(lost["message"].as_str().unwrap().contains(&given), "{lost}");
    host.good(&["export", "add", "80"]);
    wait_for_problem(&host, Code::GivenLost);
    host.stop();

    // So is the one beside it, while the given one is back.
    fs::write(&real, whole).unwrap();
    let own = host.state().join("config.toml");
    fs::remove_file(&own).unwrap();
    start_with(&mut host, &told);
    assert_eq!(ports(&host), [22, 80, 443]);
    wait_for_no_problem(&host, Code::GivenLost);
    let lost = wait_for_problem(&host, Code::ConfigLost);
    assert!(lost["message"].as_str().unwrap().contains(&own.display().to_string()), "{lost}");
    host.stop();
    let mut restore = host.command(ORMESH);
    assert!(restore.args(["config", "restore"]).env("ORMESH_CONFIG", &given).status().unwrap().success());
    start_with(&mut host, &told);
    assert_eq!(ports(&host), [22, 80, 443]);
    wait_for_no_problem(&host, Code::ConfigLost);
}
