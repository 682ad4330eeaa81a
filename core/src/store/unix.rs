//! Private files on Unix: created with the right mode, and refused, with the command that repairs them, if others got access.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::dir_error::DirError;
use crate::model::problem::{Code, Problem, Subject};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Whether an error may come from another program that holds a file open: on Unix that keeps nobody out.
pub fn is_held(_error: &io::Error) -> bool {
    false
}

/// Does some work on a file; no other program can be in the way.
pub fn patiently<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    work()
}

/// An open directory. Names are taken relative to it, so renaming or replacing its path afterwards changes nothing.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    dir: File,
}

impl Dir {
    /// Opens a directory as it is.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), dir: open_at(CWD, path, OFlags::DIRECTORY)? })
    }

    /// Opens a directory of ours alone, or makes it and its missing parents; a looser one, one of another owner and a symbolic link are
    /// refused.
    pub fn private(path: &Path) -> Result<Self, DirError> {
        create(path).map_err(|error| failed("make the directory", path, &error))?;
        let dir = open_at(CWD, path, OFlags::DIRECTORY | OFlags::NOFOLLOW)
            .map_err(|error| refused("open the directory", path, &error))?;
        let meta = dir.metadata().map_err(|error| failed("look at the directory", path, &error))?;
        check_private(path, &meta).map_err(not_safe)?;
        Ok(Self { path: path.to_owned(), dir })
    }

    /// Reads a private file whole; `None` where there is none.
    pub fn read(&self, name: impl AsRef<Path>) -> Result<Option<Zeroizing<Vec<u8>>>, DirError> {
        let path = self.path.join(&name);
        // A fifo in the file's place must not block the open.
        let mut file = match open_at(&self.dir, name.as_ref(), OFlags::NOFOLLOW | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused("open", &path, &error)),
        };
        let meta = file.metadata().map_err(|error| failed("look at", &path, &error))?;
        check_private(&path, &meta).map_err(not_safe)?;
        if !meta.is_file() || meta.len() > MAX_FILE {
            return Err(failed("read", &path, &io::Error::other("it is no small regular file")));
        }
        // Allocated once at its full size, so that no copy is left behind.
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(meta.len()).expect("at most MAX_FILE")]);
        file.read_exact(&mut bytes).map_err(|error| failed("read", &path, &error))?;
        Ok(Some(bytes))
    }

    /// Replaces a file durably by a private one: the old content or the new is there after a crash, never a mixture.
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<(), DirError> {
        self.put(name.as_ref(), bytes, Mode::RUSR | Mode::WUSR)
            .and_then(|()| self.sync())
            .map_err(|error| failed("write", &self.path.join(&name), &error))
    }

    /// The same as it is until the directory is synced. The mode of an old file is kept, less others' right to write; a new one is 0600.
    pub(super) fn replace(&self, name: &Path, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes, self.mode(name))
    }

    /// The same if the file holds what is expected, and is still the one that is meant: it is looked at when it has been taken away, and put
    /// back if it is another one.
    pub(super) fn replace_if(
        &self,
        name: &Path,
        expected: Option<&[u8]>,
        bytes: &[u8],
        is_meant: &dyn Fn() -> bool,
    ) -> io::Result<bool> {
        let temporary = temporary(name);
        self.unlink(&temporary)?;
        let replaced = self.write_new(&temporary, bytes, self.mode(name)).and_then(|()| match expected {
            _ if self.content(name)?.as_deref() != expected => Ok(false),
            None => self.take_place(&temporary, name, is_meant),
            Some(expected) => self.change_places(&temporary, name, expected, is_meant),
        });
        // Ours, or what it replaces. What stays behind is replaced by the next write.
        let _ = self.unlink(&temporary);
        replaced
    }

    /// Gives a file a name that nothing has; false where something has it by now.
    fn take_place(&self, temporary: &Path, name: &Path, is_meant: &dyn Fn() -> bool) -> io::Result<bool> {
        if !is_meant() {
            return Ok(false);
        }
        match renameat_with(&self.dir, temporary, &self.dir, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) if is_unsupported(error) => {
                rustix::fs::renameat(&self.dir, temporary, &self.dir, name)?;
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Exchanges two files; false, and what is newest has the name, where that was another one than is expected.
    fn change_places(
        &self,
        temporary: &Path,
        name: &Path,
        expected: &[u8],
        is_meant: &dyn Fn() -> bool,
    ) -> io::Result<bool> {
        let exchange = || renameat_with(&self.dir, temporary, &self.dir, name, RenameFlags::EXCHANGE);
        let mut put = self.number(temporary)?;
        match exchange() {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(error) if is_unsupported(error) => {
                let is_replaced = is_meant();
                if is_replaced {
                    rustix::fs::renameat(&self.dir, temporary, &self.dir, name)?;
                }
                return Ok(is_replaced);
            }
            Err(error) => return Err(error.into()),
        }
        let failed = match self.content(temporary) {
            Ok(content) if content.as_deref() == Some(expected) && is_meant() => return Ok(true),
            content => content.err(),
        };
        let refused = || failed.map_or(Ok(false), Err);
        loop {
            let back = self.number(temporary)?;
            match exchange() {
                Ok(()) => {}
                // Removed by now. What was there is kept all the same.
                Err(Errno::NOENT) => {
                    rustix::fs::renameat(&self.dir, temporary, &self.dir, name)?;
                    return refused();
                }
                Err(error) => return Err(error.into()),
            }
            // What comes out is what was put there, unless there is something still newer.
            if self.number(temporary)? == put {
                return refused();
            }
            put = back;
        }
    }

    fn content(&self, name: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut file = match open_at(&self.dir, name, OFlags::NOFOLLOW | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The number of a file of this directory. Not by opening it, which may fail.
    fn number(&self, name: &Path) -> io::Result<u64> {
        Ok(rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino)
    }

    /// The mode of an old file, less others' right to write; that of a new one is 0600.
    fn mode(&self, name: &Path) -> Mode {
        let old = rustix::fs::statat(&self.dir, name, AtFlags::empty());
        old.map_or(Mode::RUSR | Mode::WUSR, |old| Mode::from_raw_mode(old.st_mode & 0o755))
    }

    /// Renames a file durably.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), DirError> {
        rustix::fs::renameat(&self.dir, from, &self.dir, to)
            .map_err(io::Error::from)
            .and_then(|()| self.sync())
            .map_err(|error| failed("rename", &self.path.join(from), &error))
    }

    /// Removes a file durably, and what an interrupted write of it left; fine where there is none.
    pub fn remove(&self, name: impl AsRef<Path>) -> Result<(), DirError> {
        self.unlink(&temporary(name.as_ref()))
            .and_then(|()| self.unlink(name.as_ref()))
            .and_then(|()| self.sync())
            .map_err(|error| failed("remove", &self.path.join(&name), &error))
    }

    /// Makes what was replaced durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.dir.sync_all()
    }

    /// Writes a new file, syncs it and renames it over the old one.
    fn put(&self, name: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let temporary = temporary(name);
        self.unlink(&temporary)?;
        self.write_new(&temporary, bytes, mode)
            .and_then(|()| Ok(rustix::fs::renameat(&self.dir, &temporary, &self.dir, name)?))
            .inspect_err(|_| {
                // The first error is the one to tell; what stays behind is replaced by the next write and erased by `remove`.
                let _ = self.unlink(&temporary);
            })
    }

    fn write_new(&self, name: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mut file = open_at(&self.dir, name, flags)?;
        // The umask can only have taken bits away: even the owner's.
        rustix::fs::fchmod(&file, mode)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn unlink(&self, name: &Path) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a file system, or a kernel, can't do what a flag of a renaming asks for (renameat2(2)).
fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
}

/// Opens a file relative to a directory; a new one is 0600.
fn open_at(dir: impl AsFd, name: &Path, flags: OFlags) -> io::Result<File> {
    let open = || rustix::fs::openat(&dir, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    Ok(rustix::io::retry_on_intr(open)?.into())
}

/// Always the same name, so that what a killed writer left is replaced and not one file more each time.
fn temporary(name: &Path) -> PathBuf {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    temporary.into()
}

/// Makes a directory and its missing parents, each 0700 under any umask.
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
    let parent = parent.unwrap_or(Path::new("."));
    if let Err(error) = File::open(parent).and_then(|parent| parent.sync_all()) {
        // The directory is there, and what is written to it is synced; a crash soon might still undo it.
        tracing::warn!(path = %parent.display(), %error, "failed to sync a directory");
    }
    Ok(())
}

/// Makes a directory of mode 0700 with its parents, or checks the one that is there: a directory, ours, closed to others.
pub fn ensure_dir(path: &Path) -> Result<(), Problem> {
    Dir::private(path).map(drop).map_err(|error| error.problem)
}

/// Makes the directory that will hold a file; one that is there may be as it is.
pub fn ensure_parent(file: &Path) -> Result<(), Problem> {
    let Some(parent) = file.parent() else { return Ok(()) };
    create(parent).map_err(|error| failed_to("make the directory", parent, &error))
}

fn check_private(path: &Path, meta: &Metadata) -> Result<(), Problem> {
    check_owner(path, meta)?;
    if meta.mode() & 0o077 != 0 {
        let message =
            format!("{} is open to other users (mode {:03o})", path.display(), meta.mode() & 0o7777);
        return Err(not_ours_alone(message).hint(format!("chmod go= {}", quoted(path))));
    }
    Ok(())
}

fn check_owner(path: &Path, meta: &Metadata) -> Result<(), Problem> {
    if meta.uid() == geteuid().as_raw() {
        return Ok(());
    }
    let (message, hint) = not_ours(path, meta.uid());
    Err(not_ours_alone(message).hint(hint))
}

/// The problem of a path that belongs to another user, with what to do. Never a chown, which would give that user's keys away.
pub fn not_ours(path: &Path, owner: u32) -> (String, String) {
    let (theirs, ours) = (user_name(owner), user_name(geteuid().as_raw()));
    let message = format!("{} belongs to {theirs}, and this runs as {ours}", path.display());
    let hint = match () {
        () if geteuid().is_root() && sudoer() == Some(owner) => {
            format!("run it as {theirs}, without sudo; `sudo -H ormesh …` is for a host of root's own")
        }
        () if geteuid().is_root() => {
            let user = if theirs.starts_with("user ") { format!("'#{owner}'") } else { theirs.clone() };
            format!("run it as {theirs}: `sudo -Hu {user} ormesh …`")
        }
        () => format!("run it as {theirs}, or name places of your own by ORMESH_CONFIG and ORMESH_STATE"),
    };
    (message, hint)
}

/// The name of a user, or `user 1000` for one that has none here.
fn user_name(uid: u32) -> String {
    let known = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    known.map_or_else(|| format!("user {uid}"), |user| user.name)
}

/// Who became root by sudo.
fn sudoer() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

/// What is there of a path: itself, or the nearest parent that can be seen.
fn nearest(path: &Path) -> Option<(&Path, Metadata)> {
    path.ancestors().find_map(|path| Some((path, std::fs::symlink_metadata(path).ok()?)))
}

/// Why permission to a path is denied, where that is since what there is of it belongs to another user.
pub fn denied(path: &Path) -> Option<Problem> {
    let (there, meta) = nearest(path)?;
    check_owner(there, &meta).err()
}

/// Keeps root from making files where they would belong to it among another user's, who could not use ormesh from then on: in that user's
/// home, as `sudo -E` and `su -m` have it, or in a place of the user's that sudo was called by. Other places that were `named` are as
/// they should be: a container's root has the files of whoever started it.
pub fn check_place(path: &Path, named: bool) -> Result<(), Problem> {
    let Some((there, meta)) = nearest(path).filter(|(_, meta)| geteuid().is_root() && meta.uid() != 0) else {
        return Ok(());
    };
    match named && sudoer() != Some(meta.uid()) {
        true => Ok(()),
        false => check_owner(there, &meta),
    }
}

/// Checks a configuration file, where there is one: others may read it, but not write it. A symlink must be ours or root's.
pub fn check_config(path: &Path) -> Result<(), Problem> {
    let failed = |error: io::Error| failed_to("read", path, &error);
    let link = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(link) => link,
    };
    // Root's files are fine: a system's configuration that its service may only read.
    if link.uid() != 0 {
        check_owner(path, &link)?;
    }
    let meta = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) => meta,
    };
    if !meta.is_file() {
        let hint =
            "move it away and put the file there, or have `ormesh config restore` write the last good one";
        return Err(not_ours_alone(format!("{} is not a file", path.display())).hint(hint));
    }
    if meta.uid() != 0 {
        check_owner(path, &meta)?;
    }
    if meta.mode() & 0o022 != 0 {
        let message =
            format!("{} can be written by other users (mode {:03o})", path.display(), meta.mode() & 0o777);
        return Err(not_ours_alone(message).hint(format!("chmod go-w {}", quoted(path))));
    }
    Ok(())
}

/// Which file this is, whatever its name: device and inode.
pub fn identity(meta: &Metadata) -> Option<(u64, u64)> {
    Some((meta.dev(), meta.ino()))
}

/// When anything of a file changed, its owner or mode included: seconds and nanoseconds.
pub fn changed(meta: &Metadata) -> (i64, i64) {
    (meta.ctime(), meta.ctime_nsec())
}

/// Whether a file has names besides this one, as a new hard link has.
pub fn has_other_names(meta: &Metadata) -> bool {
    meta.nlink() > 1
}

/// A short private directory for one whose own path is too long for sockets. [`ensure_dir`] checks its owner.
pub fn short_dir(hash: &str) -> PathBuf {
    PathBuf::from(format!("/tmp/ormesh-{}-{hash}", geteuid().as_raw()))
}

/// A file's mode.
pub fn mode(meta: &Metadata) -> u32 {
    meta.mode()
}

/// Whether files can be made in a directory; one that is missing can be made first.
pub fn can_create_in(dir: Option<&Path>) -> bool {
    let Some(dir) = dir else { return false };
    create(dir).is_ok() && tempfile::Builder::new().prefix(".ormesh-").tempfile_in(dir).is_ok()
}

/// Whether a directory, or the nearest parent that exists, is on a file system that goes with a container: a tmpfs or its overlay.
#[cfg(target_os = "linux")]
pub fn is_ephemeral(path: &Path) -> bool {
    // linux/magic.h
    const TMPFS: u64 = 0x0102_1994;
    const OVERLAYFS: u64 = 0x794c_7630;
    let existing = path.ancestors().find_map(|path| rustix::fs::statfs(path).ok());
    existing.is_some_and(|fs| [TMPFS, OVERLAYFS].contains(&(fs.f_type as u64 & 0xffff_ffff)))
}

/// Containers are Linux's.
#[cfg(not(target_os = "linux"))]
pub fn is_ephemeral(_path: &Path) -> bool {
    false
}

/// Makes every file that this process creates private, and keeps its memory out of core dumps and other processes' reach.
pub fn harden_process() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Raises the limit of open files as far as it goes: each connection takes two, and tor wants a thousand for itself.
pub fn raise_open_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    // macOS refuses "unlimited" and wants OPEN_MAX (setrlimit(2)).
    let open_max = rustix::process::Rlimit { current: Some(10_240), maximum: limit.maximum };
    if rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).is_err() {
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, open_max);
    }
}

/// Why a path can't be opened: what it is, where that is the reason. Systems have different words for a link that is not followed.
fn refused(action: &str, path: &Path, error: &io::Error) -> DirError {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => {
            let problem = not_ours_alone(format!("{} is a symbolic link", path.display()));
            // A directory that a link leads to is in use, mostly: not lost for the want of a hint, nor kept twice.
            let hint = match path.canonicalize().ok().filter(|target| target.is_dir()) {
                Some(target) => format!(
                    "name the directory itself (ORMESH_STATE) where it is the state directory, or move it here: rm {link} && mv {target} {link}",
                    link = quoted(path),
                    target = quoted(&target)
                ),
                None => format!("rm {}", quoted(path)),
            };
            not_safe(problem.hint(hint))
        }
        Ok(meta) => check_owner(path, &meta).map_or_else(not_safe, |()| failed(action, path, error)),
        Err(_) => failed(action, path, error),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn not_safe(problem: Problem) -> DirError {
    DirError { problem, kind: None }
}

fn failed(action: &str, path: &Path, error: &io::Error) -> DirError {
    DirError { problem: failed_to(action, path, error), kind: Some(error.kind()) }
}

fn failed_to(action: &str, path: &Path, error: &io::Error) -> Problem {
    let message = format!("failed to {action} {}", path.display());
    match Some(path).filter(|_| error.kind() == ErrorKind::PermissionDenied).and_then(denied) {
        Some(why) => not_ours_alone(format!("{message}: {why}")).hint(why.hint),
        None => Problem::new(Code::FileFailed, format!("{message}: {error}")).about(Subject::Files),
    }
}

fn not_ours_alone(message: String) -> Problem {
    Problem::new(Code::UnsafeFile, message).about(Subject::Files)
}

#[cfg(all(test, any(target_os = "linux", target_os = "macos")))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_put_there_between_a_look_and_the_exchange_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let dir = Dir::open(home.path()).unwrap();
        let (ours, name) = (Path::new(".config.new"), Path::new("config"));
        let (at, elsewhere) = (home.path().join(name), home.path().join("elsewhere"));
        let write_ours = || {
            dir.unlink(ours).unwrap();
            dir.write_new(ours, b"ours", Mode::RUSR | Mode::WUSR).unwrap();
        };
        let put_theirs = |text: &str| {
            fs::write(&elsewhere, text).unwrap();
            fs::rename(&elsewhere, &at).unwrap();
        };

        write_ours();
        put_theirs("theirs");
        assert!(!dir.change_places(ours, name, b"before", &|| true).unwrap());
        assert_eq!(fs::read(&at).unwrap(), b"theirs");
        assert!(!dir.change_places(ours, name, b"theirs", &|| false).unwrap());
        assert_eq!(fs::read(&at).unwrap(), b"theirs");
        // Still another one comes while it is looked at.
        let is_meant = || {
            put_theirs("newest");
            false
        };
        assert!(!dir.change_places(ours, name, b"theirs", &is_meant).unwrap());
        assert_eq!(fs::read(&at).unwrap(), b"newest");
        write_ours();
        assert!(dir.change_places(ours, name, b"newest", &|| true).unwrap());
        assert_eq!(fs::read(&at).unwrap(), b"ours");

        // The same where nothing was.
        fs::remove_file(&at).unwrap();
        write_ours();
        let is_meant = || {
            put_theirs("theirs");
            true
        };
        assert!(!dir.take_place(ours, name, &is_meant).unwrap());
        assert_eq!(fs::read(&at).unwrap(), b"theirs");
    }
}
