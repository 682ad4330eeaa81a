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

    bulk.iter().for_each(|ride| move_bytes(ride, BULK));
    assert_eq!(lanes.pick().lane, 1);
    drop(bulk);
    assert_eq!(lanes.pick().lane, 0);
}
