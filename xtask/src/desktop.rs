//! `cargo xtask app` and the desktop's tests: the window's files are built by npm, then the app with its feature.
//!
//! The libraries it links are `setup`'s to install. A display is the user's to have; tests bring their own.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Install, Tools};
use crate::workspace::Workspace;
use crate::{process, say};

/// The oldest Node.js that the window's build tools run on, as `ui/package.json` has it under `engines`.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// Builds the app and opens it.
pub(crate) fn app(install: Install, tools: &Tools, release: bool) -> Result<ExitCode> {
    let display = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if cfg!(target_os = "linux") && !display("DISPLAY") && !display("WAYLAND_DISPLAY") {
        bail!(
            "failed to open a window: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)\n\
             hint: run it in a desktop session; `cargo xtask test --desktop` tests the window without one"
        );
    }
    if !setup::desktop_libraries(install)? {
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::find()?;
    build_window(&workspace)?;
    let mut build = workspace.cargo();
    build.args(["build", "--features", "desktop", "--bins"]);
    if release {
        build.arg("--release");
    }
    run(&mut build, "build the app")?;
    let program = match release {
        true => workspace.released("ormesh-desktop"),
        false => workspace.program("ormesh-desktop"),
    };
    say::note(&format!("opening {}", program.display()));
    // The machine may have no tor of its own that is new enough.
    let status = Command::new(&program).env("ORMESH_TOR", tools.path("tor")).status();
    let status = status.with_context(|| format!("failed to start: {}", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds what the window shows, unless nothing of it is newer than what was built.
pub(crate) fn build_window(workspace: &Workspace) -> Result<()> {
    let ui = workspace.root().join("ui");
    check_node()?;
    let installed = ui.join("node_modules/.package-lock.json");
    if !is_newer(&installed, &[ui.join("package-lock.json")])? {
        run(
            Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&ui),
            "get the window's packages",
        )?;
    }
    let sources = ["src", "index.html", "vite.config.ts", "package-lock.json"].map(|part| ui.join(part));
    if is_newer(&ui.join("dist/index.html"), &sources)? {
        return Ok(());
    }
    run(Command::new("npm").args(["run", "build"]).current_dir(&ui), "build the window")
}

/// Fails unless npm is there, and Node.js is new enough.
fn check_node() -> Result<()> {
    let (major, minor) = OLDEST_NODE;
    let hint = format!("hint: install Node.js {major}.{minor} or newer, with npm");
    if process::find("npm").is_none() || process::find("node").is_none() {
        bail!("failed to find Node.js and npm\n{hint}");
    }
    let said = process::output(Command::new("node").arg("--version"))?;
    if node_version(&said).is_none_or(|version| version < OLDEST_NODE) {
        bail!("failed to build the window: Node.js {} is too old\n{hint}", said.trim());
    }
    Ok(())
}

/// Reads `v20.19.4`.
fn node_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix('v')?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    say::note(&process::shown(command));
    let status = command.status().with_context(|| format!("failed to {what}"))?;
    if !status.success() {
        bail!("failed to {what}: {} ended with {status}", process::shown(command));
    }
    Ok(())
}

/// Whether `made` is there and newer than all of `sources`, directories searched.
fn is_newer(made: &Path, sources: &[impl AsRef<Path>]) -> Result<bool> {
    let Ok(made) = made.metadata().and_then(|meta| meta.modified()) else { return Ok(false) };
    let mut newest = SystemTime::UNIX_EPOCH;
    for source in sources {
        newest = newest.max(newest_in(source.as_ref())?);
    }
    Ok(made > newest)
}

fn newest_in(path: &Path) -> Result<SystemTime> {
    let failed = || format!("failed to read: {}", path.display());
    let meta = path.metadata().with_context(failed)?;
    let mut newest = meta.modified().with_context(failed)?;
    if meta.is_dir() {
        for entry in path.read_dir().with_context(failed)? {
            newest = newest.max(newest_in(&entry.with_context(failed)?.path())?);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read_and_ordered() {
        assert_eq!(node_version("v20.19.4\n"), Some((20, 19)));
        assert!(node_version("v18.20.1").expect("it is one") < OLDEST_NODE);
        assert!(node_version("v22.2.0").expect("it is one") > OLDEST_NODE);
        assert_eq!(node_version("node"), None);
    }

    #[test]
    fn what_is_missing_or_older_is_made_again() {
        let dir = std::env::temp_dir().join(format!("ormesh-xtask-newer-{}", std::process::id()));
        let (source, made) = (dir.join("src/deep.txt"), dir.join("made"));
        std::fs::create_dir_all(dir.join("src")).expect("it can be made");
        std::fs::write(&source, "").expect("it can be written");
        let sources = [dir.join("src")];

        let missing = is_newer(&made, &sources).expect("it can be asked");
        std::fs::write(&made, "").expect("it can be written");
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let set = |path: &Path, time| std::fs::File::open(path).and_then(|file| file.set_modified(time));
        set(&source, old).and_then(|()| set(&sources[0], old)).expect("a time can be set");
        let newer = is_newer(&made, &sources).expect("it can be asked");
        std::fs::remove_dir_all(&dir).expect("it can be removed");

        assert_eq!((missing, newer), (false, true));
    }
}
