//! `cargo xtask mutants`: breaks the core on purpose, one thing after the other, and sees that its unit tests or the simulation notice.

mod change;
mod program;
mod sample;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use change::Change;
use program::Program;

use crate::say;
use crate::workspace::Workspace;

/// Of so many in a hundred that are drawn by chance, the tests must notice.
const BAR: usize = 95;

/// Makes each change of the table whose words hold `filter`, and tells which of them nobody noticed.
pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let changes = table::changes(workspace.root(), filter)?;
    ensure!(!changes.is_empty(), "none is called so: {}", filter.unwrap_or_default());
    let program = Program::build(&workspace, &changes)?;
    // What is not made shows nothing: then the table is out of date.
    if let Some((number, why)) = program.left_out.iter().next() {
        bail!("{why}: {}", changes[*number].name);
    }
    let survivors = survivors(&program, &changes)?;
    ensure!(survivors.is_empty(), "nobody noticed that this was broken:\n{}", survivors.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// Makes so many changes that cargo-mutants has and this seed draws, and tells how many were noticed. Those that can't be made count for
/// nothing.
pub(crate) fn run_sample(many: usize, seed: u64) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let changes = sample::draw(&workspace, many, seed)?;
    let program = Program::build(&workspace, &changes)?;
    let made = changes.len() - program.left_out.len();
    println!("{} drawn, {made} can be made", changes.len());
    program.left_out.iter().for_each(|(number, why)| println!("  {why}: {}", changes[*number].name));
    ensure!(made > 0, "nothing is tried");
    let survivors = survivors(&program, &changes)?;
    println!("{} of {made} noticed", made - survivors.len());
    survivors.iter().for_each(|name| println!("  nobody noticed: {name}"));
    let is_enough = (made - survivors.len()) * 100 >= made * BAR;
    Ok(if is_enough { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the changes in a program that no test notices; says each as soon as it is known.
fn survivors<'a>(program: &Program, changes: &'a [Change]) -> Result<Vec<&'a str>> {
    program.passes_unchanged()?;
    let mut survivors = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        if program.left_out.contains_key(&number) {
            continue;
        }
        let is_noticed = program.notices(number, change)?;
        say::outcome(is_noticed, &change.name);
        if !is_noticed {
            survivors.push(change.name.as_str());
        }
    }
    Ok(survivors)
}
