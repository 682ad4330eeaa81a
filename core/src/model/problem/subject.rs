//! What a problem is about, typed: shells find the thing by it, and never by words.

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

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::App => f.write_str("app"),
            Self::Tor => f.write_str("tor"),
            Self::Configuration => f.write_str("config"),
            Self::Files => f.write_str("files"),
            Self::History => f.write_str("history"),
            Self::Store => f.write_str("secrets"),
            Self::Socks => f.write_str("the SOCKS server"),
            Self::Export(port) => write!(f, "export {port}"),
            Self::Client(name) => write!(f, "client {name}"),
            Self::Service(address) => write!(f, "service {address}"),
            Self::Remote(name) => write!(f, "remote {name}"),
            Self::Import(listen) => write!(f, "import {listen}"),
        }
    }
}
