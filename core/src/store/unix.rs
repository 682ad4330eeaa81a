//! Private files on Unix: made with the right mode, and refused with the exact command when another hand loosened them.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::model::problem::{Problem, ProblemKind};

/// Makes a directory of mode 0700 with its parents, or checks the one that is there: a directory, ours, closed to others.
pub fn ensure_dir(path: &Path) -> Result<(), Problem> {
    let failed = |error: io::Error| failed_to("make the directory", path, &error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
        Ok(meta) if !meta.is_dir() => Err(problem(format!("{} is not a directory", path.display()))),
        Ok(meta) => check_private(path, &meta),
    }
}

/// Makes the directory that will hold a file; one that is there may be as it is.
pub fn ensure_parent(file: &Path) -> Result<(), Problem> {
    let Some(parent) = file.parent() else { return Ok(()) };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(|error| failed_to("make the directory", parent, &error))
}

fn check_private(path: &Path, meta: &Metadata) -> Result<(), Problem> {
    check_owner(path, meta)?;
    if meta.mode() & 0o077 != 0 {
        let message = format!("{} is open to other users (mode {:03o})", path.display(), meta.mode() & 0o777);
        return Err(problem(message).hint(format!("chmod go= {}", path.display())));
    }
    Ok(())
}

fn check_owner(path: &Path, meta: &Metadata) -> Result<(), Problem> {
    if meta.uid() == geteuid().as_raw() {
        return Ok(());
    }
    let (message, hint) = not_ours(path, meta.uid());
    Err(problem(message).hint(hint))
}

/// What is said of a path of another user's: whose it is, and what to do. Never to chown it, which would hand that user's keys over.
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(link) => link,
    };
    // Root's files are fine: a system's configuration that its service may only read.
    if link.uid() != 0 {
        check_owner(path, &link)?;
    }
    let meta = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) => meta,
    };
    if !meta.is_file() {
        let hint =
            "move it away and put the file there, or have `ormesh config restore` write the last good one";
        return Err(problem(format!("{} is not a file", path.display())).hint(hint));
    }
    if meta.uid() != 0 {
        check_owner(path, &meta)?;
    }
    if meta.mode() & 0o022 != 0 {
        let message =
            format!("{} can be written by other users (mode {:03o})", path.display(), meta.mode() & 0o777);
        return Err(problem(message).hint(format!("chmod go-w {}", path.display())));
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

/// Makes a rename in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A file's mode.
pub fn mode(meta: &Metadata) -> u32 {
    meta.mode()
}

/// The mode that a replaced file keeps; private for a new one.
pub fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).map_or(0o600, |meta| meta.mode() & 0o755)
}

/// Gives a new file its mode before it takes the old one's place.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Whether files can be made in a directory; one that is missing can be made first.
pub fn can_create_in(dir: Option<&Path>) -> bool {
    let Some(dir) = dir else { return false };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.is_ok() && tempfile::Builder::new().prefix(".ormesh-").tempfile_in(dir).is_ok()
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

fn failed_to(action: &str, path: &Path, error: &io::Error) -> Problem {
    let message = format!("failed to {action} {}", path.display());
    match Some(path).filter(|_| error.kind() == io::ErrorKind::PermissionDenied).and_then(denied) {
        Some(why) => problem(format!("{message}: {why}")).hint(why.hint),
        None => problem(format!("{message}: {error}")),
    }
}

fn problem(message: String) -> Problem {
    Problem::new(ProblemKind::Failed, message)
}
