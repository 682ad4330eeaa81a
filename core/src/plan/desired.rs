//! Desired: what the configuration asks for on a given day.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::model::address::{ListenAddr, Port, Target};
use crate::model::config::{Config, HalfClose, Users};
use crate::model::day::Day;
use crate::model::hold::{Hold, Session};
use crate::model::keys::ClientPublicKey;
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;

/// What the configuration asks for, today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// One service for each client that is not expired and has a port to reach.
    pub services: BTreeMap<OnionAddress, Service>,
    /// The services of remotes, and the public half of our key for each.
    pub remotes: BTreeMap<OnionAddress, ClientPublicKey>,
    /// What listens for imports.
    pub listeners: BTreeMap<ListenAddr, Listener>,
    /// The agent's SOCKS server.
    pub socks: Option<Socks>,
}

/// The SOCKS server as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socks {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Who may use it.
    pub users: Users,
}

/// A service as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Whose it is.
    pub client: ClientName,
    /// The only key that reads its descriptor.
    pub key: ClientPublicKey,
    /// Virtual port → what is behind its gate. Besides the responder's it holds at least one port.
    pub ports: BTreeMap<Port, Behind>,
}

impl Service {
    /// The gate of one of its ports.
    pub(super) fn door(&self, port: &Port) -> Option<Door> {
        Some(Door { key: self.key, behind: self.ports.get(port)?.clone() })
    }
}

/// What is behind a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// An export's target.
    Target(Target),
    /// The agent itself, on virtual port 1.
    Responder,
}

/// A gate that is open: for whom, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Whose key the service takes: sessions under another one end.
    pub key: ClientPublicKey,
    /// What is behind it.
    pub behind: Behind,
}

/// An import as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Whose port.
    pub remote: RemoteName,
    /// The remote's service.
    pub address: OnionAddress,
    /// The public half of our key for it: what came through by another one ends.
    pub key: ClientPublicKey,
    /// Its virtual port.
    pub port: Port,
    /// What becomes of a half-close.
    pub half_close: HalfClose,
    /// Who may connect to it.
    pub users: Users,
    /// How long its connections are held through a session; none where each has a Tor stream of its own.
    pub hold: Option<Hold>,
}

impl Listener {
    /// Whether it serves as well: another name of the same remote is no reason to end its connections.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let Self { remote: _, address, key, port, half_close, users, hold } = other;
        (self.address, self.key, self.port) == (*address, *key, *port)
            && (self.half_close, self.users, self.hold) == (*half_close, *users, *hold)
    }
}

impl Desired {
    /// What a configuration asks for on a day; nothing at all while the agent is paused.
    ///
    /// Invariant: a client with no port to reach, or whose last day is over, has no service.
    pub fn from_config(config: &Config, today: Day, paused: bool) -> Self {
        if paused {
            return Self::default();
        }
        let users = config.agent.socks_users;
        let socks = config.agent.socks_addr.map(|addr| Socks { addr, users });
        let mut desired = Self { socks, ..Self::default() };
        for (name, client) in &config.clients {
            let granted = config.granted_ports(name, client);
            if client.expires.is_some_and(|day| day.is_over(today)) || granted.is_empty() {
                continue;
            }
            let targets = config.exports.iter().filter(|(port, _)| granted.contains(port));
            let targets = targets.map(|(port, export)| (*port, Behind::Target(export.target.clone())));
            let ports = targets.chain([(Port::RESPONDER, Behind::Responder)]).collect();
            let service = Service { client: name.clone(), key: client.key, ports };
            desired.services.insert(client.address, service);
        }
        for (name, remote) in &config.remotes {
            desired.remotes.insert(remote.address, remote.key);
            for (listen, import) in &remote.imports {
                let listener = Listener {
                    remote: name.clone(),
                    address: remote.address,
                    key: remote.key,
                    port: import.remote_port,
                    half_close: import.half_close,
                    users: import.users,
                    hold: (import.session == Session::On).then_some(import.hold),
                };
                desired.listeners.insert(listen.clone(), listener);
            }
        }
        desired
    }
}
