//! The licences of the libraries in the programs, as these ask for: collected from the sources that were built.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// How names of files begin that hold a licence or what it asks to be passed on.
const NAMES: [&str; 6] = ["license", "licence", "copying", "copyright", "notice", "unlicense"];

/// What the window is made of, in `ui/node_modules`.
const WINDOW: [&str; 2] = ["@tauri-apps/api", "svelte"];

/// Finds the libraries in the programs and in the window.
pub(super) fn parts(workspace: &Workspace) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = crates(workspace)?;
    for name in WINDOW {
        let dir = workspace.root().join("ui/node_modules").join(name);
        let package = dir.join("package.json");
        let text = fs::read(&package).with_context(|| format!("failed to read: {}", package.display()))?;
        parts.push(Part::of("npm", &serde_json::from_slice(&text)?, dir));
    }
    Ok(parts)
}

/// Writes the file into `work`, and gives its path.
pub(super) fn write(parts: &[Part], work: &Path) -> Result<PathBuf> {
    let file = work.join("credits");
    fs::write(&file, text(parts)?).with_context(|| format!("failed to write: {}", file.display()))?;
    Ok(file)
}

/// A library.
pub(super) struct Part {
    /// Where it is from: `cargo` or `npm`, as package URLs have it.
    pub(super) registry: &'static str,
    pub(super) name: String,
    pub(super) version: String,
    /// Its licence by SPDX, or words where it names none.
    pub(super) licence: String,
    dir: PathBuf,
}

impl Part {
    /// From a package's description, which cargo and npm write alike in this.
    fn of(registry: &'static str, package: &Value, dir: PathBuf) -> Part {
        let word = |key: &str| package[key].as_str().unwrap_or("see its text").to_owned();
        Part { registry, name: word("name"), version: word("version"), licence: word("license"), dir }
    }
}

/// The crates that either program links, for this machine.
fn crates(workspace: &Workspace) -> Result<Vec<Part>> {
    let said = process::output(Command::new("rustc").args(["--version", "--verbose"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let mut ask = workspace.cargo();
    ask.args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--features",
        "desktop",
        "--filter-platform",
        host,
    ]);
    let metadata: Value =
        serde_json::from_str(&process::output(&mut ask)?).context("failed to read: cargo metadata")?;
    let linked = linked(&metadata, "ormesh-app");
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let of_others = packages.iter().filter(|package| !package["source"].is_null());
    let linked = of_others.filter(|package| package["id"].as_str().is_some_and(|id| linked.contains(id)));
    let parts = linked.filter_map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        Some(Part::of("cargo", package, manifest.parent()?.to_owned()))
    });
    Ok(parts.collect())
}

/// The ids of what the package `name` is linked from: dependencies that only build or test are none of it.
fn linked<'a>(metadata: &'a Value, name: &str) -> BTreeSet<&'a str> {
    let nodes = metadata["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let by_id: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut next: Vec<&str> =
        packages.iter().filter(|package| package["name"] == name).filter_map(|p| p["id"].as_str()).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = next.pop() {
        if !found.insert(id) {
            continue;
        }
        let Some(node) = by_id.get(id) else { continue };
        let dependencies = node["deps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_normal = |dependency: &&Value| {
            let kinds = dependency["dep_kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
            kinds.iter().any(|kind| kind["kind"].is_null())
        };
        next.extend(
            dependencies.iter().filter(is_normal).filter_map(|dependency| dependency["pkg"].as_str()),
        );
    }
    found
}

/// Names with their licences, then each text once with those it is of.
fn text(parts: &[Part]) -> Result<String> {
    let mut text = String::from("Libraries in ormesh and ormesh-desktop\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in parts {
        let name = format!("{} {}", part.name, part.version);
        writeln!(text, "{name}: {}", part.licence)?;
        for file in licence_files(&part.dir)? {
            let bytes = fs::read(&file).with_context(|| format!("failed to read: {}", file.display()))?;
            let licence = String::from_utf8_lossy(&bytes).trim().to_owned();
            texts.entry(licence).or_default().push(name.clone());
        }
    }
    for (licence, names) in texts {
        write!(text, "\n==== {} ====\n\n{licence}\n", names.join(", "))?;
    }
    Ok(text)
}

fn licence_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = dir.read_dir().with_context(|| format!("failed to list: {}", dir.display()))?;
    let is_licence = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        path.is_file() && NAMES.iter().any(|begin| name.starts_with(begin))
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_licence).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_builds_is_not_linked() {
        let on = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [{ "name": "app", "id": "app 1" }, { "name": "a", "id": "a 1" }],
            "resolve": { "nodes": [
                { "id": "app 1", "deps": [on("a 1", Value::Null), on("b 1", json!("build")), on("t 1", json!("dev"))] },
                { "id": "a 1", "deps": [on("c 1", Value::Null)] },
                { "id": "c 1", "deps": [on("a 1", Value::Null)] },
            ] },
        });

        assert_eq!(linked(&metadata, "app").into_iter().collect::<Vec<_>>(), ["a 1", "app 1", "c 1"]);
    }
}
