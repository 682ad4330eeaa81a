//! `cargo xtask mutants`: breaks the core on purpose, one thing after the other, and sees that its unit tests or the simulation notice.

mod sample;
mod table;
mod trial;

use std::process::{Command, ExitCode};

use anyhow::{Result, bail, ensure};
use table::{MUTATIONS, Mutation};
use trial::Verdict;

use crate::workspace::Workspace;
use crate::{process, say};

/// Of so many in a hundred that are drawn by chance, the tests must notice.
const BAR: usize = 95;

/// Makes each mutation of the table whose words hold `filter`, and tells which of them nobody noticed.
pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode> {
    let workspace = unchanged()?;
    let mut survivors = Vec::new();
    let chosen =
        MUTATIONS.iter().filter(|mutation| filter.is_none_or(|filter| mutation.breaks.contains(filter)));
    for Mutation { breaks, file, from, to } in chosen {
        let verdict = trial::of(&workspace, file, |text| {
            let places = text.matches(from).count();
            ensure!(places == 1, "{file} has {places} places of: {from}");
            Ok(text.replace(from, to))
        })?;
        // One that does not compile catches nothing: then the table is out of date.
        ensure!(verdict != Verdict::DoesNotCompile, "it does not compile: {breaks}");
        say::outcome(verdict == Verdict::Caught, breaks);
        if verdict != Verdict::Caught {
            survivors.push(*breaks);
        }
    }
    match survivors.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        survivors => bail!("nobody noticed that this was broken:\n{}", survivors.join("\n")),
    }
}

/// Makes so many mutations that cargo-mutants has and this seed draws, and tells how many were noticed. Those that do not compile count for
/// nothing.
pub(crate) fn run_sample(many: usize, seed: u64) -> Result<ExitCode> {
    let workspace = unchanged()?;
    let (mut caught, mut survivors) = (0, Vec::new());
    for mutation in sample::draw(&workspace, many, seed)? {
        match trial::of(&workspace, &mutation.file, |text| mutation.made_in(text))? {
            Verdict::Caught => caught += 1,
            Verdict::Survived => survivors.push(mutation.name.clone()),
            Verdict::DoesNotCompile => continue,
        }
        say::outcome(survivors.last() != Some(&mutation.name), &mutation.name);
    }
    let made = caught + survivors.len();
    println!("{caught} of {made} noticed");
    survivors.iter().for_each(|name| println!("  nobody noticed: {name}"));
    Ok(if caught * 100 >= made * BAR { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The workspace, in which nothing can be lost by breaking the core.
fn unchanged() -> Result<Workspace> {
    let workspace = Workspace::find()?;
    let changed = process::output(
        Command::new("git").args(["status", "--porcelain", "core/src"]).current_dir(workspace.root()),
    )?;
    ensure!(
        changed.trim_ascii().is_empty(),
        "core/src has changes that are not committed\nhint: commit them first, so that nothing can be lost"
    );
    Ok(workspace)
}
