//! Runs the transcripts of `tests/transcripts` and of the README: they are the manual, so what they show must be what happens.
//!
//! In a block marked `console`, `# on NAME` goes to the host of that name, `$ LINE` is run by a shell there, and the lines that follow
//! are what it prints: standard output, then, where it is shown at all or the command fails, standard error. `[exit N]` ends the lines of
//! a command that fails. `<56 characters>` stands for an onion address's, `ormesh1…` and `ormeshreq1…` for an invite and a request (in a
//! command, for the last that was printed), `<this binary>` for the command's path, and any other `<…>` for anything on its line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::host::{Host, ORMESH, Ran};

#[test]
fn every_transcript_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(root.join("tests/transcripts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files.extend(Some(root.join("README.md")).filter(|path| path.exists()));
    let failures: Vec<String> = files.iter().filter_map(|path| run(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A command of a transcript, and what it shows.
struct Step<'a> {
    line: usize,
    on: &'a str,
    command: &'a str,
    shown: Vec<&'a str>,
}

fn run(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
    let mut printed = Printed::default();
    for step in steps(&text) {
        let host = hosts.entry(step.on).or_insert_with(Host::new);
        let ran = host.shell(&printed.put_into(step.command));
        printed.note(&ran.stdout);
        if !fits(&step.shown, &ran) {
            return Err(format!(
                "{}:{}: $ {}\n--- shown\n{}\n--- printed\n{}{}[exit {}]\n",
                path.display(),
                step.line,
                step.command,
                step.shown.join("\n"),
                ran.stdout,
                ran.stderr,
                ran.code
            ));
        }
    }
    Ok(())
}

fn steps(text: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let (mut within, mut on, mut open) = (false, "here", false);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            within = line == "```console";
            open = false;
        } else if !within {
        } else if let Some(name) = line.strip_prefix("# on ") {
            on = name;
            open = false;
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: number + 1, on, command, shown: Vec::new() });
            open = true;
        } else if let (true, Some(step)) = (open, steps.last_mut()) {
            step.shown.push(line);
        }
    }
    for step in &mut steps {
        while step.shown.last().is_some_and(|line| line.is_empty()) {
            step.shown.pop();
        }
    }
    steps
}

/// The last of each kind of text that a command printed, for the commands after it.
#[derive(Default)]
struct Printed(BTreeMap<&'static str, String>);

/// What stands for a text → how the text begins.
const KINDS: [(&str, &str); 2] = [("ormesh1…", "ormesh1"), ("ormeshreq1…", "ormeshreq1")];

impl Printed {
    fn note(&mut self, stdout: &str) {
        for (stands, begins) in KINDS {
            if let Some(line) = stdout.lines().rfind(|line| line.starts_with(begins)) {
                self.0.insert(stands, line.to_owned());
            }
        }
    }

    fn put_into(&self, command: &str) -> String {
        self.0.iter().fold(command.to_owned(), |command, (stands, text)| command.replace(stands, text))
    }
}

fn fits(shown: &[&str], ran: &Ran) -> bool {
    let code = shown.last().and_then(|line| line.strip_prefix("[exit ")?.strip_suffix(']')?.parse().ok());
    let shown = &shown[..shown.len() - usize::from(code.is_some())];
    let lines = |text: &str| text.trim_end().lines().map(str::to_owned).collect::<Vec<_>>();
    let (out, both) = (lines(&ran.stdout), [lines(&ran.stdout), lines(&ran.stderr)].concat());
    let same = |printed: &[String]| {
        printed.len() == shown.len()
            && shown.iter().zip(printed).all(|(shown, printed)| matches(shown, printed))
    };
    code.unwrap_or(0) == ran.code && (same(&both) || ran.code == 0 && same(&out))
}

/// Whether a printed line is what a shown one stands for.
fn matches(shown: &str, printed: &str) -> bool {
    if let Some((literal, rest)) = split_wildcard(shown) {
        let Some(after) = printed.strip_prefix(literal) else { return false };
        let (wildcard, rest) = rest;
        let ends = after.char_indices().map(|(at, c)| at + c.len_utf8());
        return ends
            .into_iter()
            .any(|end| stands_for(wildcard, &after[..end]) && matches(rest, &after[end..]));
    }
    shown == printed
}

/// What is before the first wildcard, the wildcard, and what is after it.
fn split_wildcard(shown: &str) -> Option<(&str, (&str, &str))> {
    let named = KINDS.iter().filter_map(|(stands, _)| shown.find(stands).map(|at| (at, at + stands.len())));
    let angled = shown.find('<').and_then(|at| Some((at, at + shown[at..].find('>')? + 1)));
    let (from, to) = named.chain(angled).min()?;
    Some((&shown[..from], (&shown[from..to], &shown[to..])))
}

fn stands_for(wildcard: &str, text: &str) -> bool {
    // The alphabet of bech32 (BIP 173), less the separator.
    let bech32 =
        |text: &str| text.len() >= 40 && text.chars().all(|c| "qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(c));
    let onion = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
    match wildcard {
        "<56 characters>" => text.len() == 56 && text.chars().all(onion),
        "<this binary>" => text == ORMESH,
        "ormesh1…" => text.strip_prefix("ormesh1").is_some_and(bech32),
        "ormeshreq1…" => text.strip_prefix("ormeshreq1").is_some_and(bech32),
        _ => !text.is_empty(),
    }
}

#[test]
fn a_transcript_that_shows_something_else_fails() {
    let ran = |stdout: &str, stderr: &str, code| Ran { stdout: stdout.into(), stderr: stderr.into(), code };
    let address = "a".repeat(56);
    assert!(fits(&["- <56 characters>.onion"], &ran(&format!("- {address}.onion\n"), "", 0)));
    assert!(!fits(&["- <56 characters>.onion"], &ran(&format!("- {address}a.onion\n"), "", 0)));
    assert!(fits(&["a"], &ran("a\n", "note: b\n", 0)));
    assert!(fits(&["a", "note: b"], &ran("a\n", "note: b\n", 0)));
    assert!(!fits(&["a", "note: c"], &ran("a\n", "note: b\n", 0)));
    assert!(!fits(&["a"], &ran("a\n", "", 1)));
    assert!(!fits(&["[exit 1]"], &ran("", "ormesh: b\n", 1)));
    assert!(fits(&["ormesh: b", "[exit 1]"], &ran("", "ormesh: b\n", 1)));
    assert!(!fits(&[], &ran("a\n", "", 0)));
    assert!(!fits(&["a"], &ran("", "", 0)));
}
