//! `cargo xtask test --person`: builds the release of the app, and uses it as a person does, on a real desktop that is unpacked and not installed.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use super::pictures::Pictures;
use super::stage::{self, Stages};
use crate::setup::{DESK, Install, Tools};
use crate::workspace::Workspace;
use crate::{desktop, interrupt, process};

/// The tests are in the same feature set as the others, but for the word that has them built.
const FEATURES: [&str; 2] = ["--features", "desktop,person"];

/// Makes what is tested and runs the tests; `filter` goes to the test binary.
pub(crate) fn run(install: Install, tools: &Tools, filter: &[String]) -> Result<ExitCode> {
    let Some(desk) = DESK.prepare(install)? else { return Ok(ExitCode::SUCCESS) };
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;
    let pictures = Pictures::fresh(&workspace)?;
    let mut stages = Stages::new();

    stages.run("window", || desktop::build_window(&workspace));
    let clippy = ["--test", "person", "--", "-D", "warnings"];
    stages.command("clippy", workspace.cargo().arg("clippy").args(FEATURES).args(clippy));
    stages.command(
        "build",
        workspace.cargo().arg("test").args(FEATURES).args(["--test", "person", "--no-run"]),
    );
    let mut release = workspace.cargo();
    release.args(["build", "--release", "--bins"]).args(super::FEATURES);
    stages.command("release", &mut release);
    let released = workspace.released("ormesh-desktop");
    stages.tests("tests", |count| {
        let mut cargo = workspace.cargo();
        cargo.arg("test").args(FEATURES).args(["--no-fail-fast", "--test", "person", "--"]);
        let mut inside = process::dying_with_us(desk.join("bin/within"));
        inside.arg(cargo.get_program()).args(cargo.get_args()).args(filter).current_dir(workspace.root());
        inside.envs(tools.environment()).env(Pictures::VARIABLE, pictures.dir());
        inside.env("ORMESH_RELEASE", released.parent().context("a program is in a directory")?);
        stage::stream(&mut inside, |line| count.read(line))
    });

    pictures.tell();
    Ok(super::finish(&stages, start))
}
