//! An independent reading of the configuration file for the simulation; it uses none of the program's own parsing, granting and expiring.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::keys::ClientPublicKey;
use crate::model::onion::OnionAddress;

const DAY: u64 = 86_400;
/// The responder's.
pub(super) const RESPONDER: u16 = 1;

/// A client on paper.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) address: OnionAddress,
    pub(super) key: ClientPublicKey,
    pub(super) ports: Option<BTreeSet<u16>>,
    /// When its access ends, in seconds since 1970 UTC.
    pub(super) ends: Option<u64>,
    pub(super) requested: bool,
}

/// A remote on paper.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) key: ClientPublicKey,
    pub(super) imports: BTreeSet<String>,
}

/// See the file's sentence.
#[derive(Debug, Clone, Default)]
pub(super) struct Paper {
    /// Virtual port → the only clients that it is for.
    pub(super) exports: BTreeMap<u16, Option<BTreeSet<String>>>,
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) remotes: BTreeMap<String, Remote>,
    pub(super) requests: BTreeMap<String, ClientPublicKey>,
    pub(super) socks: Option<String>,
    pub(super) store: Option<String>,
}

fn text(table: &toml::Table, key: &str) -> Option<String> {
    table.get(key)?.as_str().map(str::to_owned)
}

fn ports(value: Option<&toml::Value>) -> Option<BTreeSet<u16>> {
    let number = |value: &toml::Value| u16::try_from(value.as_integer()?).ok();
    Some(value?.as_array()?.iter().filter_map(number).collect())
}

fn names(value: Option<&toml::Value>) -> Option<BTreeSet<String>> {
    Some(value?.as_array()?.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

fn tables<'a>(root: &'a toml::Table, key: &str) -> Vec<(String, &'a toml::Table)> {
    let all = root.get(key).and_then(toml::Value::as_table);
    let all = all.into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_table()?))).collect()
}

fn list<'a>(root: &'a toml::Table, key: &str) -> Vec<&'a toml::Table> {
    let all = root.get(key).and_then(toml::Value::as_array);
    all.into_iter().flatten().filter_map(toml::Value::as_table).collect()
}

/// Days from 1970-01-01 to a date of the form 2026-03-01 (the civil calendar, by Howard Hinnant's way).
fn days(date: &str) -> Option<u64> {
    let mut parts = date.splitn(3, '-').map(str::parse::<u64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

impl Paper {
    /// Reads a text; none where it makes no sense.
    pub(super) fn read(file: &str) -> Option<Self> {
        let root: toml::Table = file.parse().ok()?;
        let agent = root.get("agent").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let mut paper = Self { store: text(&agent, "secrets"), ..Self::default() };
        paper.socks = match text(&agent, "socks-addr").as_deref() {
            None => Some("127.0.0.1:9250".to_owned()),
            Some("off") => None,
            Some(addr) => Some(addr.to_owned()),
        };
        for export in list(&root, "export") {
            let target = text(export, "target")?;
            let own = || target.rsplit(':').next()?.parse().ok();
            let port = export.get("port").and_then(toml::Value::as_integer);
            let port = port.and_then(|port| u16::try_from(port).ok()).or_else(own)?;
            paper.exports.insert(port, names(export.get("clients")));
        }
        for (name, client) in tables(&root, "client") {
            let entry = Client {
                address: text(client, "address")?.parse().ok()?,
                key: text(client, "key")?.parse().ok()?,
                ports: ports(client.get("ports")),
                ends: text(client, "expires").and_then(|date| Some((days(&date)? + 1) * DAY)),
                requested: client.get("requested").and_then(toml::Value::as_bool).unwrap_or(false),
            };
            paper.clients.insert(name, entry);
        }
        for (name, remote) in tables(&root, "remote") {
            let imports = list(remote, "import").into_iter().filter_map(|import| text(import, "listen"));
            let entry = Remote { key: text(remote, "key")?.parse().ok()?, imports: imports.collect() };
            paper.remotes.insert(name, entry);
        }
        for (name, request) in tables(&root, "request") {
            paper.requests.insert(name, text(request, "key")?.parse().ok()?);
        }
        Some(paper)
    }

    /// The client whose service this is.
    pub(super) fn client_at(&self, address: &OnionAddress) -> Option<&Client> {
        self.clients.values().find(|client| client.address == *address)
    }

    /// The ports of each client's service at a time of day, the responder's among them; a client with nothing to reach has none.
    pub(super) fn services(&self, unix: u64) -> BTreeMap<OnionAddress, (ClientPublicKey, BTreeSet<u16>)> {
        let mut services = BTreeMap::new();
        for (name, client) in &self.clients {
            if client.ends.is_some_and(|ends| unix >= ends) {
                continue;
            }
            let mut ports = BTreeSet::new();
            for (port, only) in &self.exports {
                let export_allows = only.as_ref().is_none_or(|only| only.contains(name));
                let client_allows = client.ports.as_ref().is_none_or(|ports| ports.contains(port));
                if export_allows && client_allows {
                    ports.insert(*port);
                }
            }
            if !ports.is_empty() {
                ports.insert(RESPONDER);
                services.insert(client.address, (client.key, ports));
            }
        }
        services
    }

    /// Where is to be listened.
    pub(super) fn listeners(&self) -> BTreeSet<String> {
        let imports = self.remotes.values().flat_map(|remote| remote.imports.iter().cloned());
        imports.chain(self.socks.clone()).collect()
    }
}
