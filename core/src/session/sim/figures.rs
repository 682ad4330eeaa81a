//! Figures: bulk over several links against the sum of what they carry, and what a key press takes beside it.

use std::time::Duration;

use super::app::{App, Plan};
use super::wire::Nature;
use super::world::{FAR, NEAR, Weather, Wish, World};
use crate::session::limits::Limits;

const RATE: u64 = 860_000;
const ROUND_TRIP: u64 = 310;

fn writes(writes: u64) -> Plan {
    Plan {
        writes,
        drip: None,
        sips: None,
        asleep_until: Duration::ZERO,
        resets_at: None,
        ends_last: false,
    }
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
            queue: 64 * 1024,
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
    let size = 24_000_000 * times.len() as u64 / streams;
    let wish = |_| Wish { at: Duration::ZERO, port: 22, near: writes(size), far: writes(0) };
    let mut world = World::new(1, limits, links(times), (0..streams).map(wish).collect());
    assert!(world.run(Duration::from_secs(600)));
    let apps: Vec<&App> = world.apps[FAR].values().collect();
    let quarter = apps.iter().filter_map(|app| Some(app.read_at.iter().find(|(at, _)| *at >= size / 4)?.1)).max();
    let began = quarter.unwrap();
    let before: u64 = apps
        .iter()
        .filter_map(|app| Some(app.read_at.iter().take_while(|(_, at)| *at <= began).last()?.0))
        .sum();
    let ended = apps.iter().map(|app| app.done_at).min().unwrap();
    let after: u64 =
        apps.iter().filter_map(|app| Some(app.read_at.iter().take_while(|(_, at)| *at <= ended).last()?.0)).sum();
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
    let wide = || Limits { stream_unacked: 2 << 20, stream_unread: 2 << 20, session_unacked: 4 << 20, ..limits(4) };
    for times in [&[1][..], &[1, 1], &[1, 1, 1, 1], &[1, 2], &[1, 4], &[1, 10], &[1, 2, 4, 10]] {
        let sum = (RATE as usize * times.len()) as f64;
        let share = |rate: f64| format!("{:.2} MB/s ({:.0} %)", rate / 1e6, rate / sum * 100.0);
        let limits = || limits(times.len());
        let wide = || Limits { links: times.len(), ..wide() };
        eprintln!(
            "{times:?}: one stream {}, four {}; 2 MiB a stream {}, four {}",
            share(bulk(times, limits(), 1)),
            share(bulk(times, limits(), 4)),
            share(bulk(times, wide(), 1)),
            share(bulk(times, wide(), 4)),
        );
        let echo = |(median, most): (Duration, Duration)| {
            format!("{} / {} ms", median.as_millis() + 155, most.as_millis() + 155)
        };
        eprintln!(
            "    echo idle {}, beside bulk {}",
            echo(key_presses(times, limits(), 0)),
            echo(key_presses(times, limits(), 30_000_000 * times.len() as u64)),
        );
    }
}
