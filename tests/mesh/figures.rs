//! What sessions cost and bring, beside plain connections to the same port in one run.
//!
//! Printed, not judged: `cargo xtask bench` runs this with release binaries, and nothing else does.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::support::{Echo, Host, connected, cpu_time, echo, figure, hosts, open_echo};

/// The median of so many.
const TIMES: usize = 40;
/// Connections at once.
const MANY: usize = 100;
/// Bytes of a transfer each way.
const BULK: usize = 40_000_000;
/// For how long echoes are counted beside bulk.
const BESIDE: Duration = Duration::from_secs(20);

#[test]
#[ignore = "it measures and judges nothing: cargo xtask bench"]
fn sessions_beside_plain_connections() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    for host in [&server, &laptop] {
        host.good(&["config", "set", "agent.sessions", "on"]);
    }
    let theirs = echo();
    let session = connected(&mut server, &mut laptop, theirs.addr, 80);
    let plain = SocketAddr::new(session.ip(), session.port() + 1000);
    laptop.good(&["import", "add", "remote", "80", &plain.to_string(), "--session", "off"]);
    let both = [("plain", plain), ("session", session)];
    let _kept = both.map(|(_, import)| open_echo(import));
    sleep(Duration::from_secs(5));

    for (what, import) in both {
        let firsts = (0..TIMES).map(|_| {
            let begun = Instant::now();
            open_echo(import);
            begun.elapsed()
        });
        figure(&format!("{what}: first byte warm"), quantiles(firsts.collect()));
    }
    for (what, import) in both {
        let begun = Instant::now();
        thread::scope(|scope| (0..MANY).for_each(|_| _ = scope.spawn(move || open_echo(import))));
        figure(&format!("{what}: {MANY} connections at once"), format!("{:?}", begun.elapsed()));
    }
    for (what, import) in both {
        let mut stream = open_echo(import);
        figure(&format!("{what}: echo idle"), quantiles((0..5 * TIMES).map(|_| turn(&mut stream)).collect()));
    }
    for (what, import) in both {
        let (agents, begun) = (cpu([&server, &laptop]), Instant::now());
        open_echo(import).bulk(BULK).unwrap();
        let took = begun.elapsed().as_secs_f64();
        let used = cpu([&server, &laptop]);
        let each = 2.0 * BULK as f64 / 1e9;
        figure(&format!("{what}: bulk both ways, MB/s each"), format!("{:.2}", BULK as f64 / 1e6 / took));
        for (at, name) in ["exporter", "importer"].into_iter().enumerate() {
            let used = (used[at] - agents[at]).as_secs_f64() / each;
            figure(&format!("{what}: CPU of the {name}'s agent"), format!("{used:.1} s/GB"));
        }
    }
    for (what, import) in both {
        let (mut stream, is_over) = (open_echo(import), AtomicBool::new(false));
        let echoes = thread::scope(|scope| {
            scope.spawn(|| {
                let mut bulk = open_echo(import);
                while !is_over.load(Ordering::Relaxed) {
                    bulk.bulk(1_000_000).unwrap();
                }
            });
            sleep(Duration::from_secs(8));
            let begun = Instant::now();
            let mut echoes = Vec::new();
            while begun.elapsed() < BESIDE {
                echoes.push(turn(&mut stream));
            }
            is_over.store(true, Ordering::Relaxed);
            echoes
        });
        figure(&format!("{what}: echo beside bulk"), quantiles(echoes));
    }
    for (what, import) in both {
        let before = memory([&server, &laptop]);
        let idle: Vec<Echo> = (0..200).map(|_| open_echo(import)).collect();
        sleep(Duration::from_secs(3));
        let after = memory([&server, &laptop]);
        for (at, name) in ["exporter", "importer"].into_iter().enumerate() {
            let each = (after[at] - before[at]) as f64 / idle.len() as f64;
            figure(&format!("{what}: idle connection at the {name}"), format!("{each:.1} KiB"));
        }
    }
}

fn turn(stream: &mut Echo) -> Duration {
    let begun = Instant::now();
    stream.turn().unwrap();
    begun.elapsed()
}

fn quantiles(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)].as_millis();
    format!("{} ms, p95 {}, p99 {}", at(50), at(95), at(99))
}

fn cpu(hosts: [&Host; 2]) -> [Duration; 2] {
    hosts.map(|host| cpu_time(host.agent_pid()))
}

/// Resident memory that is no file's, in KiB (proc_pid_status(5)).
fn memory(hosts: [&Host; 2]) -> [i64; 2] {
    hosts.map(|host| {
        let status = fs::read_to_string(format!("/proc/{}/status", host.agent_pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    })
}
