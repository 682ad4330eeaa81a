//! The transport on Windows: a named pipe that only its owner, administrators and the system may open.

use std::io;
use std::path::Path;

use interprocess::os::windows::named_pipe::pipe_mode;
use interprocess::os::windows::named_pipe::tokio::{DuplexPipeStream, PipeListener};
use interprocess::os::windows::named_pipe::{PipeListenerOptions, PipeMode};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;

/// A connection, either end.
pub type Connection = DuplexPipeStream<pipe_mode::Bytes>;

/// Full access for the owner, administrators and the system; protected, so that nothing is inherited (SDDL, [MS-DTYP] §2.5.1).
const DACL: &str = "D:P(A;;GA;;;OW)(A;;GA;;;BA)(A;;GA;;;SY)";

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

/// Connects to an agent.
///
/// Errors: `NotFound` where none runs.
pub async fn connect(path: &Path) -> io::Result<Connection> {
    DuplexPipeStream::connect_by_path(path).await
}

/// The process at the agent's end.
pub fn server_process(connection: &Connection) -> Option<u32> {
    connection.server_process_id().ok()
}

/// What ends that process, for a person.
pub fn ended_by(pid: u32) -> String {
    format!("`taskkill /F /PID {pid}` ends it")
}
