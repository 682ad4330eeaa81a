//! A system call that fails, at each of its turns: the command succeeds, or fails with a sentence and leaves everything as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::alone::{alone, files, needed, secrets};
use crate::support::{Host, ORMESH, Ran};

/// The system calls by which files are written, and how each may fail.
const CALLS: [(&str, &[&str]); 9] = [
    ("fsync", &["EIO", "ENOSPC", "EINTR"]),
    ("rename,renameat,renameat2", &["EIO", "ENOSPC"]),
    ("write", &["EIO", "ENOSPC", "EINTR"]),
    ("openat", &["EIO", "ENOSPC", "EINTR"]),
    ("unlink,unlinkat", &["EIO"]),
    ("fchmod,chmod", &["EIO"]),
    ("mkdir,mkdirat", &["ENOSPC"]),
    ("flock", &["EIO", "EINTR"]),
    ("fstat,newfstatat,statx", &["EIO"]),
];
/// More turns than any command has; the loop ends when a turn was not reached.
const MOST: usize = 400;

/// Runs a command in which the `turn`-th of these calls fails; none when there was no such turn. Only calls after the program has
/// started count: how the loader fails is its own affair.
fn with_fault(host: &Host, args: &[&str], calls: &str, error: &str, turn: usize) -> Option<Ran> {
    let log = host.home().join("strace.log");
    let mut command = host.command("strace");
    command.arg("-f").arg("-o").arg(&log);
    // Only calls that concern the host's own files: what the process needs to run at all is left alone.
    for path in paths(host) {
        command.arg("-P").arg(path);
    }
    command.args([
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={calls}:error={error}:when={turn}"),
    ]);
    command.arg(ORMESH).args(args).env_remove("ORMESH_LOG");
    let ran: Ran = command
        .output()
        .unwrap_or_else(|error| panic!("strace: {error}: it must be in PATH; `cargo xtask test` provides it"))
        .into();
    fs::read_to_string(&log).unwrap().contains("(INJECTED)").then_some(ran)
}

/// The files that the commands may touch, by their names.
fn paths(host: &Host) -> BTreeSet<PathBuf> {
    let (home, state) = (host.home(), host.state());
    let mut paths: BTreeSet<PathBuf> = [home.to_owned(), state.clone(), host.secrets(), host.config()].into();
    paths.extend([".config.toml.new"].map(|name| home.join(name)));
    paths.extend(
        ["config.lock", "keys.lock", "journal.json", ".journal.json.new", "history.json", "last-good.toml"]
            .map(|name| state.join(name)),
    );
    paths
}

/// Runs a command with a fault at each turn of each call; `is_done` tells whether it took effect.
fn at_each_turn(host: &Host, args: &[&str], undo: &[&str], is_done: impl Fn() -> bool) -> usize {
    let mut faults = 0;
    for (calls, errors) in CALLS {
        for error in errors {
            for turn in 1..MOST {
                let before = fs::read(host.config()).unwrap();
                assert!(!is_done());
                let Some(ran) = with_fault(host, args, calls, error, turn) else {
                    // No such turn: it was done without a fault.
                    host.good(undo);
                    break;
                };
                faults += 1;
                let what = format!("{args:?}: {error} at turn {turn} of {calls}: {ran:?}");
                match ran.code {
                    0 => assert!(is_done(), "{what}: not done"),
                    1 | 5 => {
                        assert!(ran.stderr.starts_with("ormesh: ") && ran.stderr.len() > 30, "{what}");
                        assert!(!ran.stderr.contains("panicked"), "{what}");
                        assert_eq!(ran.stdout, "", "{what}");
                        assert!(fs::read(host.config()).unwrap() == before, "{what}: half done");
                        assert!(!is_done(), "{what}");
                    }
                    _ => panic!("{what}"),
                }
                if is_done() {
                    host.good(undo);
                }
            }
        }
    }
    host.good(&["secrets", "prune"]);
    assert_eq!(secrets(host), needed(host), "secrets and configuration disagree");
    let litter: Vec<_> = files(host.home())
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "new"))
        .collect();
    assert!(litter.is_empty(), "{litter:?}");
    faults
}

#[test]
fn an_edit_fails_whole() {
    let host = alone();
    host.good(&["export", "add", "22"]);
    let is_done = || fs::read_to_string(host.config()).unwrap().contains(":80\"");
    let faults = at_each_turn(&host, &["export", "add", "80"], &["export", "delete", "80"], is_done);
    assert!(faults > 15, "only {faults} faults were injected");
}

#[test]
fn a_change_of_keys_fails_whole() {
    let host = alone();
    host.good(&["client", "add", "laptop"]);
    let is_done = || fs::read_to_string(host.config()).unwrap().contains("phone");
    let faults = at_each_turn(&host, &["client", "add", "phone"], &["client", "delete", "phone"], is_done);
    assert!(faults > 40, "only {faults} faults were injected");
    host.good(&["client", "add", "phone"]);
    let is_done = || !fs::read_to_string(host.config()).unwrap().contains("phone");
    let faults = at_each_turn(&host, &["client", "delete", "phone"], &["client", "add", "phone"], is_done);
    assert!(faults > 20, "only {faults} faults were injected");
    assert!(host.good(&["client", "token", "laptop"]).starts_with("ormesh1"));
}

#[test]
fn a_directory_that_can_not_be_synced_is_no_obstacle_to_the_first_command() {
    let host = alone();
    let parent = host.state().parent().unwrap().to_owned();
    fs::remove_dir_all(host.state()).unwrap();
    let log = host.home().join("strace.log");
    let mut command = host.command("strace");
    command.arg("-f").arg("-o").arg(&log).arg("-P").arg(parent);
    command.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EINVAL", ORMESH]);
    let ran: Ran = command.args(["export", "add", "22"]).output().unwrap().into();
    assert!(fs::read_to_string(&log).unwrap().contains("(INJECTED)"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(host.status().exports.len(), 1);
}
