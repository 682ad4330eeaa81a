//! Opening a listening socket: the options it gets, and, when it can't be opened, why and because of whom.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::holders::{self, OURS};
use super::system;
pub use super::system::SocketPath;
use crate::engine::stream::Listener;
use crate::model::address::ListenAddr;

/// Ports that are looked at when one that is free is to be named.
const LOOK_AT: u16 = 50;

/// Connections that may wait to be accepted.
pub(super) const BACKLOG: i32 = 1024;

/// Why an address can't be listened on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Another socket has it.
    #[error("{addr} is in use{}", by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default())]
    InUse {
        /// The address.
        addr: ListenAddr,
        /// The holder's name and pid, where they can be seen: `nginx (pid 123)`.
        by: Option<String>,
    },
    /// The system lets only others listen there.
    #[error("{addr} may not be listened on by this user")]
    Permission {
        /// The address.
        addr: ListenAddr,
    },
    /// No interface of this machine has the address.
    #[error("{addr} is not an address of this machine")]
    NotAvailable {
        /// The address.
        addr: ListenAddr,
    },
    /// Something that is not a socket of ours is there; it is never replaced.
    #[error("{} exists and is not a socket of this user", .0.display())]
    PathExists(PathBuf),
    /// The directory of a Unix socket is missing.
    #[error("the directory of {} does not exist", .0.display())]
    NoDirectory(PathBuf),
    /// This system has no Unix sockets.
    #[error("{addr} can't be listened on: this system has no Unix sockets")]
    Unsupported {
        /// The address.
        addr: ListenAddr,
    },
    /// Anything else.
    #[error("{addr} can't be listened on: {why}")]
    Other {
        /// The address.
        addr: ListenAddr,
        /// The system's word.
        why: String,
    },
}

impl ListenError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::InUse { by: Some(by), .. } if by == OURS => {
                "choose another port; `ormesh import list` and `ormesh config get agent.socks-addr` show what listens where"
                    .to_owned()
            }
            Self::InUse { by: Some(by), .. } => format!("stop {by}, or choose another port"),
            Self::InUse { by: None, .. } => "choose another port, or stop the program that has it".to_owned(),
            Self::Permission { addr: ListenAddr::Tcp(addr) } if addr.port() < 1024 => {
                system::low_port_hint(addr.port())
            }
            Self::Permission { .. } => "choose an address that this user may use".to_owned(),
            Self::NotAvailable { .. } => {
                "choose 127.0.0.1, or an address that `ip addr` shows; it is tried again meanwhile".to_owned()
            }
            Self::PathExists(_) => "choose another path, or move the file away".to_owned(),
            Self::NoDirectory(_) => "make the directory, or choose another path".to_owned(),
            Self::Unsupported { .. } => "choose a port".to_owned(),
            Self::Other { .. } => String::new(),
        }
    }

    pub(super) fn from_io(addr: &ListenAddr, error: &io::Error) -> Self {
        let addr = addr.clone();
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr, by: None },
            io::ErrorKind::PermissionDenied => Self::Permission { addr },
            io::ErrorKind::AddrNotAvailable => Self::NotAvailable { addr },
            _ => Self::Other { addr, why: error.to_string() },
        }
    }
}

/// A listening socket; a Unix socket's path is removed with it.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub listener: Listener,
    pub(super) file: Option<system::SocketFile>,
}

impl Bound {
    /// Where a Unix socket was made.
    pub(super) fn socket(&self) -> Option<SocketPath> {
        self.file.as_ref().map(|file| file.path().clone())
    }

    /// The TCP address, with the port that the system chose if 0 was asked for.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Listener::Unix(_) => None,
            Listener::Pipes(_) => None,
        }
    }
}

impl Bound {
    /// One that streams come to within this process: for fakes.
    pub fn pipes(streams: tokio::sync::mpsc::UnboundedReceiver<crate::engine::stream::Stream>) -> Self {
        Self { listener: Listener::Pipes(tokio::sync::Mutex::new(streams)), file: None }
    }
}

/// Opens a listening socket. IPv6 sockets take IPv6 only: an address means what it says.
pub async fn open(addr: &ListenAddr) -> Result<Bound, ListenError> {
    match addr {
        ListenAddr::Unix(path) => system::open_unix(path),
        ListenAddr::Tcp(tcp) => match open_tcp(*tcp) {
            Ok(listener) => Ok(Bound { listener: Listener::Tcp(listener), file: None }),
            Err(error) => Err(match ListenError::from_io(addr, &error) {
                ListenError::InUse { addr, .. } => {
                    ListenError::InUse { addr, by: holders::holder(*tcp).await }
                }
                other => other,
            }),
        },
    }
}

/// The next port, of the few after this one, where nobody listens.
pub fn free_port_after(addr: SocketAddr) -> Option<SocketAddr> {
    let next =
        (1..=LOOK_AT).filter_map(|step| Some(SocketAddr::new(addr.ip(), addr.port().checked_add(step)?)));
    next.into_iter().find(|addr| open_tcp(*addr).is_ok())
}

fn open_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // On Windows the option would let another program share the port; without it the port is ours.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests;
