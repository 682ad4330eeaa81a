//! A configuration that is gone, emptied or half written for a moment, or for good: nothing is taken away on the strength of that.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use ormesh_core::model::problem::{Code, Subject};

use crate::alone::{alone, refused, secrets, start, wait_for_no_problem, wait_for_problem, with_remote};
use crate::support::{Host, Signal, free_address, send, until};

/// Puts a file in another's place, as editors do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("editor");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

type Lose = fn(&Host);

/// What may happen to a configuration file, and what is said of it then.
const LOSSES: [(&str, Code, &str, Lose); 7] = [
    ("truncated", Code::ConfigLost, "is empty", |host| drop(File::create(host.config()).unwrap())),
    ("removed", Code::ConfigLost, "is gone", |host| fs::remove_file(host.config()).unwrap()),
    ("moved", Code::ConfigLost, "is gone", |host| {
        fs::rename(host.config(), host.home().join("away")).unwrap()
    }),
    ("replaced by an empty one", Code::ConfigLost, "is empty", |host| replace(&host.config(), "\n\n")),
    ("replaced by one with nothing in it", Code::ConfigLost, "none of", |host| {
        replace(&host.config(), "[agent]\n")
    }),
    ("replaced by a directory", Code::UnsafeFile, "is not a file", |host| {
        fs::remove_file(host.config()).unwrap();
        fs::create_dir(host.config()).unwrap();
    }),
    ("replaced by a pipe", Code::UnsafeFile, "is not a file", |host| {
        fs::remove_file(host.config()).unwrap();
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(host.config()).status().unwrap().success());
    }),
];

fn give_back(host: &Host, good: &str) {
    if host.config().is_dir() {
        fs::remove_dir(host.config()).unwrap();
    }
    replace(&host.config(), good);
}

#[test]
fn a_file_that_is_lost_takes_nothing_away() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    for (how, code, said, lose) in LOSSES {
        let good = fs::read_to_string(host.config()).unwrap();
        lose(&host);
        let problem = wait_for_problem(&host, code);
        assert!(problem["message"].as_str().unwrap().contains(said), "{how}: {problem}");
        assert_eq!(problem["subject"]["is"], "configuration", "{how}");
        assert!(TcpStream::connect(import).is_ok(), "{how}: the import is closed");
        let is_file = said != "is not a file";
        let (sentence, hint) = refused(&host.ormesh(&["export", "add", "80"]), if is_file { 4 } else { 1 });
        assert!(sentence.contains(said), "{how}: {sentence}");
        assert!(
            hint.contains("config restore") && hint.contains("config accept") == is_file,
            "{how}: {hint}"
        );
        if !is_file {
            // A pipe would never be read to its end, and what is not known is not replaced.
            for verb in ["restore", "accept"] {
                let (sentence, _) = refused(&host.ormesh(&["config", verb]), 1);
                assert!(sentence.contains(said), "{how}: {sentence}");
            }
        }

        give_back(&host, &good);
        wait_for_no_problem(&host, code);
        assert!(TcpStream::connect(import).is_ok(), "{how}");
    }
    host.good(&["export", "add", "80"]);
    assert!(!host.log().contains("closed the import"));
}

#[test]
fn a_moment_s_absence_is_not_even_seen_by_the_import() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let mut open = TcpStream::connect(import).unwrap();
    for _ in 0..5 {
        let good = fs::read_to_string(host.config()).unwrap();
        fs::remove_file(host.config()).unwrap();
        wait_for_problem(&host, Code::ConfigLost);
        fs::write(host.config(), good).unwrap();
        wait_for_no_problem(&host, Code::ConfigLost);
    }
    open.set_nonblocking(true).unwrap();
    let read = std::io::Read::read(&mut open, &mut [0]);
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the connection was ended");
}

#[test]
fn the_last_good_one_can_be_written_back_and_a_loss_confirmed() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap() + "# a comment\n";
    fs::write(host.config(), &good).unwrap();
    until("it is remembered", || {
        fs::read(host.state().join("last-good.toml")).ok() == Some(good.clone().into())
    });
    fs::remove_file(host.config()).unwrap();
    wait_for_problem(&host, Code::ConfigLost);
    host.good(&["config", "restore"]);
    assert_eq!(fs::read_to_string(host.config()).unwrap(), good);
    wait_for_no_problem(&host, Code::ConfigLost);

    fs::write(host.config(), "").unwrap();
    wait_for_problem(&host, Code::ConfigLost);
    host.good(&["config", "accept"]);
    wait_for_no_problem(&host, Code::ConfigLost);
    until("the import is closed", || TcpStream::connect(import).is_err());
    assert!(host.status().remotes.is_empty());
    // There is nothing to be lost now.
    fs::remove_file(host.config()).unwrap();
    host.good(&["export", "add", "80"]);
}

#[test]
fn the_last_thing_can_be_deleted_by_command() {
    let mut host = with_remote();
    start(&mut host);
    host.good(&["remote", "delete", "web"]);
    assert!(host.status().remotes.is_empty());
    host.good(&["export", "add", "80"]);
    host.good(&["client", "add", "laptop"]);
    host.good(&["export", "delete", "80"]);
    host.good(&["client", "delete", "laptop"]);
    assert!(host.status().problems.iter().all(|problem| !problem.is_about(&Subject::Configuration)));
    host.stop();
    start(&mut host);
    assert!(host.status().problems.iter().all(|problem| !problem.is_about(&Subject::Configuration)));
}

#[test]
fn half_a_file_is_never_read_while_its_writer_has_it_open() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap();
    let new = free_address();
    let (exports, rest) =
        ("[[export]]\ntarget = \"80\"\n", good.replace(&import.to_string(), &new.to_string()));
    let head_ends = rest.find("[remote").unwrap();
    let (head, tail) = rest.split_at(head_ends);

    let mut file = File::create(host.config()).unwrap();
    // Each part so far is a configuration by itself, without the remote.
    for part in [head, exports] {
        file.write_all(part.as_bytes()).unwrap();
        file.sync_all().unwrap();
        for _ in 0..10 {
            assert!(TcpStream::connect(import).is_ok(), "half a file was read");
            assert!(host.status().exports.is_empty(), "half a file was read");
        }
        for command in [&["export", "add", "81"][..], &["config", "accept"], &["config", "restore"]] {
            let (sentence, hint) = refused(&host.ormesh(command), 1);
            assert!(sentence.contains("is being written") && !hint.is_empty(), "{command:?}: {sentence}");
        }
    }
    file.write_all(tail.as_bytes()).unwrap();
    drop(file);
    until("the new import listens", || TcpStream::connect(new).is_ok());
    until("the old import is closed", || TcpStream::connect(import).is_err());
    assert_eq!(host.status().exports.len(), 1);
}

#[test]
fn a_writer_that_died_in_the_middle_of_a_line_leaves_all_in_force() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    host.good(&["client", "add", "laptop"]);
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap();
    for cut in (1..good.len()).filter(|cut| !good[..*cut].ends_with('\n')).step_by(7) {
        fs::write(host.config(), &good[..cut]).unwrap();
        until("it is seen", || {
            host.status().problems.iter().any(|problem| problem.is_about(&Subject::Configuration))
                || fs::read(host.config()).unwrap().len() + 1 >= good.len()
        });
        let status = host.status();
        assert_eq!((status.remotes.len(), status.clients.len()), (1, 1), "cut at {cut}");
        assert!(TcpStream::connect(import).is_ok(), "cut at {cut}");
        fs::write(host.config(), &good).unwrap();
        until("it is whole again", || {
            host.status().problems.iter().all(|problem| !problem.is_about(&Subject::Configuration))
        });
    }
}

#[test]
fn an_agent_that_starts_without_its_file_serves_what_was_there() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap();
    host.stop();
    for lose in [(|host: &Host| fs::remove_file(host.config()).unwrap()) as fn(&Host), |host| {
        fs::write(host.config(), "").unwrap()
    }] {
        lose(&host);
        for args in [
            &["status"][..],
            &["export", "add", "80"],
            &["config", "check"],
            &["client", "add", "a"],
            &["secrets", "prune"],
        ] {
            let (_, hint) = refused(&host.ormesh(args), 4);
            assert!(hint.contains("config restore"), "{args:?}: {hint}");
        }
        start(&mut host);
        assert_eq!(host.status().remotes.len(), 1);
        until("the import listens", || TcpStream::connect(import).is_ok());
        assert!(host.status().problems.iter().any(|problem| problem.is_about(&Subject::Configuration)));
        fs::write(host.config(), &good).unwrap();
        until("all is well again", || {
            host.status().problems.iter().all(|problem| !problem.is_about(&Subject::Configuration))
        });
        host.stop();
    }
    fs::remove_file(host.config()).unwrap();
    host.good(&["config", "restore"]);
    assert_eq!(fs::read_to_string(host.config()).unwrap(), good);
}

#[test]
fn nothing_is_called_superfluous_while_nothing_says_what_is_needed() {
    let host = alone();
    host.good(&["client", "add", "laptop"]);
    let journal = host.state().join("journal.json");
    let address = host.status().clients[0].address;
    fs::write(&journal, format!("{{\"version\":1,\"in_doubt\":[{{\"service\":\"{address}\"}}]}}")).unwrap();
    let good = fs::read_to_string(host.config()).unwrap();
    // No copy of it, either, as an ormesh of before there was one leaves it.
    fs::remove_file(host.config()).unwrap();
    fs::remove_file(host.state().join("last-good.toml")).unwrap();
    let before = secrets(&host);
    let (sentence, hint) = refused(&host.ormesh(&["secrets", "prune"]), 4);
    assert!(sentence.contains("are kept") && hint.contains("config.toml"), "{sentence}\n{hint}");
    assert_eq!(secrets(&host), before);

    fs::write(host.config(), good).unwrap();
    host.good(&["secrets", "prune"]);
    assert_eq!(secrets(&host), before);
    assert!(!fs::read_to_string(&journal).unwrap().contains("service"));
}

#[test]
fn who_has_connected_is_known_after_the_file_was_away() {
    let mut host = alone();
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "laptop"]);
    let address = host.status().clients[0].address;
    let history = host.state().join("history.json");
    fs::write(&history, format!("{{\"{address}\": {{\"first\": 1, \"last\": 2}}}}")).unwrap();
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap();
    fs::remove_file(host.config()).unwrap();
    host.stop();
    assert!(fs::read_to_string(&history).unwrap().contains(&address.to_string()), "it was forgotten");
    fs::write(host.config(), &good).unwrap();
    let (sentence, hint) = refused(&host.ormesh(&["client", "token", "laptop"]), 4);
    assert!(sentence.contains("has connected") && hint.contains("client rotate"), "{sentence}\n{hint}");

    // Without the file from the start on.
    fs::remove_file(host.config()).unwrap();
    start(&mut host);
    host.stop();
    assert!(fs::read_to_string(&history).unwrap().contains(&address.to_string()), "it was forgotten");
}

#[test]
fn a_history_that_can_not_be_read_is_put_aside_and_said() {
    let mut host = alone();
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "laptop"]);
    let history = host.state().join("history.json");
    for (number, spoil) in [(|path: &Path| fs::write(path, "{").unwrap()) as fn(&Path), |path| {
        let _ = fs::remove_file(path);
        fs::create_dir(path).unwrap();
    }]
    .into_iter()
    .enumerate()
    {
        spoil(&history);
        start(&mut host);
        let problem = wait_for_problem(&host, Code::HistorySpoilt);
        let aside = fs::read_dir(host.state())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("history.json.damaged"))
            .count();
        assert_eq!(aside, number + 1, "{problem}");
        host.stop();
    }
}

#[test]
fn a_file_that_is_being_written_is_not_read_for_a_signal() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let whole = fs::read_to_string(host.config()).unwrap();
    let half = whole.split("[remote").next().unwrap().to_owned() + "[[export]]\ntarget = \"22\"\n";
    let mut file = File::create(host.config()).unwrap();
    file.write_all(half.as_bytes()).unwrap();
    until("the agent sees a writer", || {
        host.ormesh(&["export", "add", "80"]).stderr.contains("is being written by another program")
    });

    send(host.agent_pid(), Signal::HUP);
    until("it was asked", || host.log().contains("asked to read the configuration again"));
    assert!(host.log().contains("it is read when that is done"), "{}", host.log_tail());
    assert!(TcpStream::connect(import).is_ok() && host.status().exports.is_empty());

    file.write_all(format!("\n{}", &whole[whole.find("[remote").unwrap()..]).as_bytes()).unwrap();
    drop(file);
    until("it is read", || host.status().exports.len() == 1);
    assert!(TcpStream::connect(import).is_ok());
}
