//! The page that shows what came of a run (pure): docs/reliability.md is one.

use super::catalogue::{Held, Row, Target};

/// What came of a row.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) row: &'static Row,
    pub(super) met: bool,
    /// What was measured, in words; empty where only yes or no can be said.
    pub(super) figures: String,
    pub(super) seconds: f64,
}

/// How it was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) command: String,
    pub(super) version: String,
    pub(super) cores: usize,
    /// The load average of a minute at the beginning, and the most of it after a row; none where the system tells of none.
    pub(super) load: Option<(f64, f64)>,
    pub(super) seconds: f64,
}

const HEAD: &str = "\
# What holds on bad days

Each row is a test. This page was written by the command below, and by nobody's hand. Three figures are the median, the 95th of a
hundred and the most; two are the median and the most. *Said* is when `ormesh status` first says that something is not well.
";

/// The page.
pub(super) fn page(made: &Made, rows: &[Came]) -> String {
    let mut page = format!("{HEAD}\n```sh\n{}\n```\n\n", made.command);
    let load = made.load.map_or_else(String::new, |(first, most)| {
        format!(" Load average {first:.1} before it began, {most:.1} at most.")
    });
    let met = rows.iter().filter(|came| came.met).count();
    page.push_str(&format!(
        "ormesh {}, {} cores, a private Tor network on the same machine.{load}\n\
         {met} of {} rows are met. It took {:.0} minutes.\n\n",
        made.version,
        made.cores,
        rows.len(),
        made.seconds / 60.0
    ));
    page.push_str("| # | row | what is done | bar | met | figures | seconds | held by |\n");
    page.push_str("|---|---|---|---|---|---|---|---|\n");
    for Came { row, met, figures, seconds } in rows {
        let met = if *met { "yes" } else { "**no**" };
        let held = held_by(&row.held);
        page.push_str(&format!(
            "| {} | `{}` | {} | {} | {met} | {figures} | {seconds:.0} | {held} |\n",
            row.number, row.name, row.what, row.bar
        ));
    }
    page
}

fn held_by(held: &Held) -> String {
    let named = |target: &Target, name: &str| match target {
        Target::Core => format!("`core` `{name}`"),
        Target::Test(target) => format!("`{target}` `{name}`"),
    };
    match held {
        Held::Tests(tests) | Held::Long(tests) => {
            tests.iter().map(|(target, name)| named(target, name)).collect::<Vec<_>>().join(", ")
        }
        Held::Fuzzed(part) => format!("`core`, those with `{part}` in their name"),
        Held::Played => "`soak` `table::rows`".to_owned(),
        Held::Drawn(name) => format!("`soak` `{name}`"),
        Held::Simulated(_) => "`cargo xtask sim`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::ROWS;
    use super::*;

    #[test]
    fn a_row_is_a_line() {
        let made = Made {
            command: "cargo xtask soak".to_owned(),
            version: "1.2.3".to_owned(),
            cores: 2,
            load: Some((0.25, 3.0)),
            seconds: 90.0,
        };
        let came = |met| Came { row: &ROWS[0], met, figures: "1 / 2 s".to_owned(), seconds: 61.2 };

        let page = page(&made, &[came(true), came(false)]);

        assert!(page.contains("```sh\ncargo xtask soak\n```"), "{page}");
        assert!(page.contains("ormesh 1.2.3, 2 cores"), "{page}");
        assert!(
            page.contains("Load average 0.2 before it began, 3.0 at most.\n1 of 2 rows are met."),
            "{page}"
        );
        assert!(page.contains(" | yes | 1 / 2 s | 61 | `soak` `table::rows` |\n"), "{page}");
        assert!(page.contains(" | **no** | 1 / 2 s | 61 |"), "{page}");
    }
}
