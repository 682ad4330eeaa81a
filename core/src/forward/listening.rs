//! What is the same for listeners on every system: the length of the queue, and the reasons why listening fails.

use std::io;
use std::path::PathBuf;

use crate::model::address::ListenAddr;

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
    /// The file system that is to hold the socket does not answer.
    #[error("{addr} can't be listened on: its file system does not answer")]
    NoAnswer {
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
