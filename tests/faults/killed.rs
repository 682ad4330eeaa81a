//! Commands killed (SIGKILL) at any moment of their work: the configuration is the old or the new one, and secrets agree with it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use ormesh_core::model::config::{self, Config, InstanceId};

use crate::alone::{alone, needed, secrets};
use crate::support::{Host, ORMESH, figure, times};

/// In every run, and in a soak.
const KILLS: (usize, usize) = (200, 1000);
const KILLS_OF_KEYS: (usize, usize) = (100, 500);

fn read(host: &Host) -> Config {
    let text = fs::read_to_string(host.config()).unwrap_or_default();
    config::parse(&text, &InstanceId::from_random([0; 10])).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn exports(host: &Host) -> BTreeSet<u16> {
    read(host).exports.keys().map(|port| port.get()).collect()
}

/// Moments spread evenly over a span, in an order that looks like chance: multiples of the golden ratio.
fn moment(round: usize, span: Duration) -> Duration {
    span.mul_f64((round as f64 * 0.618_033_988_75).fract())
}

/// Runs a command and kills it after some time. Whether it had ended by itself.
fn killed(host: &Host, args: &[&str], after: Duration) -> bool {
    let mut command = host.command(ORMESH);
    let mut child = command
        .args(args)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // The moment is what is being varied; nothing is waited for.
    thread::sleep(after);
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    ended
}

/// How long a command takes, from its start to its end.
fn span(host: &Host, args: &[&str]) -> Duration {
    let start = Instant::now();
    host.good(args);
    start.elapsed().mul_f64(1.2)
}

#[test]
fn a_killed_edit_leaves_the_old_file_or_the_new() {
    let host = alone();
    let span = span(&host, &["export", "add", "9"]);
    let (mut done, mut interrupted) = (0, 0);
    for round in 0..times(KILLS.0, KILLS.1) {
        let (before, port) = (exports(&host), 1000 + u16::try_from(round).unwrap());
        let mut with_it = before.clone();
        with_it.insert(port);

        let ended = killed(&host, &["export", "add", &port.to_string()], moment(round, span));

        let after = exports(&host);
        assert!(after == with_it || (!ended && after == before), "kill {round}: {before:?} became {after:?}");
        assert_eq!(fs::metadata(host.config()).unwrap().permissions().mode() & 0o777, 0o600);
        done += usize::from(after == with_it);
        interrupted += usize::from(after == before);
    }
    figure("edits done and undone by kills", format!("{done} and {interrupted}"));
    assert!(done > 0 && interrupted > 0, "no kill came at a moment that matters: {done}, {interrupted}");
    host.good(&["export", "add", "10"]);
    let litter: Vec<_> = fs::read_dir(host.config().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(litter.is_empty(), "{litter:?}");
}

#[test]
fn killed_changes_of_keys_leave_no_key_too_many_and_none_missing() {
    let host = alone();
    host.good(&["client", "add", "c0"]);
    let span = span(&host, &["client", "add", "c1"]);
    for round in 2..times(KILLS_OF_KEYS.0, KILLS_OF_KEYS.1) {
        let (name, old) = (format!("c{round}"), format!("c{}", round - 2));
        let known = |name: &str| read(&host).clients.keys().any(|client| client.as_str() == name);
        match round % 3 {
            1 if known(&old) => killed(&host, &["client", "delete", &old], moment(round, span)),
            2 if known(&old) => killed(&host, &["client", "rotate", &old], moment(round, span)),
            _ => killed(&host, &["client", "add", &name], moment(round, span)),
        };
        read(&host);
        // Whatever came of it, what the configuration names is there.
        let (there, needed) = (secrets(&host), needed(&host));
        let missing: Vec<_> = needed.iter().filter(|name| !there.contains(name)).collect();
        assert!(missing.is_empty(), "kill {round}: {missing:?}");
    }
    host.good(&["secrets", "prune"]);
    assert_eq!(secrets(&host), needed(&host));
    for client in read(&host).clients.keys() {
        assert!(host.good(&["client", "token", client.as_str()]).starts_with("ormesh1"));
    }
}
