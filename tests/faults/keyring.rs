//! The system's keyring in every state that is seen in the field: what commands say, that nothing is half done, and that the agent goes
//! on with everything that needs no secret.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use ormesh_core::model::problem::Code;

use crate::alone::{
    alone, files, problems, refused, start_with, wait_for_no_problem, wait_for_problem, wait_for_words,
};
use crate::support::{Host, Lock, Prompter, Ran, Session, echo, figure, hosts, open_echo, reaches, until};

/// What must not change when a command fails: the configuration, and the files of keys.
fn kept(host: &Host) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut kept: BTreeMap<_, _> = files(&host.secrets()).into_iter().collect();
    kept.extend(std::fs::read(host.config()).ok().map(|bytes| (host.config(), bytes)));
    kept
}

fn good(session: &Session, host: &Host, args: &[&str]) -> String {
    let ran = session.ormesh(host, args);
    assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    ran.stdout
}

/// A first key is asked for in this session, which must refuse.
#[track_caller]
fn first_use_is_refused(session: &Session, host: &Host, word: &str) {
    let before = kept(host);
    let (sentence, hint) = refused(&session.ormesh(host, &["client", "add", "laptop"]), 5);
    assert!(sentence.contains(word) && !hint.is_empty(), "{sentence}\n{hint}");
    assert_eq!(kept(host), before, "something was half done");
    assert!(!host.secrets().exists(), "keys went to files");
}

#[test]
fn a_keyring_that_works_is_chosen_and_nothing_is_in_files() {
    let host = alone();
    let session = Session::with_keyring(host.home(), Lock::Open);
    let invite = good(&session, &host, &["client", "add", "laptop"]);
    assert!(invite.starts_with("ormesh1"));
    assert_eq!(good(&session, &host, &["config", "get", "agent.secrets"]).trim(), "os-keyring");
    assert!(!host.secrets().exists());
    assert_eq!(good(&session, &host, &["client", "token", "laptop"]), invite);
}

#[test]
fn a_locked_keyring_is_no_reason_for_files() {
    let host = alone();
    let mut session = Session::with_keyring(host.home(), Lock::Open);
    session.restart(Lock::Closed);
    first_use_is_refused(&session, &host, "locked");
    session.restart(Lock::Open);
    good(&session, &host, &["client", "add", "laptop"]);
}

#[test]
fn a_keyring_to_which_nobody_ever_logged_in_is_no_reason_for_files() {
    let host = alone();
    first_use_is_refused(&Session::with_keyring(host.home(), Lock::Closed), &host, "locked");
}

#[test]
fn a_bus_that_never_answers_is_given_up_and_is_no_reason_for_files() {
    let host = alone();
    first_use_is_refused(&Session::silent(host.home()), &host, "did not answer within 5s");
}

#[test]
fn a_machine_without_a_keyring_keeps_its_keys_in_files_and_says_so() {
    for session in [Session::none, Session::bare] {
        let host = alone();
        let session = session(host.home());
        let ran = session.ormesh(&host, &["client", "add", "laptop"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains(&host.secrets().display().to_string()), "{}", ran.stderr);
        assert_eq!(good(&session, &host, &["config", "get", "agent.secrets"]).trim(), "file");
        assert_eq!(files(&host.secrets()).len(), 2);
    }
}

/// A host whose keys are in a keyring, which then gets into trouble; what each command does then.
fn trouble(trouble: impl FnOnce(&Host, Session) -> Session, word: &str) {
    let host = alone();
    let session = Session::with_keyring(host.home(), Lock::Open);
    good(&session, &host, &["client", "add", "laptop"]);
    good(&session, &host, &["export", "add", "22"]);
    let session = trouble(&host, session);
    let before = kept(&host);
    for args in [
        &["client", "add", "phone"][..],
        &["client", "token", "laptop"],
        &["client", "rotate", "laptop"],
        &["remote", "request", "web"],
        &["secrets", "migrate", "--to", "file"],
    ] {
        let (sentence, hint) = refused(&session.ormesh(&host, args), 5);
        assert!(sentence.contains(word) && !hint.is_empty(), "{args:?}: {sentence}\n{hint}");
        assert_eq!(kept(&host), before, "{args:?} was half done");
    }
    let status: Ran = session.ormesh(&host, &["secrets", "status"]);
    assert!(status.code == 5 && status.stdout.contains("usable: no"), "{status:?}");
    // What needs no secret works.
    for args in [
        &["status"][..],
        &["export", "add", "80"],
        &["client", "list"],
        &["client", "set", "laptop", "--port", "22"],
    ] {
        good(&session, &host, args);
    }
    let revoked = session.ormesh(&host, &["client", "delete", "laptop"]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert!(revoked.stderr.contains("will be erased"), "{}", revoked.stderr);
    assert!(!good(&session, &host, &["status"]).contains("laptop"));
    assert!(files(&host.secrets()).is_empty(), "keys went to files");
}

#[test]
fn a_keyring_that_locked_refuses_what_needs_keys_and_nothing_else() {
    trouble(
        |_, mut session| {
            session.restart(Lock::Closed);
            session
        },
        "locked",
    );
}

#[test]
fn a_keyring_that_is_gone_refuses_what_needs_keys_and_nothing_else() {
    trouble(
        |host, session| {
            drop(session);
            Session::bare(host.home())
        },
        "no secret store",
    );
}

#[test]
fn what_was_deleted_under_a_locked_keyring_is_erased_once_it_opens() {
    let host = alone();
    let mut session = Session::with_keyring(host.home(), Lock::Open);
    good(&session, &host, &["client", "add", "laptop"]);
    good(&session, &host, &["client", "add", "phone"]);
    session.restart(Lock::Closed);
    good(&session, &host, &["client", "delete", "laptop"]);
    assert_eq!(session.ormesh(&host, &["client", "add", "tablet"]).code, 5);
    session.restart(Lock::Open);
    let before = session.entries();

    good(&session, &host, &["secrets", "prune"]);

    assert_eq!(session.entries(), before - 2, "what was deleted is there still");
    let status = good(&session, &host, &["secrets", "status"]);
    assert!(status.contains("found: 2 of 2") && !status.contains("interrupted"), "{status}");
}

#[test]
fn an_agent_under_a_locked_keyring_goes_on_and_recovers() {
    let mut host = alone();
    let mut session = Session::with_keyring(host.home(), Lock::Open);
    good(&session, &host, &["export", "add", "22"]);
    good(&session, &host, &["client", "add", "laptop"]);
    let invite = good(&session, &host, &["client", "add", "phone"]);
    session.restart(Lock::Closed);
    start_with(&mut host, &session.environment());

    let token = session.ormesh(&host, &["client", "token", "phone"]);
    let (sentence, _) = refused(&token, 5);
    assert!(sentence.contains("locked"), "{sentence}");
    wait_for_problem(&host, Code::StoreLocked);
    assert_eq!(problems(&host).len(), 1, "{:?}", problems(&host));
    good(&session, &host, &["export", "add", "80"]);
    let revoked = session.ormesh(&host, &["client", "delete", "laptop"]);
    assert!(revoked.code == 0 && revoked.stderr.contains("will be erased"), "{revoked:?}");

    session.restart(Lock::Open);

    wait_for_no_problem(&host, Code::StoreLocked);
    until("what was deleted is erased", || {
        !good(&session, &host, &["secrets", "status"]).contains("interrupted")
    });
    assert_eq!(good(&session, &host, &["client", "token", "phone"]), invite);
}

#[test]
fn a_locked_keyring_asks_for_its_password_once_and_again_only_for_who_wants_it() {
    let [mut host] = hosts(["host"]);
    let mut session = Session::with_keyring(host.home(), Lock::Open);
    for args in [&["export", "add", "22"][..], &["client", "add", "laptop"], &["client", "add", "phone"]] {
        good(&session, &host, args);
    }
    session.restart(Lock::Closed);
    let prompter = Prompter::on(session.address());
    host.start_with(&session.environment());

    // It is cancelled. That it is locked is then seen again without asking.
    wait_for_words(&host, "it needs your password");
    let locked = wait_for_problem(&host, Code::StoreLocked);
    assert!(locked["hint"].as_str().unwrap().contains("secrets unlock"), "{locked}");
    assert_eq!(session.ormesh(&host, &["secrets", "status"]).code, 5);
    good(&session, &host, &["export", "add", "80"]);
    until("the agent has asked", || (prompter.asked() == 1).then_some(()));

    let (sentence, _) = refused(&session.ormesh(&host, &["secrets", "unlock"]), 5);
    assert!(sentence.contains("asked for and not given"), "{sentence}");
    assert_eq!(prompter.asked(), 2);
    wait_for_words(&host, "it needs your password");
    assert_eq!(prompter.asked(), 2);

    session.restart(Lock::Open);
    wait_for_no_problem(&host, Code::StoreLocked);
    good(&session, &host, &["secrets", "unlock"]);
    assert_eq!(prompter.asked(), 2);
}

#[test]
fn an_agent_before_a_bus_that_never_answers_starts_answers_and_stops() {
    let mut host = alone();
    let mut session = Session::with_keyring(host.home(), Lock::Open);
    good(&session, &host, &["client", "add", "laptop"]);
    session.restart(Lock::Closed);
    // Something is left to be erased at start.
    good(&session, &host, &["client", "delete", "laptop"]);
    drop(session);
    std::fs::remove_file(host.home().join("session/bus")).unwrap();
    let session = Session::silent(host.home());
    start_with(&mut host, &session.environment());
    let (sentence, _) = refused(&session.ormesh(&host, &["client", "add", "phone"]), 5);
    assert!(sentence.contains("did not answer within 5s"), "{sentence}");
    good(&session, &host, &["export", "add", "80"]);
    wait_for_problem(&host, Code::StoreSilent);
    host.stop();
}

#[test]
fn keys_that_were_fetched_outlive_the_keyrings_lock_and_a_tor() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let mut sessions = [&server, &laptop].map(|host| Session::with_keyring(host.home(), Lock::Open));
    for (host, session) in [&server, &laptop].iter().zip(&sessions) {
        // The store is chosen before the hosts are set up by the commands below.
        good(session, host, &["client", "add", "first"]);
        good(session, host, &["client", "delete", "first"]);
    }
    let (echo, invite) = (echo(), good(&sessions[0], &server, &["client", "add", "laptop"]));
    server.export(echo.addr, 80);
    good(&sessions[1], &laptop, &["remote", "add", "server", invite.trim()]);
    let import = laptop.import("server", 80);
    server.start_with(&sessions[0].environment());
    laptop.start_with(&sessions[1].environment());
    drop(reaches(import));

    for session in &mut sessions {
        session.restart(Lock::Closed);
    }
    server.kill_tor();
    laptop.kill_tor();
    let killed = Instant::now();

    drop(reaches(import));
    figure(
        "both tors killed and the keyrings locked: reached again after",
        format!("{:?}", killed.elapsed()),
    );
    drop(open_echo(import));
}
