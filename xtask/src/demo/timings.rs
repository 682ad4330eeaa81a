//! The table of figures at the end.

use std::time::Duration;

use crate::say;

/// Figures in the order in which they were taken.
#[derive(Default)]
pub(super) struct Timings {
    rows: Vec<(String, String)>,
}

impl Timings {
    /// Adds a time.
    pub(super) fn add(&mut self, what: &str, time: Duration) {
        self.rows.push((what.to_owned(), say::span(time)));
    }

    /// Adds a size in KiB, shown in MiB.
    pub(super) fn add_size(&mut self, what: &str, kib: u64) {
        self.rows.push((what.to_owned(), format!("{:.1} MiB", kib as f64 / 1024.0)));
    }

    /// Prints them.
    pub(super) fn print(&self) {
        let width = self.rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
        for (what, figure) in &self.rows {
            println!("  {what:<width$}  {figure:>12}");
        }
    }
}
