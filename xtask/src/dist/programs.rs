//! The two programs as packages want them: optimised, stripped, and without the paths of the machine that built them.
//!
//! They are two builds, so that nothing of the window's libraries can get into the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::elf;
use crate::workspace::Workspace;
use crate::{interrupt, process, say};

/// What the command may link: the C library and what Rust unwinds with.
const COMMAND_LINKS: [&str; 4] = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux"];

/// The built programs.
pub(super) struct Programs {
    /// `ormesh`.
    pub(super) command: PathBuf,
    /// `ormesh-desktop`.
    pub(super) app: PathBuf,
}

impl Programs {
    /// Builds them and puts stripped copies into `work`. The window must have been built.
    pub(super) fn build(workspace: &Workspace, work: &Path) -> Result<Programs> {
        cargo(workspace, &["--bin", "ormesh"])?;
        interrupt::check()?;
        // `custom-protocol` is how Tauri knows a build that is no developer's.
        cargo(workspace, &["--features", "desktop,tauri/custom-protocol", "--bin", "ormesh-desktop"])?;
        let programs = Programs {
            command: stripped(workspace, "ormesh", work)?,
            app: stripped(workspace, "ormesh-desktop", work)?,
        };
        let needed = elf::needed(&programs.command)?;
        if let Some(stray) = needed.iter().find(|name| !COMMAND_LINKS.iter().any(|may| name.starts_with(may)))
        {
            bail!("failed to keep the command free of other libraries: it needs {stray}");
        }
        Ok(programs)
    }
}

fn cargo(workspace: &Workspace, what: &[&str]) -> Result<()> {
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--locked"]).args(what);
    say::note(&process::shown(&build));
    let status = build.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace)?).status();
    let status = status.context("failed to start: cargo")?;
    if !status.success() {
        bail!("failed to build: cargo ended with {status}");
    }
    Ok(())
}

/// The user's own flags, and names in place of directories; separated as cargo's documentation of the variable has it.
fn flags(workspace: &Workspace) -> Result<String> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("failed to find cargo's directory: neither CARGO_HOME nor HOME is set")?;
    let mut flags: Vec<String> = match std::env::var("CARGO_ENCODED_RUSTFLAGS") {
        Ok(encoded) => encoded.split('\x1f').filter(|flag| !flag.is_empty()).map(str::to_owned).collect(),
        Err(_) => {
            let plain = std::env::var("RUSTFLAGS").unwrap_or_default();
            plain.split_whitespace().map(str::to_owned).collect()
        }
    };
    let named = [
        (cargo_home.join("registry/src"), "crates"),
        (workspace.target().to_owned(), "target"),
        (workspace.root().to_owned(), "ormesh"),
    ];
    flags.extend(named.iter().map(|(dir, name)| format!("--remap-path-prefix={}={name}", dir.display())));
    Ok(flags.join("\x1f"))
}

fn stripped(workspace: &Workspace, name: &str, work: &Path) -> Result<PathBuf> {
    let program = work.join(name);
    fs::copy(workspace.released(name), &program).with_context(|| format!("failed to copy: {name}"))?;
    process::output(Command::new("strip").arg("--remove-section=.comment").arg(&program))?;
    Ok(program)
}
