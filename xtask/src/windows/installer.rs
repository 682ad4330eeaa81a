//! What a user of Windows gets: an installer and a portable zip, of the same programs. They are for trying: not optimised, and not signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::files::remove;
use crate::process;
use crate::workspace::Workspace;

/// The files of both, beside each other. The packages are named after the version and made there, too.
pub(super) struct Files<'a> {
    pub(super) dir: &'a Path,
    pub(super) names: &'a [String],
    pub(super) version: &'a str,
}

/// Makes the installer with the `makensis` of the kit. Gives its name.
pub(super) fn installer(workspace: &Workspace, nsis: &Path, files: &Files<'_>) -> Result<String> {
    // Its stub is 64-bit, as all of it is.
    let name = format!("ormesh-{}-setup.exe", files.version);
    let root = nsis.join("root");
    let mut make = Command::new(root.join("usr/bin/makensis"));
    make.env("NSISDIR", root.join("usr/share/nsis")).env("NSISCONFDIR", root.join("etc")).arg("-V2");
    for (what, value) in [
        ("VERSION", files.version.into()),
        ("HOMEPAGE", env!("CARGO_PKG_REPOSITORY").into()),
        ("FILES", files.dir.as_os_str().to_owned()),
        ("OUTPUT", files.dir.join(&name).into_os_string()),
    ] {
        let mut define = std::ffi::OsString::from(format!("-D{what}="));
        define.push(value);
        make.arg(define);
    }
    process::output(make.arg(workspace.root().join("packaging/windows/installer.nsi")))?;
    Ok(name)
}

/// Makes the zip with the `zip` of the kit: one directory, whose programs run from wherever it is unpacked. Gives its name.
pub(super) fn portable(nsis: &Path, files: &Files<'_>) -> Result<String> {
    let directory = format!("ormesh-{}-windows-x86_64", files.version);
    let inside = files.dir.join(&directory);
    remove(&inside)?;
    fs::create_dir_all(&inside).with_context(|| format!("failed to create: {}", inside.display()))?;
    for name in files.names {
        let (from, to) = (files.dir.join(name), inside.join(name));
        fs::hard_link(&from, &to).with_context(|| format!("failed to link: {}", from.display()))?;
    }
    let name = format!("{directory}.zip");
    // Neither users nor groups of this machine are in it, and times are UTC.
    let mut zip = Command::new(nsis.join("root/usr/bin/zip"));
    zip.args(["-q", "-9", "-X", "-r", &name, &directory]).env("TZ", "UTC").current_dir(files.dir);
    process::output(&mut zip)?;
    remove(&inside)?;
    Ok(name)
}

/// Writes the file by which the packages are checked. Gives where it is.
pub(super) fn sums(files: &Files<'_>, packages: &[String]) -> Result<PathBuf> {
    let file = files.dir.join("SHA256SUMS");
    let sums = process::output(Command::new("sha256sum").args(packages).current_dir(files.dir))?;
    fs::write(&file, sums).with_context(|| format!("failed to write: {}", file.display()))?;
    Ok(file)
}
