//! `cargo xtask audit`: licences, advisories, bans and sources of the dependencies, as `deny.toml` has them.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Runs `cargo deny check`, if cargo-deny is installed.
pub(crate) fn run() -> Result<ExitCode> {
    if process::find("cargo-deny").is_none() {
        bail!("failed to audit: cargo-deny is not installed\nhint: cargo install --locked cargo-deny");
    }
    let status =
        Workspace::find()?.cargo().args(["deny", "check"]).status().context("failed to run: cargo deny")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
