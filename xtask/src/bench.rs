//! `cargo xtask bench`: what the desktop app and sessions cost, with release binaries. Figures are shown and kept as JSON, never judged.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::setup::Tools;
use crate::test::{FEATURES, stream};
use crate::workspace::Workspace;
use crate::{desktop, say};

/// Runs the measuring tests and shows what it found.
pub(crate) fn run(tools: &Tools) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    desktop::build_window(&workspace)?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--release"]).args(FEATURES).args(["--bins", "--test", "desktop", "--test", "mesh"]);
    cargo.args(["--", "--nocapture", "--ignored", "figures::"]).envs(tools.environment());
    let mut figures = BTreeMap::new();
    let ok = stream(&mut cargo, |line| {
        if let Some((what, value)) = figure(line) {
            figures.insert(what.to_owned(), value.to_owned());
        }
    })?;
    say::heading("figures");
    for (what, value) in &figures {
        println!("{what:<60} {value:>16}");
    }
    let file = workspace.target().join("bench.json");
    let text = serde_json::to_string_pretty(&figures).context("failed to write figures as JSON")?;
    std::fs::write(&file, text).with_context(|| format!("failed to write: {}", file.display()))?;
    say::note(&format!("in {}", file.display()));
    say::outcome(ok && !figures.is_empty(), "bench");
    Ok(if ok && !figures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a line `figure: what: value`; what is measured may hold a colon, its value does not.
fn figure(line: &str) -> Option<(&str, &str)> {
    line.trim().strip_prefix("figure: ")?.rsplit_once(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_and_other_lines_are_none() {
        assert_eq!(
            figure("figure: app open: RSS (PSS): 1 (2) MiB\n"),
            Some(("app open: RSS (PSS)", "1 (2) MiB"))
        );
        assert_eq!(figure("test figures ... ok"), None);
    }
}
