//! Bytes in any order, twice, and beyond what is allowed.

use super::*;

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn whatever_comes_twice_or_in_another_order_is_read_once_and_in_order() {
    for seed in 0..200 {
        let mut state = seed * 104_729 + 3;
        let all: Vec<u8> = (0..random(&mut state) % 50_000).map(|at| ((at * 131) >> 4) as u8).collect();
        let mut parts = Vec::new();
        for _ in 0..2 {
            let mut at = 0;
            while at < all.len() {
                let end = (at + 1 + random(&mut state) as usize % 3000).min(all.len());
                parts.push((at, end));
                at = end;
            }
        }
        parts.push((all.len(), all.len()));
        for place in (1..parts.len()).rev() {
            parts.swap(place, random(&mut state) as usize % (place + 1));
        }
        let (mut incoming, mut got, mut ended) = (Incoming::default(), Vec::new(), false);
        for (start, end) in parts {
            let news = incoming.take(start as u64, &all[start..end], end == all.len()).unwrap();
            let mut buffer = vec![0; 1 + random(&mut state) as usize % 4000];
            assert!(!news || incoming.is_readable());
            match incoming.read(&mut buffer) {
                Read::Bytes(many) => got.extend_from_slice(&buffer[..many]),
                Read::End => ended = true,
                Read::Nothing => assert!(!incoming.is_readable()),
            }
            assert!(incoming.unread() <= FIRST_CREDIT);
        }
        let mut rest = vec![0; all.len() + 1];
        while !ended {
            match incoming.read(&mut rest) {
                Read::Bytes(many) => got.extend_from_slice(&rest[..many]),
                Read::End => ended = true,
                Read::Nothing => panic!("seed {seed}: something is missing"),
            }
        }
        assert!(got == all && incoming.is_done());
    }
}

#[test]
fn a_peer_that_lies_is_found_out() {
    let bytes = [0; 100];
    let mut incoming = Incoming::default();
    assert_eq!(incoming.take(FIRST_CREDIT - 99, &bytes, false), Err(Violation::Credit));
    assert_eq!(incoming.take(u64::MAX - 9, &bytes, false), Err(Violation::Number));
    incoming.take(10, &bytes, false).unwrap();
    assert_eq!(incoming.take(0, &bytes, true), Err(Violation::End));
    incoming.take(100, &bytes, true).unwrap();
    assert_eq!(incoming.take(100, &bytes[..99], true), Err(Violation::End));
    assert_eq!(incoming.take(200, &bytes[..1], false), Err(Violation::End));
    incoming.take(100, &bytes, true).unwrap();
}

#[test]
fn pieces_are_bounded_and_key_presses_are_kept_together() {
    let mut incoming = Incoming::default();
    for at in 1..=10_000 {
        incoming.take(at, &[1], false).unwrap();
    }
    assert_eq!(incoming.pieces.len(), 1);
    let mut incoming = Incoming::default();
    let flood = (0..30_000).map(|at| incoming.take(1 + 2 * at, &[1], false)).find(Result::is_err);
    assert_eq!(flood, Some(Err(Violation::Flood)));
}

#[test]
fn a_reader_that_keeps_up_gets_more_credit_and_one_that_does_not_keeps_its_own() {
    let mut incoming = Incoming::default();
    let mut at = 0;
    let mut buffer = vec![0; 16_384];
    for _ in 0..200 {
        incoming.take(at, &buffer, false).unwrap();
        at += 16_384;
        incoming.read(&mut buffer);
        incoming.more_credit(512 * 1024, |_| true);
    }
    assert_eq!(incoming.limit(), at + 512 * 1024);
    assert_eq!(incoming.grown(), 512 * 1024 - FIRST_CREDIT);
    let mut slow = Incoming::default();
    slow.take(0, &[0; FIRST_CREDIT as usize], false).unwrap();
    slow.read(&mut [0; 9000]);
    assert!(slow.more_credit(512 * 1024, |_| true));
    assert_eq!(slow.limit(), FIRST_CREDIT + 9000);
    let mut alone = Incoming::default();
    alone.take(0, &[0; 16_384], false).unwrap();
    alone.read(&mut buffer);
    alone.more_credit(512 * 1024, |_| false);
    assert_eq!(alone.grown(), 0);
}
