//! An engine without tor, for tests: engines of one [`FakeNetwork`] reach each other in memory, through the gates' real sockets.
//!
//! It keeps the contract of [`OnionEngine`] (the same suite runs over it), and does on demand what a tor does by accident: ends, hangs,
//! refuses, forgets its keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::{mpsc, watch};

use super::stream::Stream;
use super::{
    Attempt, AwaitReply, DialError, EngineError, EngineEvent, EngineState, GateAddr, OnionEngine, ServiceSpec,
};
use crate::model::address::Port;
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::status::TorStatus;

/// Bytes that may be under way in each direction of a connection.
const PIPE: usize = 64 * 1024;
/// How long tor waits for an answer (`SocksTimeout` of tor(1)).
const TOR_WAITS: Duration = Duration::from_secs(120);

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
struct Sockets;

/// A network on which fake engines meet. Clones are the same network.
#[derive(Clone)]
pub struct FakeNetwork {
    services: Arc<Mutex<BTreeMap<OnionAddress, Service>>>,
    gates: Arc<dyn Reach>,
}

impl Default for FakeNetwork {
    fn default() -> Self {
        Self::over(Arc::new(Sockets))
    }
}

struct Service {
    /// The way of its engine to the network, which tells the engine, too.
    owner: Arc<watch::Sender<Link>>,
    spec: ServiceSpec,
    run_dir: PathBuf,
    /// Its sessions end when this is dropped.
    up: watch::Sender<()>,
    /// No introduction point of it stands, nor will one until it is published again: tor has used up its tries during an outage.
    is_deaf: bool,
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

/// What goes wrong from now on. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every dial ends like this.
    pub dial: Option<DialError>,
    /// No dial is ever answered.
    pub hang: bool,
    /// Before a dial is answered.
    pub delay: Duration,
    /// No dial is asked for a key.
    pub asks_no_key: bool,
    /// Every command but dials and the run switch is answered like this, and does nothing.
    pub command: Option<EngineError>,
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
        Self { services: Arc::default(), gates }
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
        lock(&self.services).values().map(|service| service.spec.clone()).collect()
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
        lock(&self.inner).keys.clear();
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
        let mut services = lock(&self.network.services);
        let mine = services.values_mut().filter(|service| Arc::ptr_eq(&service.owner, &self.me));
        mine.for_each(|service| service.is_deaf = true);
    }

    /// How many introduction points of each of its services stand.
    pub fn introductions(&self) -> BTreeMap<OnionAddress, u32> {
        let is_cut = *self.me.borrow() == Link::Cut;
        let services = lock(&self.network.services);
        let mine = services.iter().filter(|(_, service)| Arc::ptr_eq(&service.owner, &self.me));
        mine.map(|(address, service)| (*address, if is_cut || service.is_deaf { 0 } else { 3 })).collect()
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        lock(&self.inner).faults = faults;
    }

    /// All dials so far.
    pub fn dialled(&self) -> Vec<Dialled> {
        lock(&self.inner).dialled.clone()
    }

    fn end(&self, state: EngineState) {
        lock(&self.network.services).retain(|_, service| !Arc::ptr_eq(&service.owner, &self.me));
        let was_up = {
            let mut inner = lock(&self.inner);
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
        lock(&self.inner).faults.command.clone().map_or(Ok(()), Err)
    }

    fn tell(&self, event: EngineEvent) {
        // Nobody may have asked for the events.
        let _ = self.events.send(event);
    }

    fn put(&self, service: &ServiceSpec, up: watch::Sender<()>) {
        let (owner, run_dir) = (Arc::clone(&self.me), self.run_dir.clone());
        let service = Service { owner, spec: service.clone(), run_dir, up, is_deaf: false };
        let address = service.spec.address;
        lock(&self.network.services).insert(address, service);
        self.tell(EngineEvent::Uploaded(address));
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
        lock(&self.receiver).take()
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
        lock(&self.network.services).remove(&service.address);
        self.put(service, watch::Sender::default());
        Ok(())
    }

    async fn replace(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError> {
        self.admit()?;
        service.check(key, &self.run_dir)?;
        let before = lock(&self.network.services).remove(&service.address);
        self.put(service, before.map(|service| service.up).unwrap_or_default());
        Ok(())
    }

    async fn withdraw(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.admit()?;
        lock(&self.network.services).remove(address);
        Ok(())
    }

    async fn add_client_key(&self, address: &OnionAddress, key: &ClientKey) -> Result<(), EngineError> {
        self.admit()?;
        lock(&self.inner).keys.insert(*address, key.public());
        Ok(())
    }

    async fn remove_client_key(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.admit()?;
        lock(&self.inner).keys.remove(address);
        Ok(())
    }

    async fn has_client_key(&self, address: &OnionAddress) -> Result<bool, EngineError> {
        self.admit()?;
        Ok(lock(&self.inner).keys.contains_key(address))
    }

    async fn fetch_descriptor(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.admit()?;
        let is_there = lock(&self.network.services).contains_key(address);
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
        let mut inner = lock(&self.inner);
        inner.dialled.push(Dialled { address: *address, port, isolation: isolation.to_owned() });
        Ok(Box::new(FakeAttempt {
            network: self.network.clone(),
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

struct FakeAttempt {
    network: FakeNetwork,
    key: Option<ClientPublicKey>,
    alive: watch::Receiver<()>,
    link: watch::Receiver<Link>,
    faults: Faults,
    address: OnionAddress,
    port: Port,
    early: Vec<u8>,
}

#[async_trait]
impl AwaitReply for FakeAttempt {
    async fn send_early(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        self.early.extend_from_slice(bytes);
        Ok(())
    }

    async fn reply(mut self: Box<Self>) -> Result<Stream, DialError> {
        let ended = || DialError::Broken("tor closed it without an answer".to_owned());
        if self.faults.hang {
            // It ends with the engine.
            let _ = self.alive.changed().await;
            return Err(ended());
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(self.faults.delay) => {}
            _ = self.alive.changed() => return Err(ended()),
        }
        if let Some(error) = &self.faults.dial {
            return Err(error.clone());
        }
        let waiting = self.alive.clone();
        until_it_speaks(&mut self.link, waiting.clone(), DialError::TimedOut).await?;
        let (run_dir, gate, up, mut link) = self.find_gate()?;
        until_it_speaks(&mut link, waiting, DialError::Gone).await?;
        let mut gate = self.network.gates.connect(&run_dir, &gate).await.map_err(|_| DialError::Failed)?;
        gate.write_all(&self.early).await.map_err(|_| DialError::Failed)?;
        let (near, far) = tokio::io::duplex(PIPE);
        tokio::spawn(carry(far, gate, up, self.alive, [self.link, link]));
        Ok(Stream::Pipe(near))
    }
}

impl FakeAttempt {
    /// The refusals come in the order in which tor finds out.
    fn find_gate(
        &self,
    ) -> Result<(PathBuf, GateAddr, watch::Receiver<()>, watch::Receiver<Link>), DialError> {
        let services = lock(&self.network.services);
        let service = services.get(&self.address).ok_or(DialError::NotPublished)?;
        if !self.faults.asks_no_key {
            let key = self.key.ok_or(DialError::KeyMissing)?;
            if key != service.spec.client {
                return Err(DialError::KeyRefused);
            }
        }
        if service.is_deaf {
            return Err(DialError::Gone);
        }
        let gate = service.spec.ports.get(&self.port).ok_or(DialError::PortNotExported(self.port))?;
        Ok((service.run_dir.clone(), gate.clone(), service.up.subscribe(), service.owner.subscribe()))
    }
}

/// Waits while a link is silent, as long as tor would; fails like this where it is cut.
async fn until_it_speaks(
    link: &mut watch::Receiver<Link>,
    mut alive: watch::Receiver<()>,
    cut: DialError,
) -> Result<(), DialError> {
    tokio::select! {
        biased;
        _ = alive.changed() => Err(DialError::Broken("tor closed it without an answer".to_owned())),
        heard = tokio::time::timeout(TOR_WAITS, link.wait_for(|link| *link != Link::Silent)) => match heard {
            Err(_) => Err(DialError::TimedOut),
            Ok(Ok(link)) if *link == Link::Up => Ok(()),
            Ok(_) => Err(cut),
        },
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

/// A Tor stream ends both ways at once (tor-spec §6.3), and with either engine or the service.
async fn carry(
    far: DuplexStream,
    gate: Stream,
    mut up: watch::Receiver<()>,
    mut alive: watch::Receiver<()>,
    [mut near, mut beyond]: [watch::Receiver<Link>; 2],
) {
    let (mut from_client, mut to_client) = tokio::io::split(far);
    let (mut from_gate, mut to_gate) = tokio::io::split(gate);
    let copied = async {
        tokio::select! {
            biased;
            _ = tokio::io::copy(&mut from_client, &mut to_gate) => {}
            _ = tokio::io::copy(&mut from_gate, &mut to_client) => {}
        }
    };
    tokio::pin!(copied);
    loop {
        let links = [*near.borrow_and_update(), *beyond.borrow_and_update()];
        if links.contains(&Link::Cut) {
            return;
        }
        // Whichever ends first; why it ended makes no difference.
        tokio::select! {
            biased;
            _ = up.changed() => return,
            _ = alive.changed() => return,
            changed = near.changed() => if changed.is_err() { return },
            changed = beyond.changed() => if changed.is_err() { return },
            () = &mut copied, if !links.contains(&Link::Silent) => return,
        }
    }
}

/// No guard of these is ever held over code that panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEngine").field("run_dir", &self.run_dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn onion() -> OnionAddress {
        "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid".parse().unwrap()
    }

    async fn outcome(engine: &FakeEngine) -> Result<Stream, DialError> {
        engine.dial(&onion(), Port::RESPONDER, "a").await?.reply().await
    }

    #[tokio::test(start_paused = true)]
    async fn faults_come_on_demand() {
        let engine = FakeNetwork::new().engine(Path::new("/nonexistent"));
        assert_eq!(outcome(&engine).await.unwrap_err(), DialError::NotReady);
        engine.run(true).await;
        assert_eq!(outcome(&engine).await.unwrap_err(), DialError::NotPublished);

        engine.set_faults(Faults { dial: Some(DialError::Gone), ..Faults::default() });
        assert_eq!(outcome(&engine).await.unwrap_err(), DialError::Gone);
        engine.set_faults(Faults { command: Some(EngineError::NotRunning), ..Faults::default() });
        assert_eq!(engine.has_client_key(&onion()).await, Err(EngineError::NotRunning));

        engine.set_faults(Faults { hang: true, ..Faults::default() });
        let attempt = engine.dial(&onion(), Port::RESPONDER, "b").await.unwrap();
        let mut reply = attempt.reply();
        let hangs = tokio::time::timeout(Duration::from_secs(1000), &mut reply).await.is_err();
        engine.lose();
        assert!(hangs);
        assert!(matches!(reply.await, Err(DialError::Broken(_))));
        assert_eq!(engine.dialled().last().unwrap().isolation, "b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_is_cut_or_falls_silent_and_a_service_goes_deaf() {
        let network = FakeNetwork::new();
        let (host, client) = (network.engine(Path::new("/host")), network.engine(Path::new("/client")));
        host.run(true).await;
        client.run(true).await;
        let key = ServiceKey::from_seed(&[2; 32].into());
        let client_key = ClientKey::from_bytes(&[1; 32]).unwrap();
        let ports = [(Port::RESPONDER, GateAddr::Unix("none".into()))].into();
        let service = ServiceSpec { address: key.address(), client: client_key.public(), ports };
        client.add_client_key(&key.address(), &client_key).await.unwrap();
        host.publish(&service, &key).await.unwrap();
        let met = async || {
            client.dial(&key.address(), Port::RESPONDER, "a").await.unwrap().reply().await.unwrap_err()
        };
        // There is nothing at its gate.
        assert_eq!(met().await, DialError::Failed);

        client.set_link(Link::Cut);
        assert_eq!(met().await, DialError::TimedOut);
        client.set_link(Link::Up);
        host.set_link(Link::Cut);
        assert_eq!((met().await, host.introductions()), (DialError::Gone, [(key.address(), 0)].into()));
        host.set_link(Link::Silent);
        assert!(tokio::time::timeout(Duration::from_secs(100), met()).await.is_err());
        host.set_link(Link::Up);
        host.deafen();
        assert_eq!((met().await, host.introductions()), (DialError::Gone, [(key.address(), 0)].into()));
        host.replace(&service, &key).await.unwrap();
        assert_eq!((met().await, host.introductions()), (DialError::Failed, [(key.address(), 3)].into()));
    }

    #[tokio::test]
    async fn keys_can_be_forgotten() {
        let engine = FakeNetwork::new().engine(Path::new("/nonexistent"));
        engine.run(true).await;
        engine.add_client_key(&onion(), &ClientKey::from_bytes(&[1; 32]).unwrap()).await.unwrap();

        engine.forget_keys();

        assert_eq!(engine.has_client_key(&onion()).await, Ok(false));
    }
}
