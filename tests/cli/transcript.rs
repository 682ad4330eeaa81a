//! Plays the transcripts of `tests/transcripts` and the README: what they show must be what happens.

use std::collections::BTreeMap;
use std::path::Path;

use support::Page;

use crate::refused::Host;

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
    files.push(root.join("README.md"));
    let play = |path: &std::path::PathBuf| {
        let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
        Page::read(path).play::<String>(|typed| {
            Ok(hosts.entry(typed.on.to_owned()).or_insert_with(Host::new).shell(typed.line))
        })
    };
    let failures: Vec<String> = files.iter().filter_map(|path| play(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
