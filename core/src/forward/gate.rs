//! An export's gate: the socket at which tor hands over one client's connections to one port, on their way to the backend.
//!
//! There is a gate for each client *and* port, so closing it takes the port away from that client at once, with all open sessions.
//! Who may have which port is the planner's to decide; an open gate is a granted port. Streams of the client's sessions come through it, too,
//! and end with it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::calendar::Calendar;
use super::capacity::{Crowded, Member, Part, Place};
use super::listen::{Bound, ListenError, SocketPath};
use super::ports::{Ports, SystemPorts};
use super::relay::{self, OnNearEnd, Traffic};
use super::server::{Accept, AtBound, Renewable, Renewer, Server};
use super::sessions::channel::Channel;
use super::sockets::Abort;
use super::system;
use crate::engine::GateAddr;
use crate::engine::stream::Stream;
use crate::model::address::{Port, Target};
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::session::words::Refusal;

/// How long a failed backend is reported if nobody has tried it since.
const ERROR_LIFE: Duration = Duration::from_secs(600);

/// What gates tell by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateEvent {
    /// A client that never connected before has connected. Told once.
    FirstStream {
        /// Its service.
        address: OnionAddress,
        /// Its name.
        client: ClientName,
    },
}

/// Where gates are opened.
#[derive(Debug, Clone)]
pub struct GateContext {
    /// The run directory: tor's working directory, mode 0700.
    pub run_dir: PathBuf,
    /// tor's process, whose connections alone are let in where the system can't keep others out by itself (Windows).
    pub tor: TorProcess,
    /// What opens them, and connects to what is behind them.
    pub ports: Arc<dyn Ports>,
}

impl GateContext {
    /// Without a tor yet.
    pub fn new(run_dir: impl Into<PathBuf>) -> Self {
        Self::over(run_dir, Arc::new(SystemPorts))
    }

    /// With other ports than this system's.
    pub fn over(run_dir: impl Into<PathBuf>, ports: Arc<dyn Ports>) -> Self {
        Self { run_dir: run_dir.into(), tor: TorProcess::default(), ports }
    }
}

/// The process id of the tor that runs now, shared with all gates.
#[derive(Debug, Clone, Default)]
pub struct TorProcess(Arc<AtomicU32>);

impl TorProcess {
    /// Sets it; `None` while no tor runs.
    pub fn set(&self, pid: Option<u32>) {
        self.0.store(pid.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

/// One client's sessions, over all its gates.
#[derive(Debug)]
pub struct ClientSessions {
    address: OnionAddress,
    client: Mutex<ClientName>,
    member: Arc<Member>,
    gates: Mutex<BTreeMap<Port, Way>>,
    open: AtomicU64,
    last_seen: AtomicU64,
    known: AtomicBool,
    traffic: Arc<Traffic>,
    events: mpsc::UnboundedSender<GateEvent>,
    calendar: Calendar,
}

/// How a gate is found.
#[derive(Debug)]
struct Way {
    part: Weak<Part>,
    /// Takes streams of the client's sessions. The gate has the other end, and closes it before anything else.
    wanted: mpsc::UnboundedSender<Channel>,
}

/// A look at a client's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Open now.
    pub open: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// When a session last began or ended, in seconds since 1970 UTC.
    pub last_seen: Option<u64>,
}

impl ClientSessions {
    /// For a client that has connected before (`known`), or has not: then the first session is told. It may have `cap` sessions at a time.
    pub fn new(
        address: OnionAddress,
        client: ClientName,
        known: bool,
        events: mpsc::UnboundedSender<GateEvent>,
        cap: u64,
        calendar: Calendar,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            client: Mutex::new(client),
            member: Member::new(cap),
            gates: Mutex::default(),
            open: AtomicU64::new(0),
            last_seen: AtomicU64::new(0),
            known: AtomicBool::new(known),
            traffic: Arc::default(),
            events,
            calendar,
        })
    }

    /// Allows another number of sessions from now on; those that are open stay.
    pub fn set_cap(&self, cap: u64) {
        self.member.set_cap(cap);
    }

    /// Gives the client another name: in the configuration it has one now.
    pub fn rename(&self, client: &ClientName) {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone_from(client);
    }

    fn client(&self) -> ClientName {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client's service.
    pub fn address(&self) -> &OnionAddress {
        &self.address
    }

    /// What was seen of the client so far.
    pub fn stats(&self) -> SessionStats {
        let last = self.last_seen.load(Ordering::Relaxed);
        SessionStats {
            open: self.open.load(Ordering::Relaxed),
            bytes_in: self.traffic.up(),
            bytes_out: self.traffic.down(),
            last_seen: (last > 0).then_some(last),
        }
    }

    /// The ports that turn connections away, for want of room.
    pub fn crowded(&self) -> Vec<(Port, Crowded)> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().filter_map(|(port, way)| Some((*port, way.part.upgrade()?.crowded()?))).collect()
    }

    /// A gate's share of the client's sessions, and the streams that are for it.
    fn part(&self, port: Port) -> (Arc<Part>, mpsc::UnboundedReceiver<Channel>) {
        let part = Part::of(&self.member);
        let (wanted, streams) = mpsc::unbounded_channel();
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, way| way.part.strong_count() > 0);
        gates.insert(port, Way { part: Arc::downgrade(&part), wanted });
        (part, streams)
    }

    /// Gives a stream of the client's sessions to the gate of the port that it wants. Without an open gate it is refused.
    pub(super) fn want(&self, port: u16, stream: Channel) {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        match Port::new(port).and_then(|port| gates.get(&port)) {
            // One that is sent to a gate which closes is dropped there, and so refused.
            Some(way) => drop(way.wanted.send(stream)),
            None => stream.refuse(Refusal::NotGranted),
        }
    }

    /// The client's name, for the log.
    pub(super) fn name(&self) -> ClientName {
        self.client()
    }

    /// Counts a session until it is dropped.
    fn enter(self: &Arc<Self>) -> OpenSession {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.last_seen.store(self.calendar.now(), Ordering::Relaxed);
        if !self.known.swap(true, Ordering::Relaxed) {
            let event = GateEvent::FirstStream { address: self.address, client: self.client() };
            // Nobody listens any more: the agent is ending.
            let _ = self.events.send(event);
        }
        OpenSession(Arc::clone(self))
    }
}

struct OpenSession(Arc<ClientSessions>);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.last_seen.store(self.0.calendar.now(), Ordering::Relaxed);
    }
}

/// An open gate. Dropping it closes it, without waiting for that.
#[derive(Debug)]
pub struct Gate {
    addr: GateAddr,
    shared: Arc<Shared>,
    renewer: Renewer,
    server: Server,
}

#[derive(Debug)]
struct Shared {
    sessions: Arc<ClientSessions>,
    port: Port,
    target: Target,
    /// When the backend was last connected to, and why it could not be.
    last: Mutex<Option<(Instant, Option<String>)>>,
    tor: TorProcess,
    ports: Arc<dyn Ports>,
}

impl Gate {
    /// Opens the gate of a client's port.
    pub async fn open(
        context: &GateContext,
        port: Port,
        target: Target,
        sessions: Arc<ClientSessions>,
    ) -> Result<Self, ListenError> {
        let (bound, addr) = open_socket(context, sessions.address(), port).await?;
        Ok(Self::on(bound, addr, context, port, target, sessions))
    }

    /// Serves a socket that was made for it already, and is called so by tor.
    pub fn on(
        bound: Bound,
        addr: GateAddr,
        context: &GateContext,
        port: Port,
        target: Target,
        sessions: Arc<ClientSessions>,
    ) -> Self {
        let shared = Arc::new(Shared {
            sessions,
            port,
            target,
            last: Mutex::default(),
            tor: context.tor.clone(),
            ports: Arc::clone(&context.ports),
        });
        let each = Arc::clone(&shared);
        let (part, wanted) = shared.sessions.part(port);
        let handle = move |caller, place| session(Arc::clone(&each), caller, place);
        let (renewer, listener) = Renewer::of(bound);
        let server = Server::start(Callers { listener, wanted }, part, AtBound::Refuse, handle);
        Self { addr, shared, renewer, server }
    }

    /// Listens on this socket from now on, where the other one was removed; sessions go on.
    pub fn renew(&mut self, bound: Bound, addr: GateAddr) {
        self.renewer.renew(bound);
        self.addr = addr;
    }

    /// Where its socket is, if it is one in the file system.
    pub fn socket(&self) -> Option<&SocketPath> {
        self.renewer.socket()
    }

    /// The gate's target for tor.
    pub fn addr(&self) -> &GateAddr {
        &self.addr
    }

    /// The port that it guards.
    pub fn port(&self) -> Port {
        self.shared.port
    }

    /// Why the backend could not be reached last time, if it could not and that is not long ago.
    pub fn backend_error(&self) -> Option<String> {
        self.last().and_then(|(at, why)| why.filter(|_| at.elapsed() < ERROR_LIFE))
    }

    fn last(&self) -> Option<(Instant, Option<String>)> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For each port, that of its clients' gates whose backend was connected to last.
    pub fn last_used<'a>(gates: impl Iterator<Item = &'a Self>) -> BTreeMap<Port, &'a Self> {
        let at = |gate: &Self| gate.last().map(|(at, _)| at);
        gates.fold(BTreeMap::new(), |mut last, gate| {
            if last.get(&gate.port()).is_none_or(|other| at(other) < at(gate)) {
                last.insert(gate.port(), gate);
            }
            last
        })
    }

    /// Takes no more sessions, closes the open ones at both ends, and waits until they are gone.
    pub async fn close_all(&self) {
        self.server.close().await;
    }
}

/// What a gate lets in.
enum Caller {
    /// A connection that tor hands over.
    Tor(Stream),
    /// A stream of one of the client's sessions.
    Session(Channel),
}

impl Abort for Caller {
    /// What is let in is its relay's to close.
    fn reset_on_close(&self, _on: bool) {}

    /// There is no room for it.
    fn abort(self, why: &str) {
        match self {
            Self::Tor(stream) => stream.abort(why),
            Self::Session(stream) => stream.refuse(Refusal::Full),
        }
    }
}

/// Where callers come from.
struct Callers {
    listener: Renewable,
    wanted: mpsc::UnboundedReceiver<Channel>,
}

impl Accept for Callers {
    type Conn = Caller;

    async fn accept(&mut self) -> io::Result<Caller> {
        tokio::select! {
            accepted = self.listener.accept() => accepted.map(Caller::Tor),
            Some(stream) = self.wanted.recv() => Ok(Caller::Session(stream)),
        }
    }
}

/// Opens a gate's socket. Its name is short, and the same each time: tor refuses paths of 108 bytes and more.
pub async fn open_socket(
    context: &GateContext,
    address: &OnionAddress,
    port: Port,
) -> Result<(Bound, GateAddr), ListenError> {
    let hash =
        Sha256::new().chain_update(address.public_key()).chain_update(port.get().to_be_bytes()).finalize();
    let name = format!("g-{}", HEXLOWER.encode(&hash[..6]));
    context.ports.gate(&context.run_dir, &name).await
}

async fn session(shared: Arc<Shared>, mut caller: Caller, _place: Place) {
    // The backend hears nothing of a stream that was cut off meanwhile.
    if let Caller::Session(stream) = &mut caller
        && stream.is_gone()
    {
        return;
    }
    if let Caller::Tor(tor) = &caller
        && !system::admit(tor, shared.tor.get()).await
    {
        debug!(client = %shared.sessions.client(), "a connection to a gate did not come from tor");
        return;
    }
    let _open = shared.sessions.enter();
    let target = &shared.target;
    let backend = shared.ports.connect(target).await;
    let last = (Instant::now(), backend.as_ref().err().map(ToString::to_string));
    *shared.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    let traffic = Arc::clone(&shared.sessions.traffic);
    match (backend, caller) {
        (Ok(backend), Caller::Tor(tor)) => {
            relay::run(tor, backend, Vec::new(), OnNearEnd::End, traffic).await;
        }
        (Ok(backend), Caller::Session(mut stream)) => {
            stream.accept();
            relay::run(stream, backend, Vec::new(), OnNearEnd::Carry, traffic).await;
        }
        (Err(error), caller) => {
            debug!(client = %shared.sessions.client(), port = %shared.port, %target, %error, "no backend");
            if let Caller::Session(stream) = caller {
                stream.refuse(Refusal::Unreachable);
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
