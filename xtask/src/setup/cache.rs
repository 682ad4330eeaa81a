//! The cache directory: where it is, and whether what it holds is what this xtask wants.
//!
//! Filling it is `unpack`'s; this file only reads it, locks it and forgets it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{catalogue, wrapper};
use crate::process;

/// Raise it when the way of unpacking changes; tools, packages and wrappers are compared by themselves.
const FORMAT: u32 = 1;

/// The cache's part for tools: `root` as Debian lays it out, `bin` with a wrapper for each tool, `stamp`.
pub(super) struct Cache {
    base: PathBuf,
}

/// The directory for all that xtask keeps: `$ORMESH_CACHE`, `$XDG_CACHE_HOME/ormesh-dev` or `~/.cache/ormesh-dev`.
pub(super) fn base() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = set("ORMESH_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("ormesh-dev")))
        .or_else(|| Some(set("HOME")?.join(".cache/ormesh-dev")))
        .context(
            "failed to choose a cache directory: neither ORMESH_CACHE, XDG_CACHE_HOME nor HOME is set",
        )?;
    let dir = std::path::absolute(&dir).with_context(|| format!("failed to resolve: {}", dir.display()))?;
    fs::create_dir_all(&dir).with_context(|| format!("failed to create: {}", dir.display()))?;
    Ok(dir)
}

impl Cache {
    /// The cache of this machine's user.
    pub(super) fn open() -> Result<Cache> {
        Ok(Cache { base: base()? })
    }

    /// The directory for all that xtask keeps.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// Where the tools are.
    pub(super) fn dir(&self) -> PathBuf {
        self.base.join("tools")
    }

    /// The wrappers, one for each tool.
    pub(super) fn bin(&self) -> PathBuf {
        self.dir().join("bin")
    }

    /// Whether everything is there, by the stamp and a look at each wrapper; no network, no process.
    pub(super) fn is_fresh(&self) -> bool {
        let stamp = fs::read_to_string(self.dir().join("stamp")).unwrap_or_default();
        stamp.starts_with(&self.key())
            && catalogue::TOOLS.iter().all(|tool| process::is_executable(&self.bin().join(tool.name)))
    }

    /// What a stamp begins with when it is this xtask's. The packages and their versions follow it.
    pub(super) fn key(&self) -> String {
        let scripts = catalogue::TOOLS.iter().map(|tool| wrapper::text(tool, &self.dir()));
        key(&catalogue::PACKAGES, &catalogue::RESOLVED) + &scripts.collect::<String>()
    }

    /// Marks what is there as not wanted.
    pub(super) fn forget(&self) -> Result<()> {
        let stamp = self.dir().join("stamp");
        match fs::remove_file(&stamp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove: {}", stamp.display()))
            }
            _ => Ok(()),
        }
    }

    /// Waits until no other xtask fills the cache; released when the file is dropped.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.base.join("lock");
        let file = File::create(&path).with_context(|| format!("failed to create: {}", path.display()))?;
        file.lock().with_context(|| format!("failed to lock: {}", path.display()))?;
        Ok(file)
    }
}

/// What any stamp begins with: the machine, and which packages were asked for.
pub(super) fn key(packages: &[&str], resolved: &[&str]) -> String {
    format!(
        "format {FORMAT}\nmachine {} {}\npackages {}\nresolved {}\n",
        std::env::consts::ARCH,
        release(),
        packages.join(" "),
        resolved.join(" ")
    )
}

/// The release by its code name, `bookworm`: a point release alone is no reason to unpack again.
pub(super) fn release() -> String {
    let text = fs::read_to_string(Path::new("/etc/os-release")).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap_or("unknown").to_owned()
}
