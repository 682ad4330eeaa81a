//! What forwarding needs of Windows: loopback ports as gates, with a check that the peer is our tor.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;

use super::listening::ListenError;
use super::peers;
use crate::engine::GateAddr;
use crate::engine::stream::{Listener, Stream};
use crate::model::address::ListenAddr;

/// Unix sockets in the file system are not used here.
#[derive(Debug)]
pub(super) enum SocketFile {}

impl SocketFile {
    /// Where it was made.
    pub(super) fn path(&self) -> &SocketPath {
        match *self {}
    }
}

/// Where a listening socket was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketPath {}

impl SocketPath {
    /// Whether the socket is not there any more.
    pub fn is_gone(&self) -> bool {
        match *self {}
    }
}

pub(super) async fn open_unix(path: &Path) -> Result<(Listener, SocketFile), ListenError> {
    Err(ListenError::Unsupported { addr: ListenAddr::Unix(path.to_owned()) })
}

/// Opens a gate on a loopback port of the system's choice.
pub(super) async fn open_gate(
    _run_dir: &Path,
    _name: &str,
) -> Result<(Listener, Option<SocketFile>, GateAddr), ListenError> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let failed = |error: io::Error| ListenError::from_io(&ListenAddr::Tcp(addr), &error);
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((Listener::Tcp(listener), None, GateAddr::Tcp(port)))
}

/// Whether a connection to a gate comes from our tor: the owner of the peer's socket is looked up.
pub(super) async fn admit(stream: &Stream, tor: Option<u32>) -> bool {
    let (Stream::Tcp(stream), Some(tor)) = (stream, tor) else { return false };
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return false };
    let held = tokio::task::spawn_blocking(move || peers::processes(peer, local)).await;
    let held = held.ok().and_then(Result::ok).unwrap_or_default();
    !held.is_empty() && held.iter().all(|pid| *pid == tor)
}

pub(super) async fn connect_unix(_path: &Path) -> io::Result<Stream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}

/// Whether a peer that has sent its last byte reads no more either: not told here.
pub(super) fn is_gone(_stream: &Stream) -> bool {
    false
}

/// Sockets are limited by memory alone.
pub(super) fn descriptor_limit() -> Option<u64> {
    None
}

/// What to do about a port that the system keeps for itself.
pub(super) fn low_port_hint(_port: u16) -> String {
    "choose another port: Windows keeps some for itself (`netsh interface ipv4 show excludedportrange tcp`)"
        .to_owned()
}
