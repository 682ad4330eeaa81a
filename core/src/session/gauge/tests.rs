//! A link of one rate and round trip, played frame by frame.

use std::collections::VecDeque;

use super::*;

const ROUND_TRIP: Duration = Duration::from_millis(300);
const FRAME: u64 = 16_000;

/// Sends as much as the window allows over a link of so many bytes a second, for some seconds.
fn play(gauge: &mut Gauge, rate: f64, round_trip: Duration, from: Moment, seconds: u64) -> Moment {
    let mut flying: VecDeque<(Moment, Stamp)> = VecDeque::new();
    let (mut now, mut free, until) = (from, from, from + Duration::from_secs(seconds));
    while now < until {
        while (flying.len() as u64 + 1) * FRAME <= gauge.window() {
            free = free.max(now) + Duration::from_secs_f64(FRAME as f64 / rate);
            flying.push_back((free + round_trip, gauge.stamp(flying.is_empty(), now)));
        }
        let (at, stamp) = flying.pop_front().unwrap();
        now = at;
        gauge.acked(stamp, FRAME, true, now);
    }
    now
}

#[test]
fn the_window_fills_the_path_and_little_more() {
    for rate in [100e3, 400e3, 1e6, 3e6] {
        let mut gauge = Gauge::default();
        play(&mut gauge, rate, ROUND_TRIP, Duration::ZERO, 30);
        let path = rate * ROUND_TRIP.as_secs_f64();
        let window = gauge.window() as f64;
        assert!(window > path * 1.05 && window < path * 1.3 + 60e3, "{rate}: {window} for {path}");
        assert!((gauge.rate() / rate - 1.0).abs() < 0.2, "{rate}: {}", gauge.rate());
    }
}

#[test]
fn a_path_that_has_become_slower_does_not_starve() {
    let mut gauge = Gauge::default();
    let now = play(&mut gauge, 1e6, ROUND_TRIP, Duration::ZERO, 20);
    let before = gauge.window();
    play(&mut gauge, 1e6, ROUND_TRIP * 2, now, 60);
    assert!(gauge.window() * 10 > before * 7, "{} was {before}", gauge.window());
}

#[test]
fn patience_follows_the_round_trip() {
    let bounds = (Duration::from_secs(1), Duration::from_secs(10));
    let mut gauge = Gauge::default();
    assert_eq!(gauge.patience(bounds), Duration::from_secs(3));
    let patience = |gauge: &mut Gauge, took: u64| {
        for at in 0..50 {
            gauge.round_trip(Duration::from_millis(took), Duration::from_secs(at));
        }
        gauge.patience(bounds)
    };
    assert_eq!(patience(&mut gauge, 100), Duration::from_secs(1));
    let slow = patience(&mut gauge, 2000);
    assert!(slow > Duration::from_secs(4) && slow < Duration::from_secs(5), "{slow:?}");
    assert_eq!(patience(&mut gauge, 30_000), Duration::from_secs(10));
}

#[test]
fn a_queue_is_a_part_of_the_delay() {
    let mut gauge = Gauge::default();
    assert_eq!(gauge.delay(0), Duration::from_millis(500));
    play(&mut gauge, 1e6, ROUND_TRIP, Duration::ZERO, 10);
    let empty = gauge.delay(0);
    assert!(empty >= ROUND_TRIP / 2 && empty < ROUND_TRIP, "{empty:?}");
    assert!(gauge.delay(1_300_000) > empty + Duration::from_millis(500));
}
