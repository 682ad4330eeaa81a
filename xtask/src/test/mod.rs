//! `cargo xtask test`: everything that must hold before a change lands, stage by stage.
//!
//! A stage that fails does not stop the later ones: one run tells all. The last line is `N passed, N failed`, where a
//! failed stage without tests of its own counts as one.

mod count;
mod packages;
mod person;
mod pictures;
mod stage;
mod windows;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

pub(crate) use self::count::Count;
pub(crate) use self::packages::run as run_packages;
pub(crate) use self::person::run as run_person;
use self::pictures::Pictures;
use self::stage::Stages;
pub(crate) use self::stage::stream;
pub(crate) use self::windows::run as run_windows;
use crate::setup::Tools;
use crate::tornet::Tornet;
use crate::workspace::Workspace;
use crate::{desktop, interrupt, say};

/// The one feature set of the tests: a second one would build Tauri's part of the tree twice.
pub(crate) const FEATURES: [&str; 2] = ["--features", "desktop"];

/// How many tests run at a time, to libtest.
const THREADS: &str = "RUST_TEST_THREADS";

/// So many at least: the long tests wait for Tor and use no processor meanwhile.
const MOST_WAIT: usize = 4;

/// The test of core that plays the seeds that its environment says.
const REPLAY: &str = "agent::sim::tests::replay";
/// How the core is built for the simulation and for a million inputs: that takes a minute more, and a seed a third of its time. What the core is made of is not built
/// again.
pub(crate) const FASTER: [&str; 2] = ["--config", "profile.dev.package.ormesh-core.opt-level=1"];
/// Seeds that are played besides those of the unit tests: what two quiet cores play in two minutes.
const SEEDS: u64 = 2000;
/// The first of them: past those of the unit tests.
const FIRST_SEED: u64 = 1000;

/// Runs all stages; `filter` goes to the test binaries.
pub(crate) fn run(tools: &Tools, filter: &[String]) -> Result<ExitCode> {
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;
    let pictures = Pictures::fresh(&workspace)?;
    let mut stages = Stages::new();

    stages.command("format", workspace.cargo().args(["fmt", "--all", "--check"]));
    stages.run("window", || desktop::build_window(&workspace));
    stages.command("clippy", &mut clippy(&workspace, &["--workspace"]));
    // What a server builds. The features of shared crates differ there, and with them what compiles.
    let mut server = workspace.cargo();
    server.args(["clippy", "--package", "ormesh-app", "--bins", "--", "-D", "warnings"]);
    stages.command("clippy, no desktop", &mut server);
    // With the tests, whose dependencies have more features: built without them, a sixth of all crates would be built twice.
    stages.command("build", workspace.cargo().args(["test", "--workspace", "--no-run"]).args(FEATURES));

    let network = stages.run("private Tor network", || {
        let network = Tornet::start(&workspace, tools)?;
        say::note(&format!("process {}, in {}", network.id(), network.dir().display()));
        Ok(network)
    });
    stages.tests("tests", |count| {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--workspace", "--no-fail-fast"]).args(FEATURES).arg("--").args(filter);
        if let Some(network) = &network {
            cargo.env("ORMESH_TORNET", network.dir());
        }
        run_tests(&mut cargo, tools, &pictures, count)
    });
    if let Some(network) = network {
        network.end();
    }
    if filter.is_empty() {
        stages.tests("simulation", |count| {
            stream(&mut seeds(&workspace, FIRST_SEED, SEEDS), |line| count.read(line))
        });
    }
    views(&mut stages, &workspace, &pictures);

    let mut docs = workspace.cargo();
    docs.args(["doc", "--workspace", "--no-deps"]).args(FEATURES).env("RUSTDOCFLAGS", "-D warnings");
    // There are no examples: naming them gives the features of the tests, so that what clippy has checked is not checked again.
    docs.args(["--lib", "--bins", "--examples"]);
    stages.command("docs", &mut docs);

    pictures.tell();
    Ok(finish(&stages, start))
}

/// Runs the desktop app's stages alone; `filter` goes to the test binaries.
pub(crate) fn run_desktop(tools: &Tools, filter: &[String]) -> Result<ExitCode> {
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;
    let pictures = Pictures::fresh(&workspace)?;
    let mut stages = Stages::new();

    stages.run("window", || desktop::build_window(&workspace));
    stages.command("clippy", &mut clippy(&workspace, &[]));
    stages.tests("tests", |count| {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--no-fail-fast"]).args(FEATURES);
        cargo.args(["--bin", "ormesh-desktop", "--test", "desktop", "--"]).args(filter);
        run_tests(&mut cargo, tools, &pictures, count)
    });
    views(&mut stages, &workspace, &pictures);

    pictures.tell();
    Ok(finish(&stages, start))
}

/// The command that plays so many seeds of the simulation.
pub(crate) fn seeds(workspace: &Workspace, start: u64, many: u64) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg("test").args(FASTER).args(["--quiet", "--workspace", "--lib"]).args(FEATURES);
    cargo.args(["--", "--ignored", "--exact", "--nocapture", REPLAY]);
    cargo.env("ORMESH_SIM_START", start.to_string()).env("ORMESH_SIM_SEEDS", many.to_string());
    cargo
}

fn clippy(workspace: &Workspace, packages: &[&str]) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg("clippy").args(packages).args(FEATURES).args(["--all-targets", "--", "-D", "warnings"]);
    cargo
}

/// Runs test binaries by `cargo`, and gives whether it was content.
fn run_tests(cargo: &mut Command, tools: &Tools, pictures: &Pictures, count: &mut Count) -> Result<bool> {
    cargo.envs(tools.environment()).env(Pictures::VARIABLE, pictures.dir());
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        cargo.env(THREADS, cores.max(MOST_WAIT).to_string());
    }
    stream(cargo, |line| count.read(line))
}

/// The window's views alone, in a browser: every state, both themes, axe, and a picture of each.
fn views(stages: &mut Stages, workspace: &Workspace, pictures: &Pictures) {
    stages.tests("views", |count| {
        let mut npm = Command::new("npm");
        npm.args(["test", "--silent"]).current_dir(workspace.root().join("ui"));
        npm.env(Pictures::VARIABLE, pictures.dir());
        stream(&mut npm, |line| count.read_total(line))
    });
}

fn finish(stages: &Stages, start: Instant) -> ExitCode {
    let count = stages.summary();
    println!("in {}", say::span(start.elapsed()));
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
