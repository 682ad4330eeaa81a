//! What tests tell of what they did, line by line, and what that makes of a row.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// All that was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Of faults that were played, by the names of their rows.
    pub(super) played: BTreeMap<String, Played>,
    /// Of other tests: what was measured, and each value that it had.
    pub(super) named: Vec<(String, Vec<String>)>,
    /// How many tests passed.
    pub(super) passed: u64,
}

/// The times of a fault, in seconds; none where it did not come to pass while it was waited for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Played {
    said_bar: Option<f64>,
    /// For 95 of 100.
    healed_bar: f64,
    /// For each.
    healed_most: f64,
    said: Vec<Option<f64>>,
    healed: Vec<Option<f64>>,
    /// For how long it was played.
    took: f64,
}

impl Told {
    /// Reads a line; one that tells nothing is passed over. The test harness may have begun it with words of its own.
    pub(super) fn take(&mut self, line: &str) {
        if let Some((_, told)) = line.split_once("row: ")
            && let Ok(told) = serde_json::from_str(told)
        {
            self.take_played(&told);
        } else if let Some((_, told)) = line.split_once("figure: ")
            && let Some((what, value)) = told.trim().rsplit_once(": ")
        {
            match self.named.iter_mut().find(|(known, _)| known == what) {
                Some((_, values)) => values.push(value.to_owned()),
                None => self.named.push((what.to_owned(), vec![value.to_owned()])),
            }
        }
    }

    fn take_played(&mut self, told: &Value) {
        let Some((name, bar)) = told["row"].as_str().zip(told["healed-bar"].as_f64()) else { return };
        let row = self.played.entry(name.to_owned()).or_default();
        (row.said_bar, row.healed_bar) = (told["said-bar"].as_f64(), bar);
        row.healed_most = told["healed-most"].as_f64().unwrap_or(bar);
        row.said.push(told["said"].as_f64());
        row.healed.push(told["healed"].as_f64());
        row.took += told["took"].as_f64().unwrap_or_default();
    }

    /// The figures of tests, in words.
    pub(super) fn words(&self) -> String {
        let words = self.named.iter().map(|(what, values)| {
            let values: Vec<_> = values.iter().map(|value| readable(value)).collect();
            format!("{what}: {}", values.join(", "))
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

impl Played {
    /// Whether each time was within its bar.
    pub(super) fn is_met(&self) -> bool {
        let within = |figures: &[Option<f64>], part: f64, bar: f64| quantile(figures, part) <= bar;
        within(&self.healed, 0.95, self.healed_bar)
            && within(&self.healed, 1.0, self.healed_most)
            && self.said_bar.is_none_or(|bar| within(&self.said, 1.0, bar))
    }

    /// Its figures, in words.
    pub(super) fn words(&self) -> String {
        let of = |figures: &[Option<f64>], parts: &[f64]| {
            parts.iter().map(|part| shown(quantile(figures, *part))).collect::<Vec<_>>().join(" / ")
        };
        let times = self.healed.len();
        let healed = format!("works after {} s", of(&self.healed, &[0.5, 0.95, 1.0]));
        let said = self.said_bar.map(|_| format!("said after {} s; ", of(&self.said, &[0.5, 1.0])));
        format!("{}{healed}; {times} times", said.unwrap_or_default())
    }

    /// For how long it was played, in seconds.
    pub(super) fn took(&self) -> f64 {
        self.took
    }

    /// All of it.
    pub(super) fn written(&self) -> Value {
        json!({
            "said-bar": self.said_bar,
            "healed-bar": self.healed_bar,
            "healed-most": self.healed_most,
            "said": self.said,
            "healed": self.healed,
        })
    }
}

/// The least figure that so large a part of them does not exceed; what never came is more than anything, and so is no figure at all.
fn quantile(figures: &[Option<f64>], part: f64) -> f64 {
    let mut sorted: Vec<f64> = figures.iter().map(|figure| figure.unwrap_or(f64::INFINITY)).collect();
    sorted.sort_by(f64::total_cmp);
    let place = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
}

fn shown(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.1}") } else { "never".to_owned() }
}

/// A length of time as Rust writes it ("3.803607146s") with no more digits than can be read; anything else as it is.
fn readable(value: &str) -> String {
    for unit in ["ms", "µs", "s"] {
        if let Some(Ok(number)) = value.strip_suffix(unit).map(str::parse::<f64>) {
            return match number {
                ..10.0 => format!("{number:.1} {unit}"),
                _ => format!("{number:.0} {unit}"),
            };
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Told {
        let mut told = Told::default();
        lines.iter().for_each(|line| told.take(line));
        told
    }

    #[test]
    fn a_row_is_met_only_if_it_was_each_time() {
        let told = told(&[
            "test table::rows ... ",
            r#"test table::rows ... row: {"row":"cut","said":1.4,"said-bar":5,"healed":2.7,"healed-bar":30}"#,
            r#"row: {"row":"cut","said":3.0,"said-bar":5,"healed":9.5,"healed-bar":30}"#,
            r#"row: {"row":"killed","said":null,"said-bar":null,"healed":6.1,"healed-bar":5}"#,
            r#"row: {"row":"gone","said":1.0,"said-bar":5,"healed":null,"healed-bar":30}"#,
            "row: nonsense",
        ]);

        let met: Vec<_> = told.played.iter().map(|(name, row)| (name.as_str(), row.is_met())).collect();
        assert_eq!(met, [("cut", true), ("gone", false), ("killed", false)]);
        assert_eq!(
            told.played["cut"].words(),
            "said after 1.4 / 3.0 s; works after 2.7 / 9.5 / 9.5 s; 2 times"
        );
        assert!(told.played["gone"].words().ends_with("works after never / never / never s; 1 times"));
    }

    #[test]
    fn one_of_twenty_may_exceed_the_bar_but_not_the_most() {
        let mut row = Played { healed_bar: 5.0, healed_most: 30.0, ..Played::default() };
        row.healed = vec![Some(1.0); 19];
        row.healed.push(Some(20.0));
        assert!(row.is_met());

        row.healed.push(Some(20.0));
        assert!(!row.is_met(), "two of 21 do");

        row.healed = vec![Some(1.0); 19];
        row.healed.push(Some(31.0));
        assert!(!row.is_met() && !Played::default().is_met());
    }

    #[test]
    fn the_values_of_a_figure_come_together() {
        let told = told(&["figure: a: b: 1 s", "test x ... figure: c: 2", "figure: a: b: 3 s", "figure"]);

        assert_eq!(told.words(), "a: b: 1 s, 3 s; c: 2");
    }

    #[test]
    fn lengths_of_time_are_shown_with_few_digits() {
        let shown = ["3.803607146s", "20.382287ms", "384", "2.8s", "a pass"].map(readable);
        assert_eq!(shown, ["3.8 s", "20 ms", "384", "2.8 s", "a pass"]);
    }
}
