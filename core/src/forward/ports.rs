//! The agent's sockets on its machine: the addresses that it listens on, its gates, and connections to backends.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;

use super::backend::{self, BackendError};
use super::listen::{self, Bound, ListenError};
use crate::engine::GateAddr;
use crate::engine::stream::Stream;
use crate::model::address::{ListenAddr, Target};

/// Opens and connects sockets. An input, so that the simulation can use other ports.
#[async_trait]
pub trait Ports: Debug + Send + Sync {
    /// Opens a listening socket.
    async fn listen(&self, addr: &ListenAddr) -> Result<Bound, ListenError>;

    /// The next port, of the few after this one, where nobody listens.
    fn free_port_after(&self, addr: SocketAddr) -> Option<SocketAddr>;

    /// Opens a gate of this name for the run directory's tor, and tells how tor calls it.
    async fn gate(&self, run_dir: &Path, name: &str) -> Result<(Bound, GateAddr), ListenError>;

    /// Connects to a backend within ten seconds. What a name resolves to is checked each time.
    async fn connect(&self, target: &Target) -> Result<Stream, BackendError>;
}

/// Those of this system.
#[derive(Debug)]
pub struct SystemPorts;

#[async_trait]
impl Ports for SystemPorts {
    async fn listen(&self, addr: &ListenAddr) -> Result<Bound, ListenError> {
        listen::open(addr).await
    }

    fn free_port_after(&self, addr: SocketAddr) -> Option<SocketAddr> {
        listen::free_port_after(addr)
    }

    async fn gate(&self, run_dir: &Path, name: &str) -> Result<(Bound, GateAddr), ListenError> {
        listen::open_gate(run_dir, name).await
    }

    async fn connect(&self, target: &Target) -> Result<Stream, BackendError> {
        backend::connect(target).await
    }
}
