//! What ARCHITECTURE.md promises of the sources: the direction of imports, the purity of pure rooms, a sentence at the top of each file.
//!
//! It reads text, not syntax trees: paths that start with `crate::` or `std::` and plain names, outside of comments. Each rule is also
//! shown to be seen when it is broken.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

use ormesh_core::model::problem::Code;

/// The rooms of the core in their order: each imports only those before it.
const ROOMS: [&str; 9] =
    ["model", "plan", "store", "secrets", "engine", "session", "forward", "ipc", "agent"];
/// Rooms of pure functions: the clock, randomness and everything outside come from callers.
const PURE: [&str; 3] = ["model", "plan", "session"];
/// What a pure room names not: runtimes, system calls, sockets and clocks. Types of addresses (`std::net::SocketAddr`) are fine.
const IMPURE_NAMES: [&str; 15] = [
    "tokio",
    "rustix",
    "getrandom",
    "notify",
    "socket2",
    "tempfile",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "ToSocketAddrs",
    "SystemTime",
    "Instant",
    "Zoned",
];
const IMPURE_MODULES: [&str; 5] = ["fs", "env", "process", "thread", "os"];

/// Words by which a program finds out that it is tested, or a developer's own. In none of ours: what a person has is what is tested.
const SWITCHES: [&str; 5] =
    ["TAURI_WEBVIEW_AUTOMATION", "webdriver", "debug_assertions", "ORMESH_TORNET", "ORMESH_PICTURES"];
/// The one use that changes nothing but whether Windows opens a console.
const CONSOLE: &str = r#"#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]"#;

/// What breaks a rule, in words.
type Broken = Vec<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust source below a directory, with its text.
fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    sources_in(&["rs"], dir)
}

/// The same of sources with these extensions.
fn sources_in(extensions: &[&str], dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.unwrap().path();
        let skipped = path.file_name().is_some_and(|name| name == "target" || name == "node_modules");
        if path.is_dir() && !skipped {
            found.extend(sources_in(extensions, &path));
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// All sources of the workspace.
fn workspace() -> Vec<(PathBuf, String)> {
    let all: Vec<_> =
        ["core", "src-tauri", "tests", "xtask"].iter().flat_map(|dir| sources(&root().join(dir))).collect();
    assert!(all.len() > 100, "the sources were not found: {}", all.len());
    all
}

/// A room's sources.
fn room(name: &str) -> Vec<(PathBuf, String)> {
    let all = sources(&root().join("core/src").join(name));
    assert!(!all.is_empty(), "no sources in the room {name}");
    all
}

/// A text without its comments. A `//` in a string ends its line too, which hides nothing that matters here.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first segments after `start::`, those of a group in braces too: `crate::{a::b, c}` gives `a` and `c`.
fn names_after(code: &str, start: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(start) {
        let (before, after) = (&rest[..at], &rest[at + start.len()..]);
        rest = after;
        let Some(path) = after.strip_prefix("::") else { continue };
        if before.ends_with(is_name) || before.ends_with("::") {
            continue;
        }
        match path.strip_prefix('{') {
            None => names.push(path.split(|c| !is_name(c)).next().unwrap_or("").to_owned()),
            Some(group) => {
                let (mut depth, mut segment) = (0, String::new());
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.push(std::mem::take(&mut segment)),
                        _ if depth == 0 => segment.push(c),
                        _ => {}
                    }
                }
                names.push(segment);
            }
        }
    }
    let first = |name: &String| name.trim().split(|c| !is_name(c)).next().unwrap_or("").to_owned();
    names.iter().map(first).filter(|name| !name.is_empty()).collect()
}

/// Whether a text holds a name as a whole word.
fn has_name(code: &str, name: &str) -> bool {
    code.split(|c| !is_name(c)).any(|word| word == name)
}

/// Whether code opens an unsafe block or names an unsafe item.
fn uses_unsafe(code: &str) -> bool {
    let mut words = code.split(|c: char| !is_name(c) && c != '{').filter(|word| !word.is_empty());
    let follows = |word: &str| ["{", "fn", "impl", "trait", "extern"].contains(&word);
    while let Some(word) = words.next() {
        if word == concat!("un", "safe") && words.clone().next().is_some_and(follows) {
            return true;
        }
    }
    false
}

/// Imports of a room from one that comes after it.
fn wrong_way(of: &str, text: &str) -> Broken {
    let own = ROOMS.iter().position(|room| *room == of).expect("a room");
    let later = |name: &String| ROOMS.iter().position(|room| room == name).is_none_or(|other| other > own);
    names_after(&code(text), "crate").into_iter().filter(later).collect()
}

/// What a pure room names and must not.
fn impurities(text: &str) -> Broken {
    let code = code(text);
    let modules =
        names_after(&code, "std").into_iter().filter(|name| IMPURE_MODULES.contains(&name.as_str()));
    let names = IMPURE_NAMES.iter().filter(|name| has_name(&code, name)).map(|name| (*name).to_owned());
    modules.chain(names).collect()
}

/// What a program does otherwise when it is tested.
fn switches(text: &str) -> Broken {
    let code = code(&text.replace(CONSOLE, ""));
    let named = SWITCHES.iter().filter(|name| has_name(&code, name)).map(|name| (*name).to_owned());
    named
        .chain(
            ["cfg!(test)", "cfg(not(test))"]
                .iter()
                .filter(|how| code.contains(*how))
                .map(|how| (*how).to_owned()),
        )
        .collect()
}

/// Whether a file opens with what it is for.
fn says_what_it_is_for(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 12)
}

/// The tests of a module, which may use what they like, begin here.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Reports everything that is broken at once.
fn assert_none(rule: &str, broken: impl IntoIterator<Item = (PathBuf, Broken)>) {
    let broken: Vec<String> = broken
        .into_iter()
        .filter(|(_, broken)| !broken.is_empty())
        .map(|(path, broken)| {
            format!("{}: {}", path.strip_prefix(root()).unwrap_or(&path).display(), broken.join(", "))
        })
        .collect();
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn rooms_import_only_what_comes_before_them() {
    for name in ROOMS {
        let broken = room(name).into_iter().map(|(path, text)| (path, wrong_way(name, &text)));
        assert_none(&format!("{name} imports a later room"), broken);
    }
}

#[test]
fn the_core_is_its_rooms() {
    let lib = fs::read_to_string(root().join("core/src/lib.rs")).unwrap();
    let mut modules: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut rooms = ROOMS.to_vec();
    rooms.sort_unstable();
    modules.sort_unstable();
    assert_eq!(modules, rooms);
    let tour: Vec<_> = ROOMS.iter().map(|room| lib.find(&format!("[`{room}`]"))).collect();
    assert!(tour.is_sorted() && tour[0].is_some(), "the tour names the rooms in another order");
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    for name in PURE {
        let broken = room(name)
            .into_iter()
            .filter(|(path, _)| !path.ends_with("tests.rs"))
            .map(|(path, text)| (path, impurities(without_tests(&text))));
        assert_none(&format!("{name} is not pure"), broken);
    }
}

/// The crates whose files are told apart, by the directory and the root of each.
const CRATES: [(&str, &str); 4] = [
    ("core/src", "lib.rs"),
    ("src-tauri/src/cli", "main.rs"),
    ("src-tauri/src/desktop", "main.rs"),
    ("xtask/src", "main.rs"),
];

#[test]
fn no_two_files_import_each_other() {
    let mut found = Vec::new();
    for (dir, file) in CRATES {
        let dir = root().join(dir);
        let name = |path: &Path| path.strip_prefix(&dir).unwrap().to_str().unwrap().replace('\\', "/");
        let sources = sources(&dir).into_iter().map(|(path, text)| (name(&path), text)).collect();
        found.extend(circles::circles(file, &sources));
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_types_methods_are_in_its_own_file() {
    let all = CRATES.iter().flat_map(|(dir, _)| sources(&root().join(dir)));
    let found: Vec<PathBuf> = all
        .filter(|(_, text)| !circles::methods_of_others(text).is_empty())
        .map(|(path, _)| path.strip_prefix(root().join("core/src")).map_or(path.clone(), Path::to_owned))
        .collect();
    assert_eq!(found, Vec::<PathBuf>::new());
}

#[test]
fn shells_are_not_imported_and_the_core_knows_none() {
    let all = sources(&root().join("core/src")).into_iter().filter(|(path, _)| !path.ends_with("tests.rs"));
    let clap = all.map(|(path, text)| {
        (
            path,
            ["clap", "tauri", "anyhow"]
                .into_iter()
                .filter(|name| has_name(&circles::bare(&text, false), name))
                .map(str::to_owned)
                .collect(),
        )
    });
    assert_none("the core names a shell's crate", clap);
}

#[test]
fn what_a_person_has_is_what_is_tested() {
    let programs = ["core/src", "src-tauri/src"].iter().flat_map(|dir| sources(&root().join(dir)));
    let window = sources_in(&["ts", "svelte"], &root().join("ui/src"));
    assert!(window.len() > 30, "the window's sources were not found");
    let all = programs.chain(window).filter(|(path, _)| !path.ends_with("tests.rs"));
    let broken = all.map(|(path, text)| (path, switches(without_tests(&text))));
    assert_none("something is switched on or off for tests", broken);
}

#[test]
fn every_file_says_what_it_is_for() {
    let broken = workspace()
        .into_iter()
        .filter(|(_, text)| !says_what_it_is_for(text))
        .map(|(path, _)| (path, vec!["no `//!` at its top".to_owned()]));
    assert_none("a file must open with `//!`", broken);
}

#[test]
fn no_problems_code_is_without_use() {
    let programs = ["core/src", "src-tauri/src"].iter().flat_map(|dir| sources(&root().join(dir)));
    let texts: String =
        programs.filter(|(path, _)| !path.ends_with("tests.rs")).map(|(_, text)| code(&text)).collect();
    let is_made =
        |name: &str| texts.match_indices(name).any(|(at, _)| !texts[at + name.len()..].starts_with(is_name));
    let unused: Vec<&Code> = Code::ALL.iter().filter(|code| !is_made(&format!("Code::{code:?}"))).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// Commands that make tor drop every client key, and the flag that keeps a service without its controller.
const NEVER_SENT: [&str; 5] = ["SETCONF", "RESETCONF", "SIGNAL RELOAD", "SIGNAL NEWNYM", "Detach"];

/// Those of them that a text holds outside of comments and tests.
fn never_sent(text: &str) -> Broken {
    let code = code(without_tests(text));
    NEVER_SENT.iter().filter(|command| code.contains(*command)).map(|command| (*command).to_owned()).collect()
}

#[test]
fn no_command_that_drops_client_keys_is_sent() {
    let broken =
        room("engine").into_iter().chain(room("agent")).map(|(path, text)| (path, never_sent(&text)));
    assert_none("a command that must never be sent", broken);
}

/// The names that a document gives after "Held by".
fn named_tests(document: &str) -> Vec<&str> {
    let lists = document.split("*Held by* ").skip(1).filter_map(|rest| rest.split_once('.'));
    lists.flat_map(|(list, _)| list.split(',')).map(|name| name.trim().trim_matches('`')).collect()
}

#[test]
fn each_invariant_names_tests_that_exist() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, invariants) = document.split_once("## Invariants").unwrap();
    let (invariants, _) = invariants.split_once("\n## ").unwrap();
    let bullets: Vec<&str> = invariants.split("\n- ").skip(1).collect();
    assert!(bullets.len() > 10, "the invariants were not found");
    let sources: String = workspace().into_iter().map(|(_, text)| text).collect();
    for bullet in bullets {
        let named = named_tests(bullet);
        assert!(!named.is_empty(), "no test holds it: {bullet}");
        for name in named {
            assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
        }
    }
}

#[test]
fn nothing_is_unsafe() {
    let broken = workspace().into_iter().map(|(path, text)| {
        let uses = uses_unsafe(&code(&text));
        (path, uses.then(|| "it is used".to_owned()).into_iter().collect())
    });
    assert_none("no unsafe code", broken);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""), "the workspace no longer forbids it");
    for member in [
        "Cargo.toml",
        "core/Cargo.toml",
        "xtask/Cargo.toml",
        "tests/support/Cargo.toml",
        "tests/tornet/Cargo.toml",
    ] {
        let manifest = fs::read_to_string(root().join(member)).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member} has lints of its own");
    }
}

/// Files that read what strangers write, or rooms of them.
const PARSERS: [&str; 11] = [
    "model/mod.rs",
    "ipc/frame.rs",
    "engine/ctor/control.rs",
    "engine/ctor/reply.rs",
    "engine/ctor/events.rs",
    "engine/ctor/socks.rs",
    "engine/ctor/auth.rs",
    "engine/ctor/survey.rs",
    "forward/responder.rs",
    "forward/socks_front.rs",
    "session/mod.rs",
];

#[test]
fn parsers_can_not_index_or_unwrap() {
    let broken = PARSERS.iter().map(|path| {
        let path = root().join("core/src").join(path);
        let text = fs::read_to_string(&path).unwrap();
        let denied = ["indexing_slicing", "string_slice", "unwrap_used"].iter().all(|lint| {
            text.lines().any(|line| {
                line.starts_with("#![cfg_attr(not(test), deny(") && line.contains(&format!("clippy::{lint}"))
            })
        });
        (path, (!denied).then(|| "clippy is not told so".to_owned()).into_iter().collect())
    });
    assert_none("a parser denies indexing, slicing and unwrap", broken);
}

#[test]
fn every_rule_is_seen_when_it_is_broken() {
    for (of, text, broken) in [
        ("model", "use crate::store::Paths;", vec!["store"]),
        ("plan", "use crate::{model::{name, config}, agent};", vec!["agent"]),
        ("store", "fn f() -> crate::ipc::Request { todo() }", vec!["ipc"]),
        ("forward", "pub(in crate::agent) fn f() {}", vec!["agent"]),
        ("forward", "use crate::engine::Dial;\nuse crate::forward::relay;", vec![]),
        ("model", "// use crate::agent::run;\nuse crate::model::name;", vec![]),
        ("model", "use other_crate::agent;", vec![]),
        ("model", "use crate::attic::x;", vec!["attic"]),
    ] {
        assert_eq!(wrong_way(of, text), broken, "{of}: {text}");
    }
    for text in [
        "use std::fs;",
        "use std::{collections::BTreeMap, fs::read};",
        "let now = std::time::Instant::now();",
        "use tokio::sync::watch;",
        "std::env::var(\"X\")",
        "use std::net::{IpAddr, TcpStream};",
    ] {
        assert!(!impurities(text).is_empty(), "{text}");
    }
    assert!(impurities("use std::net::{IpAddr, SocketAddr}; // tokio\nstruct Instantly;").is_empty());
    for text in [
        "let driven = std::env::var_os(\"TAURI_WEBVIEW_AUTOMATION\").is_some();",
        "if cfg!(debug_assertions) { f() }",
        "if cfg!(test) { f() }",
        "if (navigator.webdriver) hide();",
    ] {
        assert!(!switches(text).is_empty(), "{text}");
    }
    assert!(switches(CONSOLE).is_empty() && switches("#[cfg(test)]\nmod tests;").is_empty());
    assert!(!never_sent("let line = \"SETCONF DisableNetwork=1\";").is_empty());
    assert!(never_sent("// No SETCONF.\nlet line = \"GETINFO version\";").is_empty());
    assert_eq!(named_tests("x.\n  *Held by* `one`,\n  `two`. More."), ["one", "two"]);
    assert!(named_tests("It is held.").is_empty());
    assert!(!says_what_it_is_for("use x;") && !says_what_it_is_for("") && !says_what_it_is_for("//!"));
    assert!(
        uses_unsafe(concat!("fn f() { un", "safe { g() } }"))
            && uses_unsafe(concat!("un", "safe impl Send for X"))
    );
    assert!(!uses_unsafe("#![forbid(unsafe_code)] Error::Unsafe { path }"));
}
