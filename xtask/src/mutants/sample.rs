//! Mutations that nobody chose: those that cargo-mutants makes of the rooms that decide, a number of them drawn by a seed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use support::Random;

use super::change::Change;
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

const OTHERWISE: &str = "cargo-mutants lists them in another way";

/// Draws so many mutations, by this seed.
pub(super) fn draw(workspace: &Workspace, many: usize, seed: u64) -> Result<Vec<Change>> {
    if process::find("cargo-mutants").is_none() {
        bail!("cargo-mutants is not there\nhint: cargo install cargo-mutants --locked");
    }
    let mut list = Command::new("cargo");
    list.args(["mutants", "--list", "--json", "--package", "ormesh-core"]).current_dir(workspace.root());
    let list: Vec<Value> = serde_json::from_str(&process::output(&mut list)?)?;
    let mut all = Vec::new();
    let mut texts = HashMap::new();
    for mutant in &list {
        let file = mutant["file"].as_str().context(OTHERWISE)?;
        if FOR_TESTS.iter().any(|part| file.contains(part)) {
            continue;
        }
        let text = match texts.entry(file) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(fs::read_to_string(workspace.root().join(file))?),
        };
        all.push(read(mutant, text).context(OTHERWISE)?);
    }
    let mut random = Random(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut drawn = Vec::new();
    for (nth, room) in ROOMS.iter().enumerate() {
        let (mut its, rest): (Vec<Change>, Vec<Change>) =
            all.into_iter().partition(|one| room.iter().any(|start| one.file.starts_with(start)));
        all = rest;
        let share = many / ROOMS.len() + usize::from(nth < many % ROOMS.len());
        for _ in 0..share.min(its.len()) {
            drawn.push(its.swap_remove(random.below(its.len())));
        }
    }
    Ok(drawn)
}

/// A mutant of the list as a change of this text of its file.
fn read(mutant: &Value, text: &str) -> Option<Change> {
    // Lines and columns count from 1, a column in characters.
    let place = |end: &str| -> Option<usize> {
        let number = |what: &str| usize::try_from(mutant["span"][end][what].as_u64()?).ok()?.checked_sub(1);
        let before: usize = text.split_inclusive('\n').take(number("line")?).map(str::len).sum();
        let rest = text.get(before..)?;
        let mut columns = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
        columns.nth(number("column")?).map(|at| before + at)
    };
    let word = |what: &str| mutant[what].as_str().map(str::to_owned);
    let place = place("start")?..place("end")?;
    Some(Change { name: word("name")?, file: word("file")?, place, instead: word("replacement")? })
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

        let change = read(&listed, "ä\nä-b\nc;\n").unwrap();

        assert_eq!((change.place, change.instead.as_str()), (6..9, "()"));
        assert!(read(&listed, "ä\n").is_none());
    }
}
