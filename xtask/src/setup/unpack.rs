//! From packages to files: chooses, downloads and extracts, and puts all in place at once, installing nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::{Apt, Package};
use super::cache::Cache;
use super::{catalogue, tor, wrapper};
use crate::process;

/// Makes the tools fresh: packages, and a wrapper for each tool.
///
/// # Errors
///
/// When apt fails, or the tor it offers is too old. What was in the cache before is still there if apt failed.
pub(super) fn tools(cache: &Cache) -> Result<()> {
    let _lock = cache.lock()?;
    if cache.is_fresh() {
        // Another xtask filled it while this one waited.
        return Ok(());
    }
    let packages = unpack(cache, "tools", &catalogue::PACKAGES, &catalogue::RESOLVED, |staging| {
        let bin = staging.join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("failed to create: {}", bin.display()))?;
        // The wrappers name the place where all will be, not this one.
        catalogue::TOOLS
            .iter()
            .try_for_each(|tool| write_program(&bin.join(tool.name), &wrapper::text(tool, &cache.dir())))
    })?;
    tor::check(&cache.bin().join("tor"))?;
    stamp(&cache.dir(), &cache.key(), &packages)
}

/// Unpacks `packages`, and what they and `resolved` need that the machine lacks, into the cache's directory `name`.
///
/// `finish` works on the directory before it is moved to its place.
pub(super) fn unpack(
    cache: &Cache,
    name: &str,
    packages: &[&str],
    resolved: &[&str],
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<Vec<Package>> {
    let apt = Apt::at(cache.base().join("apt"))?;
    apt.update()?;
    let packages = choose(&apt, packages, resolved)?;

    let dir = cache.base().join(name);
    println!("unpacking {} Debian packages into {} (nothing is installed)", packages.len(), dir.display());
    let staging = cache.base().join(format!("{name}.new"));
    remove(&staging)?;
    let (debs, root) = (staging.join("debs"), staging.join("root"));
    for dir in [&debs, &root] {
        fs::create_dir_all(dir).with_context(|| format!("failed to create: {}", dir.display()))?;
    }
    apt.download(&packages, &debs)?;
    extract_all(&debs, &root)?;
    remove(&debs)?;
    finish(&staging)?;

    remove(&dir)?;
    fs::rename(&staging, &dir).with_context(|| format!("failed to rename: {}", staging.display()))?;
    Ok(packages)
}

/// Writes the stamp, which promises that all before it was done: the key, then the packages for who wants to know.
pub(super) fn stamp(dir: &Path, key: &str, packages: &[Package]) -> Result<()> {
    let stamp = dir.join("stamp");
    let listed: String =
        packages.iter().map(|package| format!("{}={}\n", package.name, package.version)).collect();
    fs::write(&stamp, key.to_owned() + &listed)
        .with_context(|| format!("failed to write: {}", stamp.display()))
}

/// Writes a script that can be run.
pub(super) fn write_program(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)
        .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("failed to write: {}", file.display()))
}

/// The wanted packages in any case, and of what is needed that which the machine lacks.
fn choose(apt: &Apt, packages: &[&str], resolved: &[&str]) -> Result<Vec<Package>> {
    let mut chosen: BTreeSet<Package> = apt.missing_for(resolved)?.into_iter().collect();
    chosen.retain(|package| !catalogue::LEFT_OUT.contains(&package.name.as_str()));
    for package in packages {
        if !chosen.iter().any(|chosen| chosen.name == *package) {
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
