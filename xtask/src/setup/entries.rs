//! The machine's own entries for Debian's archive (sources.list(5)), as text for other apts: for packages, or for their sources.
//!
//! Address, suite, keyring and options stay as they are, so apt verifies what comes from them by the same key.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The suites of a release, by what follows its code name.
const SUITES: [&str; 3] = ["", "-updates", "-security"];

/// What an entry offers; its word in sources.list(5).
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Packages.
    Deb,
    /// Source packages.
    DebSrc,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Deb => "deb",
            Kind::DebSrc => "deb-src",
        }
    }
}

/// From the entries in `etc` (`/etc/apt`) for packages of the Debian release `codename`: entries of `kind`, as files by name.
///
/// # Errors
///
/// When a file cannot be read, or none has such an entry.
pub(super) fn read(etc: &Path, codename: &str, kind: Kind) -> Result<Vec<(String, String)>> {
    let mut files = vec![etc.join("sources.list")];
    let parts = etc.join("sources.list.d");
    if let Ok(entries) = parts.read_dir() {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let convert = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => of_lines,
            Some("sources") => of_stanzas,
            _ => continue,
        };
        let text = fs::read_to_string(file).with_context(|| format!("failed to read: {}", file.display()))?;
        let text = convert(&text, codename, kind);
        if !text.is_empty() {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, text));
        }
    }
    if found.is_empty() {
        bail!(
            "failed to find where this machine takes Debian {codename} from\n\
             hint: add Debian's archive to /etc/apt/sources.list.d"
        );
    }
    Ok(found)
}

/// The one-line format: `deb [ options ] uri suite [component]…`.
fn of_lines(text: &str, codename: &str, kind: Kind) -> String {
    let entry = |line: &str| {
        let rest = line.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?;
        let words = match rest.trim_start().strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let suite = words.split_whitespace().nth(1)?;
        is_of(suite, codename).then(|| format!("{} {rest}\n", kind.word()))
    };
    text.lines().filter_map(entry).collect()
}

/// The format of deb822(5): stanzas of fields, parted by empty lines.
fn of_stanzas(text: &str, codename: &str, kind: Kind) -> String {
    let mut converted = String::new();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let field = |name: &str| {
            stanza.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let has = |name: &str, wanted: &dyn Fn(&str) -> bool| {
            field(name).is_some_and(|value| value.split_whitespace().any(wanted))
        };
        let off = field("Enabled").is_some_and(|value| value.trim().eq_ignore_ascii_case("no"));
        if off || !has("Types", &|word| word == "deb") || !has("Suites", &|suite| is_of(suite, codename)) {
            continue;
        }
        let is_types =
            |line: &str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case("Types"));
        converted += &format!("Types: {}\n", kind.word());
        for line in stanza.iter().filter(|line| !is_types(line)) {
            converted += line;
            converted.push('\n');
        }
        converted.push('\n');
    }
    converted
}

/// Whether a suite is the release's own: others' archives use names such as `bookworm-pgdg`, and may have no sources.
fn is_of(suite: &str, codename: &str) -> bool {
    suite.strip_prefix(codename).is_some_and(|rest| SUITES.contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_entries_become_entries_for_sources() {
        let text = "# Debian\n\
                    deb https://debian.example/debian bookworm main contrib\n\
                    deb [ signed-by=/k.gpg arch=amd64 ] http://debian.example/security bookworm-security main\n\
                    deb-src https://debian.example/debian bookworm main\n\
                    deb https://apt.example/pub bookworm-pgdg main\n\
                    #deb https://debian.example/debian bookworm-updates main\n";

        assert_eq!(
            of_lines(text, "bookworm", Kind::DebSrc),
            "deb-src https://debian.example/debian bookworm main contrib\n\
             deb-src [ signed-by=/k.gpg arch=amd64 ] http://debian.example/security bookworm-security main\n"
        );
    }

    #[test]
    fn stanzas_become_stanzas_for_sources() {
        let text = "Types: deb deb-src\n# Said: ours\nURIs: http://debian.example/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                    Types: deb\nURIs: https://other.example/node\nSuites: nodistro\nComponents: main\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://old.example\nSuites: bookworm\nComponents: main\n";

        assert_eq!(
            of_stanzas(text, "bookworm", Kind::DebSrc),
            "Types: deb-src\nURIs: http://debian.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        );
    }
}
