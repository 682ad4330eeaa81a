//! `cargo xtask test --windows`: makes the programs for Windows and tries them under Wine, without a screen, on a private Tor network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::stage::{self, Stages};
use crate::setup::{Install, MINGW, NSIS, Tools, WINE};
use crate::tornet::Tornet;
use crate::windows;
use crate::workspace::Workspace;
use crate::{interrupt, process, say};

/// The tests are in the same feature set as the others, but for the word that has them built.
const FEATURES: [&str; 2] = ["--features", "desktop,wine"];

/// Programs that only these tests need: those that hold files, take names and send what they should not.
const HELPERS: [&str; 3] = ["holder", "hostile", "impostor"];

/// What Rust's programs need of Windows and Wine 8 lacks.
const SHIM: &str = "bcryptprimitives";

/// Makes what is tested and runs the tests; `filter` goes to the test binary.
pub(crate) fn run(install: Install, tools: &Tools, filter: &[String]) -> Result<ExitCode> {
    let (wine, mingw, nsis) = (WINE.prepare(install)?, MINGW.prepare(install)?, NSIS.prepare(install)?);
    if install == Install::ListOnly && !windows::is_prepared()? {
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(wine), Some(mingw), Some(nsis)) = (wine, mingw, nsis) else { return Ok(ExitCode::SUCCESS) };
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;
    let mut stages = Stages::new();

    let made = stages.run("programs for Windows", || windows::make(Install::Yes)?.context("all was there"));
    let clippy = ["--test", "windows", "--", "-D", "warnings"];
    stages.command("clippy", workspace.cargo().arg("clippy").args(FEATURES).args(clippy));
    stages.command("build", workspace.cargo().args(["build", "--workspace", "--bins"]).args(super::FEATURES));
    let prefix = stages.run("Wine", || Prefix::make(&workspace, &wine, &mingw));
    let network = stages.run("private Tor network", || Tornet::start(&workspace, tools));
    if let (Some(made), Some(prefix), Some(network)) = (&made, &prefix, &network) {
        stages.tests("unit tests", |count| {
            let mut all_well = true;
            for test in windows::unit_tests(&workspace, Install::Yes)? {
                let mut run = prefix.wine(&test);
                run.arg("--test-threads=4").current_dir(workspace.root().join("core"));
                for (test, _) in windows::NOT_UNDER_WINE {
                    run.args(["--skip", test]);
                }
                all_well &= stage::stream(run.args(filter), |line| count.read(line))?;
            }
            Ok(all_well)
        });
        stages.tests("tests", |count| {
            let mut cargo = workspace.cargo();
            cargo
                .args(["test", "--workspace", "--no-fail-fast"])
                .args(FEATURES)
                .args(["--test", "windows", "--"]);
            cargo.args(filter).envs(tools.environment()).envs(prefix.environment());
            cargo.env("ORMESH_TORNET", network.dir()).env("ORMESH_WINDOWS", made.dir());
            cargo.env("ORMESH_UNZIP", nsis.join("root/usr/bin/unzip"));
            stage::stream(&mut cargo, |line| count.read(line))
        });
    }
    if let Some(network) = network {
        network.end();
    }
    for (test, why) in windows::NOT_UNDER_WINE {
        say::note(&format!("not shown by Wine: {test}: {why}"));
    }
    Ok(super::finish(&stages, start))
}

/// A Windows of its own, in a temporary directory: drive, registry, and the server of its processes.
struct Prefix {
    dir: TempDir,
    wine: PathBuf,
}

impl Prefix {
    fn make(workspace: &Workspace, wine: &Path, mingw: &Path) -> Result<Prefix> {
        let dir = tempfile::Builder::new().prefix("ormesh-wine-").tempdir_in("/tmp")?;
        let prefix = Prefix { dir, wine: wine.join("bin/wine") };
        // It stays when no program runs: each would start Windows' services anew, and they would keep its output open.
        silent(&mut prefix.wine("wineserver"), &["--persistent"])?;
        // The first makes the directories; the second what it could not without the library.
        let _ = silent(&mut prefix.wine("wineboot"), &["--init"]);
        let system = prefix.dir.path().join("drive_c/windows/system32");
        let library = wine.join("zlib1.dll");
        fs::copy(&library, system.join("zlib1.dll"))
            .with_context(|| format!("failed to copy: {}", library.display()))?;
        silent(&mut prefix.wine("wineboot"), &["--update"])?;

        let helpers = prefix.helpers();
        fs::create_dir_all(&helpers).with_context(|| format!("failed to create: {}", helpers.display()))?;
        let compile = |name: &str, output: &Path, flag: &str| {
            let source = workspace.root().join(format!("tests/windows/helpers/{name}.c"));
            let mut gcc = Command::new(mingw.join("bin/x86_64-w64-mingw32-gcc"));
            process::output(gcc.args(["-O1", flag, "-o"]).arg(output).arg(source)).map(drop)
        };
        for name in HELPERS {
            compile(name, &helpers.join(format!("{name}.exe")), "-municode")?;
        }
        compile(SHIM, &system.join(format!("{SHIM}.dll")), "-shared")?;
        Ok(prefix)
    }

    fn helpers(&self) -> PathBuf {
        self.dir.path().join("helpers")
    }

    fn wine(&self, program: impl AsRef<Path>) -> Command {
        let mut command = process::dying_with_us(&self.wine);
        command.arg(program.as_ref()).envs(self.environment()).env_remove("DISPLAY");
        command
    }

    /// The environment of everything that runs there.
    fn environment(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("WINEPREFIX", self.dir.path().to_owned()),
            // Wine's own complaints are about what it lacks.
            ("WINEDEBUG", "-all".into()),
            // Without it, letters beyond ASCII are lost on the way into Windows' programs.
            ("LC_ALL", "C.UTF-8".into()),
            ("ORMESH_WINE", self.wine.clone()),
            ("ORMESH_WINDOWS_HELPERS", self.helpers()),
        ]
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // Whatever a test left there ends with the server.
        let _ = self.wine("wineserver").arg("--kill").status();
        let _ = self.wine("wineserver").arg("--wait").status();
    }
}

/// Runs something whose children go on, and would hold a pipe to us.
fn silent(command: &mut Command, words: &[&str]) -> Result<()> {
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().with_context(|| format!("failed to start: {}", process::shown(command)))?;
    if !status.success() {
        bail!("failed to run: {} ({status})", process::shown(command));
    }
    Ok(())
}
