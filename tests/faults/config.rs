//! A configuration file that another hand spoils, before the agent starts and while it runs.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use ormesh_core::model::problem::Code;
use serde_json::json;

use crate::alone::{
    refused, run_agent, socket, start, start_traced, wait_for_no_problem, wait_for_problem, with_remote,
};
use crate::support::{free_address, until};

/// What is added to a good file of `lines` lines, and where the mistake is then: lines below the last good one, column, word.
const MISTAKES: [(&str, usize, usize, &str); 7] = [
    ("\n[[export]]\ntarget = \"22\"\nprot = 23\n", 4, 1, "prot"),
    ("\n[[export]]\ntarget = 22\n", 3, 10, "string"),
    ("\n[[export]]\ntarget = \"22\"\nport = 70000\n", 4, 8, "port"),
    ("\n[[export]]\ntarget = \"22\"\nport = 1\n", 2, 1, "port 1"),
    ("\n[[export]]\ntarget = \"169.254.169.254:80\"\nallow-lan = true\n", 3, 10, "link-local"),
    ("\n[[export\n", 2, 9, ""),
    ("\n[client.laptop]\naddress = \"x.onion\"\nkey = \"y\"\n", 3, 11, "onion"),
];

#[test]
fn the_last_good_one_stays_in_force_until_the_file_is_mended() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap();
    for (mistake, line, column, word) in MISTAKES {
        let bad = good.clone() + mistake;
        fs::write(host.config(), &bad).unwrap();

        let place = format!("line {}, column {column}: ", good.lines().count() + line);
        let problem = wait_for_problem(&host, Code::ConfigMistake);
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains(&place) && message.contains(word), "{mistake:?}: {problem}");
        assert_eq!(
            (&problem["code"], &problem["subject"]["is"]),
            (&json!("config-mistake"), &json!("configuration"))
        );
        assert!(problem["hint"].as_str().unwrap().len() > 10, "{problem}");
        assert!(TcpStream::connect(import).is_ok(), "{mistake:?} closed the import");
        let yaml = host.good(&["status"]);
        assert!(yaml.contains(&place), "{yaml}");

        for args in [&["export", "add", "80"][..], &["client", "add", "a"], &["remote", "delete", "web"]] {
            let (sentence, _) = refused(&host.ormesh(args), 2);
            assert!(sentence.contains(&place), "{args:?}: {sentence}");
        }
        assert_eq!(fs::read_to_string(host.config()).unwrap(), bad, "a refused command changed the file");

        fs::write(host.config(), &good).unwrap();
        wait_for_no_problem(&host, Code::ConfigMistake);
        assert!(TcpStream::connect(import).is_ok());
    }
    host.good(&["export", "add", "80"]);
}

#[test]
fn what_is_mended_takes_effect_with_all_its_changes() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let good = fs::read_to_string(host.config()).unwrap();
    let new = free_address();
    let changed = good.replace(&import.to_string(), &new.to_string());
    fs::write(host.config(), changed.clone() + "x").unwrap();
    let first = wait_for_problem(&host, Code::ConfigMistake);
    // So that one that begins anew would show: it is told in seconds.
    until("a later second", || tornet::unix_now() > first["since"].as_u64().unwrap());
    // Another mistake is the same problem, in other words.
    fs::write(host.config(), changed.clone() + "\nx").unwrap();
    until("the other mistake is said", || {
        wait_for_problem(&host, Code::ConfigMistake)["message"] != first["message"]
    });
    assert!(first["since"].is_u64());
    assert_eq!(wait_for_problem(&host, Code::ConfigMistake)["since"], first["since"]);
    assert!(TcpStream::connect(import).is_ok() && TcpStream::connect(new).is_err());
    fs::write(host.config(), changed).unwrap();
    until("the new import listens", || TcpStream::connect(new).is_ok());
    until("the old import is closed", || TcpStream::connect(import).is_err());
}

#[test]
fn a_file_that_others_may_write_is_a_bad_one() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    start(&mut host);
    let mode = |mode| fs::set_permissions(host.config(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o666);
    let problem = wait_for_problem(&host, Code::UnsafeFile);
    assert_eq!(problem["hint"], format!("chmod go-w {}", host.config().display()));
    assert!(TcpStream::connect(import).is_ok());
    mode(0o600);
    wait_for_no_problem(&host, Code::UnsafeFile);
}

#[test]
fn a_bad_one_at_start_ends_the_agent_with_its_place() {
    let host = with_remote();
    let good = fs::read_to_string(host.config()).unwrap();
    for (mistake, line, column, word) in MISTAKES {
        fs::write(host.config(), good.clone() + mistake).unwrap();
        let (sentence, hint) = refused(&run_agent(&host, &[]), 2);
        let place = format!("line {}, column {column}: ", good.lines().count() + line);
        assert!(sentence.contains(&place) && sentence.contains(word), "{mistake:?}: {sentence}");
        assert!(!hint.is_empty());
        assert!(!socket(&host).exists());
        refused(&host.ormesh(&["status"]), 2);
    }
    fs::write(host.config(), [0xff, 0xfe]).unwrap();
    let (sentence, _) = refused(&run_agent(&host, &[]), 1);
    assert!(sentence.contains("UTF-8"), "{sentence}");
}

#[test]
fn a_file_that_can_not_be_watched_is_looked_at_and_that_is_said() {
    let mut host = with_remote();
    start_traced(&mut host, &[], &["trace=inotify_init1", "inject=inotify_init1:error=EMFILE"]);
    let problem = wait_for_problem(&host, Code::ConfigUnwatched);
    assert!(problem["hint"].as_str().unwrap().contains("fs.inotify"), "{problem}");
    for number in 1..=2 {
        let text = fs::read_to_string(host.config()).unwrap();
        fs::write(host.config(), text + &format!("\n[[export]]\ntarget = \"{}\"\n", 80 + number)).unwrap();
        until("the change is seen", || host.status().exports.len() == number);
    }
    wait_for_problem(&host, Code::ConfigUnwatched);
}

#[test]
fn a_file_that_can_be_watched_again_is() {
    let mut host = with_remote();
    // Each thread's first two tries fail: the second thread's third one does not.
    start_traced(&mut host, &[], &["trace=inotify_init1", "inject=inotify_init1:error=EMFILE:when=1..2"]);
    wait_for_no_problem(&host, Code::ConfigUnwatched);
    assert!(host.log().contains("can't be watched"), "{}", host.log_tail());
    let text = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), text + "\n[[export]]\ntarget = \"80\"\n").unwrap();
    until("the change is seen", || host.status().exports.len() == 1);
}
