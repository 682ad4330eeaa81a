//! The suite over the fake engine, each promise a test.

use std::sync::Arc;

use ormesh_core::engine::OnionEngine as _;
use ormesh_core::engine::fake::FakeNetwork;

use crate::suite::{self, End, Pair};

async fn pair() -> Pair {
    let network = FakeNetwork::new();
    let end = || async {
        let dir = tempfile::tempdir().unwrap();
        let engine = network.engine(dir.path());
        engine.run(true).await;
        let killed = Arc::clone(&engine);
        let kill = move || {
            killed.lose();
            killed.recover();
        };
        End {
            events: engine.events().unwrap(),
            engine,
            run_dir: dir.path().to_owned(),
            kill: Box::new(kill),
            _dir: dir,
        }
    };
    Pair { exporter: end().await, importer: end().await }
}

macro_rules! hold {
    ($($promise:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                suite::$promise(&mut pair().await).await;
            }
        )*
    };
}

hold!(
    a_service_is_reached_by_its_client,
    nobody_else_gets_in,
    other_ports_are_refused,
    a_closed_gate_is_a_failure,
    a_replaced_service_keeps_its_sessions,
    a_withdrawn_service_closes_its_sessions,
    a_service_published_anew_takes_the_place_of_the_old,
    what_is_not_there_can_be_removed,
    a_descriptor_is_fetched_ahead,
    a_killed_exporter_starts_empty,
    a_killed_importer_starts_empty,
    off_is_off,
);
