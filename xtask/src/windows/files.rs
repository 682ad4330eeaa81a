//! Files and directories, with errors that name them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Removes a directory with all that is in it; fine where there is none.
pub(super) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove: {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file.
pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write: {}", file.display()))
}
