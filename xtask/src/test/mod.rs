//! `cargo xtask test`: everything that must hold before a change lands, stage by stage.
//!
//! A stage that fails does not stop the later ones: one run tells all. The last line is `N passed, N failed`, where a
//! failed stage without tests of its own counts as one.

mod count;
mod stage;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use self::count::Count;
use self::stage::Stages;
use crate::setup::Tools;
use crate::tornet::Tornet;
use crate::workspace::Workspace;
use crate::{desktop, interrupt, say};

/// Runs all stages; `filter` goes to the test binaries.
pub(crate) fn run(tools: &Tools, filter: &[String]) -> Result<ExitCode> {
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;
    let mut stages = Stages::new();

    stages.command("format", workspace.cargo().args(["fmt", "--all", "--check"]));
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    stages.command("clippy", workspace.cargo().args(clippy));
    stages.command("build", workspace.cargo().args(["build", "--workspace"]));

    let network = stages.run("private Tor network", || {
        let network = Tornet::start(&workspace, tools)?;
        say::note(&format!("process {}, in {}", network.id(), network.dir().display()));
        Ok(network)
    });
    stages.tests("tests", |count| run_tests(&workspace, tools, network.as_ref(), filter, count));
    if let Some(network) = network {
        network.end();
    }

    let mut docs = workspace.cargo();
    docs.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    stages.command("docs", &mut docs);

    Ok(finish(&stages, start))
}

/// Runs the desktop app's stages, which take its libraries; `filter` goes to the test binaries.
pub(crate) fn run_desktop(tools: &Tools, filter: &[String]) -> Result<ExitCode> {
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;
    let mut stages = Stages::new();

    stages.run("window", || desktop::build_window(&workspace));
    let clippy = ["clippy", "--features", "desktop", "--all-targets", "--", "-D", "warnings"];
    stages.command("clippy", workspace.cargo().args(clippy));
    stages.tests("tests", |count| {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--features", "desktop", "--no-fail-fast"]);
        cargo.args(["--bin", "ormesh-desktop", "--test", "desktop", "--"]);
        stage::stream(cargo.args(filter).envs(tools.environment()), |line| count.read(line))
    });
    Ok(finish(&stages, start))
}

fn finish(stages: &Stages, start: Instant) -> ExitCode {
    let count = stages.summary();
    println!("in {}", say::span(start.elapsed()));
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every test binary, and gives whether cargo was content.
fn run_tests(
    workspace: &Workspace,
    tools: &Tools,
    network: Option<&Tornet>,
    filter: &[String],
    count: &mut Count,
) -> Result<bool> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast", "--"]).args(filter).envs(tools.environment());
    if let Some(network) = network {
        cargo.env("ORMESH_TORNET", network.dir());
    }
    stage::stream(&mut cargo, |line| count.read(line))
}
