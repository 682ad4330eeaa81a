//! Fills the cache: chooses the packages, downloads and unpacks them, writes the wrappers, and puts all in place at once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::{Apt, Package};
use super::cache::Cache;
use super::{catalogue, check_tor, wrapper};
use crate::process;

/// Makes the cache fresh.
///
/// # Errors
///
/// When apt fails, or the tor it offers is too old. What was in the cache before is then still there.
pub(super) fn unpack(cache: &Cache) -> Result<()> {
    let _lock = cache.lock()?;
    if cache.is_fresh() {
        // Another xtask filled it while this one waited.
        return Ok(());
    }
    let apt = Apt::at(cache.apt())?;
    apt.update()?;
    let packages = choose(&apt)?;

    println!(
        "unpacking {} Debian packages into {} (nothing is installed)",
        packages.len(),
        cache.dir().display()
    );
    let staging = cache.staging();
    remove(&staging)?;
    let debs = staging.join("debs");
    let root = staging.join("root");
    for dir in [&debs, &root, &staging.join("bin")] {
        fs::create_dir_all(dir).with_context(|| format!("failed to create: {}", dir.display()))?;
    }
    apt.download(&packages, &debs)?;
    extract_all(&debs, &root)?;
    remove(&debs)?;

    // The wrappers name the final place, so it must be there before a tool can be tried.
    for tool in &catalogue::TOOLS {
        let file = staging.join("bin").join(tool.name);
        fs::write(&file, wrapper::text(tool, &cache.dir()))
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("failed to write: {}", file.display()))?;
    }
    remove(&cache.dir())?;
    fs::rename(&staging, cache.dir()).with_context(|| format!("failed to rename: {}", staging.display()))?;
    check_tor(&cache.bin().join("tor"))?;

    // Last: a stamp promises that all before it was done.
    let stamp = cache.dir().join("stamp");
    let listed: String =
        packages.iter().map(|package| format!("{}={}\n", package.name, package.version)).collect();
    fs::write(&stamp, cache.key() + &listed).with_context(|| format!("failed to write: {}", stamp.display()))
}

/// The tools' packages, and of what they need that which the machine lacks.
fn choose(apt: &Apt) -> Result<Vec<Package>> {
    let mut chosen: BTreeSet<Package> = apt.missing_for(&catalogue::RESOLVED)?.into_iter().collect();
    chosen.retain(|package| !catalogue::LEFT_OUT.contains(&package.name.as_str()));
    for package in catalogue::PACKAGES {
        if !chosen.iter().any(|chosen| chosen.name == package) {
            chosen.insert(apt.candidate(package)?);
        }
    }
    Ok(chosen.into_iter().collect())
}

fn extract_all(debs: &Path, root: &Path) -> Result<()> {
    let entries = fs::read_dir(debs).with_context(|| format!("failed to list: {}", debs.display()))?;
    for entry in entries {
        let deb = entry.with_context(|| format!("failed to list: {}", debs.display()))?.path();
        process::output(Command::new("dpkg").arg("--extract").arg(&deb).arg(root))?;
    }
    Ok(())
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove: {}", dir.display()))
        }
        _ => Ok(()),
    }
}
