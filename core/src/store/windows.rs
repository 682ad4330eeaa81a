//! Private files on Windows: in the user's profile, whose inherited access lists are private.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::dir_error::DirError;
use super::patience;
use crate::model::problem::{Code, Problem, Subject};

/// What Windows says of a file that another program holds open (winerror.h): of one that can't be renamed over, `ERROR_ACCESS_DENIED`.
const ACCESS_DENIED: i32 = 5;
const SHARING_VIOLATION: i32 = 32;
const LOCK_VIOLATION: i32 = 33;

/// Whether an error may come from another program that holds a file open.
pub fn is_held(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ACCESS_DENIED | SHARING_VIOLATION | LOCK_VIOLATION))
}

/// Does some work on a file, for about a second, until no other program is in the way.
pub fn patiently<T>(work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    patience::patiently(work, is_held, std::thread::sleep)
}

/// A directory, by its path.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Takes a directory as it is.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned() })
    }

    /// Takes a directory, or makes it and its missing parents with the access list that they inherit.
    pub fn private(path: &Path) -> Result<Self, DirError> {
        fs::create_dir_all(path).map_err(|error| failed("make the directory", path, &error))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Reads a file whole; `None` where there is none.
    pub fn read(&self, name: impl AsRef<Path>) -> Result<Option<Zeroizing<Vec<u8>>>, DirError> {
        let path = self.path.join(name);
        match patiently(|| fs::read(&path)) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Replaces a file durably: the old content or the new is there after a crash, never a mixture.
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<(), DirError> {
        self.replace(name.as_ref(), bytes).map_err(|error| failed("write", &self.path.join(&name), &error))
    }

    /// The same, with the system's own error.
    pub(super) fn replace(&self, name: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.temporary(name);
        patiently(|| File::create(&temporary))
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| patiently(|| fs::rename(&temporary, self.path.join(name))))
            .inspect_err(|_| {
                // The first error is the one to tell; what stays behind is replaced by the next write and erased by `remove`.
                let _ = fs::remove_file(&temporary);
            })
    }

    /// The same if the file holds what is expected, and is still the one that is meant.
    pub(super) fn replace_if(
        &self,
        name: &Path,
        expected: Option<&[u8]>,
        bytes: &[u8],
        is_meant: &dyn Fn() -> bool,
    ) -> io::Result<bool> {
        let found = match patiently(|| fs::read(self.path.join(name))) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if found.as_deref() != expected || !is_meant() {
            return Ok(false);
        }
        self.replace(name, bytes).map(|()| true)
    }

    /// Renames a file.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), DirError> {
        let path = self.path.join(from);
        patiently(|| fs::rename(&path, self.path.join(to))).map_err(|error| failed("rename", &path, &error))
    }

    /// Removes a file, and what an interrupted write of it left; fine where there is none.
    pub fn remove(&self, name: impl AsRef<Path>) -> Result<(), DirError> {
        for path in [self.temporary(name.as_ref()), self.path.join(&name)] {
            match patiently(|| fs::remove_file(&path)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed("remove", &path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// NTFS journals renames itself; a directory can't be opened to be synced.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn temporary(&self, name: &Path) -> PathBuf {
        self.path.join(format!(".{}.new", name.display()))
    }
}

fn failed(action: &str, path: &Path, error: &io::Error) -> DirError {
    let message = format!("failed to {action} {}: {error}", path.display());
    let problem = Problem::new(Code::FileFailed, message).about(Subject::Files);
    DirError { problem, kind: Some(error.kind()) }
}

/// Makes a directory with its parents.
pub fn ensure_dir(path: &Path) -> Result<(), Problem> {
    Dir::private(path).map(drop).map_err(|error| error.problem)
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

/// Never asked for here: no socket is in it, so its path may be as long as it likes.
pub fn short_dir(hash: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ormesh-{hash}"))
}

/// Whether files can be made in a directory; one that is missing can be made first.
pub fn can_create_in(dir: Option<&Path>) -> bool {
    let Some(dir) = dir else { return false };
    fs::create_dir_all(dir).is_ok() && tempfile::Builder::new().prefix(".ormesh-").tempfile_in(dir).is_ok()
}

/// Containers are Linux's.
pub fn is_ephemeral(_path: &Path) -> bool {
    false
}

/// Nothing to do: no umask, no core files.
pub fn harden_process() {}

/// Nothing to do: handles are not limited.
pub fn raise_open_files() {}
