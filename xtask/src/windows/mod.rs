//! `cargo xtask cross --windows`: what runs on Windows, made on Debian: the command, the desktop app, their tor, and
//! an installer and a zip of them.
//!
//! Everything comes from package registries: the compilers are Debian's, unpacked into the cache, and the standard library and tor
//! are built from Debian's sources.

mod files;
mod installer;
mod link;
mod tor;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use self::files::remove;
use self::link::Linker;
use self::tor::Sidecar;
use crate::setup::{self, Install, MINGW, NSIS, Toolchain};
use crate::workspace::Workspace;
use crate::{desktop, interrupt, process, say};

/// What was made, in one directory: what Windows looks for beside a program is there.
pub(crate) struct Made {
    dir: PathBuf,
}

impl Made {
    /// The directory with `ormesh.exe`, `ormesh-desktop.exe`, `ormesh-tor.exe`, `WebView2Loader.dll`, the installer and the zip.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Makes all of it and lists it.
pub(crate) fn run(install: Install) -> Result<ExitCode> {
    let Some(made) = make(install)? else { return Ok(ExitCode::SUCCESS) };
    say::heading(&made.dir().display().to_string());
    let entries =
        fs::read_dir(made.dir()).with_context(|| format!("failed to list: {}", made.dir().display()))?;
    for entry in entries {
        let entry = entry.context("failed to list what was made")?;
        let size = entry.metadata().context("failed to list what was made")?.len();
        println!("{:>7.1} MB  {}", size as f64 / 1e6, entry.file_name().display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes all of it. None: something is missing and was listed as asked.
pub(crate) fn make(install: Install) -> Result<Option<Made>> {
    let libraries = setup::windows_libraries(install)?;
    let toolchain = Toolchain::prepare(install)?;
    let mingw = MINGW.prepare(install)?;
    let nsis = NSIS.prepare(install)?;
    let (true, Some(toolchain), Some(mingw), Some(nsis)) = (libraries, toolchain, mingw, nsis) else {
        return Ok(None);
    };
    interrupt::listen()?;
    let workspace = Workspace::find()?;
    let made = Made { dir: workspace.target().join("windows") };

    let sidecar = stage("tor for Windows", || Sidecar::prepare(&mingw))?;
    stage("window", || desktop::build_window(&workspace))?;
    let linker = Linker::new(&workspace, &toolchain, &mingw)?;
    let programs = stage("programs for Windows", || linker.programs())?;

    let new = workspace.target().join("windows.new");
    remove(&new)?;
    fs::create_dir_all(&new).with_context(|| format!("failed to create: {}", new.display()))?;
    let mut names = vec!["LICENCES-tor.txt".to_owned()];
    fs::copy(sidecar.licences(), new.join(&names[0])).context("failed to copy tor's licences")?;
    for file in programs.iter().chain([&sidecar.program()]) {
        let name = file.file_name().context("a program has a name")?.to_string_lossy().into_owned();
        let to = new.join(&name);
        fs::copy(file, &to).with_context(|| format!("failed to copy: {}", file.display()))?;
        if name.ends_with(".exe") {
            process::output(Command::new(mingw.join("bin/x86_64-w64-mingw32-strip")).arg(&to))?;
        }
        names.push(name);
    }
    let version = workspace.version()?;
    let files = installer::Files { dir: &new, names: &names, version: &version };
    let packages = [
        stage("installer", || installer::installer(&workspace, &nsis, &files))?,
        stage("portable zip", || installer::portable(&nsis, &files))?,
    ];
    installer::sums(&files, &packages)?;
    remove(&made.dir)?;
    fs::rename(&new, &made.dir).with_context(|| format!("failed to rename: {}", new.display()))?;
    Ok(Some(made))
}

/// Whether all that this takes is there; what is missing is listed.
pub(crate) fn is_prepared() -> Result<bool> {
    let install = Install::ListOnly;
    let libraries = setup::windows_libraries(install)?;
    let (toolchain, mingw) = (Toolchain::prepare(install)?, MINGW.prepare(install)?);
    Ok(NSIS.prepare(install)?.is_some() && libraries && toolchain.is_some() && mingw.is_some())
}

/// Builds the core's unit tests, and those of its secret stores, for Windows, and gives their programs.
pub(crate) fn unit_tests(workspace: &Workspace, install: Install) -> Result<Vec<PathBuf>> {
    let (toolchain, mingw) = (Toolchain::prepare(install)?, MINGW.prepare(install)?);
    let (Some(toolchain), Some(mingw)) = (toolchain, mingw) else { return Ok(Vec::new()) };
    Linker::new(workspace, &toolchain, &mingw)?.tests()
}

/// Tests that Wine fails for a reason of its own, and that reason. They run on Windows, in the workflow.
pub(crate) const NOT_UNDER_WINE: [(&str, &str); 0] = [];

/// Announces and times a stage; the first that fails ends it all.
fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    interrupt::check()?;
    say::heading(name);
    let start = Instant::now();
    let result = work();
    say::outcome(result.is_ok(), &format!("{name}, {}", say::span(start.elapsed())));
    result
}
