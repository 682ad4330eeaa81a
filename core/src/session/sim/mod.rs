//! The simulation: what must hold, whatever the links do.

mod app;
mod days;
mod dice;
mod figures;
mod hostile;
mod wire;
mod world;

use std::time::Duration;

use super::limits::Limits;
use super::words::Cut;
use app::Plan;
use dice::Dice;
use wire::Nature;
use world::{FAR, NEAR, REFUSED, Weather, Wish, World};

const MINUTE: Duration = Duration::from_secs(60);

fn random_plan(dice: &mut Dice, largest: u64) -> Plan {
    let size = match dice.between(0, 5) {
        0 => 0,
        1 => dice.between(1, 100),
        2 | 3 => dice.between(1, 20_000),
        _ => dice.between(1, largest),
    };
    let pause = |dice: &mut Dice| Duration::from_millis(dice.between(1, 300));
    let drip = dice.once_in(3).then(|| (dice.between(1 + size / 50, 1 + size / 5), pause(dice)));
    let sips = dice.once_in(4).then(|| (dice.between(500, 9000), Duration::from_millis(dice.between(1, 30))));
    let asleep = if dice.once_in(6) { dice.between(0, 60_000) } else { 0 };
    let resets_at = dice.once_in(8).then(|| dice.between(0, size));
    Plan {
        writes: size,
        drip,
        sips,
        asleep_until: Duration::from_millis(asleep),
        resets_at,
        ends_last: false,
    }
}

fn random_nature(dice: &mut Dice, deaths: u64) -> Nature {
    let rate = dice.between(50_000, 2_000_000);
    let dies_at = (deaths > 0 && !dice.once_in(deaths)).then(|| match dice.between(0, 2) {
        0 => dice.between(1, 300),
        1 => dice.between(1, 50_000),
        _ => dice.between(1, 600_000),
    });
    Nature {
        delay: Duration::from_millis(dice.between(20, 60) * dice.between(1, 10)),
        rate,
        queue: dice.between(5_000, 200_000),
        dies_at,
        is_told: !dice.once_in(3),
    }
}

fn random_wishes(dice: &mut Dice) -> Vec<Wish> {
    let many = if dice.once_in(10) { dice.between(20, 60) } else { dice.between(1, 8) };
    let largest = if many > 8 {
        40_000
    } else if dice.once_in(8) {
        3_000_000
    } else {
        300_000
    };
    let wish = |dice: &mut Dice| {
        let (near, mut far) = (random_plan(dice, largest), random_plan(dice, largest));
        far.ends_last = dice.once_in(3);
        let port = if dice.once_in(12) { REFUSED } else { 22 };
        let at = Duration::from_millis(if dice.once_in(2) { 0 } else { dice.between(0, 20_000) });
        Wish { at, port, near, far }
    };
    (0..many).map(|_| wish(dice)).collect()
}

/// Plays a seed. Links die, fall silent and are slow, and the network may be gone for a while, but not for longer than the time to hold.
fn play(seed: u64, trace: bool) -> World {
    let mut dice = Dice::new(seed);
    let wishes = random_wishes(&mut dice);
    // From none that die to most that do.
    let deaths = dice.between(0, 4);
    let outages = (0..dice.between(0, 2)).map(|index| {
        let from = Duration::from_millis(dice.between(5_000, 30_000)) + index as u32 * 5 * MINUTE;
        (from, from + Duration::from_millis(dice.between(100, 240_000)))
    });
    let outages: Vec<_> = outages.collect();
    let dial_fails = if dice.once_in(2) { 0 } else { dice.between(2, 5) };
    let nature = Box::new(move |dice: &mut Dice| random_nature(dice, deaths));
    let weather = Weather { nature, dial_fails, outages };
    // Several links from the beginning, for half of them.
    let widen = if dice.once_in(2) { [Duration::from_millis(1); 3] } else { Limits::default().widen };
    let mut world = World::new(seed, Limits { widen, ..Limits::default() }, weather, wishes);
    world.trace = trace;
    let is_over = world.run(MINUTE * 90);
    assert!(is_over, "seed {seed}: it stalls: {:?}", unfinished(&world));
    // Where no link ever came up, the wait for the first one ends.
    let never_began = world.most_links == 0;
    judge(&world, seed, never_began);
    // Nothing is left over, once what is on its way has arrived. (An importer that needs no link any more dials none: what the exporter
    // waits to see acknowledged goes with its hold.)
    world.pass(world.now + MINUTE * 6);
    for session in world.sessions.iter().flatten().filter(|session| !session.has_ended()) {
        let standing = session.standing();
        if standing.holding_since.is_some() {
            continue;
        }
        assert_eq!((standing.streams, standing.unacked), (0, 0), "seed {seed}: {standing:?}");
    }
    world
}

fn unfinished(world: &World) -> Vec<String> {
    let apps = world.apps.iter().flat_map(|apps| apps.values().filter(|app| !app.is_over()));
    let mut all: Vec<String> = apps.map(|app| format!("{app:?}")).collect();
    all.extend(world.sessions.iter().flatten().map(|session| format!("{:?}", session.standing())));
    all
}

/// Each stream's bytes are equal at both ends, or it was reset. (Each byte was compared when it was read.)
fn judge(world: &World, seed: u64, may_be_cut: bool) {
    for (stream, near) in &world.apps[NEAR] {
        let Some(far) = world.apps[FAR].get(stream) else {
            assert!(near.refused || near.cut.is_some(), "seed {seed}: {stream:?} was never opened: {near:?}");
            continue;
        };
        let wanted_reset = near.plan.resets_at.is_some() || far.plan.resets_at.is_some();
        for (one, other) in [(near, far), (far, near)] {
            assert!(one.read <= other.written);
            if one.got_end {
                assert!(other.finished, "seed {seed}: {stream:?} has an end that nobody wrote");
                assert_eq!(one.read, other.written, "seed {seed}: {stream:?} ends early");
                assert_eq!(one.read, other.plan.writes);
            }
            let is_whole = one.got_end && one.finished;
            assert!(is_whole || one.cut.is_some(), "seed {seed}: {stream:?}");
            // Nobody could know whether the exporter had seen its opening.
            let may_be_cut = may_be_cut || near.cut == Some(Cut::Forgotten);
            assert!(
                one.cut.is_none() || wanted_reset || may_be_cut,
                "seed {seed}: {stream:?} was cut off: {one:?}"
            );
        }
    }
}

#[test]
fn whatever_links_do_each_stream_is_whole_or_reset_at_both_ends() {
    let seeds = support::seeds(80, 20_000);
    let is_one = seeds.clone().count() == 1;
    let failed: Vec<u64> =
        seeds.clone().filter(|seed| std::panic::catch_unwind(|| play(*seed, is_one)).is_err()).collect();
    assert!(failed.is_empty(), "{} of {seeds:?} seeds fail: {failed:?}", failed.len());
}
