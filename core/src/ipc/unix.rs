//! The transport on Unix: a socket in the agent's private directory, and a check of the peer's user.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use crate::store::apart::apart_at;
use crate::store::private;

/// Between two looks whether the socket is still there: cleaners of temporary directories remove old files.
const LOOK: Duration = Duration::from_secs(5);

/// A connection, either end.
pub type Connection = UnixStream;

/// The agent's end.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Its device and number.
    inode: (u64, u64),
    /// How often in a row it could not be made again.
    failed: u32,
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
        let meta = std::fs::symlink_metadata(path)?;
        Ok(Self { socket, path: path.to_owned(), inode: (meta.dev(), meta.ino()), failed: 0 })
    }

    /// Accepts the next connection of our own user or of root; strangers are dropped before a byte of theirs is read. A socket that was
    /// removed from its directory is made again. Cancel-safe.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        loop {
            let stream = tokio::select! {
                accepted = self.socket.accept() => accepted?.0,
                () = self.removed() => {
                    self.make_again().await;
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

    /// Waits until nothing is where the socket was made, or something else: the directory is ours alone, so it serves nobody.
    async fn removed(&self) {
        if self.failed > 0 {
            tokio::time::sleep(LOOK).await;
        }
        let is_gone = |found: io::Result<std::fs::Metadata>| match found {
            Ok(meta) => (meta.dev(), meta.ino()) != self.inode,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        while !is_gone(tokio::fs::symlink_metadata(&self.path).await) {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn make_again(&mut self) {
        let path = self.path.clone();
        let make = move || {
            path.parent().map_or(Ok(()), private::ensure_dir).map_err(|problem| problem.to_string())?;
            Self::bind(&path).map_err(|error| error.to_string())
        };
        match apart_at(&self.path, make).await {
            Ok(new) => {
                tracing::warn!(socket = %self.path.display(), "the socket for commands was gone and is made again");
                *self = new;
            }
            Err(why) => {
                if self.failed == 0 {
                    tracing::warn!(%why, "the socket for commands is gone and can't be made again; it is tried on");
                }
                self.failed = self.failed.saturating_add(1);
            }
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

/// Nothing is left to see to: the socket is in a private directory, and its user was looked at when it was connected to.
pub fn check(_connection: &Connection, _agent_pid: &Path) -> io::Result<()> {
    Ok(())
}

/// The process at the agent's end, where the system tells it (unix(7), `SO_PEERCRED`); it has no number for one in another container.
pub fn server_process(connection: &Connection) -> Option<u32> {
    let pid = connection.peer_cred().ok()?.pid()?;
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}

/// What ends that process, for a person.
pub fn ended_by(pid: u32) -> String {
    format!("`kill {pid}` ends it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_can_not_be_made_again_is_tried_seldom_and_made_once_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let (place, path) = (dir.path().join("run"), dir.path().join("run/agent.sock"));
        private::ensure_dir(&place).unwrap();
        let mut listener = Listener::bind(&path).unwrap();
        std::fs::remove_dir_all(&place).unwrap();
        // No directory can be made where a link leads nowhere.
        std::os::unix::fs::symlink("/nowhere/at/all", &place).unwrap();

        let accepted = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
        assert!(accepted.is_err() && listener.failed == 1, "{} tries", listener.failed);

        std::fs::remove_file(&place).unwrap();
        tokio::time::pause();
        let accepted = tokio::time::timeout(3 * LOOK, listener.accept()).await;
        assert!(accepted.is_err() && listener.failed == 0 && path.exists());
    }

    #[tokio::test]
    async fn another_file_in_its_place_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (place, path) = (dir.path().join("run"), dir.path().join("run/agent.sock"));
        private::ensure_dir(&place).unwrap();
        let mut listener = Listener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "not a socket").unwrap();

        let accepted = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
        assert!(accepted.is_err() && listener.failed == 0);
        assert!(connect(&path).await.is_ok());
    }
}
