//! Short forms of the rows, each a few seconds of a fault.

use std::thread;
use std::time::Duration;

use ormesh_core::model::problem::Code;

use crate::mesh::Mesh;
use crate::support::{PATIENCE, figure, is_online, is_reachable};

/// Long enough for tor to use up the circuits that it builds for a service in five minutes: it took eight seconds.
const BURNT: Duration = Duration::from_secs(12);

#[test]
fn an_exporter_whose_network_was_cut_says_so_and_is_back_soon_after() {
    let mesh = Mesh::up(tornet::shared());
    mesh.uplinks[0].cut();
    let status = mesh.exporter.wait_until("it says that it is offline", |status| !is_online(status));
    assert!(status.problems.iter().any(|problem| problem.code == Code::TorStuck), "{:?}", status.problems);
    thread::sleep(BURNT);
    mesh.uplinks[0].restore();

    // Without a service that is given to tor anew it takes up to five minutes.
    let healed = mesh.works_after(PATIENCE).expect("a new connection works");

    figure("the exporter's network was cut for 12 s: a new connection works after", format!("{healed:?}"));
    let status = mesh.exporter.wait_until("it says that all is well", is_reachable("client"));
    assert!(status.problems.is_empty(), "{:?}", status.problems);
}
