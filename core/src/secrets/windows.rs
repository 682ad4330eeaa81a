//! A directory that is ours alone, on Windows: one under the user's profile, whose access list already keeps other users out.
//! What the files hold is for others to say.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::SecretsError;

/// A directory, by its path.
pub(super) struct PrivateDir {
    path: PathBuf,
}

impl PrivateDir {
    /// Takes a directory, or creates it and its missing parents with the access list that they inherit.
    pub(super) fn open(path: &Path) -> Result<Self, SecretsError> {
        fs::create_dir_all(path).map_err(|error| failed("create the directory", path, &error))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Reads a file whole; `None` where there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Replaces a file durably: the old content or the new is there after a crash, never a mixture.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SecretsError> {
        let (path, temporary) = (self.path.join(name), self.path.join(temporary(name)));
        File::create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path))
            .inspect_err(|_| {
                // The first error is the one to tell; what stays behind is replaced by the next write and erased by `remove`.
                let _ = fs::remove_file(&temporary);
            })
            .map_err(|error| failed("write", &path, &error))
    }

    /// Renames a file.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), SecretsError> {
        let path = self.path.join(from);
        fs::rename(&path, self.path.join(to)).map_err(|error| failed("rename", &path, &error))
    }

    /// Removes a file, and what an interrupted write of it left; fine where there is none.
    pub(super) fn remove(&self, name: &str) -> Result<(), SecretsError> {
        for path in [self.path.join(temporary(name)), self.path.join(name)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed("remove", &path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn temporary(name: &str) -> String {
    format!(".{name}.new")
}

fn failed(action: &str, path: &Path, error: &io::Error) -> SecretsError {
    SecretsError::Failed(format!("failed to {action} {}: {error}", path.display()))
}
