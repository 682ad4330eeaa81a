//! Links the programs for Windows: a stable cargo, the standard library from Debian's sources, mingw's linker.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::Toolchain;
use crate::workspace::Workspace;
use crate::{process, say};

/// The target, as rustc calls it.
pub(super) const TARGET: &str = "x86_64-pc-windows-gnu";

/// The library by which the window finds the system's WebView2. Rust's crate carries it as Microsoft publishes it.
const LOADER: &str = "WebView2Loader.dll";

/// Cargo with everything that linking for Windows takes.
pub(super) struct Linker<'a> {
    workspace: &'a Workspace,
    toolchain: &'a Toolchain,
    path: OsString,
}

impl<'a> Linker<'a> {
    /// Uses these compilers.
    pub(super) fn new(workspace: &'a Workspace, toolchain: &'a Toolchain, mingw: &Path) -> Result<Self> {
        let mut path = vec![mingw.join("bin")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(path).context("failed to extend PATH")?;
        Ok(Self { workspace, toolchain, path })
    }

    /// Builds the command and the desktop app. Gives them, and the library that the app needs beside it.
    pub(super) fn programs(&self) -> Result<Vec<PathBuf>> {
        let mut build = self.cargo("build", "std,panic_abort");
        build.args(["--package", "ormesh-app", "--features", "desktop", "--bins"]);
        run(&mut build)?;
        let dir = self.toolchain.target().join(TARGET).join("debug");
        let programs: Vec<_> = ["ormesh.exe", "ormesh-desktop.exe", LOADER].map(|name| dir.join(name)).into();
        if let Some(missing) = programs.iter().find(|file| !file.is_file()) {
            bail!("failed to build for Windows: cargo left no {}", missing.display());
        }
        Ok(programs)
    }

    /// Builds unit tests: the core's, those of its secret stores, the programs'. Gives their programs.
    pub(super) fn tests(&self) -> Result<Vec<PathBuf>> {
        let mut build = self.cargo("test", "std,panic_abort,test");
        build.args([
            "--package",
            "ormesh-core",
            "--package",
            "ormesh-app",
            "--features",
            "ormesh-app/desktop",
        ]);
        build.args(["--lib", "--bins", "--test", "secrets_stores", "--no-run"]);
        build.args(["--message-format", "json-render-diagnostics"]);
        say::note(&process::shown(&build));
        let built =
            build.stderr(std::process::Stdio::inherit()).output().context("failed to start: cargo")?;
        if !built.status.success() {
            bail!("failed to build the tests for Windows: cargo ended with {}", built.status);
        }
        let said = String::from_utf8_lossy(&built.stdout);
        let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let program = |message: serde_json::Value| Some(PathBuf::from(message["executable"].as_str()?));
        Ok(messages.filter_map(program).collect())
    }

    /// Cargo for Windows. `parts` are those of the standard library that are built with it.
    fn cargo(&self, verb: &str, parts: &str) -> Command {
        let mut command = self.workspace.cargo();
        command
            .arg(verb)
            .arg(format!("-Zbuild-std={parts}"))
            .args(["--locked", "--target", TARGET])
            // The standard library would be optimised, which takes minutes and is of no use here.
            .args(["--config", "profile.dev.package.\"*\".opt-level=0", "--config", "profile.dev.debug=0"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", self.toolchain.rustc())
            .env("CARGO_TARGET_DIR", self.toolchain.target())
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc")
            .env("CC_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-gcc")
            .env("AR_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-ar")
            .env("PATH", &self.path);
        command
    }
}

fn run(build: &mut Command) -> Result<()> {
    say::note(&process::shown(build));
    let status = build.status().context("failed to start: cargo")?;
    if !status.success() {
        bail!("failed to build for Windows: cargo ended with {status}");
    }
    Ok(())
}
