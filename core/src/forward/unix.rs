//! What forwarding needs of Unix: sockets in the file system, and the words for a low port.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::listening::{BACKLOG, ListenError};
use crate::engine::GateAddr;
pub(super) use crate::engine::stream::connect_unix;
use crate::engine::stream::{Listener, Stream};
use crate::model::address::ListenAddr;
use crate::store::apart::{apart_at, apart_later};

/// The path of a listening socket; removed on drop, unless another file has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile(SocketPath);

impl SocketFile {
    /// Where it was made.
    pub(super) fn path(&self) -> &SocketPath {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let file = self.0.clone();
        apart_later(&self.0.path, move || file.remove());
    }
}

impl SocketPath {
    fn remove(&self) {
        if self.found().is_ok_and(|inode| inode == self.inode) {
            // Where it can't be removed, the next start finds it stale and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where a listening socket was made, and which file that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPath {
    path: PathBuf,
    /// Device and number.
    inode: (u64, u64),
}

impl SocketPath {
    /// Whether the socket is not there any more: nothing is, or another file. What can't be looked at may be there.
    pub fn is_gone(&self) -> bool {
        match self.found() {
            Ok(inode) => inode != self.inode,
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    fn found(&self) -> io::Result<(u64, u64)> {
        fs::symlink_metadata(&self.path).map(|meta| (meta.dev(), meta.ino()))
    }
}

/// Listens on a Unix socket of mode 0600. A stale one of ours is replaced; nothing else is.
pub(super) async fn open_unix(path: &Path) -> Result<(Listener, SocketFile), ListenError> {
    let failed = |error| match io::Error::kind(&error) {
        io::ErrorKind::NotFound => ListenError::NoDirectory(path.to_owned()),
        _ => ListenError::from_io(&ListenAddr::Unix(path.to_owned()), &error),
    };
    let place = path.to_owned();
    let made = apart_at(path, move || clear(&place).map(|()| bind(&place))).await?;
    let (socket, file) = made.map_err(failed)?;
    let listener = UnixListener::from_std(socket.into()).map_err(failed)?;
    Ok((Listener::Unix(listener), file))
}

fn clear(path: &Path) -> Result<(), ListenError> {
    let addr = || ListenAddr::Unix(path.to_owned());
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ListenError::from_io(&addr(), &error)),
    };
    if !meta.file_type().is_socket() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(ListenError::PathExists(path.to_owned()));
    }
    match try_connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| ListenError::from_io(&addr(), &error))
        }
        // Somebody accepts there, or is too busy to: not ours to replace.
        _ => Err(ListenError::InUse { addr: addr(), by: None }),
    }
}

fn try_connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Never wait behind a full backlog.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn bind(path: &Path) -> io::Result<(Socket, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let meta = fs::symlink_metadata(path)?;
    let file = SocketFile(SocketPath { path: path.to_owned(), inode: (meta.dev(), meta.ino()) });
    // Before it listens nobody can connect, so no one slips in ahead of the mode.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// Opens a gate's socket in the run directory and tells how tor, whose working directory that is, calls it.
pub(super) async fn open_gate(
    run_dir: &Path,
    name: &str,
) -> Result<(Listener, Option<SocketFile>, GateAddr), ListenError> {
    let (listener, file) = open_unix(&run_dir.join(name)).await?;
    Ok((listener, Some(file), GateAddr::Unix(PathBuf::from(name))))
}

/// Whether a connection to a gate may pass. The socket's mode and directory have kept others out.
pub(super) async fn admit(_stream: &Stream, _tor: Option<u32>) -> bool {
    true
}

/// Whether a Unix socket's peer has closed it, not only its own side. Other systems don't tell the two apart.
#[cfg(target_os = "linux")]
pub(super) fn is_gone(stream: &Stream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let Stream::Unix(stream) = stream else { return false };
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_gone(_stream: &Stream) -> bool {
    false
}

/// How many descriptors this process may have open; `None` where there is no limit.
pub(super) fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// What to do about a port below 1024.
pub(super) fn low_port_hint(port: u16) -> String {
    if cfg!(target_os = "macos") {
        return format!("choose a port from 1024 on, or listen on 0.0.0.0:{port}, which macOS allows");
    }
    "choose a port from 1024 on, or allow low ports: `sudo setcap cap_net_bind_service=+ep <ormesh>`, or \
     AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit"
        .to_owned()
}
