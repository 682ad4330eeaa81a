//! Opens a listening socket: its options, and, if that fails, the reason and the program that has the address.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::holders::{self, OURS};
use super::listening::BACKLOG;
pub use super::listening::ListenError;
use super::system;
pub use super::system::SocketPath;
use crate::engine::GateAddr;
use crate::engine::stream::Listener;
use crate::model::address::ListenAddr;

/// How many ports are tried to find a free one for a hint.
const LOOK_AT: u16 = 50;

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
        ListenAddr::Unix(path) => {
            let (listener, file) = system::open_unix(path).await?;
            Ok(Bound { listener, file: Some(file) })
        }
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

/// Opens a gate of this name for the run directory's tor, and tells how tor calls it.
pub(super) async fn open_gate(run_dir: &Path, name: &str) -> Result<(Bound, GateAddr), ListenError> {
    let (listener, file, gate) = system::open_gate(run_dir, name).await?;
    Ok((Bound { listener, file }, gate))
}

/// What to do about an address that can't be listened on.
pub fn hint(error: &ListenError) -> String {
    match error {
        ListenError::InUse { by: Some(by), .. } if by == OURS => {
            "choose another port; `ormesh import list` and `ormesh config get agent.socks-addr` show what listens where"
                .to_owned()
        }
        ListenError::InUse { by: Some(by), .. } => format!("stop {by}, or choose another port"),
        ListenError::InUse { by: None, .. } => "choose another port, or stop the program that has it".to_owned(),
        ListenError::Permission { addr: ListenAddr::Tcp(addr) } if addr.port() < 1024 => {
            system::low_port_hint(addr.port())
        }
        ListenError::Permission { .. } => "choose an address that this user may use".to_owned(),
        ListenError::NotAvailable { .. } => {
            let shows = if cfg!(windows) { "ipconfig" } else { "ip addr" };
            format!("choose 127.0.0.1, or an address that `{shows}` shows")
        }
        ListenError::PathExists(_) => "choose another path, or move the file away".to_owned(),
        ListenError::NoDirectory(_) => "make the directory, or choose another path".to_owned(),
        ListenError::Unsupported { .. } => "choose a port".to_owned(),
        ListenError::NoAnswer { .. } => {
            "see whether the disk or the network drive that holds it answers; it is made when it does".to_owned()
        }
        ListenError::Other { .. } => String::new(),
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
