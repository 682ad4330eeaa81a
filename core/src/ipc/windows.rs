//! The transport on Windows: a named pipe that only its owner, administrators and the system may open.

use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::time::Duration;

use interprocess::os::windows::named_pipe::pipe_mode;
use interprocess::os::windows::named_pipe::tokio::{DuplexPipeStream, PipeListener};
use interprocess::os::windows::named_pipe::{PipeListenerOptions, PipeMode};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
use tokio::time::Instant;

use super::trust::{self, Server};

/// A connection, either end.
pub type Connection = DuplexPipeStream<pipe_mode::Bytes>;

/// Full access for the owner, administrators and the system; protected, so that nothing is inherited (SDDL, [MS-DTYP] §2.5.1).
const DACL: &str = "D:P(A;;GA;;;OW)(A;;GA;;;BA)(A;;GA;;;SY)";

/// `FILE_FLAG_OVERLAPPED` (CreateFileW): reads and writes do not hold up the thread.
const OVERLAPPED: u32 = 0x4000_0000;
/// `SECURITY_IDENTIFICATION` (CreateFileW): the server may learn who we are, and may not act as us.
const IDENTIFICATION: u32 = 0x0001_0000;
/// `ERROR_PIPE_BUSY`: each instance of the pipe has a client, and the server has not made the next one yet.
const PIPE_BUSY: i32 = 231;
/// How long a busy pipe is tried.
const BUSY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(10));

/// The agent's end.
pub struct Listener(PipeListener<pipe_mode::Bytes, pipe_mode::Bytes>);

impl Listener {
    /// Listens; fails when the pipe exists already (`FILE_FLAG_FIRST_PIPE_INSTANCE`), and refuses remote machines.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let dacl = widestring::U16CString::from_str(DACL).map_err(io::Error::other)?;
        let listener = PipeListenerOptions::new()
            .path(path)
            .mode(PipeMode::Bytes)
            .accept_remote(false)
            .security_descriptor(Some(SecurityDescriptor::deserialize(&dacl)?))
            .create_tokio_duplex::<pipe_mode::Bytes>()?;
        Ok(Self(listener))
    }

    /// Accepts the next connection.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        self.0.accept().await
    }
}

/// Connects to an agent, or to another program that has its name: see [`check`].
///
/// Errors: `NotFound` where none runs.
pub async fn connect(path: &Path) -> io::Result<Connection> {
    let (pause, most) = BUSY;
    let give_up = Instant::now() + most;
    let pipe = loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OVERLAPPED).security_qos_flags(IDENTIFICATION);
        match options.open(path) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) && Instant::now() < give_up => {
                tokio::time::sleep(pause).await;
            }
            opened => break opened?,
        }
    };
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is not a pipe of an agent");
    Connection::try_from(OwnedHandle::from(pipe)).map_err(|error| error.cause.unwrap_or_else(broken))
}

/// Sees that the process at the other end is the agent: this user's, and the one that has written its id in this file.
///
/// Errors: `PermissionDenied`. Nothing must be sent to it.
pub fn check(connection: &Connection, agent_pid: &Path) -> io::Result<()> {
    let pid = server_process(connection);
    let server = Server { pid, is_ours: pid.and_then(is_ours) };
    let written = std::fs::read_to_string(agent_pid).ok();
    let refused = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
    trust::judge(server, written.as_deref()).map_err(refused)
}

/// Whether a process runs as this user.
fn is_ours(pid: u32) -> Option<bool> {
    let (theirs, ours) = (Pid::from_u32(pid), Pid::from_u32(std::process::id()));
    let mut system = System::new();
    let users = ProcessRefreshKind::nothing().with_user(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[theirs, ours]), true, users);
    let user = |pid| system.process(pid).and_then(|process| process.user_id());
    Some(user(theirs)? == user(ours)?)
}

/// The process at the agent's end.
pub fn server_process(connection: &Connection) -> Option<u32> {
    connection.server_process_id().ok()
}

/// What ends that process, for a person.
pub fn ended_by(pid: u32) -> String {
    format!("`taskkill /F /PID {pid}` ends it")
}
