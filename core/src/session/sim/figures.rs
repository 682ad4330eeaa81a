//! Figures: bulk over several links against the sum of what they carry, and what a key press takes beside it.

use std::time::Duration;

use super::app::{App, Plan};
use super::wire::Nature;
use super::world::{FAR, NEAR, Weather, Wish, World};
use crate::session::limits::Limits;

const RATE: u64 = 860_000;
const ROUND_TRIP: u64 = 310;

fn writes(writes: u64) -> Plan {
    Plan { writes, drip: None, sips: None, asleep_until: Duration::ZERO, resets_at: None, ends_last: false }
}

/// Links whose round trips are so many times as long as the quickest one's.
fn links(times: &'static [u64]) -> Weather {
    let mut dialled = 0;
    let nature = Box::new(move |_: &mut _| {
        let times = times[dialled % times.len()];
        dialled += 1;
        Nature {
            delay: Duration::from_millis(ROUND_TRIP * times / 2),
            rate: RATE,
            // Deep, as tor may queue: the window alone keeps it short.
            queue: 4 << 20,
            dies_at: None,
            is_told: true,
        }
    });
    Weather { nature, dial_fails: 0, outages: Vec::new() }
}

fn limits(links: usize) -> Limits {
    Limits { links, widen: [Duration::from_millis(1); 3], ..Limits::default() }
}

/// Bytes a second in the last three quarters of an upload.
fn bulk(times: &'static [u64], limits: Limits, streams: u64) -> f64 {
    let size = 12_000_000 * times.len() as u64 / streams;
    let wish = |_| Wish { at: Duration::ZERO, port: 22, near: writes(size), far: writes(0) };
    let mut world = World::new(1, limits, links(times), (0..streams).map(wish).collect());
    assert!(world.run(Duration::from_secs(600)));
    let apps: Vec<&App> = world.apps[FAR].values().collect();
    let quarter =
        apps.iter().filter_map(|app| Some(app.read_at.iter().find(|(at, _)| *at >= size / 4)?.1)).max();
    let began = quarter.unwrap();
    let before: u64 = apps
        .iter()
        .filter_map(|app| Some(app.read_at.iter().take_while(|(_, at)| *at <= began).last()?.0))
        .sum();
    let ended = apps.iter().map(|app| app.done_at).min().unwrap();
    let after: u64 = apps
        .iter()
        .filter_map(|app| Some(app.read_at.iter().take_while(|(_, at)| *at <= ended).last()?.0))
        .sum();
    (after - before) as f64 / (ended - began).as_secs_f64()
}

/// The median and the 99th hundredth of what a key press takes to the other end, while so many bytes go the same way.
fn key_presses(times: &'static [u64], limits: Limits, bulk: u64) -> (Duration, Duration) {
    let mut keys = writes(40 * 150);
    keys.drip = Some((40, Duration::from_millis(173)));
    let at = Duration::from_secs(4);
    let mut wishes = vec![Wish { at, port: 22, near: keys, far: writes(0) }];
    for _ in 0..u64::from(bulk > 0) {
        wishes.push(Wish { at: Duration::ZERO, port: 22, near: writes(bulk), far: writes(0) });
    }
    // The keys' stream is the last that is opened where there is bulk.
    let mut world = World::new(1, limits, links(times), wishes);
    assert!(world.run(Duration::from_secs(600)));
    let (stream, near) = world.apps[NEAR].iter().next_back().unwrap();
    let far = &world.apps[FAR][stream];
    let mut took: Vec<Duration> = near
        .written_at
        .iter()
        .filter(|(_, at)| *at > Duration::from_secs(8))
        .filter_map(|(offset, at)| {
            let read = far.read_at.iter().find(|(read, _)| read >= offset)?;
            Some(read.1 - *at)
        })
        .collect();
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

#[test]
fn bulk_takes_what_its_links_carry_and_a_key_press_stays_quick() {
    let rows: [&[u64]; 7] = [&[1], &[1, 1], &[1, 4], &[1, 2, 4, 10], &[1, 1, 1, 1], &[1, 2], &[1, 10]];
    for times in &rows[..support::times(3, rows.len())] {
        let defaults = || limits(times.len());
        let one = bulk(times, defaults(), 1);
        let four = bulk(times, defaults(), 4);
        let show = |rate: f64| {
            let share = rate / (RATE as f64 * times.len() as f64);
            format!("{:.2} MB/s {:3.0} %", rate / 1e6, share * 100.0)
        };
        eprintln!("{times:?}: one stream {}, four {}", show(one), show(four));
        if support::times(0, 1) > 0 {
            let of = |stream: u64, session: u64, streams| {
                let stream = Limits { stream_unacked: stream, stream_unread: stream, ..defaults() };
                show(bulk(times, Limits { session_unacked: session, ..stream }, streams))
            };
            let mebi = 1 << 20;
            eprintln!(
                "    one of 1 MiB {}, 2 MiB {}; session of 4 MiB {}, four {}",
                of(mebi, 2 * mebi, 1),
                of(2 * mebi, 2 * mebi, 1),
                of(2 * mebi, 4 * mebi, 1),
                of(2 * mebi, 4 * mebi, 4),
            );
        }
        let quiet = key_presses(times, defaults(), 0);
        let busy = key_presses(times, defaults(), 20_000_000 * times.len() as u64);
        let echo = |(median, most): (Duration, Duration)| {
            format!("{} / {} ms", median.as_millis() + 155, most.as_millis() + 155)
        };
        eprintln!("    echo idle {}, beside bulk {}", echo(quiet), echo(busy));

        // No slower link makes it worse.
        let alone = RATE as f64;
        assert!(one > alone * 0.95 && four > alone * 0.95);
        if times.iter().all(|times| *times <= 2) {
            assert!(four > alone * times.len() as f64 * 0.95);
        }
        let back = Duration::from_millis(ROUND_TRIP / 2);
        assert!(busy.0 + back < (quiet.0 + back).mul_f64(1.4));
        assert!(busy.1 + back < (quiet.1 + back).mul_f64(1.6));
    }
}

#[test]
fn streams_share_evenly_whoever_began_first() {
    let wishes = (0..8).map(|at| Wish {
        at: Duration::from_secs(at * 2),
        port: 22,
        near: writes(1_000_000_000),
        far: writes(0),
    });
    let mut world = World::new(1, limits(1), links(&[1]), wishes.collect());
    world.pass(Duration::from_secs(20));
    let before: Vec<u64> = world.apps[FAR].values().map(|app| app.read).collect();
    world.pass(Duration::from_secs(80));
    let shares: Vec<f64> = world.apps[FAR]
        .values()
        .zip(before)
        .map(|(app, before)| (app.read - before) as f64 / (RATE as f64 * 60.0 / 8.0))
        .collect();
    eprintln!("shares of eight: {shares:.2?}");
    assert!(shares.iter().all(|share| *share > 0.8 && *share < 1.2));
}

/// One link for little, more for bulk either way, and one again afterwards.
#[test]
fn links_come_with_bulk_and_go_after_it() {
    for is_download in [false, true] {
        let (near, far) = if is_download { (0, 20_000_000) } else { (20_000_000, 0) };
        let wish = |_| Wish { at: Duration::from_secs(10), port: 22, near: writes(near), far: writes(far) };
        let mut keys = writes(400 * 40);
        keys.drip = Some((40, Duration::from_millis(500)));
        let mut wishes: Vec<Wish> = (0..4).map(wish).collect();
        wishes.push(Wish { at: Duration::ZERO, port: 22, near: keys, far: writes(0) });
        let mut world = World::new(1, Limits::default(), links(&[1]), wishes);
        world.pass(Duration::from_secs(10));
        assert_eq!(world.most_links, 1);
        world.pass(Duration::from_secs(60));
        assert_eq!(world.most_links, 4);
        let bulk = |app: &&App| app.plan.writes == 0 && app.got_end;
        let end = if is_download { NEAR } else { FAR };
        let done: Vec<Duration> = world.apps[end].values().filter(bulk).map(|app| app.done_at).collect();
        eprintln!(
            "80 MB are through {:?} after their begin",
            done.iter().max().unwrap().saturating_sub(Duration::from_secs(10))
        );
        world.pass(Duration::from_secs(180));
        assert_eq!(world.sessions[NEAR].as_ref().unwrap().standing().links, 1);
        assert_eq!(world.sessions[FAR].as_ref().unwrap().standing().links, 1);
    }
}
