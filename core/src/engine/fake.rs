//! An engine without tor, for tests: engines of one [`FakeNetwork`] reach each other in memory, through the gates' real sockets.
//!
//! It keeps the contract of [`OnionEngine`] (the same suite runs over it), and does on demand what a tor does by accident: ends, hangs,
//! refuses, forgets its keys.

mod attempt;
mod network;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use attempt::FakeAttempt;
pub use attempt::Faults;
pub use network::{Link, Reach};
use network::{Network, Service, Sockets};
use tokio::sync::{mpsc, watch};

use super::{Attempt, DialError, EngineError, EngineEvent, EngineState, OnionEngine, ServiceSpec};
use crate::model::address::Port;
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::status::TorStatus;

/// A network on which fake engines meet. Clones are the same network.
#[derive(Clone)]
pub struct FakeNetwork(Network);

impl Default for FakeNetwork {
    fn default() -> Self {
        Self::over(Arc::new(Sockets))
    }
}

/// An attempt to connect, as the engine was asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// The remote.
    pub address: OnionAddress,
    /// Its virtual port.
    pub port: Port,
    /// What chose the circuit.
    pub isolation: String,
}

/// See the module.
pub struct FakeEngine {
    /// Its way to the network.
    me: Arc<watch::Sender<Link>>,
    network: FakeNetwork,
    run_dir: PathBuf,
    state: watch::Sender<EngineState>,
    events: mpsc::UnboundedSender<EngineEvent>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<EngineEvent>>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: BTreeMap<OnionAddress, ClientPublicKey>,
    faults: Faults,
    dialled: Vec<Dialled>,
    /// The connections it dialled end when this is replaced.
    alive: watch::Sender<()>,
}

impl FakeNetwork {
    /// An empty network.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty network whose gates are connected to in another way than by the system's sockets.
    pub fn over(gates: Arc<dyn Reach>) -> Self {
        Self(Network::over(gates))
    }

    /// An engine on it that does not run yet; the gates of its services are below this directory.
    pub fn engine(&self, run_dir: &Path) -> Arc<FakeEngine> {
        let (events, receiver) = mpsc::unbounded_channel();
        Arc::new(FakeEngine {
            me: Arc::default(),
            network: self.clone(),
            run_dir: run_dir.to_owned(),
            state: watch::Sender::new(EngineState::Stopped),
            events,
            receiver: Mutex::new(Some(receiver)),
            inner: Mutex::default(),
        })
    }

    /// The services that are up, for whom, and with which ports.
    pub fn services(&self) -> Vec<ServiceSpec> {
        self.0.services().values().map(|service| service.spec.clone()).collect()
    }
}

impl FakeEngine {
    /// Ends as a tor that is killed, and stays down until [`FakeEngine::recover`] or `run(true)`.
    pub fn lose(&self) {
        self.end(EngineState::Failed {
            why: "tor was killed".to_owned(),
            hint: "it is started again by itself".to_owned(),
            is_missing: false,
            retry_in: Some(Duration::ZERO),
        });
    }

    /// Is there again, empty.
    pub fn recover(&self) {
        self.state.send_replace(EngineState::Ready);
    }

    /// Says that it is in another state, with all that it holds.
    pub fn pretend(&self, state: EngineState) {
        self.state.send_replace(state);
    }

    /// Forgets its client keys, as tor does after SETCONF. It does not say so, as tor does not.
    pub fn forget_keys(&self) {
        self.inner().keys.clear();
    }

    /// Its way to the network is cut, falls silent, or is there again.
    pub fn set_link(&self, link: Link) {
        self.me.send_replace(link);
    }

    /// Its way to the network.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.me.subscribe()
    }

    /// Its services lose their introduction points, each until it is published again.
    pub fn deafen(&self) {
        let mut services = self.network.0.services();
        let mine = services.values_mut().filter(|service| Arc::ptr_eq(&service.owner, &self.me));
        mine.for_each(|service| service.is_deaf = true);
    }

    /// How many introduction points of each of its services stand.
    pub fn introductions(&self) -> BTreeMap<OnionAddress, u32> {
        let is_cut = *self.me.borrow() == Link::Cut;
        let services = self.network.0.services();
        let mine = services.iter().filter(|(_, service)| Arc::ptr_eq(&service.owner, &self.me));
        mine.map(|(address, service)| (*address, if is_cut || service.is_deaf { 0 } else { 3 })).collect()
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.inner().faults = faults;
    }

    /// All dials so far.
    pub fn dialled(&self) -> Vec<Dialled> {
        self.inner().dialled.clone()
    }

    fn end(&self, state: EngineState) {
        self.network.0.services().retain(|_, service| !Arc::ptr_eq(&service.owner, &self.me));
        let was_up = {
            let mut inner = self.inner();
            inner.keys.clear();
            inner.alive = watch::Sender::default();
            self.is_up()
        };
        self.state.send_replace(state);
        if was_up {
            self.tell(EngineEvent::Lost);
        }
    }

    fn is_up(&self) -> bool {
        matches!(
            *self.state.borrow(),
            EngineState::Ready | EngineState::Bootstrapping { .. } | EngineState::Offline { .. }
        )
    }

    /// Whether a command is carried out.
    fn admit(&self) -> Result<(), EngineError> {
        if !self.is_up() {
            return Err(EngineError::NotRunning);
        }
        self.inner().faults.command.clone().map_or(Ok(()), Err)
    }

    fn tell(&self, event: EngineEvent) {
        // Nobody may have asked for the events.
        let _ = self.events.send(event);
    }

    fn put(&self, service: &ServiceSpec, up: watch::Sender<()>) {
        let (owner, run_dir) = (Arc::clone(&self.me), self.run_dir.clone());
        let service = Service { owner, spec: service.clone(), run_dir, up, is_deaf: false };
        let address = service.spec.address;
        self.network.0.services().insert(address, service);
        self.tell(EngineEvent::Uploaded(address));
    }

    /// No guard of this is ever held over code that panics.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OnionEngine for FakeEngine {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }

    fn info(&self) -> Option<TorStatus> {
        let (version, found) = ("0.4.9.11".to_owned(), "a fake".to_owned());
        Some(TorStatus { version, path: "/nonexistent/tor".into(), found, passed_over: None })
    }

    fn events(&self) -> Option<mpsc::UnboundedReceiver<EngineEvent>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn watched(&self) {
        if self.state.borrow().is_ready() {
            self.tell(EngineEvent::NetworkProven);
        }
    }

    async fn run(&self, on: bool) {
        match (on, self.is_up()) {
            (true, false) => self.recover(),
            (false, _) => self.end(EngineState::Stopped),
            (true, true) => {}
        }
    }

    async fn publish(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError> {
        self.admit()?;
        service.check(key, &self.run_dir)?;
        self.network.0.services().remove(&service.address);
        self.put(service, watch::Sender::default());
        Ok(())
    }

    async fn replace(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError> {
        self.admit()?;
        service.check(key, &self.run_dir)?;
        let before = self.network.0.services().remove(&service.address);
        self.put(service, before.map(|service| service.up).unwrap_or_default());
        Ok(())
    }

    async fn withdraw(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.admit()?;
        self.network.0.services().remove(address);
        Ok(())
    }

    async fn add_client_key(&self, address: &OnionAddress, key: &ClientKey) -> Result<(), EngineError> {
        self.admit()?;
        self.inner().keys.insert(*address, key.public());
        Ok(())
    }

    async fn remove_client_key(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.admit()?;
        self.inner().keys.remove(address);
        Ok(())
    }

    async fn has_client_key(&self, address: &OnionAddress) -> Result<bool, EngineError> {
        self.admit()?;
        Ok(self.inner().keys.contains_key(address))
    }

    async fn fetch_descriptor(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.admit()?;
        let is_there = self.network.0.services().contains_key(address);
        self.tell(match is_there {
            true => EngineEvent::Received(*address),
            false => EngineEvent::FetchFailed(*address, "NOT_FOUND".to_owned()),
        });
        Ok(())
    }

    async fn dial(&self, address: &OnionAddress, port: Port, isolation: &str) -> Result<Attempt, DialError> {
        if !self.state.borrow().is_ready() {
            return Err(DialError::NotReady);
        }
        let mut inner = self.inner();
        inner.dialled.push(Dialled { address: *address, port, isolation: isolation.to_owned() });
        Ok(Box::new(FakeAttempt {
            network: self.network.0.clone(),
            key: inner.keys.get(address).copied(),
            alive: inner.alive.subscribe(),
            link: self.me.subscribe(),
            faults: inner.faults.clone(),
            address: *address,
            port,
            early: Vec::new(),
        }))
    }
}

impl std::fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEngine").field("run_dir", &self.run_dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
