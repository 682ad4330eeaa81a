//! Which link carries what.

use std::time::Duration;

use super::*;

fn link(delay: u64, is_full: bool) -> View {
    View { delay: Duration::from_millis(delay), rate: 1e6, is_full, has_room: true }
}

#[test]
fn a_key_press_takes_the_quickest_link_and_one_of_two_that_are_as_quick() {
    let views = [link(300, false), link(200, true), link(200, false)];
    let carries: Vec<bool> = (0..3).map(|this| carries_quick(&views, this)).collect();
    assert_eq!(carries, [false, true, false]);
    assert!(!carries_quick(&views, 3));
}

#[test]
fn a_key_press_waits_for_the_quickest_link_rather_than_take_a_slow_one() {
    let views = [View { has_room: false, ..link(200, false) }, link(900, false)];
    assert!(!carries_quick(&views, 1));
}

#[test]
fn bulk_takes_a_slower_link_once_the_quicker_one_is_full_and_would_take_longer_for_what_waits() {
    let many = 1_000_000;
    assert!(!carries_bulk(&[link(100, false), link(500, false)], 1, many));
    assert!(carries_bulk(&[link(100, true), link(500, false)], 1, many));
    // 300,000 bytes take the quick one 0.3 s.
    assert!(!carries_bulk(&[link(100, true), link(500, false)], 1, 300_000));
    assert!(!carries_bulk(&[link(100, true), link(500, true)], 1, many));
    let blocked = View { has_room: false, ..link(100, false) };
    assert!(carries_bulk(&[blocked, link(500, false)], 1, many));
}

#[test]
fn several_quick_links_together_leave_less_to_slow_ones() {
    let views = [link(100, true), link(100, true), link(700, false)];
    assert!(!carries_bulk(&views, 2, 1_000_000));
    assert!(carries_bulk(&views, 2, 1_300_000));
}
