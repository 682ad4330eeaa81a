//! Many seeds, the same seed twice, and one seed with its trace: `cargo xtask sim`.

use std::collections::BTreeMap;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::story::{PANIC, Told, play};

/// Seeds that every run of the tests plays.
const SEEDS: u64 = 60;
/// Those of them that are played twice.
const TWICE: u64 = 12;
/// Those that have shown a fault of the agent, each by what it was.
const REMEMBERED: [(u64, &str); 3] = [
    (
        1833,
        "keys were looked for by what the file said before, and another store was then written into the file of now",
    ),
    (
        5539,
        "a service was taken for published whose withdrawal tor had not answered, and which was wanted again",
    ),
    (2776, "what the very first change had left behind was forgotten when another store was named"),
];
const THREADS: u64 = 2;
/// After so many that failed no more is played.
const ENOUGH: u64 = 4;

fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() == Some("seeds") {
                PANIC.set(Some(format!("a panic: {info}")));
            } else {
                before(info);
            }
        }));
    });
}

/// Plays a seed; a panic in the agent's loop is its failure, as one in a task of it.
fn told(seed: u64) -> Told {
    match panic::catch_unwind(|| play(seed)) {
        Ok(told) => told,
        Err(_) => Told { trace: Vec::new(), failure: PANIC.take(), effects: 0 },
    }
}

/// Plays these seeds on a few threads and gives what failed, and how many effects there were.
fn play_all(seeds: std::ops::Range<u64>) -> (BTreeMap<u64, String>, u64) {
    note_panics();
    let (next, effects, failures) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicU64::new(0));
    let failed = thread::scope(|scope| {
        let play_some = || {
            let mut failed = BTreeMap::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !seeds.contains(&seed) {
                    return failed;
                }
                let told = told(seed);
                effects.fetch_add(told.effects, Ordering::Relaxed);
                if told.failure.is_some() && failures.fetch_add(1, Ordering::Relaxed) + 1 >= ENOUGH {
                    next.store(seeds.end, Ordering::Relaxed);
                }
                failed.extend(told.failure.map(|why| (seed, why)));
            }
        };
        let threads: Vec<_> = (0..THREADS)
            .map(|_| thread::Builder::new().name("seeds".into()).spawn_scoped(scope, play_some).unwrap())
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (failed, effects.into_inner())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn assert_none(failed: &BTreeMap<u64, String>) {
    let lines: Vec<String> =
        failed.iter().map(|(seed, why)| format!("cargo xtask sim --seed {seed}   # {why}")).collect();
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), lines.join("\n"));
}

#[test]
fn whatever_happens_it_holds() {
    let (failed, _) = play_all(0..number("ORMESH_SIM_SEEDS").unwrap_or(SEEDS));
    assert_none(&failed);
}

#[test]
fn what_has_gone_wrong_once_holds() {
    for (seed, was) in REMEMBERED {
        let (failed, _) = play_all(seed..seed + 1);
        assert!(failed.is_empty(), "{was}: {failed:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_story() {
    note_panics();
    let twice = || (0..TWICE).map(|seed| told(seed).trace).collect::<Vec<_>>();
    let (first, second) = thread::scope(|scope| {
        let play = || thread::Builder::new().name("seeds".into()).spawn_scoped(scope, twice).unwrap();
        let (first, second) = (play(), play());
        (first.join().unwrap(), second.join().unwrap())
    });
    for (seed, (first, second)) in first.iter().zip(&second).enumerate() {
        let differs = first.iter().zip(second).position(|(first, second)| first != second);
        if let Some(at) = differs.or((first.len() != second.len()).then_some(first.len().min(second.len()))) {
            let (one, two) = (first.get(at), second.get(at));
            panic!("seed {seed} differs from itself at line {at}:\n{one:?}\n{two:?}");
        }
    }
}

/// For `cargo xtask sim`: plays what the environment says, and prints the trace of a single seed.
#[test]
#[ignore = "played by cargo xtask sim"]
fn replay() {
    let (start, many) = (number("ORMESH_SIM_START").unwrap_or(0), number("ORMESH_SIM_SEEDS").unwrap_or(1));
    if many == 1 {
        note_panics();
        let play = || told(start);
        let told = thread::scope(|scope| {
            thread::Builder::new().name("seeds".into()).spawn_scoped(scope, play).unwrap().join().unwrap()
        });
        told.trace.iter().for_each(|line| println!("{line}"));
        let failure = told.failure.map(|why| (start, why));
        return assert_none(&failure.into_iter().collect());
    }
    let began = std::time::Instant::now();
    let (failed, effects) = play_all(start..start + many);
    println!("{many} seeds, {effects} effects, {} failed, in {:.1?}", failed.len(), began.elapsed());
    assert_none(&failed);
}
