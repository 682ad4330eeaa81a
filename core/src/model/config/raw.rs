//! The shape of the file as serde reads it, before the rules that span entries are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{AgentSettings, HalfClose, InstanceId, Users, parse_socks};
use crate::model::address::{ListenAddr, Port, Target};
use crate::model::bridge::{self, Bridge, BridgeError};
use crate::model::day::Day;
use crate::model::hold::{Hold, Session};
use crate::model::keys::ClientPublicKey;
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;
use crate::model::store_kind::StoreKind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: Option<Spanned<i64>>,
    pub(super) instance: Option<InstanceId>,
    #[serde(default)]
    pub(super) agent: Agent,
    #[serde(default)]
    pub(super) export: Vec<Spanned<Export>>,
    #[serde(default)]
    pub(super) client: BTreeMap<ClientName, Spanned<Client>>,
    #[serde(default)]
    pub(super) remote: BTreeMap<RemoteName, Spanned<Remote>>,
    #[serde(default)]
    pub(super) request: BTreeMap<RemoteName, Spanned<Request>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Agent {
    socks_addr: Option<Socks>,
    #[serde(default)]
    socks_users: Users,
    tor_path: Option<PathBuf>,
    secrets: Option<StoreKind>,
    max_sessions: Option<std::num::NonZeroU16>,
    sessions: Option<bool>,
    #[serde(default)]
    bridges: Bridges,
}

impl From<Agent> for AgentSettings {
    fn from(raw: Agent) -> Self {
        let default = Self::default();
        Self {
            socks_addr: raw.socks_addr.map_or(default.socks_addr, |socks| socks.0),
            tor_path: raw.tor_path,
            socks_users: raw.socks_users,
            secrets: raw.secrets,
            max_sessions: raw.max_sessions.map_or(default.max_sessions, |n| n.get()),
            sessions: raw.sessions.unwrap_or(default.sessions),
            bridges: raw.bridges.0,
        }
    }
}

/// Bridges, not too many.
#[derive(Deserialize, Default)]
#[serde(try_from = "Vec<Bridge>")]
struct Bridges(Vec<Bridge>);

impl TryFrom<Vec<Bridge>> for Bridges {
    type Error = BridgeError;
    fn try_from(bridges: Vec<Bridge>) -> Result<Self, BridgeError> {
        bridge::check_count(&bridges).map(|()| Self(bridges))
    }
}

/// An address, or `off`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Socks(Option<SocketAddr>);

impl TryFrom<String> for Socks {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        parse_socks(&text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Export {
    pub(super) target: Target,
    pub(super) port: Option<Port>,
    #[serde(default)]
    pub(super) allow_lan: bool,
    pub(super) clients: Option<BTreeSet<ClientName>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Client {
    pub(super) address: OnionAddress,
    pub(super) key: ClientPublicKey,
    pub(super) ports: Option<BTreeSet<Port>>,
    pub(super) expires: Option<Day>,
    #[serde(default)]
    pub(super) requested: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Remote {
    pub(super) address: OnionAddress,
    pub(super) key: ClientPublicKey,
    pub(super) expires: Option<Day>,
    #[serde(default)]
    pub(super) ports: BTreeSet<Port>,
    #[serde(default)]
    pub(super) plain_tor: bool,
    #[serde(default)]
    pub(super) import: Vec<Spanned<Import>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Import {
    pub(super) remote_port: Port,
    pub(super) listen: ListenAddr,
    #[serde(default)]
    pub(super) half_close: HalfClose,
    #[serde(default)]
    pub(super) only_me: bool,
    #[serde(default)]
    pub(super) session: Session,
    #[serde(default)]
    pub(super) hold: Hold,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Request {
    pub(super) key: ClientPublicKey,
}
