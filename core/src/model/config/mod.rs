//! The configuration: what the user wants, without a single secret in it. Its text form is in `raw`, `read` and `write`, changes are in
//! [`super::edit`].

mod raw;
mod read;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address::{ListenAddr, Port, Target};
use super::bridge::Bridge;
use super::day::Day;
use super::hold::{Hold, Session};
use super::keys::ClientPublicKey;
use super::name::{ClientName, RemoteName};
use super::onion::OnionAddress;
use super::problem::Subject;
use super::store_kind::StoreKind;

pub use read::{TextError, parse};
pub use write::write;

/// The version of the file's format, its key `version`. A later one is refused, an earlier one migrated.
pub const VERSION: i64 = 1;
/// The most exports a host can have.
pub const MAX_EXPORTS: usize = 1_000;
/// The most clients a host can have: each is an onion service, and tor publishes them one by one.
pub const MAX_CLIENTS: usize = 100;
/// The agent's SOCKS address when none is set.
pub const DEFAULT_SOCKS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9250);

/// Why a port can't be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::model) enum ExportError {
    /// It is the responder's.
    #[error("port 1 is answered by ormesh itself and can't be exported")]
    Reserved,
    /// The target is another host, and that was not allowed.
    #[error("{0} is not on this host, and it was not allowed to leave it (allow-lan)")]
    OtherHost(Target),
    /// Something is exported there already.
    #[error("port {0} is exported already, as {1}")]
    Taken(Port, Target),
    /// There are as many exports as there may be.
    #[error("there can be at most {MAX_EXPORTS} exports")]
    TooMany,
}

/// Reads `agent.socks-addr`: an address, or `off`.
pub fn parse_socks(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    match text.parse::<ListenAddr>() {
        Ok(ListenAddr::Tcp(addr)) => Ok(Some(addr)),
        Ok(ListenAddr::Unix(_)) => Err(format!("the SOCKS address is ADDRESS:PORT or off, not {text:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Everything that the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Keeps this configuration's secrets apart from those of another one of the same user.
    pub instance: InstanceId,
    /// Settings of the agent.
    pub agent: AgentSettings,
    /// What this host offers: virtual port → target.
    pub exports: BTreeMap<Port, Export>,
    /// Who may reach it.
    pub clients: BTreeMap<ClientName, Client>,
    /// The hosts that this one imports from.
    pub remotes: BTreeMap<RemoteName, Remote>,
    /// Join requests made here that no invite has answered yet.
    pub requests: BTreeMap<RemoteName, ClientPublicKey>,
}

impl Client {
    /// One that reaches every port that is exported to all, for ever, by a key that was made for it.
    pub fn new(address: OnionAddress, key: ClientPublicKey) -> Self {
        Self { address, key, ports: None, expires: None, requested: false }
    }
}

impl Config {
    /// An empty configuration.
    pub fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            agent: AgentSettings::default(),
            exports: BTreeMap::new(),
            clients: BTreeMap::new(),
            remotes: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// The client whose service has an address, and what it is called.
    pub fn client_at(&self, address: &OnionAddress) -> Option<(&ClientName, &Client)> {
        self.clients.iter().find(|(_, client)| client.address == *address)
    }

    /// The remote that has an address, and what it is called.
    pub fn remote_at(&self, address: &OnionAddress) -> Option<(&RemoteName, &Remote)> {
        self.remotes.iter().find(|(_, remote)| remote.address == *address)
    }

    /// What a problem of a service is about: its client, if it is one's.
    pub fn subject_at(&self, address: &OnionAddress) -> Subject {
        self.client_at(address).map_or(Subject::Service(*address), |(name, _)| Subject::Client(name.clone()))
    }

    /// The virtual ports that a client may reach: what is exported, to all or to it by name, less what it was not granted.
    ///
    /// Both must agree: the client's own list, if it has one, and the export's.
    pub fn granted_ports(&self, name: &ClientName, client: &Client) -> BTreeSet<Port> {
        let granted = |(port, export): &(&Port, &Export)| {
            export.is_for(name) && client.ports.as_ref().is_none_or(|ports| ports.contains(port))
        };
        self.exports.iter().filter(granted).map(|(port, _)| *port).collect()
    }

    /// The rules that a new export meets, apart from its own types.
    pub(in crate::model) fn check_export(
        &self,
        port: Port,
        target: &Target,
        allow_lan: bool,
    ) -> Result<(), ExportError> {
        if port == Port::RESPONDER {
            return Err(ExportError::Reserved);
        }
        if !target.is_local() && !allow_lan {
            return Err(ExportError::OtherHost(target.clone()));
        }
        if let Some(export) = self.exports.get(&port) {
            return Err(ExportError::Taken(port, export.target.clone()));
        }
        if self.exports.len() >= MAX_EXPORTS {
            return Err(ExportError::TooMany);
        }
        Ok(())
    }

    /// All imports, with the remote that each belongs to.
    pub fn imports(&self) -> impl Iterator<Item = (&ListenAddr, &RemoteName, &Remote, &Import)> {
        self.remotes.iter().flat_map(|(name, remote)| {
            remote.imports.iter().map(move |(listen, import)| (listen, name, remote, import))
        })
    }
}

/// Settings of the agent, under `[agent]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSettings {
    /// Where the agent's SOCKS server listens; none when it is off.
    pub socks_addr: Option<SocketAddr>,
    /// The tor binary, instead of the one that is found.
    pub tor_path: Option<PathBuf>,
    /// The secret store; chosen at first use.
    pub secrets: Option<StoreKind>,
    /// Who may use the SOCKS server.
    pub socks_users: Users,
    /// The most sessions that one client can have open at once.
    pub max_sessions: u16,
    /// Whether sessions between two agents are offered and used.
    pub sessions: bool,
    /// The bridges by which tor enters the network; its public relays when there are none.
    pub bridges: Vec<Bridge>,
}

/// Connections that one client may have at a time, over all its ports.
pub const DEFAULT_MAX_SESSIONS: u16 = 512;

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            socks_addr: Some(DEFAULT_SOCKS),
            tor_path: None,
            secrets: None,
            socks_users: Users::default(),
            max_sessions: DEFAULT_MAX_SESSIONS,
            sessions: false,
            bridges: Vec::new(),
        }
    }
}

/// Which users of this machine may connect to a TCP listener of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Users {
    /// The user that the agent runs as, and root. Nobody else, and no other machine.
    #[default]
    Me,
    /// Everyone who can reach the address.
    All,
}

impl Users {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Me => "me",
            Self::All => "all",
        }
    }
}

/// One exported port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Where its connections go.
    pub target: Target,
    /// Whether the target may be another host.
    pub allow_lan: bool,
    /// The only clients that it is for; every client when none. A name that no client has lets nobody in.
    pub clients: Option<BTreeSet<ClientName>>,
}

impl Export {
    /// Whether a client of this name may be let in.
    pub fn is_for(&self, name: &ClientName) -> bool {
        self.clients.as_ref().is_none_or(|clients| clients.contains(name))
    }
}

/// One client: it has its own onion service, restricted to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address of its service.
    pub address: OnionAddress,
    /// The client's public key.
    pub key: ClientPublicKey,
    /// The virtual ports that it may reach; all that are exported when none.
    pub ports: Option<BTreeSet<Port>>,
    /// The last day of its access.
    pub expires: Option<Day>,
    /// Whether the client made the key itself (`client add --request`), so that no private half was ever here.
    pub requested: bool,
}

/// One host that we import from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The service that it runs for us.
    pub address: OnionAddress,
    /// The public half of our key for it.
    pub key: ClientPublicKey,
    /// The last day of our access, as the invite said.
    pub expires: Option<Day>,
    /// The ports that the invite named; they are a help, not a limit.
    pub ports: BTreeSet<Port>,
    /// Whether its other end is known to be some other program than ormesh, so that nothing but an import's bytes is ever sent to it.
    pub plain_tor: bool,
    /// Where we listen → what it leads to.
    pub imports: BTreeMap<ListenAddr, Import>,
}

/// One imported port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// The remote's virtual port.
    pub remote_port: Port,
    /// What becomes of an application's half-close.
    pub half_close: HalfClose,
    /// Who may connect to it. A Unix socket's mode says that by itself.
    pub users: Users,
    /// Whether its connections go through a session, where the remote offers that.
    pub session: Session,
    /// How long they are held then.
    pub hold: Hold,
}

/// What an import does when the application has said all it will say (a FIN). A Tor stream ends both ways at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum HalfClose {
    /// Keep it until the reply has come: for protocols in which the client closes first.
    #[default]
    Hold,
    /// Pass it on at once, which ends the connection.
    Pass,
}

/// Why a text is not an instance id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance id is 16 characters of a-z and 2-7")]
pub struct InstanceIdError;

/// A random id, 16 characters of base32 (80 bits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// From ten random bytes.
    pub fn from_random(bytes: [u8; 10]) -> Self {
        Self(data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = InstanceIdError;
    fn from_str(text: &str) -> Result<Self, InstanceIdError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InstanceIdError;
    fn try_from(text: String) -> Result<Self, InstanceIdError> {
        let good =
            text.len() == 16 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        if good { Ok(Self(text)) } else { Err(InstanceIdError) }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
