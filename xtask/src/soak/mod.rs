//! `cargo xtask soak`: what must hold on bad days, row by row, each with its bar and what was measured.
//!
//! The rows are in `catalogue`, what tests tell is read by `figures`, the page is made by `page`.

mod catalogue;
mod figures;
mod page;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::catalogue::{Held, INPUTS, ROWS, Row, Target};
use self::figures::Told;
use self::page::{Came, Made};
use crate::say;
use crate::setup::Tools;
use crate::test::{Count, FASTER, FEATURES, seeds, stream};
use crate::tornet::Tornet;
use crate::workspace::Workspace;

/// What is played.
pub(crate) struct Asked {
    /// For how long faults are played, those in turn and those by chance together.
    pub(crate) minutes: u64,
    /// Rows with one of these in their name; all but the long ones when there is none.
    pub(crate) rows: Vec<String>,
    /// What chance goes by.
    pub(crate) seed: u64,
    /// Where the page is written.
    pub(crate) write: Option<PathBuf>,
}

/// Plays it, and shows what came of it.
pub(crate) fn run(tools: &Tools, asked: &Asked) -> Result<ExitCode> {
    let began = Instant::now();
    let chosen: Vec<&Row> = ROWS.iter().filter(|row| is_chosen(row, &asked.rows)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        bail!(
            "failed to find a row with {} in its name: there are {}",
            asked.rows.join(" or "),
            names.join(", ")
        );
    }
    let workspace = Workspace::find()?;
    let mut build = workspace.cargo();
    build.args(["test", "--workspace", "--no-run"]).args(FEATURES);
    if !stream(&mut build, |_| {})? {
        bail!("failed to build the tests");
    }
    let network = Tornet::start(&workspace, tools)?;
    let mut soak =
        Soak { workspace, tools, network: &network, asked, began, load: Load::now(), rows: Vec::new() };
    for row in &chosen {
        match row.held {
            Held::Tests(tests) | Held::Long(tests) => soak.tests(row, tests)?,
            Held::Fuzzed(part) => soak.fuzzed(row, part)?,
            Held::Simulated(seeds) => soak.simulated(row, seeds)?,
            Held::Played | Held::Drawn(_) => {}
        }
    }
    let (played, drawn): (Vec<&Row>, Vec<&Row>) = chosen
        .iter()
        .filter(|row| matches!(row.held, Held::Played | Held::Drawn(_)))
        .partition(|row| matches!(row.held, Held::Played));
    let parts = u64::from(!played.is_empty()) + u64::try_from(drawn.len())?;
    let seconds = 60 * asked.minutes / parts.max(1);
    soak.played(&played, seconds)?;
    for row in drawn {
        soak.drawn(row, seconds)?;
    }
    let came = soak.finish(&chosen)?;
    network.end();
    Ok(came)
}

/// Whether a row is played: its name holds one of these, or there are none and it is not a long one.
fn is_chosen(row: &Row, asked: &[String]) -> bool {
    (asked.is_empty() && !row.held.is_long()) || asked.iter().any(|part| row.name.contains(part.as_str()))
}

/// A run.
struct Soak<'a> {
    workspace: Workspace,
    tools: &'a Tools,
    network: &'a Tornet,
    asked: &'a Asked,
    began: Instant,
    load: Option<Load>,
    rows: Vec<(Came, Value)>,
}

impl Soak<'_> {
    /// Tests of the command's and the core's, with what they need.
    fn cargo(&self) -> Command {
        let mut cargo = self.workspace.cargo();
        cargo.args(["test", "--workspace", "--no-fail-fast"]).args(FEATURES);
        cargo.envs(self.tools.environment()).env("ORMESH_TORNET", self.network.dir());
        // Tests that have a long form play that.
        cargo.env("ORMESH_SOAK", "1").env("ORMESH_SOAK_SEED", self.asked.seed.to_string());
        cargo
    }

    fn run(&mut self, mut command: Command) -> Result<(Told, bool)> {
        let (mut told, mut count) = (Told::default(), Count::default());
        let ok = stream(&mut command, |line| {
            told.take(line);
            count.read(line);
        })?;
        told.passed = count.passed;
        self.load = Load::later(self.load);
        Ok((told, ok && count.failed == 0))
    }

    fn came(&mut self, row: &'static Row, met: bool, figures: String, seconds: f64, all: Value) {
        say::outcome(met, &format!("{}: {figures}", row.name));
        self.rows.push((Came { row, met, figures, seconds }, all));
    }

    fn tests(&mut self, row: &'static Row, tests: &[(Target, &str)]) -> Result<()> {
        say::heading(row.name);
        let began = Instant::now();
        let mut cargo = self.cargo();
        let mut targets: Vec<Target> = tests.iter().map(|(target, _)| *target).collect();
        targets.sort();
        targets.dedup();
        for target in targets {
            match target {
                Target::Core => cargo.arg("--lib"),
                Target::Test(name) => cargo.args(["--test", name]),
            };
        }
        cargo.args(["--", "--exact", "--nocapture", "--test-threads=1"]);
        cargo.args(tests.iter().map(|(_, name)| name));
        let (told, ok) = self.run(cargo)?;
        // A name that no test has any more runs nothing.
        let met = ok && told.passed == u64::try_from(tests.len())?;
        self.came(row, met, told.words(), began.elapsed().as_secs_f64(), json!(told.named));
        Ok(())
    }

    fn fuzzed(&mut self, row: &'static Row, part: &str) -> Result<()> {
        say::heading(row.name);
        let began = Instant::now();
        let mut cargo = self.cargo();
        cargo.args(FASTER).env("ORMESH_FUZZ_INPUTS", INPUTS.to_string());
        cargo.args(["--lib", "--", "--nocapture", part]);
        let (told, ok) = self.run(cargo)?;
        self.came(row, ok && told.passed > 0, told.words(), began.elapsed().as_secs_f64(), json!(told.named));
        Ok(())
    }

    fn simulated(&mut self, row: &'static Row, many: u64) -> Result<()> {
        say::heading(row.name);
        let began = Instant::now();
        // Seeds of one run are not those of another.
        let command = seeds(&self.workspace, self.asked.seed.wrapping_mul(many), many);
        let (_, ok) = self.run(command)?;
        self.came(row, ok, format!("{many} seeds"), began.elapsed().as_secs_f64(), Value::Null);
        Ok(())
    }

    fn played(&mut self, rows: &[&'static Row], seconds: u64) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        say::heading("faults in turn");
        let mut cargo = self.cargo();
        let names: Vec<_> = rows.iter().map(|row| row.name).collect();
        cargo.env("ORMESH_SOAK_SECONDS", seconds.to_string()).env("ORMESH_SOAK_ROWS", names.join(","));
        cargo.args(["--test", "soak", "--", "--ignored", "--exact", "--nocapture", "table::rows"]);
        let (told, ok) = self.run(cargo)?;
        for row in rows {
            match told.played.get(row.name) {
                Some(played) => {
                    self.came(row, ok && played.is_met(), played.words(), played.took(), played.written());
                }
                None => self.came(row, false, "not played".to_owned(), 0.0, Value::Null),
            }
        }
        Ok(())
    }

    fn drawn(&mut self, row: &'static Row, seconds: u64) -> Result<()> {
        let Held::Drawn(name) = row.held else { return Ok(()) };
        say::heading(row.name);
        let began = Instant::now();
        let mut cargo = self.cargo();
        cargo.env("ORMESH_SOAK_SECONDS", seconds.to_string());
        cargo.args(["--test", "soak", "--", "--ignored", "--exact", "--nocapture", name]);
        let (told, ok) = self.run(cargo)?;
        self.came(
            row,
            ok && told.passed == 1,
            told.words(),
            began.elapsed().as_secs_f64(),
            json!(told.named),
        );
        Ok(())
    }

    /// Shows the table, and keeps it.
    fn finish(mut self, chosen: &[&'static Row]) -> Result<ExitCode> {
        let place = |row: &Row| chosen.iter().position(|known| known.name == row.name);
        self.rows.sort_by_key(|(came, _)| place(came.row));
        say::heading("rows");
        for (Came { row, met, figures, seconds }, _) in &self.rows {
            say::outcome(
                *met,
                &format!("{:>3} {:<22} {:<58} {figures} ({seconds:.0} s)", row.number, row.name, row.bar),
            );
        }
        let all: serde_json::Map<_, _> = self
            .rows
            .iter()
            .map(|(Came { row, met, figures, seconds }, all)| {
                let told = json!({ "bar": row.bar, "met": met, "figures": figures, "seconds": seconds, "told": all });
                (row.name.to_owned(), told)
            })
            .collect();
        write(&self.workspace.target().join("soak.json"), &serde_json::to_string_pretty(&all)?)?;
        let (ok, seconds) = (self.rows.iter().all(|(came, _)| came.met), self.began.elapsed().as_secs_f64());
        if let Some(file) = &self.asked.write {
            let made = Made {
                command: self.asked.command(),
                version: self.workspace.version()?,
                cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
                load: self.load.map(|load| (load.first, load.most)),
                seconds,
            };
            let rows: Vec<Came> = self.rows.into_iter().map(|(came, _)| came).collect();
            write(file, &page::page(&made, &rows))?;
        }
        say::outcome(ok, &format!("soak, {}", say::span(self.began.elapsed())));
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Asked {
    /// The command that asks for the same.
    fn command(&self) -> String {
        let rows: String = self.rows.iter().map(|row| format!(" --row {row}")).collect();
        let write =
            self.write.as_ref().map(|file| format!(" --write {}", file.display())).unwrap_or_default();
        format!("cargo xtask soak --minutes {} --seed {}{rows}{write}", self.minutes, self.seed)
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("failed to write: {}", file.display()))?;
    say::note(&format!("in {}", file.display()));
    Ok(())
}

/// How busy the machine was: the average number of processes that run or wait for a disk, over a minute.
#[derive(Debug, Clone, Copy)]
struct Load {
    first: f64,
    most: f64,
}

impl Load {
    /// None where the system does not tell of it in this way (proc(5), "/proc/loadavg").
    fn now() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/loadavg").ok()?;
        let now = text.split_whitespace().next()?.parse().ok()?;
        Some(Self { first: now, most: now })
    }

    fn later(load: Option<Self>) -> Option<Self> {
        let (load, now) = (load?, Self::now()?);
        Some(Self { most: load.most.max(now.first), ..load })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The text of the file that a test is in.
    fn source(target: Target, test: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let parts: Vec<&str> = test.split("::").collect();
        let (_, modules) = parts.split_last().unwrap();
        let path = modules.join("/");
        let places = match target {
            // Tests beside the code are in its file, or in one of their own.
            Target::Core => {
                vec![
                    format!("core/src/{path}.rs"),
                    format!("core/src/{path}/mod.rs"),
                    format!("core/src/{}.rs", path.trim_end_matches("/tests")),
                ]
            }
            Target::Test(name) if path.is_empty() => vec![format!("core/tests/{name}.rs")],
            Target::Test(name) => {
                vec![format!("tests/{name}/{path}.rs"), format!("core/tests/{name}/{path}.rs")]
            }
        };
        places.iter().filter_map(|place| std::fs::read_to_string(root.join(place)).ok()).collect()
    }

    #[test]
    fn each_row_has_a_name_of_its_own_and_tests_that_exist() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        for row in ROWS {
            let tests = match row.held {
                Held::Tests(tests) | Held::Long(tests) => tests.to_vec(),
                Held::Drawn(name) => vec![(Target::Test("soak"), name)],
                Held::Played => {
                    let played = source(Target::Test("soak"), "rows::x");
                    assert!(
                        played.contains(&format!("name: \"{}\"", row.name)),
                        "{} is not played",
                        row.name
                    );
                    Vec::new()
                }
                Held::Fuzzed(_) | Held::Simulated(_) => Vec::new(),
            };
            for (target, test) in tests {
                let name = test.rsplit("::").next().unwrap();
                let there = source(target, test).contains(&format!("fn {name}("));
                assert!(there, "{}: there is no test {test} in {target:?}", row.name);
            }
        }
    }

    #[test]
    fn rows_are_chosen_by_a_part_of_their_name() {
        let chosen = |parts: &[&str]| {
            let parts: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
            ROWS.iter().filter(|row| is_chosen(row, &parts)).map(|row| row.name).collect::<Vec<_>>()
        };

        let all = chosen(&[]);
        assert!(all.contains(&"night") && !all.contains(&"sessions") && !all.contains(&"hour-of-seeds"));
        assert_eq!(all.len(), ROWS.iter().filter(|row| !row.held.is_long()).count());
        assert_eq!(chosen(&["hour"]), ["hour-of-seeds"]);
        assert_eq!(chosen(&["tor-killed"]), ["tor-killed-exporter", "tor-killed-importer"]);
        assert_eq!(chosen(&["writers", "cut-both"]), ["writers", "cut-both"]);
        assert_eq!(chosen(&["nonsense"]), [""; 0]);
    }
}
