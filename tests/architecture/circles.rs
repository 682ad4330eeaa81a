//! No two files import each other, by whatever way round, and no file has methods of another's type: so each can be read, and tried, by
//! itself and what it imports.
//!
//! A parent counts as any other file: what its children need of it is in a file of its own. That it declares them, and hands on what is
//! theirs (`pub use child::…`), is no import.

use std::collections::{BTreeMap, BTreeSet};

/// The sources of one crate, by their paths below its `src`.
pub(crate) type Sources = BTreeMap<String, String>;

/// A module's place in its crate: empty for the root.
type Module = Vec<String>;

/// Which files each file imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The circles of a crate, each by one way round: `a.rs → b.rs → a.rs`. `root` is its `lib.rs` or `main.rs`.
pub(crate) fn circles(root: &str, sources: &Sources) -> Vec<String> {
    let graph = imports(root, sources);
    assert!(graph.len() > 1, "no modules were found from {root} on");
    let mut told = BTreeSet::new();
    let mut circles = Vec::new();
    for file in graph.keys() {
        if let Some(way) = way_round(&graph, file).filter(|way| way.iter().all(|file| !told.contains(file))) {
            told.extend(way.iter().cloned());
            circles.push(format!("{} → {file}", way.join(" → ")));
        }
    }
    circles
}

/// Types that a file has methods for, though another one declares them.
pub(crate) fn methods_of_others(text: &str) -> Vec<String> {
    let tokens = tokens(&without_tests(&bare(text, false)));
    let mut own = BTreeSet::new();
    let mut others = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let after = || tokens.get(at + 1).cloned().unwrap_or_default();
        match token.as_str() {
            "struct" | "enum" | "union" | "type" | "trait" => drop(own.insert(after())),
            // Not `-> impl Trait`.
            "impl" if at == 0 || [";", "{", "}", "]"].contains(&tokens[at - 1].as_str()) => {
                others.extend(inherent(&tokens[at + 1..]))
            }
            _ => {}
        }
    }
    others.difference(&own).cloned().collect()
}

/// The type of an `impl` that is none of a trait's; none of a macro's either.
fn inherent(tokens: &[String]) -> Option<String> {
    let mut depth = 0;
    let (mut name, mut is_over) = (None, false);
    for token in tokens {
        match token.as_str() {
            "<" => depth += 1,
            ">" => depth -= 1,
            "{" => return name,
            "for" | "$" if depth == 0 => return None,
            "where" if depth == 0 => is_over = true,
            word if depth == 0 && !is_over && word.starts_with(is_name) => name = Some(word.to_owned()),
            _ => {}
        }
    }
    None
}

fn imports(root: &str, sources: &Sources) -> Graph {
    // A module can have two files, one for each system.
    let mut files: BTreeMap<Module, Vec<String>> = BTreeMap::from([(Vec::new(), vec![root.to_owned()])]);
    let mut waiting: Vec<(Module, String)> = vec![(Vec::new(), root.to_owned())];
    let mut modules = Vec::new();
    while let Some((module, file)) = waiting.pop() {
        let text = &sources[&file];
        for (name, paths) in declared(&without_tests(&bare(text, true))) {
            let dir = file.rsplit_once('/').map_or(String::new(), |(dir, _)| format!("{dir}/"));
            let is_dir = file == root || file.ends_with("/mod.rs");
            let stem = file.strip_suffix(".rs").unwrap_or(&file);
            let below = if is_dir { dir.clone() } else { format!("{stem}/") };
            let usual = [format!("{below}{name}.rs"), format!("{below}{name}/mod.rs")];
            let named = paths.iter().map(|path| format!("{dir}{path}"));
            let all: Vec<String> = if paths.is_empty() { usual.into() } else { named.collect() };
            let child: Module = module.iter().cloned().chain([name]).collect();
            let there: Vec<String> = all.into_iter().filter(|file| sources.contains_key(file)).collect();
            waiting.extend(there.iter().map(|file| (child.clone(), file.clone())));
            files.insert(child, there);
        }
        modules.push((module, file));
    }
    let mut graph = Graph::new();
    for (module, file) in modules {
        let code = without_tests(&bare(&sources[&file], false));
        let mut imported = BTreeSet::new();
        for (path, is_handed_on) in paths(&tokens(&code)) {
            let Some(target) = resolve(&path, &module, &files) else { continue };
            if !(is_handed_on && target.starts_with(&module)) {
                imported.extend(files[&target].iter().filter(|other| **other != file).cloned());
            }
        }
        graph.insert(file, imported);
    }
    graph
}

/// The module that a path leads into.
fn resolve(path: &[String], from: &Module, files: &BTreeMap<Module, Vec<String>>) -> Option<Module> {
    let first = path.first()?;
    let mut rest = path;
    let mut place = match first.as_str() {
        "crate" => Vec::new(),
        _ => from.clone(),
    };
    if ["crate", "self"].contains(&first.as_str()) {
        rest = &path[1..];
    } else if first == "super" {
        while let Some(("super", more)) = rest.split_first().map(|(word, more)| (word.as_str(), more)) {
            place.pop()?;
            rest = more;
        }
    } else if !files.contains_key(&from.iter().chain([first]).cloned().collect::<Module>()) {
        // A crate, or what was imported by another path.
        return None;
    }
    for word in rest {
        let next: Module = place.iter().chain([word]).cloned().collect();
        if !files.contains_key(&next) {
            break;
        }
        place = next;
    }
    Some(place)
}

/// The shortest way from a file to itself.
fn way_round(graph: &Graph, file: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![file.to_owned()]];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| graph.get(last)).into_iter().flatten() {
                if next == file {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way.iter().cloned().chain([next.clone()]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A text without its comments; without what is in quotes too, unless that is to stay.
pub(crate) fn bare(text: &str, keeps_quoted: bool) -> String {
    let mut out = String::new();
    let chars: Vec<char> = text.chars().collect();
    let at = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut i = 0;
    while i < chars.len() {
        let hashes = (i + 1..).take_while(|next| at(*next) == '#').count();
        match (at(i), at(i + 1)) {
            ('/', '/') => i = (i..chars.len()).find(|next| at(*next) == '\n').unwrap_or(chars.len()),
            ('/', '*') => {
                i = (i + 2..chars.len())
                    .find(|next| at(*next) == '*' && at(*next + 1) == '/')
                    .unwrap_or(chars.len())
                    + 2
            }
            ('r', '"' | '#')
                if at(i + 1 + hashes) == '"' && !(i > 0 && is_name(at(i - 1)) && at(i - 1) != 'b') =>
            {
                let closes = |from: usize| at(from) == '"' && (1..=hashes).all(|n| at(from + n) == '#');
                i = (i + 2 + hashes..chars.len()).find(|from| closes(*from)).unwrap_or(chars.len())
                    + hashes
                    + 1;
                out.push_str("\"\"");
            }
            ('"', _) => {
                let start = i + 1;
                i = start;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                out.push('"');
                if keeps_quoted {
                    out.extend(chars.get(start..i).unwrap_or_default());
                }
                out.push('"');
                i += 1;
            }
            // A character, not a lifetime.
            ('\'', '\\') => {
                i = (i + 3..chars.len()).find(|next| at(*next) == '\'').unwrap_or(chars.len()) + 1
            }
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (c, _) => {
                out.push(c);
                i += 1;
            }
        }
    }
    out
}

/// Code without the items that only tests have.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|test| rest.find(test)).min()
    {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        // The attributes, then the item to its end.
        while let Some(attribute) = rest.trim_start().strip_prefix("#[") {
            rest = attribute.split_once(']').map_or("", |(_, after)| after);
        }
        let mut depth = 0;
        let ends = rest.char_indices().find(|(_, c)| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0 && matches!(c, ';' | '}')
        });
        rest = ends.map_or("", |(at, _)| &rest[at + 1..]);
    }
    out + rest
}

/// Names, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            '-' if rest.starts_with("->") => 2,
            '=' if rest.starts_with("=>") => 2,
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = after.trim_start();
    }
    tokens
}

/// The modules that code declares, and the files that it names for each.
fn declared(code: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut paths = Vec::new();
    for statement in code.split_inclusive([';', '{', '}']) {
        for part in statement.split("path = \"").skip(1) {
            paths.extend(part.split('"').next().map(str::to_owned));
        }
        let words: Vec<&str> = statement.trim_end_matches(';').split_whitespace().collect();
        if let [.., "mod", name] = words[..]
            && statement.ends_with(';')
        {
            found.push((name.to_owned(), std::mem::take(&mut paths)));
        }
        paths.clear();
    }
    found
}

/// All paths in code, and whether each is of a `pub use`.
fn paths(tokens: &[String]) -> Vec<(Vec<String>, bool)> {
    let mut found = Vec::new();
    let mut at = 0;
    let word = |at: usize| tokens.get(at).map_or("", String::as_str);
    while at < tokens.len() {
        let before = if at == 0 { "" } else { word(at - 1) };
        if word(at) == "use" && before != "::" {
            let end = (at..tokens.len()).find(|end| word(*end) == ";").unwrap_or(tokens.len());
            let is_public = before == "pub" || before == ")";
            let mut leaves = Vec::new();
            tree(&tokens[at + 1..end], &[], &mut leaves);
            found.extend(leaves.into_iter().map(|path| (path, is_public)));
            at = end;
        } else if word(at).starts_with(is_name) && word(at + 1) == "::" && !["::", "."].contains(&before) {
            let mut path = vec![word(at).to_owned()];
            while word(at + 1) == "::" && word(at + 2).starts_with(is_name) {
                path.push(word(at + 2).to_owned());
                at += 2;
            }
            // `pub(in crate::room)` is no use of it.
            if before != "in" || path.len() > 2 {
                found.push((path, false));
            }
        }
        at += 1;
    }
    found
}

/// The paths of one `use`, each in full.
fn tree(tokens: &[String], before: &[String], leaves: &mut Vec<Vec<String>>) {
    let mut depth = 0;
    for item in tokens.split(|token| {
        depth += match token.as_str() {
            "{" => 1,
            "}" => -1,
            _ => 0,
        };
        depth == 0 && token == ","
    }) {
        let mut path = before.to_vec();
        for (at, token) in item.iter().enumerate() {
            match token.as_str() {
                "{" => {
                    tree(&item[at + 1..item.len() - 1], &path, leaves);
                    path.clear();
                    break;
                }
                "as" => break,
                "::" => {}
                name => path.push(name.to_owned()),
            }
        }
        if !path.is_empty() {
            leaves.push(path);
        }
    }
}

#[test]
fn every_circle_is_seen() {
    let of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        circles("lib.rs", &files)
    };
    let two = |a: &str, b: &str| {
        of(&[
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod a;\npub mod b;"),
            ("room/a.rs", a),
            ("room/b.rs", b),
        ])
    };
    let circle = ["room/a.rs → room/b.rs → room/a.rs"];
    for (a, b) in [
        ("use super::b::X;", "use super::a::Y;"),
        ("use super::{b, c};", "fn f() { super::a::g() }"),
        ("use crate::room::{b::{X, Y}, z};", "use crate::room::a::*;"),
        ("use super::super::room::b;", "impl From<crate::room::a::X> for Y {}"),
        ("const C: char = '\"'; use super::b;", "/* \" */ use super::a; // \""),
        ("#[cfg(test)]\nmod tests { fn f() {} }\nuse super::b;", "use super::a;"),
    ] {
        assert_eq!(two(a, b), circle, "{a} and {b}");
    }
    for (a, b) in [
        ("use super::b::X;", "use crate::model::a;"),
        ("use super::b::X;", "// use super::a;\nconst S: &str = \"super::a::X\";"),
        ("use super::b::X;", "#[cfg(test)]\nmod tests { use super::super::a; }"),
        ("use super::b::X;", "#[cfg(test)]\nuse super::a;\nconst R: &str = r#\"\" super::a::X \"#;"),
        ("use super::b::X;", "pub(in crate::room) fn f(other: other::super_a::X) {}"),
    ] {
        assert_eq!(two(a, b), [""; 0], "{a} and {b}");
    }
    // By a third, by a parent, and by the file of one system.
    let third = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::c;"),
        ("c.rs", "use crate::a;"),
    ];
    assert_eq!(of(&third), ["a.rs → b.rs → c.rs → a.rs"]);
    let parent = |parent: &str, child: &str| of(&[("lib.rs", "mod a;"), ("a.rs", parent), ("a/b.rs", child)]);
    assert_eq!(parent("mod b; fn f() { b::g() }", "use super::X;"), ["a.rs → a/b.rs → a.rs"]);
    assert_eq!(parent("mod b; pub use b::X;", "use super::Y;"), [""; 0]);
    assert_eq!(parent("mod b; use b::X;", "use crate::other;"), [""; 0]);
    let systems = [
        (
            "lib.rs",
            "#[cfg_attr(unix, path = \"unix.rs\")]\n#[cfg_attr(windows, path = \"windows.rs\")]\nmod system;\nmod a;",
        ),
        ("unix.rs", ""),
        ("windows.rs", "use super::a::X;"),
        ("a.rs", "use super::system;"),
    ];
    assert_eq!(of(&systems), ["a.rs → windows.rs → a.rs"]);
}

#[test]
fn methods_of_another_files_type_are_seen() {
    for text in [
        "impl Server { fn f() {} }",
        "impl<'a, T: Fn(u8) -> u8> super::Server<'a, T> where T: Clone { }",
        "#[cfg(test)] struct Server; impl Server {}",
    ] {
        assert_eq!(methods_of_others(text), ["Server"], "{text}");
    }
    for text in [
        "pub struct Server; impl Server {}",
        "impl<T> From<Server> for T {}",
        "impl fmt::Display for Server {}",
        "fn f(x: impl Fn(Server) -> u8, y: &impl Meter) -> impl Iterator<Item = Server> { g() }",
        "macro_rules! m { ($name:ident) => { impl $name {} } }",
        "// impl Server {}",
    ] {
        assert_eq!(methods_of_others(text), [""; 0], "{text}");
    }
}
