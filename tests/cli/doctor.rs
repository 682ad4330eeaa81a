//! `ormesh doctor` with no Tor network: what can be known without an agent, and with one that finds no tor.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::refused::{Host, ORMESH, Ran, assert_refused};

/// Runs it where no other tor than this one is to be found.
fn doctor(host: &Host, tor: &Path, args: &[&str]) -> Ran {
    let mut command = host.command(ORMESH);
    command.arg("doctor").args(args).env("ORMESH_TOR", tor).env("PATH", "/nonexistent");
    command.output().unwrap().into()
}

/// A program that says it is tor.
pub(crate) fn tor(host: &Host) -> std::path::PathBuf {
    let path = host.config().with_file_name("tor");
    fs::write(&path, "#!/bin/sh\necho 'Tor version 0.4.9.11.'\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn layer(ran: &Ran, name: &str) -> Value {
    let layers: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    layers.into_iter().find(|layer| layer["layer"] == name).unwrap()
}

#[test]
fn without_an_agent_the_agent_fails_and_the_rest_is_told_as_far_as_it_is_known() {
    let host = Host::new();
    let tor = tor(&host);

    let ran = doctor(&host, &tor, &[]);

    assert_eq!((ran.code, ran.stderr.as_str()), (3, ""), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "agent         FAILED  no agent is running");
    assert!(lines[1].trim_start().starts_with("hint: start it: `ormesh agent run`"), "{}", lines[1]);
    assert!(lines[2].starts_with("secrets       –       there are no keys yet"), "{}", lines[2]);
    let found =
        format!("tor           ok      tor 0.4.9.11 at {} can be used (found by ORMESH_TOR)", tor.display());
    assert_eq!(lines[3], found);
    assert!(lines[4..].iter().all(|line| line.contains("  –  ")), "{ran:?}");
    assert_eq!(lines.len(), 13);
}

#[test]
fn a_transport_without_its_program_is_tors_failure() {
    let host = Host::new();
    let bridge = "obfs4 192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=x";
    host.good(&["config", "set", "agent.bridges", bridge]);

    let ran = doctor(&host, &tor(&host), &["--json"]);

    let tor = layer(&ran, "tor");
    assert_eq!(tor["ok"], false);
    assert!(tor["sentence"].as_str().unwrap().contains("no lyrebird or obfs4proxy"), "{tor}");
    assert!(tor["hint"].as_str().unwrap().contains("install obfs4proxy"), "{tor}");
}

#[test]
fn json_has_the_same_layers() {
    let host = Host::new();
    host.good(&["client", "add", "laptop"]);

    let ran = doctor(&host, Path::new("/nonexistent/tor"), &["--json"]);

    assert_eq!(ran.code, 3);
    let tor = layer(&ran, "tor");
    assert_eq!(tor.as_object().unwrap().keys().collect::<Vec<_>>(), ["hint", "layer", "ok", "sentence"]);
    assert_eq!(tor["ok"], false);
    assert!(tor["sentence"].as_str().unwrap().contains("/nonexistent/tor could not be run"), "{tor}");
    assert!(tor["hint"].as_str().unwrap().contains("install tor"), "{tor}");
    assert_eq!(layer(&ran, "secrets")["ok"], true);
    assert_eq!(layer(&ran, "clock")["ok"], Value::Null);
}

#[test]
fn what_would_keep_an_agent_from_starting_is_said() {
    let host = Host::new();
    host.good(&["client", "add", "laptop"]);
    let tor = tor(&host);

    fs::set_permissions(host.state(), fs::Permissions::from_mode(0o755)).unwrap();
    let open = layer(&doctor(&host, &tor, &["--json"]), "agent");
    fs::set_permissions(host.state(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(host.config(), "nonsense = 1\n").unwrap();
    let spoilt = doctor(&host, &tor, &["--json"]);

    assert!(open["hint"].as_str().unwrap().starts_with("chmod go="), "{open}");
    let agent = layer(&spoilt, "agent");
    assert!(agent["sentence"].as_str().unwrap().contains("line 1"), "{agent}");
    assert_eq!((spoilt.code, layer(&spoilt, "tor")["ok"].clone()), (3, Value::Null));
}

#[test]
fn a_store_that_lost_a_key_fails() {
    let host = Host::new();
    host.good(&["client", "add", "laptop"]);
    let secrets = host.state().join("secrets");
    for entry in fs::read_dir(&secrets).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    let ran = doctor(&host, &tor(&host), &["--json"]);

    let secrets = layer(&ran, "secrets");
    assert_eq!(secrets["ok"], false);
    assert!(secrets["sentence"].as_str().unwrap().contains("lacks 2 of the 2 keys"), "{secrets}");
}

#[test]
fn a_remote_that_is_not_there_is_refused() {
    let host = Host::new();

    assert_refused(&doctor(&host, &tor(&host), &["nobody"]), 4, "no such remote");
    assert_refused(&doctor(&host, &tor(&host), &["1a"]), 2, "no name");
}

#[test]
fn with_a_configuration_that_can_not_be_read_nothing_is_said_of_what_it_may_hold() {
    let host = Host::new();
    let tor = tor(&host);
    fs::write(host.config(), "version = [").unwrap();

    let ran = doctor(&host, &tor, &["--json"]);

    let tor = layer(&ran, "tor");
    assert_eq!(tor["sentence"], "not looked for, since the configuration can't be read", "{tor}");
    // Nor that there are no remotes.
    for name in ["secrets", "key", "rendezvous", "port"] {
        let layer = layer(&ran, name);
        assert_eq!(layer["sentence"], "not tried, since the configuration can't be read", "{layer}");
    }
}
