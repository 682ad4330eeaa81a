//! A directory that is ours alone, on Unix: mode 0700, its files 0600, whatever the umask; looser ones are refused, never mended
//! in silence. What the files hold is for others to say.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use zeroize::Zeroizing;

use super::SecretsError;
use crate::store::private;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// An open directory. Names are taken relative to it, so renaming or replacing its path afterwards changes nothing.
pub(super) struct PrivateDir {
    path: PathBuf,
    dir: File,
}

impl PrivateDir {
    /// Opens a directory, or creates it and its missing parents; a looser one, one of another owner and a symbolic link are refused.
    pub(super) fn open(path: &Path) -> Result<Self, SecretsError> {
        create(path).map_err(|error| failed("create the directory", path, &error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir: OwnedFd = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
            .map_err(|error| {
                refuse_link(path).unwrap_or_else(|| failed("open the directory", path, &error.into()))
            })?;
        let stat =
            rustix::fs::fstat(&dir).map_err(|error| failed("look at the directory", path, &error.into()))?;
        check(path, &stat, "0700")?;
        Ok(Self { path: path.to_owned(), dir: dir.into() })
    }

    /// Reads a file whole; `None` where there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
        let path = self.path.join(name);
        // A fifo in the file's place must not block the open.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = || rustix::fs::openat(&self.dir, name, flags, Mode::empty());
        let mut file = match rustix::io::retry_on_intr(open) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => {
                return Err(refuse_link(&path).unwrap_or_else(|| failed("open", &path, &error.into())));
            }
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| failed("look at", &path, &error.into()))?;
        check(&path, &stat, "0600")?;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size > MAX_FILE {
            return Err(SecretsError::Failed(format!("{} is no small regular file", path.display())));
        }
        // Allocated once at its full size, so that no copy is left behind.
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(size).expect("at most MAX_FILE")]);
        file.read_exact(&mut bytes).map_err(|error| failed("read", &path, &error))?;
        Ok(Some(bytes))
    }

    /// Replaces a file durably: the old content or the new is there after a crash, never a mixture.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SecretsError> {
        let path = self.path.join(name);
        let error = |error| failed("write", &path, &error);
        let temporary = temporary(name);
        self.unlink(&temporary).map_err(error)?;
        self.write_new(&temporary, bytes)
            .and_then(|()| Ok(rustix::fs::renameat(&self.dir, &temporary, &self.dir, name)?))
            .inspect_err(|_| {
                // The first error is the one to tell; what stays behind is replaced by the next write and erased by `remove`.
                let _ = self.unlink(&temporary);
            })
            .map_err(error)?;
        self.dir.sync_all().map_err(error)
    }

    /// Renames a file durably.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), SecretsError> {
        rustix::fs::renameat(&self.dir, from, &self.dir, to)
            .map_err(io::Error::from)
            .and_then(|()| self.dir.sync_all())
            .map_err(|error| failed("rename", &self.path.join(from), &error))
    }

    /// Removes a file durably, and what an interrupted write of it left; fine where there is none.
    pub(super) fn remove(&self, name: &str) -> Result<(), SecretsError> {
        self.unlink(&temporary(name))
            .and_then(|()| self.unlink(name))
            .and_then(|()| self.dir.sync_all())
            .map_err(|error| failed("remove", &self.path.join(name), &error))
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::io::retry_on_intr(|| rustix::fs::openat(&self.dir, name, flags, mode))?;
        // The umask can only have taken bits away: even the owner's.
        rustix::fs::fchmod(&fd, mode)?;
        let mut file = File::from(fd);
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn temporary(name: &str) -> String {
    format!(".{name}.new")
}

/// Creates a directory and its missing parents, each 0700 under any umask.
fn create(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create(parent)?;
    }
    match rustix::fs::mkdir(path, Mode::RWXU).map_err(io::Error::from) {
        Ok(()) => rustix::fs::chmod(path, Mode::RWXU)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all())
}

/// Refuses what others may read, and what is not ours.
fn check(path: &Path, stat: &Stat, mode: &str) -> Result<(), SecretsError> {
    let shown = path.display();
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        let (problem, mend) = private::not_ours(path, stat.st_uid);
        return Err(SecretsError::Unsafe { problem, mend });
    }
    if stat.st_mode & 0o077 != 0 {
        let problem = format!("{shown} is open to other users (mode {:04o})", stat.st_mode & 0o7777);
        return Err(SecretsError::Unsafe { problem, mend: format!("run `chmod {mode} {}`", quoted(path)) });
    }
    Ok(())
}

/// The error for a symbolic link, which an open with `NOFOLLOW` reports in different words on each system.
fn refuse_link(path: &Path) -> Option<SecretsError> {
    let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    is_link.then(|| SecretsError::Unsafe {
        problem: format!("{} is a symbolic link", path.display()),
        mend: format!("run `rm {}`", quoted(path)),
    })
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn failed(action: &str, path: &Path, error: &io::Error) -> SecretsError {
    let message = format!("failed to {action} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => SecretsError::Full(message),
        _ => SecretsError::Failed(message),
    }
}
