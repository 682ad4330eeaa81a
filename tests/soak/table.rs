//! The long form: plays rows again and again, and tells each time what came of it. `cargo xtask soak` makes the table out of that.

use std::time::{Duration, Instant};

use serde_json::json;
use tornet::{Tools, Tornet};

use crate::mesh::Mesh;
use crate::rows::{ROWS, Row, calm};

/// How long one is waited for that does not heal.
const PATIENCE: Duration = Duration::from_secs(130);

/// What the environment says, if it says anything.
pub(crate) fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// For how long faults are played: `ORMESH_SOAK_SECONDS`.
pub(crate) fn seconds() -> Duration {
    Duration::from_secs(asked("ORMESH_SOAK_SECONDS").map_or(0, |seconds| seconds.parse().unwrap()))
}

/// Plays the rows that `ORMESH_SOAK_ROWS` names (all without it), each once, and again until the time is over.
#[test]
#[ignore = "takes minutes to hours; cargo xtask soak runs it"]
fn rows() {
    let only = asked("ORMESH_SOAK_ROWS");
    let is_asked = |row: &&Row| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == row.name));
    let rows: Vec<_> = ROWS.iter().filter(is_asked).collect();
    assert!(!rows.is_empty(), "no row is called {only:?}");
    let tools = Tools::find().unwrap();
    let dir = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
    // Its own, since its relays are killed.
    let mut network = Tornet::up(dir.path(), &tools).unwrap();
    let mut mesh = Mesh::up(network.network());
    let until = Instant::now() + seconds();
    for round in 0.. {
        for row in rows.iter().flat_map(|row| std::iter::repeat_n(row, row.times())) {
            let begun = Instant::now();
            if round > 0 && begun > until {
                return;
            }
            let mut relays = |run: bool| match run {
                true => network.start_nodes(&tools).unwrap(),
                false => network.stop_nodes(),
            };
            let figures = row.play(&mesh, &mut relays, PATIENCE);
            let told = json!({
                "row": row.name,
                "said": tenths(row.said(&figures)),
                "said-bar": row.said.filter(|_| figures.is_said),
                "said-exporter": tenths(figures.said[0]),
                "said-importer": tenths(figures.said[1]),
                "healed": tenths(figures.healed),
                "healed-bar": row.healed,
                "healed-most": row.healed_most,
                "took": tenths(Some(begun.elapsed())),
            });
            println!("row: {told}");
            match figures.healed {
                Some(_) => {
                    calm(&mesh);
                    std::thread::sleep(row.rests());
                }
                None => {
                    drop(mesh);
                    mesh = Mesh::up(network.network());
                }
            }
        }
    }
}

/// In seconds.
fn tenths(time: Option<Duration>) -> Option<f64> {
    time.map(|time| (time.as_secs_f64() * 10.0).round() / 10.0)
}
