//! The Unix part of the engine: private sockets, file modes, signals and tor's lock file.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::control::Control;
use super::torrc::{SOCKS_FLAGS, TorSettings, TorrcError, cookie_file, unix_listener};
use crate::engine::stream::{Stream, connect_unix};

/// What a tor needs from our environment. The rest stays here: it may hold secrets.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"];

/// Where tor's SOCKS listener is.
pub(super) type SocksAddr = PathBuf;

/// Ties a process's life to ours. Nothing on Unix, where tor watches its control connection and our process id.
#[derive(Debug)]
pub(super) struct Leash;

fn control_socket(settings: &TorSettings) -> PathBuf {
    settings.run_dir.join("tor-control")
}

fn socks_socket(settings: &TorSettings) -> PathBuf {
    settings.run_dir.join("tor-socks")
}

/// What a tor that runs needs in the file system and can't make again: its working directory, where the gates are, and its SOCKS socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    /// Device and number.
    run_dir: (u64, u64),
    socks: (u64, u64),
}

/// That of a tor that has just started.
pub(super) fn ground(settings: &TorSettings) -> Option<Ground> {
    let socks = identity(&socks_socket(settings)).ok()?;
    Some(Ground { run_dir: identity(&settings.run_dir).ok()?, socks })
}

impl Ground {
    /// What of it is gone. A SOCKS socket that was only removed is not: what is open goes on without it, and the next dial notices.
    pub(super) fn missing(&self, settings: &TorSettings) -> Option<&'static str> {
        match identity(&settings.run_dir) {
            Ok(now) if now != self.run_dir => return Some("its run directory was replaced"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some("its run directory was removed");
            }
            _ => {}
        }
        let socks = identity(&socks_socket(settings));
        socks.is_ok_and(|now| now != self.socks).then_some("its SOCKS socket was replaced")
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// The configuration lines for tor's listeners.
pub(super) fn listeners(settings: &TorSettings) -> Result<Vec<String>, TorrcError> {
    Ok(vec![
        unix_listener("ControlPort", &control_socket(settings), "")?,
        unix_listener("SocksPort", &socks_socket(settings), SOCKS_FLAGS)?,
    ])
}

/// Tells tor where its configuration is.
pub(super) fn configure(command: &mut Command, torrc: &Path) -> io::Result<()> {
    command.arg("-f").arg(torrc);
    Ok(())
}

/// The file of default settings that tor is to read: an empty one, instead of the distribution's.
pub(super) fn defaults_torrc(_settings: &TorSettings) -> io::Result<PathBuf> {
    Ok("/dev/null".into())
}

/// Removes what an earlier tor left and a new one, or we, would take for the new one's.
pub(super) fn clear_stale(settings: &TorSettings) -> io::Result<()> {
    for path in [control_socket(settings), socks_socket(settings), cookie_file(settings)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Connects to the control socket, when it is there.
pub(super) async fn connect_control(settings: &TorSettings) -> io::Result<Stream> {
    connect_unix(&control_socket(settings)).await
}

/// Where the SOCKS listener of a tor that runs is.
pub(super) async fn socks_addr(settings: &TorSettings, _control: &Control) -> Option<SocksAddr> {
    Some(socks_socket(settings))
}

/// Connects to the SOCKS listener.
pub(super) async fn connect_socks(addr: &SocksAddr) -> io::Result<Stream> {
    connect_unix(addr).await
}

/// The descriptors without which tor does not start: the default of its ConnLimit (tor(1)).
const DESCRIPTORS: u64 = 1000;

/// Whether tor may open as many files as it wants. The error is a sentence, with what gives it more.
pub(super) fn enough_descriptors() -> Result<(), (String, String)> {
    // It raises the soft limit by itself.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match limit.filter(|limit| *limit < DESCRIPTORS) {
        None => Ok(()),
        Some(limit) => Err((
            format!("tor needs {DESCRIPTORS} open files, and this agent may have {limit}"),
            match cfg!(target_os = "linux") {
                true => "start the agent again with a higher limit: `ulimit -n 4096`, or LimitNOFILE=4096 in its systemd unit",
                false => "start the agent again with a higher limit: `ulimit -n 4096`, or NumberOfFiles in its launchd job",
            }
            .to_owned(),
        )),
    }
}

/// Whether no tor holds the lock of this directory (tor takes it with flock(2), and waits five seconds when it can't).
pub(super) fn is_unlocked(data_dir: &Path) -> bool {
    match fs::File::open(data_dir.join("lock")) {
        Ok(file) => rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(_) => true,
    }
}

/// Whether a file is there that we may run.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Gives a command only the environment that tor needs.
pub(super) fn clean(command: &mut Command) {
    command.env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?))));
    // A group of its own: the terminal's Ctrl-C is for us, and we end tor in order.
    command.process_group(0);
}

/// Ties a child to us.
pub(super) fn leash(_child: &Child) -> io::Result<Leash> {
    Ok(Leash)
}

/// Ties this process to its parent and becomes tor; returns only the reason why it could not. Linux has the tie (prctl(2),
/// `PR_SET_PDEATHSIG`, which survives execve(2)); elsewhere tor's own watching of its owner must do.
pub fn become_tor(owner: u32, binary: &Path, arguments: &[std::ffi::OsString]) -> io::Error {
    use std::os::unix::process::CommandExt as _;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // It may have died before the tie was there.
    let parent = rustix::process::getppid().map(Pid::as_raw_nonzero);
    if parent.is_none_or(|parent| parent.get().cast_unsigned() != owner) {
        return io::Error::other("the agent has ended");
    }
    std::process::Command::new(binary).args(arguments).exec()
}

/// Asks a process to end (SIGTERM).
pub(super) fn terminate(child: &mut Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended meanwhile; it is not reaped yet, so the number is still its own.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Whether a process ended by its own fault rather than because somebody stopped it.
pub(super) fn is_own_fault(status: ExitStatus) -> bool {
    const KILLED: [i32; 4] =
        [Signal::KILL.as_raw(), Signal::TERM.as_raw(), Signal::INT.as_raw(), Signal::HUP.as_raw()];
    match status.signal() {
        Some(signal) => !KILLED.contains(&signal),
        None => !status.success(),
    }
}
