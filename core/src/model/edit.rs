//! Changes that any shell may ask for, and the rules for them. Pure: the result is a new configuration or a refusal. No change here
//! contains a key: those are in `super::key_change`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::access;
use super::address::{ListenAddr, Port, Target};
use super::bridge;
use super::config::{Client, Config, Export, ExportError, HalfClose, Import, Users};
use super::day::Day;
use super::hold::{Hold, Session};
use super::name::{ClientName, RemoteName};
use super::naming;
use super::problem::{Code, Problem, Subject, catalogue};
pub use super::setting::Setting;
use super::setting::sessions_hint;

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
    /// `export set --to`, `--target`: clients reach it under another port, or it leads elsewhere. Who may reach it stays.
    MoveExport {
        /// The virtual port.
        port: Port,
        /// The virtual port from now on; the same when none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        to: Option<Port>,
        /// Where the connections go from now on; as before when none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        target: Option<Target>,
        /// Whether that may be another host.
        #[serde(default)]
        allow_lan: bool,
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
    /// `client rename`: its address, its keys and its invite stay.
    RenameClient {
        /// Which.
        name: ClientName,
        /// What it is called from now on.
        to: ClientName,
    },
    /// `remote rename`, also of a request that waits: its address, our key and its imports stay.
    RenameRemote {
        /// Which.
        name: RemoteName,
        /// What it is called from now on.
        to: RemoteName,
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
        /// Whether its connections go through a session; they do when none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        session: Option<Session>,
        /// How long they are held then; 15 minutes when none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        hold: Option<Hold>,
    },
    /// `import set`: what is left out stays as it is.
    SetImport {
        /// Which listening address.
        listen: ListenAddr,
        /// Where it listens from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        to: Option<ListenAddr>,
        /// What becomes of a half-close.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        half_close: Option<HalfClose>,
        /// Who may connect to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        users: Option<Users>,
        /// Whether its connections go through a session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        session: Option<Session>,
        /// How long they are held then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        hold: Option<Hold>,
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
            check_export(config, port, target, *allow_lan)?;
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
        Edit::MoveExport { port, to, target, allow_lan } => {
            let export = find(&config.exports, port)?.clone();
            let to = to.unwrap_or(*port);
            let allow_lan = match target {
                Some(target) => *allow_lan && !target.is_local(),
                None => export.allow_lan || *allow_lan && !export.target.is_local(),
            };
            let target = target.clone().unwrap_or(export.target.clone());
            if let Some(other) = config.exports.get(&to).filter(|_| to != *port) {
                let taken = ExportError::Taken(to, other.target.clone()).to_string();
                return Err(Problem::new(Code::AlreadyThere, taken)
                    .hint(format!("choose another port; or stop that one: ormesh export delete {to}")));
            }
            new.exports.remove(port);
            check_export(&new, to, &target, allow_lan).map_err(|problem| match problem.code {
                Code::ReservedPort => {
                    problem.hint(format!("choose another port: ormesh export set {port} --to PORT"))
                }
                _ => problem,
            })?;
            new.exports.insert(to, Export { target, allow_lan, ..export });
            for ports in new.clients.values_mut().filter_map(|client| client.ports.as_mut()) {
                // A port that is left over from an export of before lets nobody in.
                match ports.remove(port) {
                    true => ports.insert(to),
                    false => to != *port && ports.remove(&to),
                };
            }
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
        Edit::RenameClient { name, to } => {
            find(&config.clients, name)?;
            naming::check_client(config, to, Some(name))?;
            naming::rename_client(&mut new, name, to);
        }
        Edit::RenameRemote { name, to } => {
            if !config.requests.contains_key(name) {
                find(&config.remotes, name)?;
            }
            naming::check_remote(config, to, Some(name))?;
            naming::rename_remote(&mut new, name, to);
        }
        Edit::AddImport { remote, remote_port, listen, half_close, users, session, hold } => {
            let users = users.unwrap_or(Users::All);
            let import = Import {
                remote_port: *remote_port,
                half_close: *half_close,
                users,
                session: session.unwrap_or_default(),
                hold: hold.unwrap_or_default(),
            };
            check_users(listen, users)?;
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
        Edit::SetImport { listen, to, half_close, users, session, hold } => {
            let (name, import) = find_import(config, None, listen)?;
            let to = to.as_ref().unwrap_or(listen);
            // A socket is its user's alone as it is, and what was stays so at an address that has no mode.
            let before = match (listen, to) {
                (_, ListenAddr::Unix(_)) => Users::All,
                (ListenAddr::Unix(_), ListenAddr::Tcp(_)) => Users::Me,
                (ListenAddr::Tcp(_), ListenAddr::Tcp(_)) => import.users,
            };
            let import = Import {
                remote_port: import.remote_port,
                half_close: half_close.unwrap_or(import.half_close),
                users: users.unwrap_or(before),
                session: session.unwrap_or(import.session),
                hold: hold.unwrap_or(import.hold),
            };
            check_users(to, import.users)?;
            if let Some(remote) = new.remotes.get_mut(name) {
                remote.imports.remove(listen);
            }
            check_free(&new, to)?;
            if let Some(remote) = new.remotes.get_mut(name) {
                remote.imports.insert(to.clone(), import);
            }
        }
        Edit::DeleteImport { remote, listen } => {
            let (name, _) = find_import(config, remote.as_ref(), listen)?;
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
            Setting::Sessions(on) => new.agent.sessions = *on,
            Setting::Bridges(bridges) => {
                bridge::check_count(bridges)
                    .map_err(|why| Problem::new(Code::TooMany, why.to_string()).hint("a few are enough"))?;
                new.agent.bridges.clone_from(bridges);
            }
        },
    }
    Ok(new)
}

/// The rules that an export meets, with what can be done about each.
fn check_export(config: &Config, port: Port, target: &Target, allow_lan: bool) -> Result<(), Problem> {
    config.check_export(port, target, allow_lan).map_err(|error| {
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
                format!(
                    "ormesh export delete {port}, or choose another port: ormesh export add {target} PORT"
                ),
            ),
            ExportError::TooMany => (Code::TooMany, "delete one that is not used: ormesh export list".into()),
        };
        Problem::new(code, error.to_string()).hint(hint)
    })
}

/// The import at an address, of one remote or of any, and whose it is.
fn find_import<'a>(
    config: &'a Config,
    remote: Option<&RemoteName>,
    listen: &ListenAddr,
) -> Result<(&'a RemoteName, &'a Import), Problem> {
    let mut held =
        config.imports().filter(|(l, name, ..)| *l == listen && remote.is_none_or(|remote| remote == *name));
    if let Some((_, name, _, import)) = held.next() {
        return Ok((name, import));
    }
    let known: Vec<String> = config.imports().map(|(listen, ..)| listen.to_string()).collect();
    let of = remote.map(|remote| format!(" of {remote}")).unwrap_or_default();
    let hint = if known.is_empty() {
        "there are no imports".into()
    } else {
        format!("imports: {}", known.join(", "))
    };
    Err(Problem::new(Code::NotThere, format!("there is no import{of} at {listen}"))
        .about(Subject::Import(listen.clone()))
        .hint(hint))
}

/// A Unix socket's mode says by itself who may connect.
fn check_users(listen: &ListenAddr, users: Users) -> Result<(), Problem> {
    match (users, listen) {
        (Users::Me, ListenAddr::Unix(_)) => {
            Err(Problem::new(Code::NotAllowed, format!("{listen} is open to nobody but you already"))
                .hint("leave --only-me out: a Unix socket has mode 0600"))
        }
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests;
