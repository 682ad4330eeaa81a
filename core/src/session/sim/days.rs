//! Certain days: the network is gone for too long, access ends, an agent is killed, readers stop, many streams are opened at once.

use std::time::Duration;

use super::app::Plan;
use super::dice::Dice;
use super::wire::Nature;
use super::world::{FAR, NEAR, Weather, Wish, World};
use super::{MINUTE, judge, random_nature, random_wishes};
use crate::session::limits::Limits;
use crate::session::words::{Cut, Farewell, Moment};

fn writes(writes: u64) -> Plan {
    Plan { writes, drip: None, sips: None, asleep_until: Duration::ZERO, resets_at: None, ends_last: false }
}

fn steady(round_trip: u64) -> Weather {
    let nature = Box::new(move |_: &mut _| Nature {
        delay: Duration::from_millis(round_trip / 2),
        rate: 860_000,
        queue: 64 * 1024,
        dies_at: None,
        is_told: true,
    });
    Weather { nature, dial_fails: 0, outages: Vec::new() }
}

fn wish(at: Moment, near: Plan, far: Plan) -> Wish {
    Wish { at, port: 22, near, far }
}

/// Types some bytes now and then, for so long.
fn types(seconds: u64) -> Plan {
    Plan { drip: Some((10, Duration::from_millis(500))), ..writes(seconds * 20) }
}

#[test]
fn what_is_held_for_too_long_is_reset_at_both_ends() {
    for seed in support::seeds(20, 1000) {
        let mut dice = Dice::new(seed);
        let hold = Duration::from_secs(dice.between(0, 60));
        let limits = Limits { hold, ..Limits::default() };
        let from = Duration::from_millis(dice.between(100, 15_000));
        let weather = Weather {
            nature: Box::new(|dice: &mut Dice| random_nature(dice, 0)),
            dial_fails: 0,
            outages: vec![(from, 60 * MINUTE)],
        };
        let mut wishes = random_wishes(&mut dice);
        // Some that can't be over by then.
        wishes.extend((0..3).map(|_| wish(Duration::ZERO, types(600), types(600))));
        wishes.iter_mut().for_each(|wish| wish.at = wish.at.min(from));
        let mut world = World::new(seed, limits, weather, wishes);
        // A link may take 26 s to be known as dead, and twice the time to hold if one end learns it late.
        let is_over = world.run(from + hold * 2 + MINUTE * 3);
        assert!(is_over, "seed {seed}: {:?}", super::unfinished(&world));
        judge(&world, seed, true);
        let cut = world.apps[NEAR].values().filter(|app| app.cut == Some(Cut::HoldOver)).count();
        assert!(cut >= 3, "seed {seed}");
    }
}

#[test]
fn revoking_ends_fifty_streams_at_once_whether_they_move_or_are_held() {
    for is_held in [false, true] {
        let mut weather = steady(300);
        let outage = (Duration::from_secs(20), Duration::from_secs(60));
        if is_held {
            weather.outages.push(outage);
        }
        let wishes = (0..50).map(|_| wish(Duration::ZERO, types(1000), writes(100_000_000))).collect();
        let mut world = World::new(1, Limits::default(), weather, wishes);
        world.pass(Duration::from_secs(50));
        assert_eq!(world.sessions[FAR].as_ref().unwrap().standing().streams, 50);
        world.sessions[FAR].as_mut().unwrap().close(Farewell::Revoked);
        world.pass(Duration::from_secs(50) + Duration::from_millis(if is_held { 1 } else { 400 }));
        assert!(world.apps[FAR].values().all(|app| app.cut == Some(Cut::Revoked)));
        if is_held {
            assert!(world.apps[NEAR].values().all(|app| app.cut.is_none()));
            // A dial, its answer, and a pause between two.
            world.pass(outage.1 + Duration::from_secs(10));
        }
        let expected = if is_held { Cut::Forgotten } else { Cut::Revoked };
        assert!(world.apps[NEAR].values().all(|app| app.cut == Some(expected)));
        assert_eq!(world.apps[NEAR].len(), 50);
    }
}

#[test]
fn an_exporter_that_was_killed_is_delivered_nothing_twice() {
    let (mut cut, mut doubtful) = (0, 0);
    for seed in support::seeds(120, 5000) {
        let mut dice = Dice::new(seed);
        let wishes = random_wishes(&mut dice);
        let weather = Weather {
            nature: Box::new(|dice: &mut Dice| random_nature(dice, 2)),
            dial_fails: 0,
            outages: Vec::new(),
        };
        let mut world = World::new(seed, Limits::default(), weather, wishes);
        world.forgets_at = Some(Duration::from_millis(dice.between(500, 8000)));
        assert!(world.run(MINUTE * 60), "seed {seed}: {:?}", super::unfinished(&world));
        judge(&world, seed, true);
        cut += usize::from(world.apps[NEAR].values().any(|app| app.cut == Some(Cut::Forgotten)));
        let never_ended = world.ended[NEAR].is_none();
        doubtful +=
            usize::from(never_ended && world.apps[NEAR].values().any(|app| app.cut == Some(Cut::Forgotten)));
    }
    assert!(cut > 50 && doubtful > 0, "{cut} were cut off, {doubtful} in doubt");
}

#[test]
fn readers_that_stop_stall_nobody_else() {
    let asleep = Plan { asleep_until: Duration::from_secs(300), ..writes(0) };
    let time = |sleepers: usize| {
        let mut wishes: Vec<Wish> =
            (0..sleepers).map(|_| wish(Duration::ZERO, writes(10_000_000), asleep.clone())).collect();
        wishes.push(wish(Duration::from_secs(10), writes(3_000_000), writes(0)));
        let mut world = World::new(1, Limits { links: 1, ..Limits::default() }, steady(300), wishes);
        world.pass(Duration::from_secs(100));
        let (stream, app) = world.apps[FAR].last_key_value().unwrap();
        assert!(app.got_end, "{stream:?}");
        assert!(world.apps[FAR].values().take(sleepers).all(|app| app.read == 0));
        app.done_at
    };
    let (alone, beside) = (time(0), time(100));
    eprintln!("3 MB alone until {alone:?}, beside 100 readers that have stopped until {beside:?}");
    assert!(beside < alone + Duration::from_millis(100));
}

#[test]
fn a_hundred_streams_are_opened_in_one_round_trip() {
    let at = Duration::from_secs(10);
    let mut wishes = vec![wish(Duration::ZERO, types(100), writes(0))];
    wishes.extend((0..100).map(|_| wish(at, writes(500), writes(500))));
    let mut world = World::new(1, Limits::default(), steady(300), wishes);
    world.pass(at + Duration::from_secs(5));
    let last = world.apps[NEAR].values().skip(1).map(|app| app.read_at.first().unwrap().1).max().unwrap();
    eprintln!(
        "100 streams have their first bytes after {:?}, of which the backends take up to 200 ms",
        last - at
    );
    assert!(last - at < Duration::from_millis(300 + 200 + 100));
}

#[test]
fn an_idle_stream_costs_little() {
    let idle = Plan { asleep_until: Duration::from_secs(100_000), ..writes(0) };
    let mut world = World::new(
        1,
        Limits::default(),
        steady(300),
        vec![wish(Duration::ZERO, Plan { drip: Some((1, 200 * MINUTE)), ..writes(2) }, idle)],
    );
    world.pass(Duration::from_secs(10));
    let before = world.carried;
    world.pass(Duration::from_secs(3610));
    let bytes = world.carried - before;
    eprintln!("an idle stream: {bytes} bytes an hour, in {} round trips", bytes / 14);
    assert!(bytes < 3 * 1024 && bytes > 0);
}

#[test]
fn after_an_outage_it_goes_on_soon() {
    let mut gaps: [Vec<Duration>; 2] = Default::default();
    for seed in support::seeds(40, 1000) {
        let mut dice = Dice::new(seed);
        let is_long = seed % 2 == 1;
        let lasts = if is_long { dice.between(60_000, 300_000) } else { dice.between(100, 3000) };
        let from = Duration::from_millis(dice.between(10_000, 20_000));
        let back = from + Duration::from_millis(lasts);
        let mut weather = steady(300);
        weather.outages.push((from, back));
        let mut world =
            World::new(seed, Limits::default(), weather, vec![wish(Duration::ZERO, types(400), types(400))]);
        world.pass(MINUTE * 12);
        for end in [NEAR, FAR] {
            let app = &world.apps[end].first_key_value().unwrap().1;
            assert!(app.is_over() && app.cut.is_none(), "seed {seed}");
            let next = app.read_at.iter().find(|(_, at)| *at > back + Duration::from_millis(150)).unwrap().1;
            gaps[usize::from(is_long)].push(next - back);
        }
    }
    for (gaps, what) in gaps.iter_mut().zip(["short", "long"]) {
        gaps.sort();
        let at = |hundredth: usize| gaps[gaps.len() * hundredth / 100];
        eprintln!(
            "after a {what} outage: median {:?}, 95 % {:?}, most {:?}",
            at(50),
            at(95),
            gaps[gaps.len() - 1]
        );
        assert!(at(50) <= Duration::from_secs(4) && at(95) <= Duration::from_secs(15));
    }
}
