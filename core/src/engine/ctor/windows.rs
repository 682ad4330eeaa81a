//! The Windows part of the engine: loopback TCP for control and SOCKS, and a Job Object that ends tor with the agent.
//!
//! The directories' access lists are those of the user's profile, where the agent puts them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use win32job::{ExtendedLimitInfo, Job};

use super::control::Control;
use super::torrc::{SOCKS_FLAGS, TorSettings, TorrcError, cookie_file, told};
use crate::engine::stream::Stream;

/// What a tor needs from our environment. The rest stays here: it may hold secrets.
const ENVIRONMENT: [&str; 7] = ["PATH", "SystemRoot", "SystemDrive", "TEMP", "TMP", "APPDATA", "USERPROFILE"];

/// `CREATE_NO_WINDOW` (Win32, process creation flags).
const NO_WINDOW: u32 = 0x0800_0000;

/// Where tor's SOCKS listener is.
pub(super) type SocksAddr = SocketAddr;

/// Ties a process's life to ours: Windows ends the job's processes when this closes, also with us.
#[derive(Debug)]
pub(super) struct Leash(#[expect(dead_code, reason = "held for its drop")] Job);

fn port_file(settings: &TorSettings) -> PathBuf {
    settings.run_dir.join("tor-control-port")
}

/// What a tor that runs needs in the file system: nothing that could be removed meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ground {}

/// That of a tor that has just started.
pub(super) fn ground(_settings: &TorSettings) -> Option<Ground> {
    None
}

impl Ground {
    /// What of it is gone.
    pub(super) fn missing(&self, _settings: &TorSettings) -> Option<&'static str> {
        match *self {}
    }
}

/// The configuration lines for tor's listeners.
pub(super) fn listeners(settings: &TorSettings) -> Result<Vec<String>, TorrcError> {
    Ok(vec![
        "ControlPort 127.0.0.1:auto".to_owned(),
        format!("ControlPortWriteToFile {}", told(settings, &port_file(settings))?),
        format!("SocksPort 127.0.0.1:auto {SOCKS_FLAGS}"),
    ])
}

/// Tells tor its configuration by its standard input: it makes the path of a file absolute, in the system's code page.
pub(super) fn configure(command: &mut Command, torrc: &Path) -> io::Result<()> {
    command.args(["-f", "-"]).stdin(fs::File::open(torrc)?);
    Ok(())
}

/// The file of default settings that tor is to read: none, which it takes for an empty one.
pub(super) fn defaults_torrc(_settings: &TorSettings) -> io::Result<PathBuf> {
    Ok("no-defaults".into())
}

/// Removes what an earlier tor left and a new one, or we, would take for the new one's.
pub(super) fn clear_stale(settings: &TorSettings) -> io::Result<()> {
    for path in [port_file(settings), cookie_file(settings)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Connects to the control port as soon as tor has written which it is (`PORT=127.0.0.1:N`).
pub(super) async fn connect_control(settings: &TorSettings) -> io::Result<Stream> {
    let path = port_file(settings);
    let text = crate::store::apart::apart(move || fs::read_to_string(path)).await?;
    let addr = text.trim().strip_prefix("PORT=").and_then(|addr| addr.parse::<SocketAddr>().ok());
    let addr = addr.filter(|addr| addr.ip().is_loopback()).ok_or(io::ErrorKind::NotFound)?;
    connect(&addr).await
}

/// Where the SOCKS listener of a tor that runs is.
pub(super) async fn socks_addr(_settings: &TorSettings, control: &Control) -> Option<SocksAddr> {
    let text = control.get_info("net/listeners/socks").await.ok()?;
    let addr = text.trim().trim_matches('"').parse::<SocketAddr>().ok()?;
    addr.ip().is_loopback().then_some(addr)
}

/// Connects to the SOCKS listener.
pub(super) async fn connect_socks(addr: &SocksAddr) -> io::Result<Stream> {
    connect(addr).await
}

async fn connect(addr: &SocketAddr) -> io::Result<Stream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

/// Handles are not limited.
pub(super) fn enough_descriptors() -> Result<(), (String, String)> {
    Ok(())
}

/// Whether no tor holds the lock of this directory: tor's lock makes the file impossible to remove.
pub(super) fn is_unlocked(data_dir: &Path) -> bool {
    match fs::remove_file(data_dir.join("lock")) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Gives a command only the environment that tor needs.
pub(super) fn clean(command: &mut Command) {
    command.env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?))));
    command.creation_flags(NO_WINDOW);
}

/// Ties a child to us.
pub(super) fn leash(child: &Child) -> io::Result<Leash> {
    let mut limits = ExtendedLimitInfo::new();
    limits.limit_kill_on_job_close();
    let job = Job::create_with_limit_info(&limits).map_err(io::Error::other)?;
    if let Some(handle) = child.raw_handle() {
        job.assign_process(handle as isize).map_err(io::Error::other)?;
    }
    Ok(Leash(job))
}

/// Asks a process to end: there is no asking on Windows but over the control port, which went before.
pub(super) fn terminate(child: &mut Child) {
    // It may have ended meanwhile.
    let _ = child.start_kill();
}

/// Whether a process ended by its own fault rather than because somebody stopped it (which leaves exit code 1, as tor's errors do).
pub(super) fn is_own_fault(status: ExitStatus) -> bool {
    !status.success()
}

/// Not needed here: a Job Object ends tor with us.
pub fn become_tor(
    _owner: u32,
    _binary: &std::path::Path,
    _arguments: &[std::ffi::OsString],
) -> std::io::Error {
    std::io::ErrorKind::Unsupported.into()
}

/// Whether a file is there that can be run.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file()
}
