//! `cargo xtask soak`: plays bad days of the network and of tor again and again, and shows one table: each row with its bars and figures.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::say;
use crate::setup::Tools;
use crate::test::{FEATURES, stream};
use crate::workspace::Workspace;

/// The test that plays what its environment says.
const ROWS: &str = "table::rows";

/// What is played.
pub(crate) struct Played {
    pub(crate) minutes: u64,
    pub(crate) row: Option<String>,
}

/// The figures of a row, in seconds; none where it did not come to pass while it was waited for.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    said_bar: Option<f64>,
    healed_bar: f64,
    said: Vec<Option<f64>>,
    healed: Vec<Option<f64>>,
}

/// Plays it, and shows what came of it.
pub(crate) fn run(tools: &Tools, played: &Played) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--workspace", "--test", "soak"]).args(FEATURES);
    cargo.args(["--", "--ignored", "--exact", "--nocapture", ROWS]).envs(tools.environment());
    cargo.env("ORMESH_SOAK_MINUTES", played.minutes.to_string());
    cargo.env("ORMESH_SOAK_ROW", played.row.as_deref().unwrap_or_default());
    let mut rows = BTreeMap::new();
    let went_through = stream(&mut cargo, |line| take(&mut rows, line))?;
    say::heading("rows");
    println!(
        "{:<22} {:>5} {:>5} {:>7} {:>7}  {:>5} {:>7} {:>7}",
        "row", "times", "said≤", "median", "most", "good≤", "median", "most"
    );
    for (name, row) in &rows {
        let bar = row.said_bar.map_or_else(|| "–".to_owned(), |bar| bar.to_string());
        let (said, healed) = (spread(&row.said), spread(&row.healed));
        let said = row.said_bar.map_or(["–".to_owned(), "–".to_owned()], |_| said);
        let [said, most_said] = said;
        let [healed, most_healed] = healed;
        let text = format!(
            "{name:<20} {:>5} {bar:>5} {said:>7} {most_said:>7}  {:>5} {healed:>7} {most_healed:>7}",
            row.healed.len(),
            row.healed_bar
        );
        say::outcome(is_met(row), &text);
    }
    let file = workspace.target().join("soak.json");
    let told: BTreeMap<_, _> = rows.iter().map(|(name, row)| (name, written(row))).collect();
    let text = serde_json::to_string_pretty(&told).context("failed to write figures as JSON")?;
    std::fs::write(&file, text).with_context(|| format!("failed to write: {}", file.display()))?;
    say::note(&format!("in {}", file.display()));
    let ok = went_through && !rows.is_empty() && rows.values().all(is_met);
    say::outcome(ok, "soak");
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a line `row: {…}`; others are passed over.
fn take(rows: &mut BTreeMap<String, Figures>, line: &str) {
    let Some(told) = line.trim().strip_prefix("row: ") else { return };
    let Ok(told) = serde_json::from_str::<Value>(told) else { return };
    let (Some(name), Some(healed_bar)) = (told["row"].as_str(), told["healed-bar"].as_f64()) else { return };
    let row = rows.entry(name.to_owned()).or_default();
    (row.said_bar, row.healed_bar) = (told["said-bar"].as_f64(), healed_bar);
    row.said.push(told["said"].as_f64());
    row.healed.push(told["healed"].as_f64());
}

/// Whether each time was within its bar.
fn is_met(row: &Figures) -> bool {
    let within =
        |figures: &[Option<f64>], bar: f64| figures.iter().all(|figure| figure.is_some_and(|it| it <= bar));
    within(&row.healed, row.healed_bar) && row.said_bar.is_none_or(|bar| within(&row.said, bar))
}

/// The median and the most, where what never came is more than anything.
fn spread(figures: &[Option<f64>]) -> [String; 2] {
    let mut sorted: Vec<f64> = figures.iter().map(|figure| figure.unwrap_or(f64::INFINITY)).collect();
    sorted.sort_by(f64::total_cmp);
    let shown = |figure: Option<&f64>| match figure {
        Some(figure) if figure.is_finite() => format!("{figure:.1}"),
        _ => "never".to_owned(),
    };
    [shown(sorted.get(sorted.len() / 2)), shown(sorted.last())]
}

fn written(row: &Figures) -> Value {
    json!({
        "said-bar": row.said_bar,
        "healed-bar": row.healed_bar,
        "said": row.said,
        "healed": row.healed,
        "met": is_met(row),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_met_only_if_it_was_each_time() {
        let mut rows = BTreeMap::new();
        for line in [
            "test table::rows ... ",
            r#"row: {"row":"cut","said":1.4,"said-bar":5,"healed":2.7,"healed-bar":30}"#,
            r#"row: {"row":"cut","said":3.0,"said-bar":5,"healed":9.5,"healed-bar":30}"#,
            r#"row: {"row":"killed","said":null,"said-bar":null,"healed":6.1,"healed-bar":5}"#,
            r#"row: {"row":"gone","said":1.0,"said-bar":5,"healed":null,"healed-bar":30}"#,
            "row: nonsense",
        ] {
            take(&mut rows, line);
        }
        let met: Vec<_> = rows.iter().map(|(name, row)| (name.as_str(), is_met(row))).collect();
        assert_eq!(met, [("cut", true), ("gone", false), ("killed", false)]);
        assert_eq!(spread(&rows["cut"].healed), ["9.5", "9.5"]);
        assert_eq!(spread(&rows["gone"].healed), ["never", "never"]);
    }
}
