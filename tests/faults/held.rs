//! A lock that another process holds, and a disk that is slow: they hold up whoever changes something, and nobody else.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::alone::{start, start_traced, with_remote};
use crate::support::{Host, ORMESH};

/// Many times a command's way to the agent and back, so that one that was given before has long arrived.
const ROUNDS: usize = 60;

fn begin(host: &Host, args: &[&str]) -> Child {
    let mut command = host.command(ORMESH);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Asserts that all else goes on while a command waits.
fn all_else_goes_on(host: &Host, import: SocketAddr, waiting: &mut Child) {
    for _ in 0..ROUNDS {
        assert!(host.status().agent.is_some());
        assert!(TcpStream::connect(import).is_ok());
    }
    assert!(waiting.try_wait().unwrap().is_none(), "it did not wait");
}

fn finish(waiting: Child) {
    let ran = waiting.wait_with_output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn a_held_lock_holds_up_nobody_else() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    host.good(&["client", "add", "laptop"]);
    start(&mut host);
    for (lock, change) in [
        ("config.lock", ["export", "add", "80"]),
        ("keys.lock", ["client", "add", "phone"]),
        ("journal.lock", ["client", "delete", "laptop"]),
    ] {
        let held = File::options().create(true).append(true).open(host.state().join(lock)).unwrap();
        held.lock().unwrap();
        let mut waiting = begin(&host, &change);
        all_else_goes_on(&host, import, &mut waiting);
        // Access ends at once, whatever is waited for.
        assert!(
            lock != "journal.lock"
                || host.status().clients.iter().all(|client| client.name.as_str() != "laptop")
        );
        held.unlock().unwrap();
        finish(waiting);
    }
    assert_eq!(host.status().exports.len(), 1);
}

/// What a host keeps on disk, and the directory that it is in.
fn kept(host: &Host) -> Vec<PathBuf> {
    let state = host.state();
    let names = [
        "config.lock",
        "keys.lock",
        "journal.lock",
        "journal.json",
        ".journal.json.new",
        "history.json",
        "last-good.toml",
        ".last-good.toml.new",
    ];
    let files = names.map(|name| state.join(name));
    [host.home().to_owned(), host.config(), host.home().join(".config.toml.new"), host.secrets(), state]
        .into_iter()
        .chain(files)
        .collect()
}

#[test]
fn a_slow_disk_holds_up_nobody_else() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    let about = kept(&host);
    start_traced(&mut host, &about, &["trace=fsync,fdatasync", "inject=fsync,fdatasync:delay_enter=5000000"]);
    let mut waiting = begin(&host, &["client", "add", "phone"]);
    all_else_goes_on(&host, import, &mut waiting);
    finish(waiting);
}

/// Whatever is asked of it, the thread that carries all traffic touches none of those files.
#[test]
fn the_thread_that_carries_traffic_leaves_files_alone() {
    let mut host = with_remote();
    host.import("web", 22);
    let about = kept(&host);
    let log = start_traced(&mut host, &about, &["trace=%file,%desc,flock,fsync"]);
    let agent = host.agent_pid().to_string();
    let calls = || {
        let log = fs::read_to_string(&log).unwrap();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    host.status();
    let before = calls().len();
    host.good(&["export", "add", "80"]);
    host.good(&["client", "add", "laptop"]);
    host.good(&["client", "token", "laptop"]);
    host.good(&["client", "set", "laptop", "--expires", "30d"]);
    host.good(&["client", "rotate", "laptop"]);
    host.good(&["secrets", "status"]);
    host.good(&["secrets", "prune"]);
    host.good(&["remote", "request", "other"]);
    host.good(&["remote", "delete", "other"]);
    host.good(&["client", "delete", "laptop"]);
    fs::write(host.config(), fs::read_to_string(host.config()).unwrap() + "# by hand\n").unwrap();
    crate::support::until("the file is read", || {
        fs::read_to_string(host.state().join("last-good.toml")).is_ok_and(|text| text.contains("by hand"))
    });
    let seen = calls().split_off(before);
    assert!(seen.len() > 100, "strace saw nothing: {seen:?}");
    // To give a lock back waits for nothing; a signal is no call.
    let waits = |line: &&String| ![" close(", " fcntl(", " --- "].iter().any(|other| line.contains(other));
    let ours = seen.iter().filter(waits).filter(|line| line.split(' ').next() == Some(&agent));
    let ours: Vec<_> = ours.collect();
    assert!(ours.is_empty(), "the agent's first thread calls: {ours:#?}");
}
