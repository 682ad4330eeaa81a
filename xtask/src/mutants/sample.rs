//! Mutations that nobody chose: those that cargo-mutants makes of the rooms that decide, a number of them drawn by a seed.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use support::Random;

use crate::process;
use crate::workspace::Workspace;

/// The rooms: the same number is drawn of each.
const ROOMS: [&[&str]; 5] = [
    &["core/src/model/"],
    &["core/src/plan/"],
    &["core/src/agent/"],
    &["core/src/forward/gate"],
    &["core/src/forward/relay"],
];
/// What is there for tests alone.
const FOR_TESTS: [&str; 3] = ["/sim/", "/bench.rs", "/tests"];

/// One of them.
pub(super) struct Drawn {
    /// As cargo-mutants says it, with file, line and column.
    pub(super) name: String,
    pub(super) file: String,
    /// Line and column of its beginning and of its end, from 1.
    span: [(usize, usize); 2],
    instead: String,
}

/// Draws so many mutations, by this seed.
pub(super) fn draw(workspace: &Workspace, many: usize, seed: u64) -> Result<Vec<Drawn>> {
    if process::find("cargo-mutants").is_none() {
        bail!("cargo-mutants is not there\nhint: cargo install cargo-mutants --locked");
    }
    let mut list = Command::new("cargo");
    list.args(["mutants", "--list", "--json", "--package", "ormesh-core"]).current_dir(workspace.root());
    let list: Vec<Value> = serde_json::from_str(&process::output(&mut list)?)?;
    let mut all: Vec<Drawn> =
        list.iter().map(read).collect::<Option<_>>().context("cargo-mutants lists them in another way")?;
    all.retain(|one| !FOR_TESTS.iter().any(|part| one.file.contains(part)));
    let mut random = Random(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut drawn = Vec::new();
    for (nth, room) in ROOMS.iter().enumerate() {
        let (mut its, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| room.iter().any(|start| one.file.starts_with(start)));
        all = rest;
        let share = many / ROOMS.len() + usize::from(nth < many % ROOMS.len());
        for _ in 0..share.min(its.len()) {
            drawn.push(its.swap_remove(random.below(its.len())));
        }
    }
    Ok(drawn)
}

fn read(mutant: &Value) -> Option<Drawn> {
    let place = |end: &str| -> Option<(usize, usize)> {
        let number = |what: &str| usize::try_from(mutant["span"][end][what].as_u64()?).ok();
        Some((number("line")?, number("column")?))
    };
    let text = |what: &str| mutant[what].as_str().map(str::to_owned);
    let span = [place("start")?, place("end")?];
    Some(Drawn { name: text("name")?, file: text("file")?, span, instead: text("replacement")? })
}

impl Drawn {
    /// The file's text with it.
    pub(super) fn made_in(&self, text: &str) -> Result<String> {
        let [start, end] = self.span.map(|(line, column)| {
            let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
            let rest = text.get(before..)?;
            rest.char_indices().nth(column - 1).map(|(at, _)| before + at)
        });
        let (before, after) =
            (start.and_then(|start| text.get(..start)), end.and_then(|end| text.get(end..)));
        let (before, after) = before.zip(after).context("the file is another one than was listed")?;
        Ok(format!("{before}{}{after}", self.instead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutation_is_put_in_the_place_that_was_listed() {
        let listed = serde_json::json!({
            "name": "replace f with ()", "file": "a.rs", "replacement": "()",
            "span": { "start": { "line": 2, "column": 3 }, "end": { "line": 3, "column": 2 } },
        });
        let mutation = read(&listed).unwrap();

        assert_eq!(mutation.made_in("ä\nä-b\nc;\n").unwrap(), "ä\nä-();\n");
        assert!(mutation.made_in("ä\n").is_err());
    }
}
