//! What engines without tor meet on: the services that are up, and the way to each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::engine::stream::Stream;
use crate::engine::{GateAddr, ServiceSpec};
use crate::model::onion::OnionAddress;

/// How a service's gate is connected to.
#[async_trait]
pub trait Reach: Send + Sync {
    /// Connects to a gate of the engine with this run directory.
    async fn connect(
        &self,
        #[cfg_attr(windows, expect(unused_variables))] run_dir: &Path,
        gate: &GateAddr,
    ) -> std::io::Result<Stream>;
}

/// By the system's sockets.
pub(super) struct Sockets;

/// See the file's sentence. Clones are the same network.
#[derive(Clone)]
pub(super) struct Network {
    services: Arc<Mutex<BTreeMap<OnionAddress, Service>>>,
    pub(super) gates: Arc<dyn Reach>,
}

pub(super) struct Service {
    /// The way of its engine to the network, which tells the engine, too.
    pub(super) owner: Arc<watch::Sender<Link>>,
    pub(super) spec: ServiceSpec,
    pub(super) run_dir: PathBuf,
    /// Its sessions end when this is dropped.
    pub(super) up: watch::Sender<()>,
    /// No introduction point of it stands, nor will one until it is published again: tor has used up its tries during an outage.
    pub(super) is_deaf: bool,
}

/// How an engine is connected to the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Link {
    /// As it should be.
    #[default]
    Up,
    /// Relays refuse; what was open has ended.
    Cut,
    /// Nothing arrives, and nothing ends.
    Silent,
}

impl Network {
    pub(super) fn over(gates: Arc<dyn Reach>) -> Self {
        Self { services: Arc::default(), gates }
    }

    /// No guard of these is ever held over code that panics.
    pub(super) fn services(&self) -> MutexGuard<'_, BTreeMap<OnionAddress, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Reach for Sockets {
    async fn connect(
        &self,
        #[cfg_attr(windows, expect(unused_variables))] run_dir: &Path,
        gate: &GateAddr,
    ) -> std::io::Result<Stream> {
        match gate {
            #[cfg(unix)]
            GateAddr::Unix(name) => {
                tokio::net::UnixStream::connect(run_dir.join(name)).await.map(Stream::Unix)
            }
            #[cfg(not(unix))]
            GateAddr::Unix(_) => Err(std::io::ErrorKind::Unsupported.into()),
            GateAddr::Tcp(port) => {
                tokio::net::TcpStream::connect(("127.0.0.1", *port)).await.map(Stream::Tcp)
            }
        }
    }
}
