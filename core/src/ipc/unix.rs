//! The transport on Unix: a socket in the agent's private directory, and a check of who is at the other end.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::net::{UnixListener, UnixStream};

/// A connection, either end.
pub type Connection = UnixStream;

/// The agent's end.
pub struct Listener(UnixListener);

impl Listener {
    /// Listens. The caller holds the agent's lock, so a socket that is there is a stale one.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self(listener))
    }

    /// Accepts the next connection of our own user or of root; strangers are dropped before a byte of theirs is read.
    pub async fn accept(&self) -> io::Result<Connection> {
        loop {
            let (stream, _) = self.0.accept().await?;
            let peer = stream.peer_cred()?.uid();
            if peer == rustix::process::geteuid().as_raw() || peer == 0 {
                return Ok(stream);
            }
            tracing::warn!(uid = peer, "refused a connection from another user");
        }
    }
}

/// Connects to an agent.
///
/// Errors: `NotFound` or `ConnectionRefused` where none runs.
pub async fn connect(path: &Path) -> io::Result<Connection> {
    let stream = UnixStream::connect(path).await?;
    let peer = stream.peer_cred()?.uid();
    if peer != rustix::process::geteuid().as_raw() && peer != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the agent there belongs to another user",
        ));
    }
    Ok(stream)
}
