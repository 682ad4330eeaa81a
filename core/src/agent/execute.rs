//! Carries out Steps on the real things: gates, listeners, the SOCKS server, tor. A Step is done, has failed, waits for a key, or waits for
//! a socket.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::endpoints::{Door, Endpoints};
use super::keys_in_use::{Fetched, KeysInUse};
use super::openings::{Made, Opened, Openings};
use super::sockets::Sockets;
use super::vault::Vault;
use crate::engine::{EngineError, GateAddr, OnionEngine, ServiceSpec};
use crate::forward::calendar::Calendar;
use crate::forward::dialler::Dialler;
use crate::forward::gate::{self, ClientSessions, Gate, GateContext, GateEvent};
use crate::forward::import::{ImportListener, ImportSpec};
use crate::forward::listen::{self, Bound, ListenError};
use crate::forward::reach::By;
use crate::forward::responder::{Grants, Prober, Responder};
use crate::forward::socks_front::{RemoteTable, SocksFront};
use crate::model::address::{ListenAddr, Port};
use crate::model::config::{Client, Config};
use crate::model::keys::ClientPublicKey;
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::model::problem::{self, Code, Problem};
use crate::plan::{Behind, Socket, Socks, Step, Subject};
use crate::secrets::SecretId;

/// The result of a Step.
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// The key that it needs is being fetched; [`Fetched`] follows.
    Waiting,
    /// Its socket is being made, or that of a gate that it needs; it comes again when there is news of that ([`Openings::news`]).
    UnderWay,
    /// It failed.
    Failed(Problem),
}

/// The real things of one agent.
pub(super) struct Executor {
    engine: Arc<dyn OnionEngine>,
    dialler: Arc<Dialler>,
    vault: Arc<Vault>,
    pub(super) context: GateContext,
    calendar: Calendar,
    pub(super) endpoints: Endpoints,
    grants: BTreeMap<OnionAddress, watch::Sender<Arc<Grants>>>,
    pub(super) sockets: Sockets,
    pub(super) openings: Openings,
    /// Asks what is behind exports.
    pub(super) prober: Arc<Prober>,
    remotes: watch::Sender<Arc<RemoteTable>>,
    pub(super) keys: KeysInUse,
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
            calendar,
            endpoints: Endpoints::default(),
            grants: BTreeMap::new(),
            sockets,
            openings: Openings::default(),
            remotes: watch::Sender::default(),
            keys: KeysInUse::default(),
            gate_events,
            fetched,
        }
    }

    /// Passes the present configuration on to the parts that look things up in it.
    pub(super) fn configure(&mut self, config: &Config) {
        let table = config.remotes.iter().map(|(name, remote)| (name.clone(), remote.address)).collect();
        self.remotes.send_replace(Arc::new(table));
        self.dialler.sessions().allow(config.agent.sessions);
        self.dialler.keep(config.remotes.values().map(|remote| remote.address).collect());
        // Where gates are loopback ports, they let in nobody but this process.
        self.context.tor.set(self.engine.process());
        for (name, client) in &config.clients {
            if let Some(sessions) = self.endpoints.sessions.get(&client.address) {
                sessions.rename(name);
                sessions.set_cap(config.agent.max_sessions.into());
            }
            if let Some(grants) = self.grants.get(&client.address) {
                grants.send_replace(Arc::new(grants_of(config, name, client)));
            }
        }
    }

    /// Carries out one Step of what a configuration of this generation asks for.
    pub(super) async fn execute(&mut self, config: &Config, generation: u64, step: &Step) -> Outcome {
        match step {
            Step::CloseListener(listen) => {
                self.sockets.left(&Socket::Listener(listen.clone()));
                if let Some(listener) = self.endpoints.listeners.remove(listen) {
                    listener.close().await;
                }
                Outcome::Done
            }
            Step::CloseSocks => {
                if let Some(socks) = self.endpoints.socks.take() {
                    socks.close().await;
                }
                Outcome::Done
            }
            Step::CloseGate(address, port) => {
                self.sockets.left(&Socket::Gate(*address, *port));
                if let Some(door) = self.endpoints.doors.remove(&(*address, *port)) {
                    door.close().await;
                }
                if !self.endpoints.doors.keys().any(|(of, _)| of == address) {
                    self.forget_sessions(address);
                }
                Outcome::Done
            }
            Step::Withdraw(address) => {
                self.keys.services.remove(address);
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
                    by: match listener.hold {
                        Some(hold) => By::Session(hold.time()),
                        None => By::Plain,
                    },
                };
                let (ports, at) = (Arc::clone(&self.context.ports), listen.clone());
                let make = async move { Ok(Made { bound: ports.listen(&at).await?, gate: None }) };
                match self.openings.open(&Socket::Listener(listen.clone()), generation, || make) {
                    Opened::Made(Made { bound, .. }) => {
                        let dialler = &self.dialler;
                        let listener = match self.endpoints.listeners.entry(listen.clone()) {
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
                        self.endpoints.socks = Some(socks);
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
                let Some(key) = self.keys.clients.get(public) else {
                    return self.fetch(config, step.subject(), SecretId::Client(*public));
                };
                ended(self.engine.add_client_key(address, key).await, Code::RemoteKeyFailed)
            }
        }
    }

    /// Drops the sessions of a service whose last gate is closed: a new gate is for another client, or for a new key.
    fn forget_sessions(&mut self, address: &OnionAddress) {
        self.grants.remove(address);
        let seen = self.endpoints.sessions.remove(address).and_then(|sessions| sessions.stats().last_seen);
        // One that is not known yet is written down by whoever was told of its first session.
        if let Some(seen) = seen.filter(|_| self.vault.clients.has_connected(address)) {
            self.vault.clients.saw_again(*address, seen);
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
        if let Some(door) = self.endpoints.doors.get_mut(&(*address, port)) {
            door.renew(bound, gate);
            self.sockets.made(socket, door.socket());
            return;
        }
        let door = match behind {
            Behind::Responder => {
                let found = config.client_at(address);
                let grants = found.map(|(name, client)| grants_of(config, name, client)).unwrap_or_default();
                let grants = Arc::new(grants);
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
        self.endpoints.doors.insert((*address, port), door);
    }

    fn sessions_of(
        &mut self,
        config: &Config,
        address: &OnionAddress,
        client: &ClientName,
    ) -> Arc<ClientSessions> {
        let sessions = self.endpoints.sessions.entry(*address).or_insert_with(|| {
            let known = self.vault.clients.has_connected(address);
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
        let Some(key) = self.keys.services.get(address) else {
            return self.fetch(config, Subject::Service(*address), SecretId::Service(*address));
        };
        let gate = |port: &Port| Some((*port, self.endpoints.doors.get(&(*address, *port))?.addr().clone()));
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

    /// Fetches a key in a task: a locked keyring must not delay what needs no key.
    fn fetch(&self, config: &Config, subject: Subject, id: SecretId) -> Outcome {
        let (vault, fetched, config) = (Arc::clone(&self.vault), self.fetched.clone(), config.clone());
        tokio::spawn(async move {
            let result = vault.store.read(&config, id).await;
            // Nobody listens any more when the agent ends.
            let _ = fetched.send(Fetched { subject, id, result });
        });
        Outcome::Waiting
    }
}

fn grants_of(config: &Config, name: &ClientName, client: &Client) -> Grants {
    let granted = config.granted_ports(name, client);
    let ports = config.exports.iter().filter(|(port, _)| granted.contains(port));
    Grants {
        ports: ports.map(|(port, export)| (*port, export.target.clone())).collect(),
        expires: client.expires,
        sessions: config.agent.sessions,
    }
}

fn ended(result: Result<(), EngineError>, code: Code) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(Problem::new(code, error.to_string())),
    }
}

/// The outcome of a Step whose socket is not ready yet, or could not be made.
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

#[cfg(all(test, unix))]
mod tests;
