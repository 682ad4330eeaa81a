//! A client that is revoked while nothing can be written: it is out at once, and stays out, and what is left to do is said and done.

use std::fs;
use std::path::PathBuf;

use ormesh_core::model::problem::{Code, Subject};

use crate::alone::{alone, refused, secrets, start, start_traced, wait_for_no_problem, wait_for_problem};
use crate::support::{Host, until};

/// The sockets by which a host's clients are let in: a client's port and the agent's own.
fn gates(host: &Host) -> usize {
    let names = fs::read_dir(host.state().join("run")).unwrap().flatten().map(|entry| entry.file_name());
    names
        .filter(|name| {
            !["agent.sock", "control", "socks"].iter().any(|other| name.to_string_lossy().starts_with(other))
        })
        .count()
}

fn host() -> Host {
    let host = alone();
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "laptop"]);
    host.good(&["client", "add", "phone"]);
    host
}

/// What stands in the way of writing a file, whoever tries.
fn obstruct(host: &Host) -> PathBuf {
    let in_the_way = host.home().join(".config.toml.new");
    fs::create_dir(&in_the_way).unwrap();
    in_the_way
}

fn lists(host: &Host, name: &str) -> bool {
    fs::read_to_string(host.config()).unwrap().contains(name)
}

fn is_noted(host: &Host) -> bool {
    let mut names = fs::read_dir(host.state()).unwrap().flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with("revoked-"))
}

fn serves(host: &Host, name: &str) -> bool {
    host.status().clients.iter().any(|client| client.name.as_str() == name)
}

#[test]
fn access_ends_while_the_file_can_not_be_written_and_the_file_follows() {
    let mut host = host();
    start(&mut host);
    until("the gates are open", || gates(&host) >= 4);
    let before = gates(&host);
    let in_the_way = obstruct(&host);
    let (sentence, hint) = refused(&host.ormesh(&["client", "delete", "laptop"]), 1);
    assert!(sentence.contains("laptop is cut off") && sentence.contains("lists it still"), "{sentence}");
    assert!(hint.contains("tries again"), "{hint}");
    assert!(gates(&host) < before, "its gates are open");
    for verb in ["add", "token"] {
        let (sentence, hint) = refused(&host.ormesh(&["client", verb, "laptop"]), 4);
        assert!(
            sentence.contains("laptop is cut off") && hint.contains("client rotate"),
            "{sentence}\n{hint}"
        );
    }
    assert!(!serves(&host, "laptop") && serves(&host, "phone") && lists(&host, "laptop"));
    wait_for_problem(&host, Code::ClientStillListed);

    // So it is said while no agent runs.
    host.kill_agent();
    for verb in ["add", "token"] {
        let (sentence, hint) = refused(&host.ormesh(&["client", verb, "laptop"]), 4);
        assert!(
            sentence.contains("laptop is cut off") && hint.contains("client rotate"),
            "{sentence}\n{hint}"
        );
    }
    let listed = host.good(&["client", "list"]);
    assert!(!listed.contains("laptop") && listed.contains("phone"), "{listed}");
    assert!(!serves(&host, "laptop") && serves(&host, "phone"));
    wait_for_problem(&host, Code::ClientStillListed);
    // The directory that is in the way is in the way of this command, too.
    fs::remove_dir(&in_the_way).unwrap();
    let told = host.ormesh(&["export", "add", "81"]).stderr;
    assert!(told.contains("phone can now reach port 81") && !told.contains("laptop"), "{told}");
    host.good(&["export", "delete", "81"]);
    obstruct(&host);

    // Another agent keeps it out, too, however the first one ended.
    start(&mut host);
    assert!(!serves(&host, "laptop") && serves(&host, "phone") && lists(&host, "laptop"));
    wait_for_problem(&host, Code::ClientStillListed);

    // The file is read again and says that laptop may come in: it may not.
    let text = fs::read_to_string(host.config()).unwrap() + "\n[[export]]\ntarget = \"80\"\n";
    fs::write(host.config(), text).unwrap();
    until("the file is read", || host.status().exports.len() == 2);
    assert!(!serves(&host, "laptop") && lists(&host, "laptop"));

    fs::remove_dir(in_the_way).unwrap();
    until("the file agrees", || !lists(&host, "laptop"));
    wait_for_no_problem(&host, Code::ClientStillListed);
    until("its keys are erased", || secrets(&host).len() == 2);
    assert!(lists(&host, "phone"));
    assert!(!is_noted(&host));
}

#[test]
fn access_ends_while_the_file_has_a_mistake() {
    let mut host = host();
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), good.clone() + "x\n").unwrap();
    wait_for_problem(&host, Code::ConfigMistake);
    let (sentence, hint) = refused(&host.ormesh(&["client", "delete", "laptop"]), 2);
    assert!(sentence.contains("laptop is cut off") && sentence.contains("line "), "{sentence}");
    assert!(hint.contains("mend the file") && !hint.contains("anew"), "{hint}");
    assert!(!serves(&host, "laptop") && serves(&host, "phone"));

    // The mistake is mended while no agent runs.
    host.kill_agent();
    fs::write(host.config(), good).unwrap();
    start(&mut host);
    assert!(!serves(&host, "laptop") && serves(&host, "phone"));
    until("the file agrees", || !lists(&host, "laptop"));
    wait_for_no_problem(&host, Code::ClientStillListed);
    until("its keys are erased", || secrets(&host).len() == 2);
    host.good(&["client", "delete", "phone"]);
}

#[test]
fn access_ends_with_a_full_disk_and_the_hint_is_about_space() {
    let mut host = host();
    let (home, state) = (host.home().to_owned(), host.state());
    let full = [home.join(".config.toml.new"), state.join(".journal.json.new")];
    start_traced(&mut host, &full, &["trace=write,fsync", "inject=write,fsync:error=ENOSPC"]);
    let (sentence, hint) = refused(&host.ormesh(&["client", "delete", "laptop"]), 1);
    assert!(sentence.contains("laptop is cut off") && sentence.contains("No space left"), "{sentence}");
    assert!(hint.contains("space") && !hint.contains("anew"), "{hint}");
    assert!(!serves(&host, "laptop") && serves(&host, "phone") && lists(&host, "laptop"));

    let (sentence, hint) = refused(&host.ormesh(&["client", "add", "tablet"]), 1);
    assert!(sentence.contains("No space left"), "{sentence}");
    assert!(hint.contains("space") && !hint.contains("secrets status"), "{hint}");

    // There is room for the note, which has no content.
    assert!(is_noted(&host));
    host.kill_agent();
    start(&mut host);
    assert!(!serves(&host, "laptop") && serves(&host, "phone"));
}

#[test]
fn who_is_cut_off_can_be_deleted_and_rotated_without_an_agent() {
    for (verb, is_in) in [("delete", false), ("rotate", true)] {
        let mut host = host();
        start(&mut host);
        let in_the_way = obstruct(&host);
        refused(&host.ormesh(&["client", "delete", "laptop"]), 1);
        host.kill_agent();
        fs::remove_dir(in_the_way).unwrap();
        host.good(&["client", verb, "laptop"]);
        assert!(!is_noted(&host) && host.status().problems.is_empty());
        start(&mut host);
        assert_eq!(serves(&host, "laptop"), is_in);
        assert!(serves(&host, "phone"));
    }
}

/// Nobody is let in by a file that was away while an agent started, or that was accepted when it was empty.
#[test]
fn who_is_cut_off_stays_out_while_the_file_is_away_and_after() {
    let mut host = host();
    start(&mut host);
    obstruct(&host);
    refused(&host.ormesh(&["client", "delete", "laptop"]), 1);
    host.kill_agent();
    let good = fs::read_to_string(host.config()).unwrap();
    let last_good = host.state().join("last-good.toml");
    for lost in ["gone", "empty", "accepted"] {
        match lost {
            "gone" => fs::remove_file(host.config()).unwrap(),
            _ => fs::write(host.config(), "").unwrap(),
        }
        match lost {
            "accepted" => drop(host.good(&["config", "accept"])),
            _ => fs::remove_file(&last_good).unwrap(),
        }
        start(&mut host);
        assert!(is_noted(&host), "{lost}: the note is erased");
        // With no file the SOCKS address is the usual one, which another program may have.
        let problems = host.status().problems;
        assert!(problems.iter().all(|problem| problem.is_about(&Subject::Socks)), "{lost}: {problems:?}");
        fs::write(host.config(), &good).unwrap();
        until("the file is read", || serves(&host, "phone"));
        assert!(!serves(&host, "laptop") && is_noted(&host), "{lost}: laptop is let in");
        host.kill_agent();
        start(&mut host);
        assert!(!serves(&host, "laptop") && serves(&host, "phone"), "{lost}: laptop is let in");
        host.kill_agent();
    }
}
