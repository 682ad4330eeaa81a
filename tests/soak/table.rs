//! The long form: plays rows again and again, and tells each time what came of it. `cargo xtask soak` makes the table out of that.

use std::time::{Duration, Instant};

use serde_json::json;
use tornet::{Tools, Tornet};

use crate::mesh::Mesh;
use crate::rows::{ROWS, calm};

/// How long one is waited for that does not heal.
const PATIENCE: Duration = Duration::from_secs(130);

/// Plays what the environment says: `ORMESH_SOAK_ROW` (all without it) for `ORMESH_SOAK_MINUTES`, or `ORMESH_SOAK_TIMES` times each.
#[test]
#[ignore = "takes minutes to hours; cargo xtask soak runs it"]
fn rows() {
    let asked = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let number = |name: &str| asked(name).map(|value| value.parse::<u64>().unwrap());
    let only = asked("ORMESH_SOAK_ROW");
    let until =
        number("ORMESH_SOAK_MINUTES").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let times = number("ORMESH_SOAK_TIMES").unwrap_or(if until.is_some() { u64::MAX } else { 1 });
    let rows: Vec<_> =
        ROWS.iter().filter(|row| only.as_deref().is_none_or(|only| row.name.contains(only))).collect();
    assert!(!rows.is_empty(), "no row is called {only:?}");
    let tools = Tools::find().unwrap();
    let dir = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
    // Its own, since its relays are killed.
    let mut network = Tornet::up(dir.path(), &tools).unwrap();
    let mut mesh = Mesh::up(network.network());
    for _ in 0..times {
        for row in &rows {
            if until.is_some_and(|until| Instant::now() > until) {
                return;
            }
            let mut relays = |run: bool| match run {
                true => network.start_nodes(&tools).unwrap(),
                false => network.stop_nodes(),
            };
            let figures = row.play(&mesh, &mut relays, PATIENCE);
            let seconds =
                |time: Option<Duration>| time.map(|time| (time.as_secs_f64() * 10.0).round() / 10.0);
            let told = json!({
                "row": row.name,
                "said": seconds(row.said(&figures)),
                "said-bar": row.said,
                "said-exporter": seconds(figures.said[0]),
                "said-importer": seconds(figures.said[1]),
                "healed": seconds(figures.healed),
                "healed-bar": row.healed,
            });
            println!("row: {told}");
            match figures.healed {
                Some(_) => calm(&mesh),
                None => {
                    drop(mesh);
                    mesh = Mesh::up(network.network());
                }
            }
        }
    }
}
