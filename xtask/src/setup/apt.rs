//! apt-get without installing: package lists and downloads in directories of the cache's own.
//!
//! So it needs no root and leaves the machine's own lists as they are. Only the machine's sources, keys and the record of
//! installed packages are read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::entries::{self, Kind};
use crate::{process, say};

/// Lists older than this may name versions that the mirror no longer has.
const LISTS_KEEP: Duration = Duration::from_secs(6 * 60 * 60);

/// A package and the version that apt chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

/// apt with directories of its own.
pub(super) struct Apt {
    dir: PathBuf,
    sources: bool,
}

/// Whether a version is newer than another by Debian's rules.
pub(super) fn is_newer(version: &str, than: &str) -> Result<bool> {
    let mut compare = Command::new("dpkg");
    let status = compare.args(["--compare-versions", version, "gt", than]).status();
    Ok(status.context("failed to start: dpkg")?.success())
}

impl Apt {
    /// Prepares the directories under `dir`.
    pub(super) fn at(dir: PathBuf) -> Result<Apt> {
        Apt { dir, sources: false }.prepared()
    }

    /// The same for source packages, which few machines' own lists have: from where the machine takes its Debian packages.
    ///
    /// # Errors
    ///
    /// When the machine has no such entry.
    pub(super) fn of_sources(dir: PathBuf) -> Result<Apt> {
        let apt = Apt { dir, sources: true }.prepared()?;
        let dir = apt.dir.join("sources");
        fs::create_dir_all(&dir).with_context(|| format!("failed to create: {}", dir.display()))?;
        for (name, text) in entries::read(Path::new("/etc/apt"), &super::cache::release(), Kind::DebSrc)? {
            let file = dir.join(name);
            fs::write(&file, text).with_context(|| format!("failed to write: {}", file.display()))?;
        }
        Ok(apt)
    }

    fn prepared(self) -> Result<Apt> {
        for dir in ["lists/partial", "cache/archives/partial"] {
            let dir = self.dir.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("failed to create: {}", dir.display()))?;
        }
        let apt = self;
        let file = apt.dir.join("apt.conf");
        fs::write(&file, apt.configuration())
            .with_context(|| format!("failed to write: {}", file.display()))?;
        Ok(apt)
    }

    fn configuration(&self) -> String {
        let dir = self.dir.display();
        let entries = match self.sources {
            true => {
                format!("Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{dir}/sources\";\n")
            }
            false => String::new(),
        };
        // Read after the machine's own configuration, so its hooks can be cleared: they work on the system's lists.
        entries
            + &format!(
                "Dir::State::lists \"{dir}/lists\";\n\
             Dir::Cache \"{dir}/cache\";\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n\
             #clear APT::Update::Pre-Invoke;\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n\
             #clear Acquire::IndexTargets::deb::DEP-11;\n\
             #clear Acquire::IndexTargets::deb::DEP-11-icons;\n\
             #clear Acquire::IndexTargets::deb::DEP-11-icons-small;\n\
             #clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;\n\
             #clear Acquire::IndexTargets::deb::DEP-11-icons-large;\n\
             #clear Acquire::IndexTargets::deb::DEP-11-icons-large-hidpi;\n"
            )
    }

    /// `apt-get` that reads that configuration.
    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(self.dir.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    /// Gets the package lists, unless those there are new.
    pub(super) fn update(&self) -> Result<()> {
        let mark = self.dir.join("updated");
        let age = mark
            .metadata()
            .and_then(|meta| meta.modified())
            .map(|time| SystemTime::now().duration_since(time));
        if matches!(age, Ok(Ok(age)) if age < LISTS_KEEP) {
            return Ok(());
        }
        say::note("reading Debian's package lists");
        process::output(self.get().args(["--quiet", "update"])).context("failed to get the package lists")?;
        fs::write(&mark, "").with_context(|| format!("failed to write: {}", mark.display()))
    }

    /// What an installation of `packages` would bring that the machine lacks. Installs nothing.
    pub(super) fn missing_for(&self, packages: &[&str]) -> Result<Vec<Package>> {
        let simulated = process::output(
            self.get()
                .args(["--simulate", "--no-install-recommends", "--no-upgrade", "install"])
                .args(packages),
        )
        .context("failed to find out which packages are needed")?;
        Ok(simulated.lines().filter_map(to_be_installed).collect())
    }

    /// The version of `package` that apt would install.
    pub(super) fn candidate(&self, package: &str) -> Result<Package> {
        let mut ask = Command::new("apt-cache");
        ask.arg("-c").arg(self.dir.join("apt.conf")).env("LC_ALL", "C");
        let answer = process::output(ask.args(["policy", package]))?;
        let version = answer
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "))
            .filter(|version| *version != "(none)")
            .with_context(|| format!("failed to find a Debian package: {package}"))?;
        Ok(Package { name: package.to_owned(), version: version.to_owned() })
    }

    /// The versions of the source package `name` that there are, newest first.
    pub(super) fn source_versions(&self, name: &str) -> Result<Vec<String>> {
        let mut ask = Command::new("apt-cache");
        ask.arg("-c").arg(self.dir.join("apt.conf")).env("LC_ALL", "C");
        let answer = process::output(ask.args(["--only-source", "showsrc", name]))?;
        Ok(answer.lines().filter_map(|line| line.strip_prefix("Version: ").map(str::to_owned)).collect())
    }

    /// Downloads a source package into `into`, or of it only what its authors published. apt checks each file by the signed release.
    pub(super) fn download_source(&self, package: &Package, upstream_only: bool, into: &Path) -> Result<()> {
        let wanted = format!("{}={}", package.name, package.version);
        let mut get = self.get();
        get.args(["--quiet", "--only-source", "--download-only"]).current_dir(into);
        if upstream_only {
            get.arg("--tar-only");
        }
        get.args(["source", &wanted]);
        process::output(&mut get).with_context(|| format!("failed to download the source of {wanted}"))?;
        Ok(())
    }

    /// Downloads `packages` into `into`, as `.deb` files.
    pub(super) fn download(&self, packages: &[Package], into: &Path) -> Result<()> {
        let wanted = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        process::output(self.get().args(["--quiet", "download"]).args(wanted).current_dir(into))
            .context("failed to download packages")?;
        Ok(())
    }
}

/// Reads a line of a simulated installation: `Inst NAME [OLD] (VERSION ORIGIN [ARCH]) …`.
fn to_be_installed(line: &str) -> Option<Package> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let (_, rest) = rest.split_once('(')?;
    let version = rest.split([' ', ')']).next()?;
    Some(Package { name: name.to_owned(), version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_debian_does() {
        assert!(is_newer("3.0.22-1~deb12u2", "3.0.20-1~deb12u3").unwrap());
        assert!(is_newer("3.0.22-1", "3.0.22-1~deb12u2").unwrap());
        assert!(!is_newer("3.0.9-1", "3.0.22-1").unwrap());
        assert!(!is_newer("3.0.22-1", "3.0.22-1").unwrap());
    }

    #[test]
    fn a_simulated_installation_is_read() {
        let read =
            |line| to_be_installed(line).map(|package| format!("{}={}", package.name, package.version));

        assert_eq!(
            read(
                "Inst openssh-client [1:9.2p1-2+deb12u6] (1:9.2p1-2+deb12u10 Debian:12.15/oldstable [amd64])"
            )
            .as_deref(),
            Some("openssh-client=1:9.2p1-2+deb12u10")
        );
        assert_eq!(
            read("Inst tor (0.4.9.11-0+deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64]) []")
                .as_deref(),
            Some("tor=0.4.9.11-0+deb12u1")
        );
        assert_eq!(read("Conf tor (0.4.9.11-0+deb12u1 Debian:12.15/oldstable [amd64])"), None);
    }
}
