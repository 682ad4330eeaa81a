//! One program of the core's unit tests that has every change, and makes the one that it is started with.
//!
//! To build the tests once for each change would take a minute each. It is built from a copy of the workspace, which stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::change::{self, Change, Choices, NUMBER, UNCHANGED};
use crate::interrupt;
use crate::process::{self, Owned, POLL};
use crate::test::FASTER;
use crate::workspace::Workspace;

/// Where the core's root is.
const LIB: &str = "core/src/lib.rs";
const SIMULATION: &str = "agent::sim";
/// What takes thousands of inputs.
const FUZZED: &str = "fuzzed";
/// All other tests, in the order in which they are tried: what takes longest comes last.
const PARTS: [&[&str]; 3] = [
    &["--skip", SIMULATION, "--skip", FUZZED, "--skip", "session::", "--skip", "forward::"],
    &["session::", "forward::", "--skip", FUZZED],
    &[SIMULATION],
];
/// Tests that run at the same time: many of them wait.
const AT_ONCE: &str = "--test-threads=6";
/// How many seeds of the simulation are played against what the other tests have not noticed.
const SEEDS: &str = "200";
/// How long a part of the tests may take. What goes on for ever by a change is noticed, too.
const LONGEST: Duration = Duration::from_secs(240);

/// The tests, with every change that can be in them.
pub(super) struct Program {
    file: PathBuf,
    dir: PathBuf,
    /// What is not in it, by its number, and why.
    pub(super) left_out: BTreeMap<usize, &'static str>,
}

impl Program {
    /// Builds it; a change has its place in `changes` for a number.
    pub(super) fn build(workspace: &Workspace, changes: &[Change]) -> Result<Program> {
        interrupt::listen()?;
        let (dir, built) =
            (workspace.target().join("mutants/tree"), workspace.target().join("mutants/built"));
        let mut left_out = BTreeMap::new();
        loop {
            let (texts, outside) = choices(workspace, changes, &left_out)?;
            left_out.extend(outside.into_iter().map(|number| (number, "it is in no function that runs")));
            copy(workspace, &dir, &texts)?;
            let refused = refused(&mut cargo(workspace, &dir, &built, &["check"]), &texts)?;
            if refused.is_empty() {
                break;
            }
            left_out.extend(refused.into_iter().map(|number| (number, "it does not compile")));
        }
        let mut build = cargo(workspace, &dir, &built, &["test", "--no-run"]);
        let said = process::output(build.args(["--lib", "--message-format=json"]))?;
        let file = messages(&said)
            .filter(|message| message["target"]["name"] == "ormesh_core")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .context("cargo names no program of the core's tests")?;
        Ok(Program { file, dir: dir.join("core"), left_out })
    }

    /// Fails where a test does without any change: then nothing is shown by one that fails with it.
    pub(super) fn passes_unchanged(&self) -> Result<()> {
        for part in PARTS {
            ensure!(self.passes(UNCHANGED, part)?, "a test fails without any change: {}", part.join(" "));
        }
        Ok(())
    }

    /// Whether a test fails, or does not end, with this change.
    pub(super) fn notices(&self, number: usize, change: &Change) -> Result<bool> {
        let room = change.file.trim_start_matches("core/src/").trim_end_matches(".rs").replace('/', "::");
        // Its own tests are the likeliest.
        let own = [room.trim_end_matches("::mod"), "--skip", SIMULATION, "--skip", FUZZED];
        for part in iter::once(&own[..]).chain(PARTS) {
            if !self.passes(number, part)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn passes(&self, number: usize, args: &[&str]) -> Result<bool> {
        let mut tests = Command::new(&self.file);
        tests.args(args).args(["--quiet", AT_ONCE]).current_dir(&self.dir);
        tests.env(NUMBER, number.to_string()).env("ORMESH_SIM_SEEDS", SEEDS);
        // A property that fails is enough: which case is the smallest is of no use here.
        tests.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        tests.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (mut child, began) = (Owned::start("the core's tests", &mut tests)?, Instant::now());
        loop {
            interrupt::check()?;
            match child.ended()? {
                Some(status) => return Ok(status.success()),
                None if began.elapsed() >= LONGEST => return Ok(false),
                None => thread::sleep(POLL),
            }
        }
    }
}

/// The texts of all changed files by their names, and the numbers of what can't be chosen.
fn choices(
    workspace: &Workspace,
    changes: &[Change],
    left_out: &BTreeMap<usize, &str>,
) -> Result<(BTreeMap<String, Choices>, Vec<usize>)> {
    let mut files = BTreeMap::<&str, Vec<(usize, &Change)>>::new();
    for (number, change) in changes.iter().enumerate().filter(|(number, _)| !left_out.contains_key(number)) {
        files.entry(&change.file).or_default().push((number, change));
    }
    let mut texts = BTreeMap::new();
    for (file, changes) in files {
        let text = read(&workspace.root().join(file))?;
        let choices = Choices::of(&text, &changes).with_context(|| format!("failed to change {file}"))?;
        texts.insert(file.to_owned(), choices);
    }
    let outside = texts.values().flat_map(|choices| choices.outside.clone()).collect();
    Ok((texts, outside))
}

/// Copies the workspace's files, with these texts for some of them. What is the same stays untouched, so that little is built again.
fn copy(workspace: &Workspace, to: &Path, texts: &BTreeMap<String, Choices>) -> Result<()> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = process::output(list.current_dir(workspace.root()))?;
    // A module that has moved would be there twice.
    remove_all_but(&to.join("core/src"), &list.split('\0').map(|name| to.join(name)).collect())?;
    for name in list.split_terminator('\0') {
        let from = workspace.root().join(name);
        if !from.is_file() {
            continue;
        }
        let mut content = match texts.get(name) {
            Some(choices) => choices.text.clone().into_bytes(),
            None => fs::read(&from).with_context(|| format!("failed to read {}", from.display()))?,
        };
        if name == LIB {
            content.extend(change::answer().bytes());
        }
        let to = to.join(name);
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&to, content).with_context(|| format!("failed to write {}", to.display()))?;
    }
    Ok(())
}

/// Removes the files of a directory that are not among these; a directory that is not there has none.
fn remove_all_but(dir: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry?.path();
        match path.is_dir() {
            true => remove_all_but(&path, kept)?,
            false if kept.contains(&path) => {}
            false => {
                fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

fn cargo(workspace: &Workspace, tree: &Path, built: &Path, what: &[&str]) -> Command {
    let mut cargo = workspace.cargo();
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", built).env("RUSTFLAGS", "--cap-lints=allow");
    cargo.args(what).args(FASTER).args(["--package", "ormesh-core"]);
    cargo
}

/// The numbers of the changes that the compiler refuses, or an error that is of none of them.
fn refused(check: &mut Command, texts: &BTreeMap<String, Choices>) -> Result<BTreeSet<usize>> {
    check.args(["--lib", "--profile", "test", "--message-format=json"]);
    let output = check.stdin(Stdio::null()).stderr(Stdio::null()).output().context("failed to run cargo")?;
    let (mut refused, mut others) = (BTreeSet::new(), Vec::new());
    let said = String::from_utf8_lossy(&output.stdout);
    for error in
        messages(&said).map(|mut message| message["message"].take()).filter(|error| error["level"] == "error")
    {
        let spans = error["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
        let at = |is_primary: bool| -> BTreeSet<usize> {
            let spans = spans.iter().filter(|span| span["is_primary"] == is_primary);
            spans.filter_map(|span| number_at(span, texts)).collect()
        };
        // What an error is of comes first. Where that is what was there before, it is of what it is compared with.
        let numbers = Some(at(true)).filter(|numbers| !numbers.is_empty()).unwrap_or_else(|| at(false));
        if numbers.is_empty() {
            others.push(error["rendered"].as_str().unwrap_or_default().to_owned());
        }
        refused.extend(numbers);
    }
    if refused.is_empty() && !output.status.success() {
        bail!("the changed core does not compile:\n{}", others.join("\n"));
    }
    Ok(refused)
}

fn number_at(span: &Value, texts: &BTreeMap<String, Choices>) -> Option<usize> {
    let line = usize::try_from(span["line_start"].as_u64()?).ok()?;
    texts.get(span["file_name"].as_str()?)?.at_line(line)
}

fn messages(said: &str) -> impl Iterator<Item = Value> {
    said.lines().filter_map(|line| serde_json::from_str(line).ok())
}
