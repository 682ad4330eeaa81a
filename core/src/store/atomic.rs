//! Replacing a file whole: after a crash at any moment it holds the old bytes or the new ones.

use std::io;
use std::path::{Path, PathBuf};

use super::private::Dir;

/// Links that are followed, as many as Linux does (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Writes `bytes` to a new file beside `path`, syncs it, renames it over `path` and syncs the directory. One caller at a time.
///
/// A symlink is followed and its target replaced, or made where it is missing. The mode of an old file is kept, less others' right to
/// write; a new one is 0600. On an error the file is as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = target(path)?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = Dir::open(target.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    dir.replace(name.as_ref(), bytes)?;
    if let Err(error) = dir.sync() {
        // The new content is there for everyone to see, so to call it a failure would be wrong; a crash soon might still undo it.
        tracing::warn!(file = %target.display(), %error, "failed to sync the directory of a file");
    }
    Ok(())
}

/// Where the links lead that begin at a path; nothing need be there.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let link = match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => std::fs::read_link(&path)?,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(path),
        };
        path = path.parent().ok_or(io::ErrorKind::InvalidInput)?.join(link);
    }
    // As the system says it.
    std::fs::metadata(&path).and(Err(io::ErrorKind::InvalidInput.into()))
}
