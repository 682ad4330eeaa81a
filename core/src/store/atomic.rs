//! Replacing a file whole: after a crash at any moment it holds the old bytes or the new ones.

use std::io::{self, Write as _};
use std::path::Path;

use super::private;

/// Writes `bytes` to a new file beside `path`, syncs it, renames it over `path` and syncs the directory.
///
/// A symlink is followed and its target replaced. The mode of an old file is kept, less others' right to write; a new one is 0600.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match std::fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    let dir = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".ormesh-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    private::set_mode(file.as_file(), private::mode_of(&target))?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    private::sync_dir(dir)
}
