//! `cargo xtask demo`: two hosts on one machine, and the transcript of the README played by the real program.

mod backend;
mod host;
mod play;
mod probe;
mod screen;
mod stage;
mod timings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub(crate) use self::stage::Options;

use self::stage::Stage;
use self::timings::Timings;
use crate::setup::Tools;
use crate::workspace::Workspace;
use crate::{interrupt, say};

/// Plays the demo. Failure: the end of both agents' logs is printed, and nothing is left running either.
pub(crate) fn run(tools: &Tools, options: Options) -> Result<ExitCode> {
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;

    say::heading("build");
    let ormesh = build(&workspace, options.release)?;

    let mut timings = Timings::default();
    let mut stage = Stage::set(&workspace, tools, &ormesh, options, &mut timings)?;
    let played = play::play(&mut stage, tools, options, &mut timings);
    if let Err(error) = &played {
        say::error(error);
        if !interrupt::asked() {
            stage.print_logs();
        }
    }
    let cleared = stage.clear();
    if played.is_err() {
        // Why is above the logs; the last line says only that it failed.
        bail!("the demo ended early, after {}", say::span(start.elapsed()));
    }
    let ended = cleared?;

    say::heading("timings");
    timings.print();
    say::heading("what this has proved");
    play::print_proof(options);
    println!("\nleft running: nothing; {ended} processes were started and have ended");
    say::outcome(true, &format!("demo, {}", say::span(start.elapsed())));
    Ok(ExitCode::SUCCESS)
}

fn build(workspace: &Workspace, release: bool) -> Result<PathBuf> {
    let mut builds = vec![vec!["build", "--workspace"]];
    if release {
        builds.push(vec!["build", "--release", "--package", "ormesh-app"]);
    }
    for arguments in builds {
        let status = workspace.cargo().args(&arguments).status().context("failed to start: cargo")?;
        if !status.success() {
            bail!("failed to build: cargo {}", arguments.join(" "));
        }
    }
    Ok(if release { workspace.released("ormesh") } else { workspace.program("ormesh") })
}
