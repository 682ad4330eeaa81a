//! Tests of `lanes`: one lane while it does, more when it is busy, never too many.

use super::*;

fn lanes() -> Arc<Lanes> {
    Arc::new(Lanes::new("import"))
}

fn move_bytes(ride: &Ride, bytes: u64) {
    ride.meter(Arc::default()).count_down(usize::try_from(bytes).unwrap());
}

#[tokio::test(start_paused = true)]
async fn connections_that_move_little_share_one_lane() {
    let lanes = lanes();
    let rides: Vec<Ride> = (0..100).map(|_| lanes.pick()).collect();
    rides.iter().for_each(|ride| move_bytes(ride, 1000));

    assert_eq!(lanes.pick().group(), "import-0");
    assert_eq!(lanes.groups(), ["import-0"]);
}

#[tokio::test(start_paused = true)]
async fn bulk_connections_spread_over_lanes_up_to_the_limit() {
    let lanes = lanes();
    let mut rides = Vec::new();
    for _ in 0..20 {
        let ride = lanes.pick();
        move_bytes(&ride, BULK);
        rides.push(ride);
    }

    let count = |lane: usize| rides.iter().filter(|ride| ride.lane == lane).count();
    assert_eq!([0, 1, 2, 3].map(count), [5; 4]);
    assert_eq!(lanes.groups().len(), MAX_LANES);
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_free_again_once_its_connections_end_or_fall_silent() {
    let lanes = lanes();
    let bulk = [lanes.pick(), lanes.pick()];
    bulk.iter().for_each(|ride| move_bytes(ride, BULK));
    assert_eq!(lanes.pick().lane, 1);

    tokio::time::advance(WINDOW).await;
    bulk.iter().for_each(|ride| move_bytes(ride, 10));
    assert_eq!(lanes.pick().lane, 1, "they moved much in the window that has just ended");
    tokio::time::advance(WINDOW).await;
    assert_eq!(lanes.pick().lane, 0);

    // The first tells only that they moved something since they were last looked at.
    for _ in 0..2 {
        bulk.iter().for_each(|ride| move_bytes(ride, BULK));
    }
    assert_eq!(lanes.pick().lane, 1);
    drop(bulk);
    assert_eq!(lanes.pick().lane, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_slow_but_steady_is_no_bulk_one() {
    let lanes = lanes();
    let slow = [lanes.pick(), lanes.pick(), lanes.pick()];
    for _ in 0..100 {
        slow.iter().for_each(|ride| move_bytes(ride, BULK / 10));
        tokio::time::advance(WINDOW / 5).await;
    }

    assert_eq!(lanes.pick().lane, 0);
}

/// What is looked at while a connection comes and goes beside so many idle ones, some of which were bulk ones once.
async fn looks_beside(idle: usize) -> u64 {
    let lanes = lanes();
    let rides: Vec<Ride> = (0..idle).map(|_| lanes.pick()).collect();
    rides.iter().take(5).for_each(|ride| move_bytes(ride, BULK));
    tokio::time::advance(3 * WINDOW).await;
    drop(lanes.pick());
    let before = lanes.lock().looks;

    drop(lanes.pick());

    lanes.lock().looks - before
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_costs_the_same_beside_ten_idle_ones_and_beside_thousands() {
    assert_eq!(looks_beside(10).await, looks_beside(8_000).await);
}
