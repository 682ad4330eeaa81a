//! What a container is told by its environment: applied at each start, to the same end.

use std::fs;

use ormesh_core::model::problem::Subject;

use crate::alone::{alone, refused, run_agent, start_with};
use crate::support::Host;

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
