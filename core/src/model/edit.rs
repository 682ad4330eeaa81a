//! Changes that any shell may ask for, and the rules for them. Pure: the result is a new configuration or a refusal. No change here
//! contains a key: those are in `super::key_change`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::access;
use super::address::{ListenAddr, Port, Target};
use super::bridge::{self, Bridge};
use super::config::{
    Client, Config, DEFAULT_MAX_SESSIONS, Export, ExportError, HalfClose, Import, Users, parse_socks,
};
use super::day::Day;
use super::name::{ClientName, RemoteName};
use super::problem::{Code, Problem, Subject, catalogue};

/// One change, which touches no secret and needs no journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "edit")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Edit {
    /// `export add`.
    AddExport {
        /// Where the connections go.
        target: Target,
        /// The virtual port; that of the target when none.
        port: Option<Port>,
        /// Whether the target may be another host.
        allow_lan: bool,
        /// The only clients that it is for; every client when none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        clients: Option<BTreeSet<ClientName>>,
    },
    /// `export set`.
    SetExport {
        /// The virtual port.
        port: Port,
        /// The only clients that it is for from now on; every client when none.
        clients: Option<BTreeSet<ClientName>>,
    },
    /// `export delete`.
    DeleteExport {
        /// The virtual port.
        port: Port,
    },
    /// `client set`: ports and expiry, never keys.
    SetClient {
        /// Which.
        name: ClientName,
        /// The ports granted from now on; all when the inner one is none. Unchanged when the outer one is none.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        ports: Option<Option<BTreeSet<Port>>>,
        /// The last day; never expires when the inner one is none. Unchanged when the outer one is none.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        expires: Option<Option<Day>>,
    },
    /// `import add`.
    AddImport {
        /// Of which remote.
        remote: RemoteName,
        /// Its virtual port.
        remote_port: Port,
        /// Where to listen.
        listen: ListenAddr,
        /// What becomes of a half-close.
        half_close: HalfClose,
        /// Who may connect to it; all when none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        users: Option<Users>,
    },
    /// `import delete`.
    DeleteImport {
        /// Of which remote; of any when none.
        remote: Option<RemoteName>,
        /// Which listening address.
        listen: ListenAddr,
    },
    /// `config set`.
    Set(Setting),
}

/// Reads a field that is there, null included, as a change: serde alone takes null for a field that was left out.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A setting and its new value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "key", content = "value")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Setting {
    /// `agent.socks-addr`.
    SocksAddr(Option<std::net::SocketAddr>),
    /// `agent.socks-users`.
    SocksUsers(Users),
    /// `agent.tor-path`.
    TorPath(Option<PathBuf>),
    /// `agent.max-sessions`.
    MaxSessions(u16),
    /// `agent.bridges`.
    Bridges(Vec<Bridge>),
}

impl Setting {
    /// The keys that `config get` and `config set` know.
    pub const KEYS: [&str; 6] = [
        "agent.socks-addr",
        "agent.socks-users",
        "agent.tor-path",
        "agent.secrets",
        "agent.max-sessions",
        "agent.bridges",
    ];

    /// Reads what `config set KEY VALUE` was given.
    pub fn parse(key: &str, value: &str) -> Result<Self, Problem> {
        let bad =
            |why: String| Problem::new(Code::BadSetting, format!("{key} can't be set to {value:?}: {why}"));
        match key {
            "agent.socks-addr" => parse_socks(value)
                .map(Self::SocksAddr)
                .map_err(|why| bad(why).hint("give an address as in 127.0.0.1:9250, or off")),
            "agent.socks-users" => match value {
                "me" => Ok(Self::SocksUsers(Users::Me)),
                "all" => Ok(Self::SocksUsers(Users::All)),
                _ => Err(bad("it is me or all".into()).hint(
                    "me: the user that the agent runs as, and root; all: everyone who can reach the address",
                )),
            },
            "agent.tor-path" if value.is_empty() => Ok(Self::TorPath(None)),
            "agent.tor-path" if PathBuf::from(value).is_absolute() => Ok(Self::TorPath(Some(value.into()))),
            "agent.tor-path" => {
                Err(bad("the path of a binary is absolute".into())
                    .hint("give it in full, as in /usr/bin/tor"))
            }
            "agent.max-sessions" => match value.parse::<std::num::NonZeroU16>() {
                Ok(number) => Ok(Self::MaxSessions(number.get())),
                Err(_) => Err(bad("it is a number from 1 to 65535".into()).hint(sessions_hint())),
            },
            // The whole text is long, and private.
            "agent.bridges" => bridge::parse_list(value).map(Self::Bridges).map_err(|why| {
                Problem::new(Code::BadSetting, format!("agent.bridges can't be set: {why}"))
                    .hint("copy each line as bridges.torproject.org gives it; separate them by newlines or ;")
            }),
            "agent.secrets" => Err(bad("secrets are moved, not switched".into())
                .hint(format!("ormesh secrets migrate --to {value}"))),
            _ => Err(unknown_key(key)),
        }
    }

    /// What `config get KEY --json` prints: null where nothing is set.
    pub fn json(config: &Config, key: &str) -> Result<serde_json::Value, Problem> {
        let agent = &config.agent;
        Ok(match key {
            "agent.socks-addr" => json!(agent.socks_addr),
            "agent.socks-users" => json!(agent.socks_users),
            "agent.tor-path" => json!(agent.tor_path),
            "agent.secrets" => json!(agent.secrets),
            "agent.max-sessions" => json!(agent.max_sessions),
            "agent.bridges" => json!(agent.bridges),
            _ => return Err(unknown_key(key)),
        })
    }

    /// What `config get KEY` prints.
    pub fn get(config: &Config, key: &str) -> Result<String, Problem> {
        let agent = &config.agent;
        Ok(match key {
            "agent.socks-addr" => agent.socks_addr.map_or("off".into(), |addr| addr.to_string()),
            "agent.socks-users" => agent.socks_users.as_str().to_owned(),
            "agent.tor-path" => {
                agent.tor_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
            }
            "agent.secrets" => agent.secrets.map(|kind| kind.to_string()).unwrap_or_default(),
            "agent.max-sessions" => agent.max_sessions.to_string(),
            "agent.bridges" => agent.bridges.iter().map(Bridge::to_string).collect::<Vec<_>>().join("\n"),
            _ => return Err(unknown_key(key)),
        })
    }
}

fn unknown_key(key: &str) -> Problem {
    Problem::new(Code::BadSetting, format!("there is no setting {key:?}"))
        .hint(format!("the settings are {}", Setting::KEYS.join(", ")))
}

/// Looks a name up in one of the maps, or says that it is not there and what is.
pub fn find<'a, K: Ord + ToString + Clone + Into<Subject>, V>(
    map: &'a BTreeMap<K, V>,
    name: &K,
) -> Result<&'a V, Problem> {
    map.get(name).ok_or_else(|| {
        let subject = name.clone().into();
        let what = subject.noun();
        let known: Vec<String> = map.keys().map(K::to_string).collect();
        let hint = match known.is_empty() {
            true => format!("there are no {what}s yet; `ormesh {what} add` makes one"),
            false => format!("known {what}s: {}", known.join(", ")),
        };
        catalogue::not_there(subject).hint(hint)
    })
}

/// Makes the change, or says why it can't be made; the configuration given is untouched.
///
/// A change that is there already (the same export, the same import) is granted and changes nothing.
pub fn apply(config: &Config, edit: &Edit) -> Result<Config, Problem> {
    let mut new = config.clone();
    match edit {
        Edit::AddExport { target, port, allow_lan, clients } => {
            let port = port.or(target.port()).ok_or_else(|| {
                Problem::new(Code::BadArgument, format!("{target} needs a port under which clients reach it"))
                    .hint(format!("ormesh export add {target} 80"))
            })?;
            let allow_lan = &(*allow_lan && !target.is_local());
            if let Some(export) = config.exports.get(&port)
                && export.target == *target
                // On this host it means nothing, whatever the file says.
                && (target.is_local() || export.allow_lan == *allow_lan)
            {
                // Who it is for stays, where that was not said.
                return match clients.is_none() || *clients == export.clients {
                    true => Ok(new),
                    false => Err(Problem::new(
                        Code::AlreadyThere,
                        format!("port {port} is exported already, for {}", access::whom(export)),
                    )
                    .hint(format!("ormesh export set {port} --client NAME says for whom it is"))),
                };
            }
            config.check_export(port, target, *allow_lan).map_err(|error| {
                let (code, hint) = match error {
                    ExportError::OtherHost(_) => (
                        Code::NotOnThisHost,
                        "add --allow-lan if clients may reach that host through this one".to_owned(),
                    ),
                    ExportError::Reserved => (
                        Code::ReservedPort,
                        format!("let clients reach it under another port: ormesh export add {target} PORT"),
                    ),
                    ExportError::Taken(..) => (
                        Code::AlreadyThere,
                        format!("ormesh export delete {port}, or choose another port: ormesh export add {target} PORT"),
                    ),
                    ExportError::TooMany => {
                        (Code::TooMany, "delete one that is not used: ormesh export list".into())
                    }
                };
                Problem::new(code, error.to_string()).hint(hint)
            })?;
            let export = Export { target: target.clone(), allow_lan: *allow_lan, clients: None };
            new.exports.insert(port, export);
            if clients.is_some() {
                offer(&mut new, port, clients.as_ref())?;
            }
        }
        Edit::SetExport { port, clients } => {
            find(&config.exports, port)?;
            offer(&mut new, *port, clients.as_ref())?;
        }
        Edit::DeleteExport { port } => {
            find(&config.exports, port)?;
            new.exports.remove(port);
        }
        Edit::SetClient { name, ports, expires } => {
            let mut client = find(&config.clients, name)?.clone();
            if let Some(ports) = ports {
                // Those that it has stay its own, exported or not.
                let anew = |port: &&Port| client.ports.as_ref().is_none_or(|had| !had.contains(port));
                let anew: BTreeSet<Port> = ports.iter().flatten().filter(anew).copied().collect();
                check_ports(config, Some(&anew))?;
                grant(&mut new, name, Some(&client), ports.as_ref());
                client.ports.clone_from(ports);
            }
            if let Some(expires) = expires {
                client.expires = *expires;
            }
            new.clients.insert(name.clone(), client);
        }
        Edit::AddImport { remote, remote_port, listen, half_close, users } => {
            let users = users.unwrap_or(Users::All);
            let import = Import { remote_port: *remote_port, half_close: *half_close, users };
            if users == Users::Me && matches!(listen, ListenAddr::Unix(_)) {
                return Err(Problem::new(
                    Code::NotAllowed,
                    format!("{listen} is open to nobody but you already"),
                )
                .hint("leave --only-me out: a Unix socket has mode 0600"));
            }
            let of = find(&config.remotes, remote)?;
            let there = of.imports.get(listen);
            if there == Some(&import) {
                return Ok(new);
            }
            if *remote_port == Port::RESPONDER && !of.plain_tor {
                return Err(Problem::new(
                    Code::ReservedPort,
                    "port 1 of a remote is its responder's, which ormesh itself asks",
                )
                .hint(format!("`ormesh ping {remote}` asks it; import another of its ports")));
            }
            check_free(config, listen)?;
            if let Some(remote) = new.remotes.get_mut(remote) {
                remote.imports.insert(listen.clone(), import);
            }
        }
        Edit::DeleteImport { remote, listen } => {
            let held = config
                .imports()
                .find(|(l, name, ..)| *l == listen && remote.as_ref().is_none_or(|r| r == *name));
            let Some((_, name, ..)) = held else {
                let known: Vec<String> = config.imports().map(|(listen, ..)| listen.to_string()).collect();
                let of = remote.as_ref().map(|remote| format!(" of {remote}")).unwrap_or_default();
                let hint = if known.is_empty() {
                    "there are no imports".into()
                } else {
                    format!("imports: {}", known.join(", "))
                };
                return Err(Problem::new(Code::NotThere, format!("there is no import{of} at {listen}"))
                    .about(Subject::Import(listen.clone()))
                    .hint(hint));
            };
            if let Some(remote) = new.remotes.get_mut(name) {
                remote.imports.remove(listen);
            }
        }
        Edit::Set(setting) => match setting {
            Setting::SocksAddr(addr) => {
                if let Some(addr) = addr {
                    check_no_import(config, &ListenAddr::Tcp(*addr))?;
                }
                new.agent.socks_addr = *addr;
            }
            Setting::SocksUsers(users) => new.agent.socks_users = *users,
            Setting::TorPath(Some(path)) if !path.is_absolute() => {
                return Err(Problem::new(Code::NotAllowed, "the path of a binary is absolute")
                    .hint("give it in full, as in /usr/bin/tor"));
            }
            Setting::TorPath(path) => new.agent.tor_path.clone_from(path),
            Setting::MaxSessions(0) => {
                return Err(
                    Problem::new(Code::NotAllowed, "there can't be 0 sessions at most").hint(sessions_hint())
                );
            }
            Setting::MaxSessions(number) => new.agent.max_sessions = *number,
            Setting::Bridges(bridges) => {
                bridge::check_count(bridges)
                    .map_err(|why| Problem::new(Code::TooMany, why.to_string()).hint("a few are enough"))?;
                new.agent.bridges.clone_from(bridges);
            }
        },
    }
    Ok(new)
}

/// Whether nothing of ours listens at an address, or at one that leaves no room for it.
///
/// Errors: what is there already, and what frees it.
pub fn check_free(config: &Config, listen: &ListenAddr) -> Result<(), Problem> {
    check_no_import(config, listen)?;
    match config.agent.socks_addr {
        Some(socks) if listen.overlaps(&ListenAddr::Tcp(socks)) => Err(Problem::new(
            Code::AddressTaken,
            format!("{listen} is taken by the agent's SOCKS address {socks}"),
        )
        .hint(
            "choose another port; or move the SOCKS address: ormesh config set agent.socks-addr ADDRESS:PORT",
        )),
        _ => Ok(()),
    }
}

fn check_no_import(config: &Config, listen: &ListenAddr) -> Result<(), Problem> {
    let Some((other, remote, _, import)) = config.imports().find(|(other, ..)| other.overlaps(listen)) else {
        return Ok(());
    };
    let port = import.remote_port;
    let message = match other == listen {
        true => format!("{listen} is taken by the import of port {port} of {remote}"),
        false => format!("{listen} is taken by the import of port {port} of {remote} at {other}"),
    };
    Err(Problem::new(Code::AddressTaken, message)
        .hint(format!("ormesh import delete {other} frees it; or choose another address")))
}

/// Says for whom an export is. A client that has a list of its own ports gets or loses this one there, so that both say the same.
fn offer(config: &mut Config, port: Port, clients: Option<&BTreeSet<ClientName>>) -> Result<(), Problem> {
    for name in clients.into_iter().flatten() {
        find(&config.clients, name)?;
    }
    if let Some(clients) = clients {
        for (name, client) in &mut config.clients {
            match &mut client.ports {
                Some(ports) if clients.contains(name) => ports.insert(port),
                Some(ports) => ports.remove(&port),
                None => false,
            };
        }
    }
    if let Some(export) = config.exports.get_mut(&port) {
        export.clients = clients.cloned();
    }
    Ok(())
}

/// Lets a client in at each export for some clients only that its ports name anew, and out at those that they no longer name.
pub(super) fn grant(
    config: &mut Config,
    name: &ClientName,
    before: Option<&Client>,
    ports: Option<&BTreeSet<Port>>,
) {
    let Some(ports) = ports else { return };
    let had =
        |port: &Port| before.and_then(|client| client.ports.as_ref()).is_some_and(|had| had.contains(port));
    for (port, export) in &mut config.exports {
        match (&mut export.clients, ports.contains(port)) {
            (Some(clients), true) if !had(port) => {
                clients.insert(name.clone());
            }
            (Some(_), false) => forget(export, name),
            _ => {}
        }
    }
}

pub(super) fn forget(export: &mut Export, name: &ClientName) {
    // One that is then for nobody stays so: it never becomes one for all.
    if let Some(clients) = &mut export.clients {
        clients.remove(name);
    }
}

/// Ports that are granted must be exported: a mistyped one would be a client that reaches nothing.
pub(super) fn check_ports(config: &Config, ports: Option<&BTreeSet<Port>>) -> Result<(), Problem> {
    match ports.into_iter().flatten().find(|port| !config.exports.contains_key(port)) {
        None => Ok(()),
        Some(port) => Err(Problem::new(Code::NotExported, format!("port {port} is not exported"))
            .hint(format!("ormesh export add {port}"))),
    }
}

/// How a number of sessions is given.
fn sessions_hint() -> String {
    format!("as in {DEFAULT_MAX_SESSIONS}, which it is by default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cleared_stays_apart_from_what_is_left_alone_when_an_edit_crosses() {
        let name: ClientName = "a".parse().unwrap();
        for ports in [None, Some(None), Some(Some(BTreeSet::new()))] {
            for expires in [None, Some(None), Some(Some(Day::from_epoch_days(20_000)))] {
                let edit = Edit::SetClient { name: name.clone(), ports: ports.clone(), expires };

                let text = serde_json::to_string(&edit).unwrap();

                assert_eq!(serde_json::from_str::<Edit>(&text).unwrap(), edit, "{text}");
            }
        }
    }
}
