//! The installer for Windows, of what was linked: for trying, since the programs are not optimised.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::files::remove;
use crate::process;
use crate::workspace::Workspace;

/// Makes the installer with the `makensis` in `nsis`, from the programs in `files`, beside them. Gives its path.
pub(super) fn make(workspace: &Workspace, nsis: &Path, mingw: &Path, files: &Path) -> Result<PathBuf> {
    let (version, stripped) = (workspace.version()?, files.with_extension("stripped"));
    remove(&stripped)?;
    fs::create_dir_all(&stripped).with_context(|| format!("failed to create: {}", stripped.display()))?;
    let entries = fs::read_dir(files).with_context(|| format!("failed to list: {}", files.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to list: {}", files.display()))?;
        let to = stripped.join(entry.file_name());
        match entry.path().extension().is_some_and(|kind| kind == "exe") {
            true => {
                let mut strip = Command::new(mingw.join("bin/x86_64-w64-mingw32-strip"));
                process::output(strip.arg("-o").arg(&to).arg(entry.path()))?;
            }
            false => drop(fs::copy(entry.path(), &to).context("failed to copy a file of the installer")?),
        }
    }
    // Its stub is 64-bit, as all of it is.
    let installer = files.join(format!("ormesh-{version}-setup.exe"));
    let root = nsis.join("root");
    let mut make = Command::new(root.join("usr/bin/makensis"));
    make.env("NSISDIR", root.join("usr/share/nsis")).env("NSISCONFDIR", root.join("etc")).arg("-V2");
    for (name, value) in [
        ("VERSION", version.clone().into()),
        ("HOMEPAGE", env!("CARGO_PKG_REPOSITORY").into()),
        ("FILES", stripped.clone().into_os_string()),
        ("OUTPUT", installer.clone().into_os_string()),
    ] {
        let mut define = std::ffi::OsString::from(format!("-D{name}="));
        define.push(value);
        make.arg(define);
    }
    process::output(make.arg(workspace.root().join("packaging/windows/installer.nsi")))?;
    remove(&stripped)?;
    Ok(installer)
}
