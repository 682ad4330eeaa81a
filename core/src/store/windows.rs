//! Private files on Windows: those of the user's profile, whose access lists are inherited and already private.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::model::problem::{Problem, ProblemKind};

/// Makes a directory with its parents.
pub fn ensure_dir(path: &Path) -> Result<(), Problem> {
    std::fs::create_dir_all(path).map_err(|error| {
        Problem::new(ProblemKind::Failed, format!("failed to make the directory {}: {error}", path.display()))
    })
}

/// Makes the directory that will hold a file.
pub fn ensure_parent(file: &Path) -> Result<(), Problem> {
    file.parent().map_or(Ok(()), ensure_dir)
}

/// The profile's access list says who may write; there is no mode to check.
pub fn check_config(_path: &Path) -> Result<(), Problem> {
    Ok(())
}

/// The standard library has no file index yet; the other marks of a file must do.
pub fn identity(_meta: &Metadata) -> Option<(u64, u64)> {
    None
}

/// The time of the last write tells.
pub fn changed(_meta: &Metadata) -> (i64, i64) {
    (0, 0)
}

/// Links are rare here, and a file that is read a moment later is as good.
pub fn has_other_names(_meta: &Metadata) -> bool {
    false
}

/// There are no modes.
pub fn mode(_meta: &Metadata) -> u32 {
    0
}

/// The profile's access list says who may do what.
pub fn denied(_path: &Path) -> Option<Problem> {
    None
}

/// An administrator's files in a user's profile are the user's, too.
pub fn check_place(_path: &Path, _named: bool) -> Result<(), Problem> {
    Ok(())
}

/// Never asked for here: pipes have no length to speak of.
pub fn short_dir(hash: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ormesh-{hash}"))
}

/// NTFS journals renames itself; a directory can't be opened to be synced.
pub fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// There are no modes.
pub fn mode_of(_path: &Path) -> u32 {
    0
}

/// There are no modes.
pub fn set_mode(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Whether files can be made in a directory; one that is missing can be made first.
pub fn can_create_in(dir: Option<&Path>) -> bool {
    let Some(dir) = dir else { return false };
    std::fs::create_dir_all(dir).is_ok()
        && tempfile::Builder::new().prefix(".ormesh-").tempfile_in(dir).is_ok()
}

/// Containers are Linux's.
pub fn is_ephemeral(_path: &Path) -> bool {
    false
}

/// Nothing to do: no umask, no core files.
pub fn harden_process() {}

/// Nothing to do: handles are not limited.
pub fn raise_open_files() {}
