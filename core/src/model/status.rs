//! The whole state of a host as one value: made by `plan::derive`, shown by every shell, sent whole over IPC.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::address::{ListenAddr, Port, Target};
use super::config::Users;
use super::day::Day;
use super::name::{ClientName, RemoteName};
use super::onion::OnionAddress;
use super::problem::Problem;

/// The version of [`Status`] as JSON, its field `version`. It grows when a field changes its meaning or goes. Since 2 a problem's subject
/// is an object rather than words.
pub const VERSION: u32 = 2;

/// A host's whole state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Status {
    /// [`VERSION`].
    pub version: u32,
    /// The running agent; none when the configuration alone was read.
    pub agent: Option<AgentStatus>,
    /// What is exported, by virtual port.
    pub exports: Vec<ExportStatus>,
    /// The clients, by name.
    pub clients: Vec<ClientStatus>,
    /// The remotes, by name.
    pub remotes: Vec<RemoteStatus>,
    /// Join requests that wait for an invite.
    pub requests: Vec<RemoteName>,
    /// What needs a person, worst first.
    pub problems: Vec<Problem>,
    /// The last day's events since the agent started, oldest first; the last 200 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(as = "Option<Vec<Event>>", optional))]
    pub events: Vec<Event>,
}

/// An event: this host went online or offline, a remote was lost or found, a client connected for the first time, or a problem came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Event {
    /// When, in seconds since 1970-01-01 UTC by this host's clock.
    pub at: u64,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Happening {
    /// tor connected to the network.
    Online {
        /// For how many seconds it was not connected; since the agent's start, where it was not connected before.
        after: u64,
        /// Whether it was connected before.
        again: bool,
    },
    /// tor lost its connection to the network.
    Offline {
        /// Why, in a sentence.
        why: String,
    },
    /// A remote was reached.
    Found {
        /// Which.
        remote: RemoteName,
        /// For how many seconds it could not be reached; none where it was not known to be lost.
        after: Option<u64>,
    },
    /// A remote that was reached could not be reached any more.
    Lost {
        /// Which.
        remote: RemoteName,
        /// Why, in a sentence.
        why: String,
    },
    /// A client connected for the first time.
    Connected {
        /// Which.
        client: ClientName,
    },
    /// A problem came up.
    Began {
        /// What, in a sentence.
        what: String,
    },
    /// A problem is there no more.
    Ended {
        /// What it was, in a sentence.
        what: String,
    },
}

/// The running agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct AgentStatus {
    /// Of ormesh.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// What it is doing.
    pub state: AgentState,
    /// For how many seconds nothing has come from the network, where that is too long for the state to be certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub unconfirmed: Option<u64>,
    /// The tor that it runs.
    pub tor: Option<TorStatus>,
    /// Where its SOCKS server listens; none when it is off or blocked.
    pub socks: Option<SocketAddr>,
    /// Who may use it; none when it is off or blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub socks_users: Option<Users>,
    /// What a person should know of who can reach it, in a sentence; none where it listens on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub socks_note: Option<String>,
    /// The file that describes a private Tor network, when it uses one.
    pub network: Option<PathBuf>,
    /// The secret store in use.
    pub secrets: Option<String>,
    /// How many bridges tor may enter the network by; none where it uses the public relays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub bridges: Option<u32>,
}

/// What the agent is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum AgentState {
    /// It just started; tor is not there yet.
    Starting,
    /// tor connects to the network.
    Connecting {
        /// 0 to 100.
        percent: u8,
        /// What it is doing, in words.
        doing: String,
    },
    /// Services are published and remotes can be reached.
    Online,
    /// tor does not run or does not connect.
    Offline {
        /// Why, in a sentence.
        why: String,
    },
    /// The user paused it: nothing listens, tor is stopped.
    Paused,
}

/// The tor in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TorStatus {
    /// As tor says it.
    pub version: String,
    /// The binary.
    pub path: PathBuf,
    /// Where it was found.
    pub found: String,
    /// Why it is not the one that a person named, in `ORMESH_TOR` or `agent.tor-path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub passed_over: Option<String>,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ExportStatus {
    /// Where connections go.
    pub target: Target,
    /// The virtual port.
    pub port: Port,
    /// The only clients that it is for; every client when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub clients: Option<Vec<ClientName>>,
}

impl Status {
    /// The ports of a client as they are shown; none for all that are exported, now and later.
    pub fn ports_of(&self, client: &ClientStatus) -> Option<Vec<Port>> {
        let for_it = |export: &&ExportStatus| {
            export.clients.as_ref().is_none_or(|clients| clients.contains(&client.name))
        };
        let others = |port: &Port| self.exports.iter().any(|export| export.port == *port && !for_it(&export));
        match &client.ports {
            Some(ports) => Some(ports.iter().copied().filter(|port| !others(port)).collect()),
            None if self.exports.iter().all(|export| for_it(&export)) => None,
            None => Some(self.exports.iter().filter(for_it).map(|export| export.port).collect()),
        }
    }
}

/// One client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ClientStatus {
    /// Its name.
    pub name: ClientName,
    /// The address of its service.
    pub address: OnionAddress,
    /// The ports it was limited to.
    pub ports: Option<Vec<Port>>,
    /// The exported ports that it may reach: those that are for it, less what it was not granted.
    #[serde(default)]
    #[cfg_attr(test, ts(as = "Option<Vec<Port>>", optional))]
    pub may_reach: Vec<Port>,
    /// Its last day.
    pub expires: Option<Day>,
    /// None without an agent.
    pub state: Option<ClientState>,
    /// Open sessions.
    pub sessions: u32,
    /// Bytes from the client and to it, since the agent started.
    pub bytes: (u64, u64),
    /// The ports that turn it away, for want of room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(as = "Option<Vec<Port>>", optional))]
    pub full: Vec<Port>,
    /// When it last opened or held a session, in seconds since 1970-01-01 UTC.
    pub last_seen: Option<u64>,
}

/// How it stands with a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ClientState {
    /// It has an invite; its service is not published yet.
    Invited,
    /// No export is for it, so it has no service.
    NoPort,
    /// Its service waits for its turn to be published, or is on its way.
    Publishing,
    /// Its service is published; nobody is connected.
    Reachable,
    /// It has sessions open.
    Connected,
    /// Its last day is over. Its keys are kept: a new day makes it reachable again.
    Expired,
    /// Its service cannot be published.
    Failing {
        /// Why, in a sentence.
        why: String,
    },
}

/// One remote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RemoteStatus {
    /// Its name.
    pub name: RemoteName,
    /// The service that it runs for us.
    pub address: OnionAddress,
    /// Our last day there, as the invite said.
    pub expires: Option<Day>,
    /// None without an agent.
    pub state: Option<RemoteState>,
    /// For how many seconds it was not heard of, where that is too long for the state to be certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub unconfirmed: Option<u64>,
    /// The ports that it offers us, as it said last; before it has, those that the invite named. None where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub offers: Option<Vec<Port>>,
    /// Its imports, by listening address.
    pub imports: Vec<ImportStatus>,
}

/// How it stands with a remote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RemoteState {
    /// Nothing is known of it yet, or not any more: it was not tried since tor has connected.
    Unknown,
    /// The last attempt succeeded.
    Reachable {
        /// Its round trip, in milliseconds.
        round_trip: u64,
    },
    /// The last attempt failed.
    Unreachable {
        /// Why, in a sentence.
        why: String,
    },
}

/// One import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ImportStatus {
    /// Where it listens.
    pub listen: ListenAddr,
    /// The remote's virtual port.
    pub remote_port: Port,
    /// Who may connect to it; none for a Unix socket, which is the user's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub users: Option<Users>,
    /// What a person should know of who can reach it, in a sentence; none where it listens on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub note: Option<String>,
    /// None without an agent.
    pub state: Option<ImportState>,
    /// Open connections.
    pub sessions: u32,
    /// Those of them that go through a session with the remote's agent; none where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub through: Option<SessionStatus>,
    /// Bytes to the remote and from it, since the agent started.
    pub bytes: (u64, u64),
}

/// Connections of an import that go through a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SessionStatus {
    /// How many.
    pub connections: u32,
    /// Circuits that carry them together.
    pub circuits: u32,
    /// For how many seconds they are held, since there is no way to the remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub holding: Option<u64>,
}

/// How it stands with an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ImportState {
    /// It is about to listen; nobody need act.
    Opening,
    /// It does not listen while the agent is paused.
    Paused,
    /// It accepts connections.
    Listening,
    /// It cannot listen; it is tried again by itself.
    Blocked {
        /// Why, and who holds the address.
        why: String,
    },
    /// It accepts connections, and its remote cannot be reached.
    Degraded,
    /// It accepts connections, and its remote does not export the port to us, as the remote's agent said last.
    NotExported {
        /// Which remote.
        by: RemoteName,
    },
}
