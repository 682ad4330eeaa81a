//! Derives what people see from what is wanted and what is: every state of `status` is decided in this file.

use std::collections::BTreeMap;

use super::{Desired, Observed, Subject, is_up};
use crate::model::address::{ListenAddr, Port};
use crate::model::config::{Client, Config, Export};
use crate::model::day::Day;
use crate::model::exposure;
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::status::{
    AgentState, AgentStatus, ClientState, ClientStatus, ExportStatus, ImportState, ImportStatus, RemoteState,
    RemoteStatus, Status, VERSION,
};

/// What the rooms that carry traffic count: sessions and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Open now.
    pub sessions: u32,
    /// Bytes to the service and from it.
    pub bytes: (u64, u64),
}

/// Everything a status is derived from while an agent runs.
#[derive(Debug)]
pub struct View<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Today.
    pub today: Day,
    /// What it asks for.
    pub desired: &'a Desired,
    /// What is.
    pub observed: &'a Observed,
    /// The agent itself.
    pub agent: AgentStatus,
    /// Traffic of each client, by its service.
    pub clients: BTreeMap<OnionAddress, Traffic>,
    /// Traffic of each import.
    pub imports: BTreeMap<ListenAddr, Traffic>,
    /// What the last attempts told of each remote.
    pub remotes: BTreeMap<OnionAddress, RemoteState>,
    /// What stands, as [`super::standing`] gives it.
    pub problems: Vec<Problem>,
}

/// The status of a host with no agent running: what the configuration says.
pub fn at_rest(config: &Config) -> Status {
    Status {
        version: VERSION,
        agent: None,
        exports: exports(config),
        clients: config.clients.iter().map(|(name, client)| client_status(config, name, client)).collect(),
        remotes: config.remotes.keys().map(|name| remote_status(config, name)).collect(),
        requests: config.requests.keys().cloned().collect(),
        problems: Vec::new(),
    }
}

/// The status of a host whose agent runs.
pub fn status(view: View<'_>) -> Status {
    let mut status = at_rest(view.config);
    for client in &mut status.clients {
        let traffic = view.clients.get(&client.address).copied().unwrap_or_default();
        client.state = Some(client_state(&view, client, traffic));
        client.sessions = traffic.sessions;
        client.bytes = traffic.bytes;
        client.last_seen = view.observed.last_seen.get(&client.address).copied();
    }
    for remote in &mut status.remotes {
        let state = view.remotes.get(&remote.address).cloned().unwrap_or(RemoteState::Unknown);
        let unreachable = matches!(state, RemoteState::Unreachable { .. });
        remote.state = Some(state);
        for import in &mut remote.imports {
            let traffic = view.imports.get(&import.listen).copied().unwrap_or_default();
            import.sessions = traffic.sessions;
            import.bytes = traffic.bytes;
            import.state = Some(import_state(&view, &import.listen, unreachable));
        }
    }
    status.problems = view.problems.clone();
    let socks = view.observed.socks;
    let note = socks.and_then(|socks| exposure::of_socks(socks.addr, socks.users));
    status.agent = Some(AgentStatus { socks_note: note, ..view.agent });
    status
}

fn client_state(view: &View<'_>, client: &ClientStatus, traffic: Traffic) -> ClientState {
    if client.expires.is_some_and(|day| day.is_over(view.today)) {
        return ClientState::Expired;
    }
    if traffic.sessions > 0 {
        return ClientState::Connected;
    }
    if let Some(backoff) = view.observed.failures.get(&Subject::Service(client.address)) {
        return ClientState::Failing { why: backoff.problem.message.clone() };
    }
    if !view.desired.services.contains_key(&client.address) {
        // Nothing to reach yet (no export, or none of those granted), or the agent is paused.
        return ClientState::Invited;
    }
    match view.observed.published.get(&client.address) {
        Some(published) if published.uploaded && is_up(view.desired, view.observed, &client.address) => {
            ClientState::Reachable
        }
        None if view.agent.state != AgentState::Online => ClientState::Invited,
        _ => ClientState::Publishing,
    }
}

fn import_state(view: &View<'_>, listen: &ListenAddr, unreachable: bool) -> ImportState {
    if let Some(backoff) = view.observed.failures.get(&Subject::Listener(listen.clone())) {
        return ImportState::Blocked { why: backoff.problem.message.clone() };
    }
    match view.observed.listeners.contains_key(listen) {
        true if unreachable => ImportState::Degraded,
        true => ImportState::Listening,
        false if view.agent.state == AgentState::Paused => ImportState::Paused,
        false => ImportState::Opening,
    }
}

fn exports(config: &Config) -> Vec<ExportStatus> {
    let status = |(port, export): (&Port, &Export)| ExportStatus {
        target: export.target.clone(),
        port: *port,
        clients: export.clients.as_ref().map(|clients| clients.iter().cloned().collect()),
    };
    config.exports.iter().map(status).collect()
}

fn client_status(config: &Config, name: &crate::model::name::ClientName, client: &Client) -> ClientStatus {
    ClientStatus {
        name: name.clone(),
        address: client.address,
        ports: client.ports.as_ref().map(|ports| ports.iter().copied().collect()),
        may_reach: config.granted_ports(name, client).into_iter().collect(),
        expires: client.expires,
        state: None,
        sessions: 0,
        bytes: (0, 0),
        last_seen: None,
    }
}

fn remote_status(config: &Config, name: &crate::model::name::RemoteName) -> RemoteStatus {
    let remote = &config.remotes[name];
    let imports = remote.imports.iter().map(|(listen, import)| ImportStatus {
        listen: listen.clone(),
        remote_port: import.remote_port,
        users: matches!(listen, ListenAddr::Tcp(_)).then_some(import.users),
        note: exposure::of_import(listen, import.users, import.remote_port, name),
        state: None,
        sessions: 0,
        bytes: (0, 0),
    });
    RemoteStatus {
        name: name.clone(),
        address: remote.address,
        expires: remote.expires,
        state: None,
        imports: imports.collect(),
    }
}
