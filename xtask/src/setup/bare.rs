//! A bare Debian to install packages into: what its release requires and apt, as an archive in the cache.
//!
//! It comes from where the machine takes its own packages, by their keys, and takes from there later, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::{self, Cache};
use super::entries::{self, Kind};
use crate::{process, say};

/// The archive of this machine's release; made if the cache has none. Takes root.
pub(crate) fn bare_root() -> Result<PathBuf> {
    let cache = Cache::open()?;
    let _lock = cache.lock()?;
    let release = cache::release();
    let archive = cache.base().join(format!("bare-{release}-{}.tar", std::env::consts::ARCH));
    if archive.exists() {
        return Ok(archive);
    }
    say::note(&format!("making a bare Debian {release}: about a minute"));
    let work = tempfile::tempdir_in(cache.base()).context("failed to create a directory in the cache")?;
    let half = work.path().join("root.tar");
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--mode=root", "--variant=minbase", "--format=tar", &release]).arg(&half);
    for (name, text) in entries::read(Path::new("/etc/apt"), &release, Kind::Deb)? {
        let file = work.path().join(name);
        fs::write(&file, text).with_context(|| format!("failed to write: {}", file.display()))?;
        make.arg(file);
    }
    process::output(&mut make)?;
    fs::rename(&half, &archive).with_context(|| format!("failed to rename: {}", half.display()))?;
    Ok(archive)
}
