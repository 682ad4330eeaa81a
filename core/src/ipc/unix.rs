//! The transport on Unix: a socket in the agent's private directory, and a check of who is at the other end.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use crate::store::private;

/// Between two looks whether the socket is still there: cleaners of temporary directories remove old files.
const LOOK: Duration = Duration::from_secs(5);

/// A connection, either end.
pub type Connection = UnixStream;

/// The agent's end.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens. The caller holds the agent's lock, so a socket that is there is a stale one.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Accepts the next connection of our own user or of root; strangers are dropped before a byte of theirs is read. A socket that was
    /// removed from its directory is made again. Cancel-safe.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        loop {
            let stream = tokio::select! {
                accepted = self.socket.accept() => accepted?.0,
                () = self.removed() => {
                    self.make_again();
                    continue;
                }
            };
            let peer = stream.peer_cred()?.uid();
            if peer == rustix::process::geteuid().as_raw() || peer == 0 {
                return Ok(stream);
            }
            tracing::warn!(uid = peer, "refused a connection from another user");
        }
    }

    /// Waits until nothing is where the socket was made.
    async fn removed(&self) {
        while !matches!(tokio::fs::try_exists(&self.path).await, Ok(false)) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn make_again(&mut self) {
        if let Some(Err(problem)) = self.path.parent().map(private::ensure_dir) {
            tracing::warn!(%problem, "the socket for commands is gone");
            return;
        }
        match Self::bind(&self.path) {
            Ok(new) => {
                tracing::warn!(socket = %self.path.display(), "the socket for commands was gone and is made again");
                *self = new;
            }
            Err(error) => tracing::warn!(%error, "the socket for commands is gone and can't be made again"),
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
