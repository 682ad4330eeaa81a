//! Replaces a file as a whole: after a crash it has the old bytes or the new ones.

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

/// The same if the file holds what is expected, or is missing where that is nothing; else false, and what another program has put there
/// in the meantime is as it was.
///
/// On Linux and macOS the two files change places at once, and what was there is looked at then, so nothing is lost between a look and the
/// renaming. Where the file system can't do that, or the system, the look is the last thing before it.
pub fn replace_if(path: &Path, expected: Option<&[u8]>, bytes: &[u8]) -> io::Result<bool> {
    replace_at(&target(path)?, path, expected, bytes)
}

/// The same at the place to which a path has led.
fn replace_at(place: &Path, path: &Path, expected: Option<&[u8]>, bytes: &[u8]) -> io::Result<bool> {
    let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = Dir::open(place.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    // A link that leads elsewhere by now is another's change, too.
    let is_here = || target(path).is_ok_and(|now| now == place);
    let is_replaced = dir.replace_if(name.as_ref(), expected, bytes, &is_here)?;
    if let Err(error) = dir.sync() {
        tracing::warn!(file = %place.display(), %error, "failed to sync the directory of a file");
    }
    Ok(is_replaced)
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

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{read, remove_file, write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_that_leads_elsewhere_by_now_is_another_s_change() {
        let dir = tempfile::tempdir().unwrap();
        let [link, old, new] = ["config", "old", "new"].map(|name| dir.path().join(name));
        write(&old, "old").unwrap();
        symlink(&old, &link).unwrap();
        let place = target(&link).unwrap();
        for there in [None, Some("new")] {
            remove_file(&link).unwrap();
            symlink(&new, &link).unwrap();
            if let Some(text) = there {
                write(&new, text).unwrap();
            }

            assert!(!replace_at(&place, &link, Some(b"old"), b"ours").unwrap());
            assert_eq!(
                (read(&old).unwrap(), read(&new).ok()),
                (b"old".into(), there.map(|text| text.into()))
            );
        }
        remove_file(&old).unwrap();
        assert!(!replace_at(&place, &link, None, b"ours").unwrap());
        assert!(!old.exists());
        assert!(replace_if(&link, Some(b"new"), b"ours").unwrap());
        assert_eq!(read(&new).unwrap(), b"ours");
    }
}
