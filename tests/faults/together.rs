//! Many commands at once: each change is kept, whether an agent makes them or the commands themselves.

use std::process::Child;

use crate::alone::{alone, needed, secrets, start};
use crate::support::{Host, ORMESH, Ran, figure, times, until};

/// At a time, in every run and in a soak; with the rounds nearly as many exports as there can be.
const WRITERS: (usize, usize) = (40, 90);
const ROUNDS: (usize, usize) = (5, 11);

fn all(host: &Host, commands: impl Iterator<Item = Vec<String>>) {
    let children: Vec<Child> = commands
        .map(|args| {
            let mut command = host.command(ORMESH);
            command.args(args).env_remove("ORMESH_LOG");
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

fn args(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn rounds(host: &Host) {
    let (writers, rounds) = (times(WRITERS.0, WRITERS.1), times(ROUNDS.0, ROUNDS.1));
    for round in 0..rounds {
        let port = |writer: usize| (1000 + round * writers + writer).to_string();
        all(host, (0..writers).map(|writer| args(&["export", "add", &port(writer)])));
    }
    assert_eq!(host.status().exports.len(), writers * rounds);
    figure("changes kept, of as many", writers * rounds);
}

#[test]
fn writers_without_an_agent_lose_nothing() {
    rounds(&alone());
}

#[test]
fn writers_with_an_agent_lose_nothing() {
    let mut host = alone();
    start(&mut host);
    rounds(&host);
}

#[test]
fn adding_and_deleting_at_once_ends_as_it_must() {
    let host = alone();
    all(&host, (0..20).map(|n| args(&["client", "add", &format!("old{n}")])));
    let delete = (0..20).map(|n| args(&["client", "delete", &format!("old{n}")]));
    let add = (0..20).map(|n| args(&["client", "add", &format!("new{n}")]));
    all(&host, delete.zip(add).flat_map(|(one, other)| [one, other]));
    let names: Vec<_> = host.status().clients.iter().map(|client| client.name.to_string()).collect();
    assert!(names.len() == 20 && names.iter().all(|name| name.starts_with("new")), "{names:?}");
    assert_eq!(secrets(&host), needed(&host));
}

#[test]
fn the_same_client_added_by_many_is_one() {
    let mut host = alone();
    start(&mut host);
    let one = host.good(&["client", "add", "laptop"]);
    all(&host, (0..10).map(|_| args(&["client", "add", "laptop"])));
    assert_eq!(host.good(&["client", "token", "laptop"]), one);
    // A race for a name that is new: whoever loses is told, or prints the winner's invite.
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let mut command = host.command(ORMESH);
            command
                .args(["client", "add", "phone"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let racers: Vec<Ran> = racers.into_iter().map(|racer| racer.wait_with_output().unwrap().into()).collect();
    let invite = host.good(&["client", "token", "phone"]);
    for ran in &racers {
        assert!(ran.code == 0 && ran.stdout == invite, "{ran:?}");
    }
    until("keys agree", || secrets(&host) == needed(&host));
}

#[test]
fn the_thousandth_export_is_the_last_one() {
    let host = alone();
    let exports: String = (1..=999).map(|n| format!("\n[[export]]\ntarget = \"{}\"\n", 2000 + n)).collect();
    let config = std::fs::read_to_string(host.config()).unwrap();
    std::fs::write(host.config(), config + &exports).unwrap();
    host.good(&["export", "add", "80"]);
    let ran = host.ormesh(&["export", "add", "81"]);
    assert!(ran.code == 4 && ran.stderr.contains("at most 1000 exports"), "{ran:?}");
    assert_eq!(host.status().exports.len(), 1000);
}
