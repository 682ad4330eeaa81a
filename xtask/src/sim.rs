//! `cargo xtask sim`: plays seeds of the simulation, or one with its trace.

use std::process::ExitCode;

use anyhow::Result;

use crate::say;
use crate::test::{seeds, stream};
use crate::workspace::Workspace;

/// What is played.
pub(crate) struct Played {
    pub(crate) start: u64,
    pub(crate) many: u64,
    /// Whether the trace of a single seed has each turn, too.
    pub(crate) turns: bool,
}

/// Plays it.
pub(crate) fn run(played: &Played) -> Result<ExitCode> {
    let mut cargo = seeds(&Workspace::find()?, played.start, played.many);
    if played.turns {
        cargo.env("ORMESH_SIM_TURNS", "1");
    }
    let ok = stream(&mut cargo, |_| {})?;
    say::outcome(ok, "sim");
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
