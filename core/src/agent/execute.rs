//! Carries out Steps on the real things: gates, listeners, the SOCKS server, tor. Each Step ends in one of three: done, failed, or waiting for a key.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::openings::{Made, Opened, Openings};
use super::sockets::Sockets;
use super::vault::Vault;
use crate::engine::{EngineError, GateAddr, OnionEngine, ServiceSpec};
use crate::forward::calendar::Calendar;
use crate::forward::capacity::Crowded;
use crate::forward::dialler::Dialler;
use crate::forward::gate::{self, ClientSessions, Gate, GateContext, GateEvent};
use crate::forward::guests::Guests;
use crate::forward::import::{ImportListener, ImportSpec};
use crate::forward::listen::{self, Bound, ListenError, SocketPath};
use crate::forward::owner::TurnedAway;
use crate::forward::responder::{Grants, Prober, Responder};
use crate::forward::socks_front::{RemoteTable, SocksFront};
use crate::model::address::{ListenAddr, Port};
use crate::model::config::Config;
use crate::model::keys::{ClientKey, ClientPublicKey, Secret, ServiceKey};
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::model::problem::catalogue::{self, Crowd};
use crate::model::problem::{self, Code, Problem};
use crate::plan::derive::Traffic;
use crate::plan::{Behind, Socket, Socks, Step, Subject};
use crate::secrets::{SecretId, SecretsError};

/// What became of a Step.
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// The key that it needs is being fetched; [`Fetched`] follows.
    Waiting,
    /// Its socket is being made, or that of a gate that it needs; it comes again when [`Openings::news`] are there.
    UnderWay,
    /// It failed.
    Failed(Problem),
}

/// A key arrived from the secret store, or did not.
pub(super) struct Fetched {
    /// Whose Step waited for it.
    pub(super) subject: Subject,
    id: SecretId,
    /// The key.
    result: Result<Secret, SecretsError>,
}

/// Either thing that can be behind a gate.
enum Door {
    Gate(Gate),
    Responder(Responder),
}

impl Door {
    fn addr(&self) -> &GateAddr {
        match self {
            Self::Gate(gate) => gate.addr(),
            Self::Responder(responder) => responder.addr(),
        }
    }

    fn socket(&self) -> Option<&SocketPath> {
        match self {
            Self::Gate(gate) => gate.socket(),
            Self::Responder(responder) => responder.socket(),
        }
    }

    fn renew(&mut self, bound: Bound, addr: GateAddr) {
        match self {
            Self::Gate(gate) => gate.renew(bound, addr),
            Self::Responder(responder) => responder.renew(bound, addr),
        }
    }

    async fn close(&self) {
        match self {
            Self::Gate(gate) => gate.close_all().await,
            Self::Responder(responder) => responder.close_all().await,
        }
    }
}

/// The real things of one agent.
pub(super) struct Executor {
    engine: Arc<dyn OnionEngine>,
    dialler: Arc<Dialler>,
    vault: Arc<Vault>,
    context: GateContext,
    /// Shared with whoever answers `ormesh nc`.
    pub(super) guests: Arc<Guests>,
    calendar: Calendar,
    doors: BTreeMap<(OnionAddress, Port), Door>,
    sessions: BTreeMap<OnionAddress, Arc<ClientSessions>>,
    grants: BTreeMap<OnionAddress, watch::Sender<Arc<Grants>>>,
    listeners: BTreeMap<ListenAddr, ImportListener>,
    pub(super) sockets: Sockets,
    pub(super) openings: Openings,
    /// Asks what is behind exports.
    pub(super) prober: Arc<Prober>,
    socks: Option<SocksFront>,
    remotes: watch::Sender<Arc<RemoteTable>>,
    /// Keys in use, so that neither a restart of tor nor a changed port list needs the secret store.
    service_keys: BTreeMap<OnionAddress, ServiceKey>,
    client_keys: BTreeMap<ClientPublicKey, ClientKey>,
    gate_events: mpsc::UnboundedSender<GateEvent>,
    fetched: mpsc::UnboundedSender<Fetched>,
}

impl Executor {
    pub(super) fn new(
        engine: Arc<dyn OnionEngine>,
        dialler: Arc<Dialler>,
        vault: Arc<Vault>,
        context: GateContext,
        calendar: Calendar,
        gate_events: mpsc::UnboundedSender<GateEvent>,
        fetched: mpsc::UnboundedSender<Fetched>,
    ) -> Self {
        let sockets = Sockets::over(vault.files().clone());
        Self {
            engine,
            dialler,
            vault,
            prober: Arc::new(Prober::over(Arc::clone(&context.ports))),
            context,
            guests: Arc::default(),
            calendar,
            doors: BTreeMap::new(),
            sessions: BTreeMap::new(),
            grants: BTreeMap::new(),
            listeners: BTreeMap::new(),
            sockets,
            openings: Openings::default(),
            socks: None,
            remotes: watch::Sender::default(),
            service_keys: BTreeMap::new(),
            client_keys: BTreeMap::new(),
            gate_events,
            fetched,
        }
    }

    /// Tells the rooms that look things up by themselves what the configuration says now.
    pub(super) fn configure(&mut self, config: &Config) {
        let table = config.remotes.iter().map(|(name, remote)| (name.clone(), remote.address)).collect();
        self.remotes.send_replace(Arc::new(table));
        // Where gates are loopback ports, they let in nobody but this process.
        self.context.tor.set(self.engine.process());
        for (name, client) in &config.clients {
            if let Some(sessions) = self.sessions.get(&client.address) {
                sessions.rename(name);
                sessions.set_cap(config.agent.max_sessions.into());
            }
            if let Some(grants) = self.grants.get(&client.address) {
                grants.send_replace(Arc::new(grants_of(config, &client.address)));
            }
        }
    }

    /// Carries out one Step of what a configuration of this generation asks for.
    pub(super) async fn execute(&mut self, config: &Config, generation: u64, step: &Step) -> Outcome {
        match step {
            Step::CloseListener(listen) => {
                self.sockets.left(&Socket::Listener(listen.clone()));
                if let Some(listener) = self.listeners.remove(listen) {
                    listener.close().await;
                }
                Outcome::Done
            }
            Step::CloseSocks => {
                if let Some(socks) = self.socks.take() {
                    socks.close().await;
                }
                Outcome::Done
            }
            Step::CloseGate(address, port) => {
                self.sockets.left(&Socket::Gate(*address, *port));
                if let Some(door) = self.doors.remove(&(*address, *port)) {
                    door.close().await;
                }
                if !self.doors.keys().any(|(of, _)| of == address) {
                    self.forget_sessions(address);
                }
                Outcome::Done
            }
            Step::Withdraw(address) => {
                self.service_keys.remove(address);
                let withdrawn = self.engine.withdraw(address).await;
                ended(withdrawn, Code::WithdrawalFailed)
            }
            Step::RemoveKey(address) => {
                self.dialler.forget(address);
                ended(self.engine.remove_client_key(address).await, Code::RemoteKeyKept)
            }
            Step::OpenGate(address, port, client, door) => {
                let (context, of, number) = (self.context.clone(), *address, *port);
                let make = async move {
                    let (bound, gate) = gate::open_socket(&context, &of, number).await?;
                    Ok(Made { bound, gate: Some(gate) })
                };
                let path = ListenAddr::Unix(self.context.run_dir.clone());
                match self.openings.open(&Socket::Gate(of, number), generation, || make) {
                    Opened::Made(Made { bound, gate: Some(gate) }) => {
                        self.serve_gate(config, address, *port, client, &door.behind, bound, gate);
                        Outcome::Done
                    }
                    opened => not_made(opened, problem::Subject::Client(client.clone()), &path),
                }
            }
            Step::Publish(address, key, ports) => self.publish(config, address, *key, ports, false).await,
            Step::Replace(address, key, ports) => self.publish(config, address, *key, ports, true).await,
            Step::OpenListener(listen, listener) => {
                let spec = ImportSpec {
                    listen: listen.clone(),
                    remote: listener.remote.clone(),
                    address: listener.address,
                    port: listener.port,
                    half_close: listener.half_close,
                    users: listener.users,
                };
                let (ports, at) = (Arc::clone(&self.context.ports), listen.clone());
                let make = async move { Ok(Made { bound: ports.listen(&at).await?, gate: None }) };
                match self.openings.open(&Socket::Listener(listen.clone()), generation, || make) {
                    Opened::Made(Made { bound, .. }) => {
                        let dialler = &self.dialler;
                        let listener = match self.listeners.entry(listen.clone()) {
                            Entry::Occupied(mut open) => {
                                open.get_mut().renew(bound);
                                open.into_mut()
                            }
                            Entry::Vacant(entry) => {
                                entry.insert(ImportListener::on(bound, spec, Arc::clone(dialler)))
                            }
                        };
                        let socket = listener.socket();
                        self.sockets.made(Socket::Listener(listen.clone()), socket);
                        Outcome::Done
                    }
                    opened => not_made(opened, problem::Subject::Import(listen.clone()), listen),
                }
            }
            Step::OpenSocks(Socks { addr, users }) => {
                match self.context.ports.listen(&ListenAddr::Tcp(*addr)).await {
                    Ok(bound) => {
                        let (remotes, dialler) = (self.remotes.subscribe(), Arc::clone(&self.dialler));
                        let socks = SocksFront::on(bound, *addr, *users, remotes, dialler);
                        self.socks = Some(socks);
                        Outcome::Done
                    }
                    Err(error) => {
                        let problem = not_listening(&error).about(problem::Subject::Socks);
                        let hint = match self.context.ports.free_port_after(*addr) {
                            // Another user of this machine may have the usual one.
                            Some(free) if matches!(error, ListenError::InUse { .. }) => {
                                format!("ormesh config set agent.socks-addr {free} takes a free one")
                            }
                            _ => listen::hint(&error),
                        };
                        Outcome::Failed(problem.hint(hint))
                    }
                }
            }
            Step::AddKey(address, public) => {
                let Some(key) = self.client_keys.get(public) else {
                    return self.fetch(config, step.subject(), SecretId::Client(*public));
                };
                ended(self.engine.add_client_key(address, key).await, Code::RemoteKeyFailed)
            }
        }
    }

    /// The last gate of a service is closed: what comes through the next one is another's, or the same client's anew.
    fn forget_sessions(&mut self, address: &OnionAddress) {
        self.grants.remove(address);
        let seen = self.sessions.remove(address).and_then(|sessions| sessions.stats().last_seen);
        // One that is not known yet is written down by whoever was told of its first session.
        if let Some(seen) = seen.filter(|_| self.vault.has_connected(address)) {
            self.vault.saw_again(*address, seen);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the Step's own, and the socket that was made for it")]
    fn serve_gate(
        &mut self,
        config: &Config,
        address: &OnionAddress,
        port: Port,
        client: &ClientName,
        behind: &Behind,
        bound: Bound,
        gate: GateAddr,
    ) {
        let socket = Socket::Gate(*address, port);
        if let Some(door) = self.doors.get_mut(&(*address, port)) {
            door.renew(bound, gate);
            self.sockets.made(socket, door.socket());
            return;
        }
        let door = match behind {
            Behind::Responder => {
                let grants = Arc::new(grants_of(config, address));
                let grants = self.grants.entry(*address).or_insert_with(|| watch::Sender::new(grants));
                let (grants, prober) = (grants.subscribe(), Arc::clone(&self.prober));
                let sessions = self.sessions_of(config, address, client);
                Door::Responder(Responder::on(bound, gate, &self.context, grants, sessions, prober))
            }
            Behind::Target(target) => {
                let sessions = self.sessions_of(config, address, client);
                Door::Gate(Gate::on(bound, gate, &self.context, port, target.clone(), sessions))
            }
        };
        self.sockets.made(socket, door.socket());
        self.doors.insert((*address, port), door);
    }

    fn sessions_of(
        &mut self,
        config: &Config,
        address: &OnionAddress,
        client: &ClientName,
    ) -> Arc<ClientSessions> {
        let sessions = self.sessions.entry(*address).or_insert_with(|| {
            let known = self.vault.has_connected(address);
            let cap = config.agent.max_sessions.into();
            let (events, calendar) = (self.gate_events.clone(), self.calendar.clone());
            ClientSessions::new(*address, client.clone(), known, events, cap, calendar)
        });
        Arc::clone(sessions)
    }

    async fn publish(
        &mut self,
        config: &Config,
        address: &OnionAddress,
        client: ClientPublicKey,
        ports: &BTreeSet<Port>,
        replace: bool,
    ) -> Outcome {
        let Some(key) = self.service_keys.get(address) else {
            return self.fetch(config, Subject::Service(*address), SecretId::Service(*address));
        };
        let gate = |port: &Port| Some((*port, self.doors.get(&(*address, *port))?.addr().clone()));
        let spec = ServiceSpec { address: *address, client, ports: ports.iter().filter_map(gate).collect() };
        if ports.iter().any(|port| self.openings.is_under_way(&Socket::Gate(*address, *port))) {
            return Outcome::UnderWay;
        }
        if spec.ports.len() != ports.len() {
            let problem = Problem::new(Code::GateFailed, "a port's gate could not be opened");
            return Outcome::Failed(problem);
        }
        let result = match replace {
            false => self.engine.publish(&spec, key).await,
            true => self.engine.replace(&spec, key).await,
        };
        ended(result, Code::ServiceFailed)
    }

    /// Has a key fetched beside everything else: a locked keyring must not hold up what needs no key.
    fn fetch(&self, config: &Config, subject: Subject, id: SecretId) -> Outcome {
        let (vault, fetched, config) = (Arc::clone(&self.vault), self.fetched.clone(), config.clone());
        tokio::spawn(async move {
            let result = vault.read(&config, id).await;
            // Nobody listens any more when the agent ends.
            let _ = fetched.send(Fetched { subject, id, result });
        });
        Outcome::Waiting
    }

    /// Takes a key that was fetched; the problem when there is none.
    pub(super) fn take(&mut self, fetched: Fetched) -> Result<(), Problem> {
        let secret = fetched.result.map_err(Problem::from)?;
        let damaged = || {
            Problem::new(Code::KeyDamaged, format!("the secret store's entry {} is damaged", fetched.id))
                .hint("rotate the client, or replace the remote by a new invite")
        };
        match fetched.id {
            SecretId::Service(address) => {
                let key = ServiceKey::from_secret(&secret).ok().filter(|key| key.address() == address);
                self.service_keys.insert(address, key.ok_or_else(damaged)?);
            }
            SecretId::Client(public) => {
                let key = ClientKey::from_secret(&secret).ok().filter(|key| key.public() == public);
                self.client_keys.insert(public, key.ok_or_else(damaged)?);
            }
        }
        Ok(())
    }

    /// Forgets keys that nothing needs any more.
    pub(super) fn forget_keys(&mut self, config: &Config) {
        self.client_keys.retain(|key, _| config.remotes.values().any(|remote| remote.key == *key));
        self.service_keys.retain(|address, _| config.client_at(address).is_some());
    }

    /// The isolation groups of the imports of a remote: their circuits are kept warm.
    pub(super) fn groups(&self, remote: &OnionAddress) -> Vec<String> {
        let listeners = self.listeners.values().filter(|listener| listener.spec().address == *remote);
        listeners.flat_map(ImportListener::groups).collect()
    }

    /// What the clients' sessions count.
    pub(super) fn client_traffic(&self) -> BTreeMap<OnionAddress, Traffic> {
        let traffic = |(address, sessions): (&OnionAddress, &Arc<ClientSessions>)| {
            let stats = sessions.stats();
            let open = u32::try_from(stats.open).unwrap_or(u32::MAX);
            (*address, Traffic { sessions: open, bytes: (stats.bytes_in, stats.bytes_out) })
        };
        self.sessions.iter().map(traffic).collect()
    }

    /// When the clients were last seen.
    pub(super) fn last_seen(&self) -> impl Iterator<Item = (OnionAddress, u64)> {
        self.sessions.iter().filter_map(|(address, sessions)| Some((*address, sessions.stats().last_seen?)))
    }

    /// What the imports count.
    pub(super) fn import_traffic(&self) -> BTreeMap<ListenAddr, Traffic> {
        let traffic = |(listen, listener): (&ListenAddr, &ImportListener)| {
            let stats = listener.stats();
            let open = u32::try_from(stats.sessions_open).unwrap_or(u32::MAX);
            (listen.clone(), Traffic { sessions: open, bytes: (stats.bytes_out, stats.bytes_in) })
        };
        self.listeners.iter().map(traffic).collect()
    }

    /// What keeps connections out that a person may want in.
    pub(super) fn problems(&self, config: &Config) -> Vec<Problem> {
        let socks = self.socks.iter().filter_map(|socks| {
            let TurnedAway { who, times } = socks.turned_away()?;
            Some(catalogue::refused_at_socks(&socks.addr(), &who, times))
        });
        let imports = self.listeners.iter().filter_map(|(listen, import)| {
            let TurnedAway { who, times } = import.turned_away()?;
            Some(catalogue::refused_at_import(listen, &who, times))
        });
        let full_socks = self
            .socks
            .iter()
            .filter_map(|socks| Some(catalogue::socks_full(&socks.addr(), &crowd(socks.crowded()?))));
        let full_guests = self.guests.crowded().into_iter().map(|full| catalogue::guests_full(&crowd(full)));
        let full_imports = self
            .listeners
            .iter()
            .filter_map(|(listen, import)| Some(catalogue::import_full(listen, &crowd(import.crowded()?))));
        let full_ports = self.full_ports(config).into_iter().filter_map(|(port, clients)| {
            let ((client, full), others) = clients.split_first()?;
            Some(catalogue::port_full(port, client, others.len(), &crowd(*full)))
        });
        // The same backend serves all clients of a port.
        let gates = self.doors.values().filter_map(|door| match door {
            Door::Gate(gate) => Some(gate),
            Door::Responder(_) => None,
        });
        let backends = Gate::last_used(gates)
            .into_iter()
            .filter_map(|(port, gate)| Some(catalogue::no_backend(port, &gate.backend_error()?)));
        socks
            .chain(imports)
            .chain(full_socks)
            .chain(full_guests)
            .chain(full_imports)
            .chain(full_ports)
            .chain(backends)
            .collect()
    }

    /// For each client, the ports that turn it away.
    pub(super) fn full_for(&self) -> BTreeMap<OnionAddress, Vec<Port>> {
        let ports =
            |sessions: &ClientSessions| sessions.crowded().into_iter().map(|(port, _)| port).collect();
        self.sessions.iter().map(|(address, sessions)| (*address, ports(sessions))).collect()
    }

    /// The exported ports that turn clients away, and whom.
    fn full_ports(&self, config: &Config) -> BTreeMap<Port, Vec<(ClientName, Crowded)>> {
        let mut full: BTreeMap<Port, Vec<(ClientName, Crowded)>> = BTreeMap::new();
        for (name, client) in &config.clients {
            let Some(sessions) = self.sessions.get(&client.address) else { continue };
            for (port, crowded) in sessions.crowded() {
                full.entry(port).or_default().push((name.clone(), crowded));
            }
        }
        full
    }

    /// Takes no more connections from applications; what is open goes on.
    pub(super) fn refuse(&self) {
        self.listeners.values().for_each(ImportListener::refuse);
        self.socks.iter().for_each(SocksFront::refuse);
    }

    /// Sessions that are open, of both kinds.
    pub(super) fn open_sessions(&self) -> u64 {
        let imports: u64 = self.listeners.values().map(|listener| listener.stats().sessions_open).sum();
        let clients: u64 = self.sessions.values().map(|sessions| sessions.stats().open).sum();
        imports + clients + self.socks.as_ref().map_or(0, |socks| socks.stats().sessions_open)
    }
}

fn grants_of(config: &Config, address: &OnionAddress) -> Grants {
    let Some((name, client)) = config.client_at(address) else {
        return Grants::default();
    };
    let granted = config.granted_ports(name, client);
    let ports = config.exports.iter().filter(|(port, _)| granted.contains(port));
    Grants {
        ports: ports.map(|(port, export)| (*port, export.target.clone())).collect(),
        expires: client.expires,
    }
}

fn ended(result: Result<(), EngineError>, code: Code) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(Problem::new(code, error.to_string())),
    }
}

fn crowd(crowded: Crowded) -> Crowd {
    Crowd { said: crowded.sentence(), by_agent: crowded.by_agent, refused: crowded.refused }
}

/// What a socket's not being there yet, or not at all, is to the Step that wants it.
fn not_made(opened: Opened, subject: problem::Subject, addr: &ListenAddr) -> Outcome {
    let error = match opened {
        Opened::Made(_) | Opened::UnderWay => return Outcome::UnderWay,
        Opened::Hangs => ListenError::NoAnswer { addr: addr.clone() },
        Opened::Failed(error) => error,
    };
    Outcome::Failed(not_listening(&error).about(subject).hint(listen::hint(&error)))
}

fn not_listening(error: &ListenError) -> Problem {
    let code = match error {
        ListenError::InUse { .. } => Code::AddressInUse,
        _ => Code::CannotListen,
    };
    Problem::new(code, error.to_string())
}
