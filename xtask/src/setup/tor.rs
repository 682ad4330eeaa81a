//! Whether a tor is new enough for ormesh.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{process, say};

/// The oldest tor that ormesh works with.
const OLDEST_TOR: [u32; 4] = [0, 4, 9, 11];

/// Fails unless `tor` is new enough.
pub(super) fn check(tor: &Path) -> Result<()> {
    let said = process::output(Command::new(tor).arg("--version"))?;
    let Some(version) = tor_version(&said) else {
        bail!("failed to read the version of {}: {}", tor.display(), said.trim());
    };
    if version < OLDEST_TOR {
        let dotted = |version: [u32; 4]| version.map(|part| part.to_string()).join(".");
        bail!(
            "failed to use {}: it is tor {}, ormesh needs {} or newer\nhint: add Debian's security suite to apt's sources",
            tor.display(),
            dotted(version),
            dotted(OLDEST_TOR)
        );
    }
    say::note(said.lines().next().unwrap_or_default().trim_end_matches('.'));
    Ok(())
}

/// The version in `Tor version 0.4.9.11.` or `Tor version 0.4.10.1-alpha (git-…).`
fn tor_version(said: &str) -> Option<[u32; 4]> {
    let text = said.lines().find_map(|line| line.strip_prefix("Tor version "))?;
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next()?.parse().ok();
    Some([next()?, next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tor_versions_are_read_and_ordered() {
        assert_eq!(tor_version("Tor version 0.4.9.11.\nmore"), Some([0, 4, 9, 11]));
        assert_eq!(tor_version("Tor version 0.4.10.1-alpha (git-abc)."), Some([0, 4, 10, 1]));
        assert_eq!(tor_version("something else"), None);
        assert!([0, 4, 9, 9] < OLDEST_TOR);
    }
}
