//! Connects to an export's target: a program on this host, or on its network.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::sockets::keep_alive;
use super::system;
use crate::engine::stream::Stream;
use crate::model::address::{Host, LOCALHOST, Target, is_forbidden_target};
use crate::model::pauses::Pauses;

/// How long a backend may take to accept, the resolving of its name included.
const BACKEND_LIMIT: Duration = Duration::from_secs(10);

/// How long one of several addresses is tried before the next one is, too.
const HEAD_START: Duration = Duration::from_millis(250);

/// The first and the longest pause before a Unix socket with a full queue is tried again.
const FULL_QUEUE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Addresses of a name that are tried.
const ADDRESSES: usize = 8;

/// Why a backend can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The name has no address, or only such as an export may not have.
    #[error("{0} has no address that may be an export's target")]
    NoAddress(String),
    /// The name can't be resolved now.
    #[error("{0} can't be resolved: {1}")]
    Resolve(String, io::Error),
    /// It does not accept.
    #[error("{0} does not accept: {1}")]
    Connect(Target, io::Error),
    /// It does not answer.
    #[error("{0} does not answer")]
    TimedOut(Target),
}

/// Connects to a backend within ten seconds. What a name resolves to is checked each time.
pub async fn connect(target: &Target) -> Result<Stream, BackendError> {
    timeout(BACKEND_LIMIT, connect_now(target)).await.map_err(|_| BackendError::TimedOut(target.clone()))?
}

async fn connect_now(target: &Target) -> Result<Stream, BackendError> {
    let failed = |error| BackendError::Connect(target.clone(), error);
    let (host, port) = match target {
        Target::Unix(path) => return connect_unix(path).await.map_err(failed),
        Target::Tcp(host, port) => (host, port.get()),
    };
    let addrs: Vec<SocketAddr> = match host {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, port)],
        Host::Name(name) if name == LOCALHOST => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            .map(|ip| SocketAddr::new(ip, port))
            .into(),
        Host::Name(name) => lookup_host((name.as_str(), port))
            .await
            .map_err(|error| BackendError::Resolve(name.clone(), error))?
            .collect(),
    };
    let addrs: Vec<SocketAddr> =
        addrs.into_iter().filter(|addr| !is_forbidden_target(addr.ip())).take(ADDRESSES).collect();
    if addrs.is_empty() {
        return Err(BackendError::NoAddress(target.to_string()));
    }
    let stream = Stream::Tcp(connect_any(addrs, TcpStream::connect).await.map_err(failed)?);
    keep_alive(&stream);
    Ok(stream)
}

/// Connects to a Unix socket. Where its queue is full there is nothing to wait on: it is tried again, as TCP does by itself.
async fn connect_unix(path: &Path) -> io::Result<Stream> {
    let mut pauses = Pauses::new(FULL_QUEUE);
    loop {
        match system::connect_unix(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(pauses.after_failure()).await;
            }
            connected => return connected,
        }
    }
}

/// Connects to the first address that accepts. Each has [`HEAD_START`] before the next one is tried beside it (as in RFC 8305), so that
/// one which does not answer costs the others nothing. Where none accepts, the error is that of the first to fail.
async fn connect_any<C, F>(addrs: Vec<SocketAddr>, connect: C) -> io::Result<TcpStream>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<TcpStream>> + Send + 'static,
{
    let mut tries = JoinSet::new();
    let mut addrs = addrs.into_iter().peekable();
    let mut error = None;
    loop {
        if let Some(addr) = addrs.next() {
            tries.spawn(connect(addr));
        }
        let head_start = if addrs.peek().is_some() { HEAD_START } else { BACKEND_LIMIT };
        match timeout(head_start, tries.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Some(Ok(Err(failed)))) => drop(error.get_or_insert(failed)),
            Ok(Some(Err(failed))) => drop(error.get_or_insert(failed.into())),
            Ok(None) => return Err(error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
            Err(_) => {}
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
