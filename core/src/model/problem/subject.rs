//! The typed subject of a problem, by which shells find the thing that it is about.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::address::{ListenAddr, Port};
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;

/// A thing that can have a problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "id")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Subject {
    /// The agent.
    Agent,
    /// The desktop app.
    App,
    /// tor.
    Tor,
    /// The configuration file.
    Configuration,
    /// A directory or file of ormesh's own.
    Files,
    /// What is known of clients that have connected.
    History,
    /// The secret store.
    Store,
    /// The agent's SOCKS server.
    Socks,
    /// What is exported at a virtual port.
    Export(Port),
    /// A client.
    Client(ClientName),
    /// A service that no client has any more.
    Service(OnionAddress),
    /// A remote.
    Remote(RemoteName),
    /// What listens for an import.
    Import(ListenAddr),
}

impl Subject {
    /// What sort of thing it is, in a word or two.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::App => "app",
            Self::Tor => "tor",
            Self::Configuration => "config",
            Self::Files => "files",
            Self::History => "history",
            Self::Store => "secrets",
            Self::Socks => "the SOCKS server",
            Self::Export(_) => "export",
            Self::Client(_) => "client",
            Self::Service(_) => "service",
            Self::Remote(_) => "remote",
            Self::Import(_) => "import",
        }
    }
}

impl From<ClientName> for Subject {
    fn from(name: ClientName) -> Self {
        Self::Client(name)
    }
}

impl From<RemoteName> for Subject {
    fn from(name: RemoteName) -> Self {
        Self::Remote(name)
    }
}

impl From<Port> for Subject {
    fn from(port: Port) -> Self {
        Self::Export(port)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.noun();
        match self {
            Self::Export(port) => write!(f, "{noun} {port}"),
            Self::Client(name) => write!(f, "{noun} {name}"),
            Self::Service(address) => write!(f, "{noun} {address}"),
            Self::Remote(name) => write!(f, "{noun} {name}"),
            Self::Import(listen) => write!(f, "{noun} {listen}"),
            _ => f.write_str(noun),
        }
    }
}
