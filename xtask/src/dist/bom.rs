//! What the programs are made of, as a CycloneDX 1.5 document (ECMA-424): for those who look up which advisories concern them.
//!
//! Neither a random number nor the time is in it, so that the same commit gives the same bytes.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::credits::Part;

/// What is written as bytes in a package URL: all but these. The slash after a scope stays (package-url: npm).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Writes it into `work`, under the name that it is published by. Gives its path.
///
/// `of_debian` are the packages that tor was built from, itself among them, as `name=version`.
pub(super) fn write(version: &str, parts: &[Part], of_debian: &[String], work: &Path) -> Result<PathBuf> {
    let file = work.join(format!("ormesh-{version}.cdx.json"));
    let text = serde_json::to_string_pretty(&document(version, parts, of_debian))?;
    fs::write(&file, text + "\n").with_context(|| format!("failed to write: {}", file.display()))?;
    Ok(file)
}

fn document(version: &str, parts: &[Part], of_debian: &[String]) -> Value {
    let main = component("application", "ormesh", version, &format!("pkg:cargo/ormesh-app@{version}"));
    let libraries = parts.iter().map(|part| {
        let url = format!("pkg:{}/{}@{}", part.registry, in_url(&part.name), in_url(&part.version));
        let mut library = component("library", &part.name, &part.version, &url);
        if is_expression(&part.licence) {
            library["licenses"] = json!([{ "expression": part.licence.replace('/', " OR ") }]);
        }
        library
    });
    let of_debian = of_debian.iter().filter_map(|package| {
        let (name, version) = package.split_once('=')?;
        let url = format!("pkg:deb/debian/{}@{}", in_url(name), in_url(version));
        Some(component("library", name, version, &url))
    });
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": main },
        "components": libraries.chain(of_debian).collect::<Vec<_>>(),
    })
}

/// A name or a version as a package URL has it.
fn in_url(part: &str) -> impl Display {
    utf8_percent_encode(part, ESCAPED)
}

fn component(kind: &str, name: &str, version: &str, url: &str) -> Value {
    json!({ "type": kind, "bom-ref": url, "name": name, "version": version, "purl": url })
}

/// Whether it is an expression of SPDX, and no words.
fn is_expression(licence: &str) -> bool {
    licence.split([' ', '/', '(', ')']).filter(|word| !word.is_empty()).all(|word| {
        matches!(word, "AND" | "OR" | "WITH")
            || word.contains(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dist::credits;
    use crate::workspace::Workspace;

    #[test]
    fn each_part_has_a_name_a_version_and_a_url_of_its_own() {
        let parts = credits::parts(&Workspace::find().unwrap()).unwrap();
        let made = document("1.2.3", &parts, &["tor=0.4.9.11-0+deb12u1".to_owned()]);

        assert_eq!(made["metadata"]["component"]["version"], "1.2.3");
        let components = made["components"].as_array().unwrap();
        let urls: BTreeSet<&str> = components.iter().map(|part| part["purl"].as_str().unwrap()).collect();
        assert_eq!(urls.len(), components.len());
        assert!(urls.contains("pkg:deb/debian/tor@0.4.9.11-0%2Bdeb12u1"), "{urls:?}");
        assert!(urls.iter().any(|url| url.starts_with("pkg:cargo/tokio@1.")), "{urls:?}");
        assert!(urls.iter().any(|url| url.starts_with("pkg:npm/%40tauri-apps/api@")), "{urls:?}");
        for part in components {
            assert!(!part["version"].as_str().unwrap().contains(' '), "{part}");
        }
    }

    #[test]
    fn what_would_mean_something_in_a_url_is_escaped() {
        assert_eq!(in_url("@tauri-apps/api").to_string(), "%40tauri-apps/api");
        assert_eq!(in_url("1:0.4.9~rc1+deb12u1").to_string(), "1%3A0.4.9~rc1%2Bdeb12u1");
        assert_eq!(in_url("libstdc++ 6#?").to_string(), "libstdc%2B%2B%206%23%3F");
    }

    #[test]
    fn words_are_no_licence() {
        assert!(is_expression("MIT OR Apache-2.0") && is_expression("(MIT/Unlicense) AND 0BSD"));
        assert!(!is_expression("see its text"));
    }
}
