//! For tests of this room: an engine that follows a script, and applications at the two ends.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::dialler::Rekey;
use crate::engine::stream::Stream;
use crate::engine::{
    Attempt, AwaitReply, DialError, EngineError, EngineEvent, EngineState, OnionEngine, ServiceSpec,
};
use crate::model::address::Port;
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::status::TorStatus;

/// What becomes of a dial.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// It succeeds after a time.
    Accept(Duration),
    /// It fails after a time, with early bytes thrown away.
    Fail(Duration, DialError),
    /// Its reply never comes.
    Hang,
}

pub(super) const NOW: Duration = Duration::ZERO;

/// A connection as the remote sees it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: DuplexStream,
    pub(super) port: Port,
}

/// A dial as the engine saw it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Dialled {
    pub(super) isolation: String,
    pub(super) early: Vec<u8>,
}

pub(super) struct Script {
    pub(super) state: watch::Sender<EngineState>,
    acts: Mutex<VecDeque<Act>>,
    otherwise: Act,
    pub(super) dials: Arc<Mutex<Vec<Dialled>>>,
    pub(super) fetched: Mutex<usize>,
    peers: mpsc::UnboundedSender<Peer>,
}

impl Script {
    /// Follows `acts`, then does the same for ever.
    pub(super) fn new(
        acts: impl IntoIterator<Item = Act>,
        otherwise: Act,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Peer>) {
        let (peers, accepted) = mpsc::unbounded_channel();
        let engine = Self {
            state: watch::Sender::new(EngineState::Ready),
            acts: Mutex::new(acts.into_iter().collect()),
            otherwise,
            dials: Arc::default(),
            fetched: Mutex::default(),
            peers,
        };
        (Arc::new(engine), accepted)
    }

    pub(super) fn dials(&self) -> Vec<Dialled> {
        self.dials.lock().unwrap().clone()
    }
}

struct Pending {
    act: Act,
    dials: Arc<Mutex<Vec<Dialled>>>,
    number: usize,
    near: DuplexStream,
    far: DuplexStream,
    port: Port,
    peers: mpsc::UnboundedSender<Peer>,
}

#[async_trait]
impl AwaitReply for Pending {
    async fn send_early(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        self.dials.lock().unwrap()[self.number].early.extend_from_slice(bytes);
        self.near.write_all(bytes).await.map_err(|error| DialError::Broken(error.to_string()))
    }

    async fn reply(self: Box<Self>) -> Result<Stream, DialError> {
        match self.act {
            Act::Hang => std::future::pending().await,
            Act::Fail(after, error) => {
                tokio::time::sleep(after).await;
                Err(error)
            }
            Act::Accept(after) => {
                tokio::time::sleep(after).await;
                // A test that looks at the dials only keeps no peers.
                let _ = self.peers.send(Peer { stream: self.far, port: self.port });
                Ok(Stream::Pipe(self.near))
            }
        }
    }
}

#[async_trait]
impl OnionEngine for Script {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }
    fn clock_warning(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }
    fn info(&self) -> Option<TorStatus> {
        None
    }
    fn events(&self) -> Option<mpsc::UnboundedReceiver<EngineEvent>> {
        None
    }
    async fn run(&self, _on: bool) {}
    async fn publish(&self, _service: &ServiceSpec, _key: &ServiceKey) -> Result<(), EngineError> {
        Err(EngineError::NotRunning)
    }
    async fn replace(&self, _service: &ServiceSpec, _key: &ServiceKey) -> Result<(), EngineError> {
        Err(EngineError::NotRunning)
    }
    async fn withdraw(&self, _address: &OnionAddress) -> Result<(), EngineError> {
        Err(EngineError::NotRunning)
    }
    async fn add_client_key(&self, _address: &OnionAddress, _key: &ClientKey) -> Result<(), EngineError> {
        Err(EngineError::NotRunning)
    }
    async fn remove_client_key(&self, _address: &OnionAddress) -> Result<(), EngineError> {
        Err(EngineError::NotRunning)
    }
    async fn has_client_key(&self, _address: &OnionAddress) -> Result<bool, EngineError> {
        Err(EngineError::NotRunning)
    }
    async fn fetch_descriptor(&self, _address: &OnionAddress) -> Result<(), EngineError> {
        *self.fetched.lock().unwrap() += 1;
        Ok(())
    }
    async fn dial(&self, _address: &OnionAddress, port: Port, isolation: &str) -> Result<Attempt, DialError> {
        let act = self.acts.lock().unwrap().pop_front().unwrap_or_else(|| self.otherwise.clone());
        let mut dials = self.dials.lock().unwrap();
        let number = dials.len();
        dials.push(Dialled { isolation: isolation.to_owned(), early: Vec::new() });
        let (near, far) = duplex(256 * 1024);
        let (dials, peers) = (Arc::clone(&self.dials), self.peers.clone());
        Ok(Box::new(Pending { act, dials, number, near, far, port, peers }))
    }
}

/// Answers as told, and counts.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) has: bool,
    pub(super) asked: Mutex<usize>,
}

#[async_trait]
impl Rekey for Keys {
    async fn rekey(&self, _address: &OnionAddress) -> bool {
        *self.asked.lock().unwrap() += 1;
        self.has
    }
}

/// An address with a known key.
pub(super) fn onion() -> OnionAddress {
    "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion".parse().unwrap()
}

pub(super) fn other_onion() -> OnionAddress {
    "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion".parse().unwrap()
}

pub(super) fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

/// Two ends of a TCP connection over loopback.
pub(super) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    (near, far)
}

/// Reads all until the end.
pub(super) async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map(|_| bytes)
}

/// Fails a test that would wait for ever. Under a paused clock the time passes only when nothing else can happen.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), work).await.expect("it should have come to pass")
}

/// Waits until something holds; other tasks run meanwhile.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
