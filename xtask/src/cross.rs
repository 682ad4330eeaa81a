//! `cargo xtask cross`: type-checks core, command, desktop app and xtask for Windows and macOS, on Debian.
//!
//! A stable cargo builds the standard library of each target from Debian's sources (`-Zbuild-std`), so nothing of the
//! target is needed but its name. It proves what it says and no more: that the code compiles there, not that it links
//! or runs. What a dependency has in other languages is therefore left out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::setup::{Install, Toolchain};
use crate::workspace::Workspace;
use crate::{desktop, say};

/// Each target, and what its users call it.
const TARGETS: [(&str, &str); 2] = [("x86_64-pc-windows-gnu", "Windows"), ("aarch64-apple-darwin", "macOS")];

/// Checks all targets; a target that fails does not stop the next.
pub(crate) fn run(install: Install) -> Result<ExitCode> {
    let Some(toolchain) = Toolchain::prepare(install)? else { return Ok(ExitCode::SUCCESS) };
    let workspace = Workspace::find()?;
    desktop::build_window(&workspace)?;
    let stand_ins = toolchain.target().join("stand-ins");
    write_stand_ins(&stand_ins)?;
    let mut path = vec![toolchain.bin(), stand_ins.clone()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path).context("failed to extend PATH")?;

    let mut all_well = true;
    for (target, system) in TARGETS {
        say::heading(&format!("{system} ({target})"));
        let start = Instant::now();
        let mut check = workspace.cargo();
        check
            .args(["check", "-Zbuild-std=std,panic_abort", "--target", target])
            .args(["--package", "ormesh-core", "--package", "ormesh-app", "--package", "xtask"])
            .args(["--features", "ormesh-app/desktop"])
            // The standard library is compiled in full even for a check: don't optimise what never runs.
            .args(["--config", "profile.dev.package.\"*\".opt-level=0"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", toolchain.rustc())
            .env("CARGO_TARGET_DIR", toolchain.target())
            .env(format!("CC_{target}"), stand_ins.join(NO_COMPILER))
            .env("PATH", &path);
        let status = check.status().context("failed to start: cargo")?;
        all_well &= status.success();
        say::outcome(status.success(), &format!("type-checked for {system}, {}", say::span(start.elapsed())));
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is run for a C compiler of the target: it leaves an empty file where an object would be.
const NO_COMPILER: &str = "no-compiler";

/// The programs that build scripts call and a type check can do without.
const STAND_INS: [(&str, &str); 2] = [
    (NO_COMPILER, "for word; do case \"$word\" in *.o) word=${word#-Fo}; : > \"${word#-o}\";; esac; done"),
    // windres has its resources preprocessed by this name; any C preprocessor does.
    ("x86_64-w64-mingw32-gcc", "exec cc \"$@\""),
];

fn write_stand_ins(dir: &Path) -> Result<()> {
    for (name, body) in STAND_INS {
        let file = dir.join(name);
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(&file, format!("#!/bin/sh\n{body}\n")))
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("failed to write: {}", file.display()))?;
    }
    Ok(())
}
