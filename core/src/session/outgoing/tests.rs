//! Against a plain model: which bytes are acknowledged.

use super::*;

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn whatever_is_lost_or_acknowledged_all_bytes_are_sent_and_let_go() {
    for seed in 0..300 {
        let mut state = seed * 7919 + 1;
        let mut out = Outgoing::default();
        let all: Vec<u8> = (0..random(&mut state) % 60_000).map(|at| ((at * 31) >> 3) as u8).collect();
        let mut written = 0;
        let mut flying: Vec<Part> = Vec::new();
        let mut arrived = vec![false; all.len()];
        let mut turns = 0;
        while !out.is_done() {
            turns += 1;
            assert!(turns < 100_000, "seed {seed} never ends");
            if written < all.len() && random(&mut state).is_multiple_of(3) {
                let many = (1 + random(&mut state) as usize % 9000)
                    .min(all.len() - written)
                    .min(out.room(20_000) as usize);
                out.write(&all[written..written + many]);
                written += many;
                assert!(out.unacked() <= 20_000);
            }
            if written == all.len() {
                out.finish();
            }
            if let Some(part) = out.next_part(1 + random(&mut state) % 5000) {
                flying.push(part);
            }
            if flying.is_empty() {
                continue;
            }
            let part = flying.swap_remove(random(&mut state) as usize % flying.len());
            let mut bytes = Vec::new();
            out.copy(part, &mut bytes);
            assert_eq!(bytes, all[part.start as usize..part.end as usize], "seed {seed}");
            if random(&mut state).is_multiple_of(3) {
                let again = out.lost(part).expect("nothing of it was acknowledged");
                assert_eq!(again, part);
                out.sent_again();
                flying.push(again);
            } else {
                arrived[part.start as usize..part.end as usize].fill(true);
                out.acked(part, true);
                assert_eq!(out.lacking(part), None);
            }
        }
        assert!(arrived.iter().all(|arrived| *arrived) && written == all.len());
        assert_eq!((out.unacked(), out.frames, out.pieces.len()), (0, 0, 0));
    }
}

#[test]
fn bytes_behind_those_of_a_slow_link_are_let_go() {
    let mut out = Outgoing::default();
    out.write(&[1; 4 * CHUNK]);
    let parts: Vec<Part> = (0..4).filter_map(|_| out.next_part(CHUNK as u64)).collect();
    for part in &parts[1..] {
        out.acked(*part, true);
    }
    assert_eq!(out.unacked(), CHUNK as u64);
}

#[test]
fn no_more_is_taken_than_there_is_credit_for() {
    let mut out = Outgoing::default();
    assert_eq!(out.room(1 << 30), FIRST_CREDIT);
    out.write(&[0; 1000]);
    assert_eq!(out.room(1 << 30), FIRST_CREDIT - 1000);
    out.credit(FIRST_CREDIT + 500);
    out.credit(10);
    assert_eq!(out.room(1 << 30), FIRST_CREDIT - 500);
    out.finish();
    assert_eq!(out.room(1 << 30), 0);
}

#[test]
fn an_end_alone_is_a_part_and_is_said_once() {
    let mut out = Outgoing::default();
    assert_eq!(out.next_part(100), None);
    out.finish();
    let end = Part { start: 0, end: 0, is_end: true };
    assert_eq!(out.next_part(100), Some(end));
    assert_eq!(out.next_part(100), None);
    assert_eq!(out.lost(end), Some(end));
    out.acked(end, false);
    assert!(out.is_done());
}
