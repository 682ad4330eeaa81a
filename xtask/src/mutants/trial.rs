//! Tries whether a test notices that a file of the core is another one.
//!
//! The file is written back whatever happens, but for a kill.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::{Owned, POLL};
use crate::test::FEATURES;
use crate::workspace::Workspace;

/// How many seeds of the simulation are played against what the unit tests have not noticed.
const SEEDS: &str = "200";
/// How long a part of the tests may take. What goes on for ever by a mutation is noticed, too.
const LONGEST: Duration = Duration::from_secs(900);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A test fails, or does not end.
    Caught,
    /// Nobody notices.
    Survived,
    /// The compiler refuses it, so it can't come to pass.
    DoesNotCompile,
}

/// Puts a file back as it was.
struct PutBack {
    path: PathBuf,
    text: String,
}

impl Drop for PutBack {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.text) {
            eprintln!("error: failed to write {} back: {error}\nhint: git checkout it", self.path.display());
        }
    }
}

/// Has the core's unit tests and the simulation look at a change of one of its files.
pub(super) fn of(
    workspace: &Workspace,
    file: &str,
    change: impl FnOnce(&str) -> Result<String>,
) -> Result<Verdict> {
    let path = workspace.root().join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let changed = change(&text)?;
    let _back = PutBack { path: path.clone(), text };
    fs::write(&path, changed)?;
    if !succeeds(&mut tests(workspace, &["--no-run"]))? {
        return Ok(Verdict::DoesNotCompile);
    }
    // Its own room's tests are the likeliest, the simulation takes longest.
    let room = file.trim_start_matches("core/src/").split(['/', '.']).next().unwrap_or_default();
    let own = format!("{room}::");
    let parts: [&[&str]; 3] =
        [&["--", &own, "--skip", "agent::sim"], &["--", "--skip", "agent::sim"], &["--", "agent::sim"]];
    for part in parts {
        if !succeeds(tests(workspace, part).env("ORMESH_SIM_SEEDS", SEEDS))? {
            return Ok(Verdict::Caught);
        }
    }
    Ok(Verdict::Survived)
}

fn tests(workspace: &Workspace, more: &[&str]) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--quiet", "--workspace", "--lib"]).args(FEATURES).args(more);
    // A property that fails is enough: which case is the smallest is of no use here.
    cargo.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    cargo
}

fn succeeds(command: &mut Command) -> Result<bool> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut child, began) = (Owned::start("cargo", command)?, Instant::now());
    loop {
        match child.ended()? {
            Some(status) => return Ok(status.success()),
            None if began.elapsed() >= LONGEST => return Ok(false),
            None => thread::sleep(POLL),
        }
    }
}
