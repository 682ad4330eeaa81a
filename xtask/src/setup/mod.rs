//! The set-up: what a fresh machine lacks for the other commands, and how it gets it.
//!
//! Two kinds, never mixed. *Libraries* are installed by apt, after saying so. *Tools* (daemons and clients such as tor,
//! sshd and nc) are unpacked from their Debian packages into a cache and never installed: installing them would
//! start a tor on the public network and an sshd on every address. A second run finds all in place, needs no
//! network and takes a few milliseconds. Where there is no apt, tools are taken from `PATH`.

mod apt;
mod bare;
mod cache;
mod catalogue;
mod entries;
mod kit;
mod libraries;
mod source;
mod toolchain;
mod tor;
mod unpack;
mod wrapper;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

pub(crate) use self::bare::bare_root;
pub(crate) use self::kit::{DESK, MINGW, NSIS, WINE};
pub(crate) use self::libraries::Install;
pub(crate) use self::source::{Libraries, Pin, Sources};
pub(crate) use self::toolchain::Toolchain;

/// How a set-up ended.
pub(crate) enum Prepared {
    /// Everything is there.
    Ready(Tools),
    /// Something is missing, and was listed as asked.
    Listed,
}

/// The tools of the cache, ready to run.
pub(crate) struct Tools {
    bin: PathBuf,
    cache: PathBuf,
}

impl Tools {
    /// Gets what is missing, or lists it.
    ///
    /// # Errors
    ///
    /// When apt fails or may not be run (the error names the command to run), or tor is too old.
    pub(crate) fn prepare(install: Install) -> Result<Prepared> {
        let libraries_there = libraries::ensure(&libraries::BUILD, install)?;
        if process::find("apt-get").is_none() {
            return Ok(Prepared::Ready(Tools::of_path()?));
        }
        let cache = cache::Cache::open()?;
        if !cache.is_fresh() {
            match install {
                Install::ListOnly => {
                    println!("would unpack into {} (nothing is installed):", cache.dir().display());
                    println!("  {}", catalogue::PACKAGES.join(" "));
                    println!("  and those libraries they need that this machine lacks");
                    return Ok(Prepared::Listed);
                }
                Install::Yes => unpack::tools(&cache)?,
            }
        }
        if !libraries_there {
            return Ok(Prepared::Listed);
        }
        Ok(Prepared::Ready(Tools { bin: cache.bin(), cache: cache.base().to_owned() }))
    }

    /// Makes the next [`Tools::prepare`] unpack everything again.
    pub(crate) fn forget() -> Result<()> {
        cache::Cache::open()?.forget()
    }

    /// Without apt: the tools that `PATH` has, by their own names.
    fn of_path() -> Result<Tools> {
        let missing: Vec<_> = catalogue::TOOLS
            .iter()
            .filter(|tool| tool.everywhere && process::find(tool.name).is_none())
            .map(|tool| tool.name)
            .collect();
        if !missing.is_empty() {
            bail!("failed to find tools: {}\nhint: install them and have them in PATH", missing.join(", "));
        }
        let tor = process::find("tor").context("tor has just been found")?;
        tor::check(&tor)?;
        let bin = tor.parent().context("a program is in a directory")?.to_owned();
        Ok(Tools { bin, cache: cache::base()? })
    }

    /// The directory to put first in `PATH`.
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// The program to run for a tool of the catalogue.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let here = self.bin.join(name);
        if here.exists() { here } else { process::find(name).unwrap_or(here) }
    }

    /// The environment by which tests, the demo and `ormesh` find the tools.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut path = vec![self.bin.clone()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(path).unwrap_or_else(|_| self.bin.clone().into());
        vec![
            ("ORMESH_CACHE", self.cache.clone().into()),
            ("ORMESH_TOR", self.path("tor").into()),
            ("ORMESH_TOR_GENCERT", self.path("tor-gencert").into()),
            ("PATH", path),
        ]
    }

    /// Prints where the tools are and what a shell exports to use them.
    pub(crate) fn describe(&self) -> Result<()> {
        let version = process::output(Command::new(self.path("tor")).arg("--version"))?;
        println!("{}", version.lines().next().unwrap_or_default().trim_end_matches('.'));
        let mut exports = String::new();
        for (name, value) in self.environment() {
            let value = if name == "PATH" {
                format!("{}:$PATH", self.bin.display())
            } else {
                value.display().to_string()
            };
            writeln!(exports, "export {name}=\"{value}\"")?;
        }
        print!("{exports}");
        Ok(())
    }
}

/// Installs what building the desktop app takes. False: something is missing and was listed.
pub(crate) fn desktop_libraries(install: Install) -> Result<bool> {
    // Elsewhere the system's own web view is used, and the window is not driven.
    if !cfg!(target_os = "linux") {
        return Ok(true);
    }
    libraries::ensure(&libraries::DESKTOP, install)
}

/// Installs what building the desktop app and testing its window takes. False: something is missing and was listed.
pub(crate) fn window_test_libraries(install: Install) -> Result<bool> {
    let to_build = desktop_libraries(install)?;
    if !cfg!(target_os = "linux") {
        return Ok(to_build);
    }
    Ok(libraries::ensure(&libraries::WINDOW_TESTS, install)? && to_build)
}

/// Installs what making the packages takes. False: something is missing and was listed.
pub(crate) fn dist_libraries(install: Install) -> Result<bool> {
    let desktop = desktop_libraries(install)?;
    Ok(libraries::ensure(&libraries::DIST, install)? && desktop)
}

/// Installs what building tor for Windows takes. False: something is missing and was listed.
pub(crate) fn windows_libraries(install: Install) -> Result<bool> {
    libraries::ensure(&libraries::WINDOWS, install)
}

/// Installs what making and testing the packages takes. False: something is missing and was listed.
pub(crate) fn packages_libraries(install: Install) -> Result<bool> {
    let dist = dist_libraries(install)?;
    Ok(libraries::ensure(&libraries::PACKAGES, install)? && dist)
}
