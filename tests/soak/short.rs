//! Short forms of the rows, each a few seconds of a fault.

use std::thread;
use std::time::Duration;

use ormesh_core::model::problem::Code;
use ormesh_core::model::status::Status;

use crate::mesh::Mesh;
use crate::support::{PATIENCE, figure, is_connected, is_online, is_reachable};

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

#[test]
fn an_exporter_that_got_another_address_is_back_though_nobody_looks() {
    let mesh = Mesh::up(tornet::shared());
    mesh.works_after(PATIENCE).expect("a connection works");

    mesh.uplinks[0].strand();

    // tor holds such a connection for a quarter of an hour, and says that all introduction points stand.
    let healed = mesh.works_after(PATIENCE).expect("a new connection works");
    figure("the exporter's connections died in silence: a new connection works after", format!("{healed:?}"));
}

#[test]
fn what_is_shown_is_confirmed_while_somebody_looks_and_its_age_is_said_where_it_is_not() {
    let mut mesh = Mesh::up(tornet::shared());
    let confirmed = |status: &Status| {
        let agent = status.agent.as_ref().is_some_and(|agent| agent.unconfirmed.is_none());
        agent && is_online(status) && status.remotes.iter().all(|remote| remote.unconfirmed.is_none())
    };
    // Nobody looks for longer than a proof lasts.
    thread::sleep(Duration::from_secs(20));
    assert!(
        confirmed(&mesh.importer.status()),
        "who looks is answered by what is so: {:#?}",
        mesh.importer.status()
    );

    for (host, uplink) in [(&mesh.exporter, &mesh.uplinks[0]), (&mesh.importer, &mesh.uplinks[1])] {
        uplink.silence();
        // Nothing is refused, so it is not known to be offline.
        let is_said = |status: &Status| {
            status.agent.as_ref().is_some_and(|agent| agent.unconfirmed.is_some_and(|age| age > 5))
        };
        host.wait_until("it says for how long nothing was confirmed", is_said);
        assert!(host.good(&["status"]).contains("online, not confirmed for "), "{}", host.good(&["status"]));
        uplink.restore();
        host.wait_until("it is confirmed again", confirmed);
    }

    // Nobody connects: who looks has it tried.
    mesh.importer.wait_until("the remote is reached", is_connected("remote"));
    mesh.exporter.kill_agent();
    mesh.importer.wait_until("the remote is lost", |status| !is_connected("remote")(status));
    mesh.exporter.spawn_agent(&[]);
    mesh.importer.wait_until("the remote is found again", is_connected("remote"));
    let log = mesh.importer.log();
    for line in [
        "online after=",
        "remote reached remote=remote",
        "remote lost remote=remote",
        "remote found again remote=remote",
    ] {
        assert!(log.contains(line), "{line}: {}", mesh.importer.log_tail());
    }
}
