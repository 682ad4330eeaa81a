//! `cargo xtask dist`: the packages, from the sources to files that a user installs.
//!
//! Everything is made in a directory of its own, which takes the place of `<target>/dist` when all of it is whole. The same
//! commit gives the same packages: every date in them is the commit's.

mod bom;
mod credits;
mod deb;
mod elf;
mod made;
mod programs;
mod rpm;
mod script;
mod tarball;
mod tor;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use self::made::{Edition, Made};
use self::programs::Programs;
pub(crate) use self::tor::SOURCE as TOR_SOURCE;
use self::tor::Sidecar;
use crate::setup::{self, Install};
use crate::workspace::Workspace;
use crate::{desktop, interrupt, process, say};

/// Makes all packages and lists them. A `release` is for others, and needs somebody who answers for it.
pub(crate) fn run(install: Install, release: bool) -> Result<ExitCode> {
    // Before anything is built.
    maintainer(release)?;
    if !setup::dist_libraries(install)? {
        return Ok(ExitCode::SUCCESS);
    }
    make(&Workspace::find()?)?;
    Ok(ExitCode::SUCCESS)
}

/// Whom the environment names as the one who answers for the packages.
fn maintainer(release: bool) -> Result<String> {
    made::maintainer(std::env::var("ORMESH_MAINTAINER").ok(), release)
}

/// Makes all packages, and gives the directory they are in. What they take to build must be installed.
pub(crate) fn make(workspace: &Workspace) -> Result<PathBuf> {
    interrupt::listen()?;
    let start = Instant::now();
    let work = workspace.target().join("dist.new");
    remove(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("failed to create: {}", work.display()))?;
    // Removed also when something fails.
    let work = Work(work);

    let sidecar = stage("tor", Sidecar::prepare)?;
    stage("window", || desktop::build_window(workspace))?;
    let programs = stage("programs", || Programs::build(workspace, &work.0))?;
    let parts = stage("libraries", || credits::parts(workspace))?;
    let credits = stage("licences", || credits::write(&parts, &work.0))?;
    let bom = stage("bill of materials", || {
        bom::write(&workspace.version()?, &parts, &sidecar.made_of()?, &work.0)
    })?;
    let made = Made {
        root: workspace.root().to_owned(),
        version: workspace.version()?,
        homepage: env!("CARGO_PKG_REPOSITORY").to_owned(),
        maintainer: maintainer(false)?,
        epoch: epoch(workspace)?,
        programs,
        sidecar,
        credits,
    };
    let files = vec![
        stage("deb of the app", || deb::make(Edition::App, &made, &work.0))?,
        stage("rpm of the app", || rpm::make(Edition::App, &made, &work.0))?,
        stage("deb of the command", || deb::make(Edition::Command, &made, &work.0))?,
        stage("tarball of the command", || tarball::make(&made, &work.0))?,
        bom,
    ];
    let dist = workspace.target().join("dist");
    publish(&files, &work.0, &dist)?;
    list(&dist)?;
    say::note(&format!("in {}", say::span(start.elapsed())));
    Ok(dist)
}

/// Announces and times a stage; the first that fails ends it all.
fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    interrupt::check()?;
    say::heading(name);
    let start = Instant::now();
    let result = work();
    if interrupt::asked() {
        // What a child of ours said about its end is of no interest then.
        interrupt::check()?;
    }
    say::outcome(result.is_ok(), &format!("{name}, {}", say::span(start.elapsed())));
    result
}

/// The time that the packages carry: the environment's, or the commit's.
fn epoch(workspace: &Workspace) -> Result<u64> {
    let said = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(value) => value,
        Err(_) => {
            let mut ask = Command::new("git");
            ask.args(["log", "--max-count=1", "--format=%ct"]).current_dir(workspace.root());
            process::output(&mut ask).context(
                "failed to find the commit's time, which the packages carry\n\
                 hint: outside a clone, set SOURCE_DATE_EPOCH",
            )?
        }
    };
    said.trim().parse().with_context(|| format!("failed to read a time in seconds: {}", said.trim()))
}

/// Puts the packages, and the file by which they are checked, in the place of those before.
fn publish(files: &[PathBuf], work: &Path, dist: &Path) -> Result<()> {
    let whole = work.join("dist");
    fs::create_dir_all(&whole).with_context(|| format!("failed to create: {}", whole.display()))?;
    let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
    for (file, name) in files.iter().zip(&names) {
        fs::rename(file, whole.join(name)).with_context(|| format!("failed to move: {}", file.display()))?;
    }
    let sums = process::output(Command::new("sha256sum").args(&names).current_dir(&whole))?;
    fs::write(whole.join("SHA256SUMS"), sums).context("failed to write: SHA256SUMS")?;
    remove(dist)?;
    fs::rename(&whole, dist).with_context(|| format!("failed to rename: {}", whole.display()))
}

fn list(dist: &Path) -> Result<()> {
    say::heading(&dist.display().to_string());
    let sums = fs::read_to_string(dist.join("SHA256SUMS")).context("failed to read: SHA256SUMS")?;
    for (sum, name) in sums.lines().filter_map(|line| line.split_once("  ")) {
        let size = dist.join(name).metadata().with_context(|| format!("failed to read: {name}"))?.len();
        println!("{:>7.1} MB  {name}\n            sha256 {sum}", size as f64 / 1e6);
    }
    Ok(())
}

/// The directory that everything is made in; removed with this value.
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        // The next run clears it, too.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove: {}", dir.display()))
        }
        _ => Ok(()),
    }
}
