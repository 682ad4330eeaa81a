//! The ports, gates and backends of a simulated host: channels that are taken and freed.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, duplex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::ground::Ground;
use crate::engine::GateAddr;
use crate::engine::fake::Reach;
use crate::engine::stream::Stream;
use crate::forward::backend::BackendError;
use crate::forward::listen::{Bound, ListenError};
use crate::forward::ports::Ports;
use crate::model::address::{ListenAddr, Target};

const PIPE: usize = 4096;

/// Who has an address.
#[derive(Debug)]
enum Holder {
    Ours(UnboundedSender<Stream>),
    Another,
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct Sockets {
    ground: Arc<Ground>,
    held: Mutex<BTreeMap<String, Holder>>,
}

impl Sockets {
    pub(super) fn new(ground: &Arc<Ground>) -> Arc<Self> {
        Arc::new(Self { ground: Arc::clone(ground), held: Mutex::default() })
    }

    /// What is open; an address that nobody holds any more is forgotten.
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Holder>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, holder| match holder {
            Holder::Ours(sender) => !sender.is_closed(),
            Holder::Another => true,
        });
        held
    }

    fn ours(&self) -> Vec<String> {
        let held = self.held();
        held.iter()
            .filter(|(_, holder)| matches!(holder, Holder::Ours(_)))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Where the agent listens.
    pub(super) fn listening(&self) -> Vec<String> {
        self.ours().into_iter().filter(|name| !name.starts_with('/')).collect()
    }

    /// The names of the gates that are open in a run directory.
    pub(super) fn gates(&self, run_dir: &Path) -> Vec<String> {
        let dir = format!("{}/", run_dir.display());
        self.ours().iter().filter_map(|name| Some(name.strip_prefix(&dir)?.to_owned())).collect()
    }

    /// Whether another program has an address.
    pub(super) fn is_taken(&self, addr: &str) -> bool {
        matches!(self.held().get(addr), Some(Holder::Another))
    }

    /// Another program takes an address if it is free, or gives it back.
    pub(super) fn take(&self, addr: &str) {
        self.held().entry(addr.to_owned()).or_insert(Holder::Another);
    }

    pub(super) fn free(&self, addr: &str) {
        if self.is_taken(addr) {
            self.held().remove(addr);
        }
    }

    async fn open(&self, name: String, addr: &ListenAddr) -> Result<Bound, ListenError> {
        // Where the simulation keeps its files is no part of a story.
        let known = name.replace(&self.ground.root.display().to_string(), "~");
        let takes = self.ground.draw(&known).millis(0, 2);
        self.ground.alive(&format!("listen {known}"), takes).await;
        let mut held = self.held();
        if held.contains_key(&name) {
            return Err(ListenError::InUse { addr: addr.clone(), by: Some("nginx (pid 1)".to_owned()) });
        }
        let (sender, streams) = unbounded_channel();
        held.insert(name, Holder::Ours(sender));
        Ok(Bound::pipes(streams))
    }
}

#[async_trait]
impl Ports for Sockets {
    async fn listen(&self, addr: &ListenAddr) -> Result<Bound, ListenError> {
        self.ground.tally(&format!("listen {addr}"));
        let bound = self.open(addr.to_string(), addr).await;
        self.ground.say(&format!("listen {addr}: {}", if bound.is_ok() { "open" } else { "in use" }));
        bound
    }

    fn free_port_after(&self, addr: SocketAddr) -> Option<SocketAddr> {
        Some(SocketAddr::new(addr.ip(), addr.port() + 1))
    }

    async fn gate(&self, run_dir: &Path, name: &str) -> Result<(Bound, GateAddr), ListenError> {
        let path = run_dir.join(name);
        self.ground.tally(&format!("gate {name}"));
        let bound = self.open(path.display().to_string(), &ListenAddr::Unix(path.clone())).await?;
        Ok((bound, GateAddr::Unix(name.into())))
    }

    /// A backend that reads for a while, or none.
    async fn connect(&self, target: &Target) -> Result<Stream, BackendError> {
        let mut dice = self.ground.draw(&format!("backend {target}"));
        sleep(dice.millis(0, 5)).await;
        if dice.percent(20) {
            return Err(BackendError::Connect(target.clone(), io::ErrorKind::ConnectionRefused.into()));
        }
        let (near, mut far) = duplex(PIPE);
        let stays = dice.millis(10, 20_000);
        tokio::spawn(async move {
            let _ = timeout(stays, far.read(&mut [0; 64])).await;
        });
        Ok(Stream::Pipe(near))
    }
}

#[async_trait]
impl Reach for Sockets {
    async fn connect(&self, run_dir: &Path, gate: &GateAddr) -> io::Result<Stream> {
        let GateAddr::Unix(name) = gate else { return Err(io::ErrorKind::Unsupported.into()) };
        let path = run_dir.join(name).display().to_string();
        let (near, far) = duplex(PIPE);
        match self.held().get(&path) {
            Some(Holder::Ours(sender)) if sender.send(Stream::Pipe(far)).is_ok() => Ok(Stream::Pipe(near)),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}
