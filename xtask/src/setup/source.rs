//! Source packages and static libraries to build from, out of Debian's archive: verified, in the cache, never installed.
//!
//! apt verifies each file by Debian's signed release. A source package must besides be, byte for byte, the one that was
//! looked at when its version was pinned. What is built from it is `dist`'s.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{self, Apt, Package};
use super::cache::{self, Cache};
use super::unpack;
use crate::{process, say};

/// A source package in the one version that is used.
pub(crate) struct Pin {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its version, Debian's revision included.
    pub(crate) version: &'static str,
    /// The sha256 of each of its files. The first is the `.dsc`, which names the others; or the only one is what its authors
    /// published, and Debian's changes are left out.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// The cache as those who build from sources see it.
pub(crate) struct Sources {
    cache: Cache,
}

/// Libraries to link statically: headers and archives below `root`, as Debian lays them out.
pub(crate) struct Libraries {
    /// Where they are.
    pub(crate) root: PathBuf,
    /// `package=version`, for each.
    pub(crate) versions: Vec<String>,
}

impl Sources {
    /// Opens the cache, with package lists that are at most some hours old.
    ///
    /// # Errors
    ///
    /// When there is no apt, or it fails.
    pub(crate) fn open() -> Result<Sources> {
        if process::find("apt-get").is_none() {
            bail!(
                "failed to get sources: they are taken from Debian's archive, and this machine has no apt-get\n\
                 hint: make the packages on Debian 12, or in a container of it"
            );
        }
        let sources = Sources { cache: Cache::open()? };
        sources.apt()?.update()?;
        Ok(sources)
    }

    /// A directory of the cache for what is built, by its name there.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.cache.base().join(name)
    }

    /// Keeps other xtasks from building there; released when the file is dropped.
    pub(crate) fn lock(&self) -> Result<fs::File> {
        self.cache.lock()
    }

    /// What anything built depends on besides what it says itself: machine and release.
    pub(crate) fn key(&self) -> String {
        cache::key(&[], &[])
    }

    /// The packages of these libraries in the versions that Debian has now, as `package=version`.
    pub(crate) fn current(&self, packages: &[&str]) -> Result<Vec<String>> {
        let apt = self.apt()?;
        packages.iter().map(|name| Ok(shown(&apt.candidate(name)?))).collect()
    }

    /// Unpacks these libraries.
    pub(crate) fn libraries(&self, name: &str, packages: &[&str]) -> Result<Libraries> {
        let unpacked = unpack::unpack(&self.cache, name, packages, &[], |_| Ok(()))?;
        let versions = unpacked.iter().map(shown).collect();
        Ok(Libraries { root: self.place(name).join("root"), versions })
    }

    /// Says so when Debian has a newer version than the pinned one: it may mend something.
    pub(crate) fn compare(&self, pin: &Pin) -> Result<()> {
        // Debian lists those of its releases and of its security updates, in no order.
        let mut newest = pin.version.to_owned();
        for version in self.source_apt()?.source_versions(pin.name)? {
            if apt::is_newer(&version, &newest)? {
                newest = version;
            }
        }
        if newest != pin.version {
            say::note(&format!("Debian has {} {newest} now; {} is pinned", pin.name, pin.version));
        }
        Ok(())
    }

    /// Downloads a source package and extracts it, with Debian's patches, to `into`, which must not exist.
    ///
    /// # Errors
    ///
    /// When apt cannot verify it, a file is not the pinned one, or Debian has the pinned version no more.
    pub(crate) fn extract(&self, pin: &Pin, into: &Path) -> Result<()> {
        let apt = self.source_apt()?;
        let versions = apt.source_versions(pin.name)?;
        if !versions.iter().any(|version| version == pin.version) {
            bail!(
                "failed to get the source of {} {}: Debian has {}\n\
                 hint: read what changed there, then pin the new version and its files' sha256",
                pin.name,
                pin.version,
                if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
            );
        }
        let downloads = tempfile::tempdir()?;
        let package = Package { name: pin.name.to_owned(), version: pin.version.to_owned() };
        let (description, _) = pin.files.first().context("a source package has files")?;
        let is_upstream = !description.ends_with(".dsc");
        apt.download_source(&package, is_upstream, downloads.path())?;
        for (file, pinned) in pin.files {
            let said = process::output(Command::new("sha256sum").arg(downloads.path().join(file)))?;
            if said.split_whitespace().next() != Some(*pinned) {
                bail!(
                    "failed to verify {file}: its sha256 is not the pinned one\nhint: do not use this source of packages"
                );
            }
        }
        if is_upstream {
            fs::create_dir_all(into).with_context(|| format!("failed to create: {}", into.display()))?;
            let archive = downloads.path().join(description);
            let mut extract = Command::new("tar");
            extract.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(into);
            process::output(extract.args(["--strip-components=1", "--no-same-owner"]))?;
            return Ok(());
        }
        // Its signature is its maintainer's; that it is Debian's file was checked by apt, and by the sum above.
        let mut extract = Command::new("dpkg-source");
        extract.args(["--no-check", "--extract", description]).arg(into).current_dir(downloads.path());
        process::output(&mut extract)?;
        Ok(())
    }

    fn apt(&self) -> Result<Apt> {
        Apt::at(self.place("apt"))
    }

    fn source_apt(&self) -> Result<Apt> {
        let apt = Apt::of_sources(self.place("apt-sources"))?;
        apt.update()?;
        Ok(apt)
    }
}

fn shown(package: &Package) -> String {
    format!("{}={}", package.name, package.version)
}
