//! `cargo xtask cross`: type-checks core and command for Windows and macOS, on Debian.
//!
//! A stable cargo builds the standard library of each target from Debian's sources (`-Zbuild-std`), so nothing of the
//! target is needed but its name. It proves what it says and no more: that the code compiles there, not that it links
//! or runs.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::say;
use crate::setup::{Install, Toolchain};
use crate::workspace::Workspace;

/// Each target, and what its users call it.
const TARGETS: [(&str, &str); 2] = [("x86_64-pc-windows-gnu", "Windows"), ("aarch64-apple-darwin", "macOS")];

/// Checks all targets; a target that fails does not stop the next.
pub(crate) fn run(install: Install) -> Result<ExitCode> {
    let Some(toolchain) = Toolchain::prepare(install)? else { return Ok(ExitCode::SUCCESS) };
    let workspace = Workspace::find()?;
    let mut path = vec![toolchain.bin()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path).context("failed to extend PATH")?;

    let mut all_well = true;
    for (target, system) in TARGETS {
        say::heading(&format!("{system} ({target})"));
        let start = Instant::now();
        let mut check = workspace.cargo();
        check
            .args(["check", "-Zbuild-std=std,panic_abort", "--target", target])
            .args(["--package", "ormesh-core", "--package", "ormesh-app"])
            // The standard library is compiled in full even for a check: don't optimise what never runs.
            .args(["--config", "profile.dev.package.\"*\".opt-level=0"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", toolchain.rustc())
            .env("CARGO_TARGET_DIR", toolchain.target())
            .env("PATH", &path);
        let status = check.status().context("failed to start: cargo")?;
        all_well &= status.success();
        say::outcome(status.success(), &format!("type-checked for {system}, {}", say::span(start.elapsed())));
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
