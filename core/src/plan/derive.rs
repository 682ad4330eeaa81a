//! Derives what users see from Desired and Observed: every state and every problem of `status` is decided in this file.
//!
//! Invariant: nothing is said to be up without a proof in [`super::health`], while the agent is paused, or while tor is not connected; and
//! where the proof is too old, its age is said.

use std::collections::BTreeMap;

use super::backoff::Moment;
use super::chronicle::Line;
use super::health::Health;
use super::{Desired, Observed, Subject, is_up};
use crate::model::address::{ListenAddr, Port};
use crate::model::config::{Client, Config, Export};
use crate::model::day::Day;
use crate::model::exposure;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Problem, catalogue};
use crate::model::status::{
    AgentState, AgentStatus, ClientState, ClientStatus, Event, ExportStatus, Happening, ImportState,
    ImportStatus, RemoteState, RemoteStatus, SessionStatus, Status, VERSION,
};
use crate::model::tor::EngineState;

/// What the rooms that carry traffic count: sessions and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Open now.
    pub sessions: u32,
    /// Bytes to the service and from it.
    pub bytes: (u64, u64),
    /// Of an import: those that go through a session.
    pub through: Option<SessionStatus>,
}

/// The agent as a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// The file that describes a private Tor network, when it uses one.
    pub network: Option<std::path::PathBuf>,
}

/// Everything a status is derived from while an agent runs.
#[derive(Debug)]
pub struct View<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Whether the user paused the agent.
    pub is_paused: bool,
    /// What is wanted.
    pub desired: &'a Desired,
    /// What is, and what is known of how it does.
    pub observed: &'a Observed,
    /// The agent.
    pub process: &'a Process,
    /// Time since it started.
    pub now: Moment,
    /// The same by this host's clock, in seconds since 1970-01-01 UTC.
    pub unix: u64,
    /// Traffic of each client, by its service.
    pub clients: BTreeMap<OnionAddress, Traffic>,
    /// The ports that turn each client away, for want of room.
    pub full: BTreeMap<OnionAddress, Vec<Port>>,
    /// Traffic of each import.
    pub imports: BTreeMap<ListenAddr, Traffic>,
    /// Why the configuration on disk is not in force, or may not be seen.
    pub configuration: Vec<Problem>,
    /// What keeps connections out at what listens here, and what is wrong with files.
    pub here: Vec<Problem>,
}

impl View<'_> {
    fn health(&self) -> &Health {
        &self.observed.health
    }

    /// Today.
    pub fn today(&self) -> Day {
        Day::from_unix(self.unix)
    }
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
        events: Vec::new(),
    }
}

/// The status of a host whose agent runs, and in which these problems stand: [`problems`], through [`super::standing`].
pub fn status(view: &View<'_>, standing: &[Problem]) -> Status {
    let mut status = at_rest(view.config);
    let mut agent = agent_status(view);
    if agent.state == AgentState::Online {
        agent.unconfirmed = view.health().network_unconfirmed(view.now).map(|age| age.as_secs());
    }
    for client in &mut status.clients {
        let traffic = view.clients.get(&client.address).copied().unwrap_or_default();
        client.state = Some(client_state(view, &agent.state, client, traffic));
        client.sessions = traffic.sessions;
        client.bytes = traffic.bytes;
        client.full = view.full.get(&client.address).cloned().unwrap_or_default();
        client.last_seen = view.observed.last_seen.get(&client.address).copied();
    }
    for remote in &mut status.remotes {
        let state = remote_state(view, &agent.state, &remote.address);
        for import in &mut remote.imports {
            let traffic = view.imports.get(&import.listen).copied().unwrap_or_default();
            import.sessions = traffic.sessions;
            import.bytes = traffic.bytes;
            import.through = traffic.through;
            import.state = Some(import_state(view, &import.listen, &state));
            if matches!(import.state, Some(ImportState::Listening))
                && view.health().is_exported(&remote.address, import.remote_port) == Some(false)
            {
                import.state = Some(ImportState::NotExported { by: remote.name.clone() });
            }
        }
        if let Some(ports) = view.health().exported(&remote.address) {
            remote.offers = Some(ports.iter().copied().collect());
        }
        if matches!(state, RemoteState::Reachable { .. }) {
            remote.unconfirmed =
                view.health().remote_unconfirmed(&remote.address, view.now).map(|age| age.as_secs());
        }
        remote.state = Some(state);
    }
    status.problems = standing.to_vec();
    status.events = events(view);
    status.agent = Some(agent);
    status
}

/// Whether a status will be known better in a moment: who asks has proven again what is old. A remote that runs no ormesh is sent nothing.
pub fn awaits_proof(view: &View<'_>, status: &Status) -> bool {
    let is_asked = |name| view.config.remotes.get(name).is_some_and(|remote| !remote.plain_tor);
    status.agent.as_ref().is_some_and(|agent| agent.unconfirmed.is_some())
        || status
            .remotes
            .iter()
            .filter(|remote| is_asked(&remote.name))
            .any(|remote| remote.unconfirmed.is_some() || view.health().has_old_ports(&remote.address))
}

/// What the chronicle keeps, but for what is about remotes and clients that are no more.
fn events(view: &View<'_>) -> Vec<Event> {
    let name = |address: &OnionAddress| {
        view.config
            .remotes
            .iter()
            .find(|(_, remote)| remote.address == *address)
            .map(|(name, _)| name.clone())
    };
    let happening = |line: &Line| {
        Some(match line {
            Line::Online { again, after } => Happening::Online { after: after.as_secs(), again: *again },
            Line::Offline { why, .. } => Happening::Offline { why: why.clone() },
            Line::Found { remote, after } => {
                Happening::Found { remote: name(remote)?, after: after.map(|after| after.as_secs()) }
            }
            Line::Lost { remote, why } => Happening::Lost { remote: name(remote)?, why: why.clone() },
            Line::Connected { client } => {
                Happening::Connected { client: view.config.client_at(client)?.0.clone() }
            }
            Line::Began { what } => Happening::Began { what: what.clone() },
            Line::Ended { what } => Happening::Ended { what: what.clone() },
        })
    };
    let event = |(at, line): &(Moment, Line)| {
        let ago = view.now.saturating_sub(*at).as_secs();
        Some(Event { at: view.unix.saturating_sub(ago), what: happening(line)? })
    };
    view.observed.chronicle.kept().filter_map(event).collect()
}

/// What is wrong, causes first. What keeps many Steps from being done (a locked store) may be in it many times.
pub fn problems(view: &View<'_>) -> Vec<Problem> {
    let health = view.health();
    let mut problems = view.configuration.clone();
    problems.extend(engine_problem(health.engine()).filter(|_| !view.is_paused));
    let is_found = !matches!(health.engine(), EngineState::Failed { is_missing: true, .. });
    problems.extend(
        health
            .tor()
            .filter(|_| is_found)
            .and_then(|tor| Some(catalogue::tor_passed_over(tor.passed_over.as_ref()?, tor))),
    );
    let clock = health.clock().filter(|_| !view.is_paused);
    problems.extend(clock.map(catalogue::clock_wrong));
    problems.extend(health.store().cloned());
    problems.extend(health.open().map(|address| open_problem(view.config, address)));
    problems.extend(view.here.iter().cloned());
    for (name, remote) in &view.config.remotes {
        let full = health.remote(&remote.address).and_then(|remote| remote.full.as_ref());
        let full = full.into_iter().flat_map(|known| &known.what);
        problems.extend(full.map(|(port, full)| catalogue::full_there(name, *port, *full)));
    }
    problems.extend(view.observed.failures.values().map(|backoff| backoff.problem.clone()));
    problems
}

fn engine_problem(engine: &EngineState) -> Option<Problem> {
    match engine {
        EngineState::Failed { why, hint, is_missing: true, .. } => Some(catalogue::tor_missing(why, hint)),
        EngineState::Failed { why, hint, .. } => Some(catalogue::tor_failed(why, hint)),
        EngineState::Bootstrapping { warning: Some(warning), .. } => Some(catalogue::tor_stuck(warning)),
        EngineState::Offline { why } => Some(catalogue::tor_stuck(why)),
        _ => None,
    }
}

fn open_problem(config: &Config, address: &OnionAddress) -> Problem {
    let subject = config.subject_at(address);
    match config.client_at(address) {
        Some((name, _)) => catalogue::service_open(subject, name),
        None => catalogue::service_open(subject, address),
    }
}

fn agent_status(view: &View<'_>) -> AgentStatus {
    let socks = view.observed.socks;
    AgentStatus {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: view.process.pid,
        uptime: view.now.as_secs(),
        state: agent_state(view.health().engine(), view.is_paused),
        unconfirmed: None,
        tor: view.health().tor().cloned(),
        socks: socks.map(|socks| socks.addr),
        socks_users: socks.map(|socks| socks.users),
        socks_note: socks.and_then(|socks| exposure::of_socks(socks.addr, socks.users)),
        network: view.process.network.clone(),
        secrets: view.config.agent.secrets.map(|kind| kind.to_string()),
        bridges: u32::try_from(view.config.agent.bridges.len()).ok().filter(|number| *number > 0),
    }
}

fn agent_state(engine: &EngineState, is_paused: bool) -> AgentState {
    match engine {
        _ if is_paused => AgentState::Paused,
        EngineState::Stopped | EngineState::Starting => AgentState::Starting,
        EngineState::Bootstrapping { percent, doing, .. } => {
            AgentState::Connecting { percent: *percent, doing: doing.clone() }
        }
        EngineState::Ready => AgentState::Online,
        EngineState::Failed { why, .. } | EngineState::Offline { why } => {
            AgentState::Offline { why: why.clone() }
        }
    }
}

fn client_state(view: &View<'_>, agent: &AgentState, client: &ClientStatus, traffic: Traffic) -> ClientState {
    if view.observed.expired.is_over(&client.address, client.expires, view.today()) {
        return ClientState::Expired;
    }
    if *agent == AgentState::Paused {
        return ClientState::Invited;
    }
    if traffic.sessions > 0 {
        return ClientState::Connected;
    }
    if let Some(backoff) = view.observed.failures.get(&Subject::Service(client.address)) {
        return ClientState::Failing { why: backoff.problem.message.clone() };
    }
    if client.may_reach.is_empty() {
        return ClientState::NoPort;
    }
    if !view.desired.services.contains_key(&client.address) {
        return ClientState::Invited;
    }
    let is_there = view.health().is_uploaded(&client.address)
        && view.health().is_introduced(&client.address) != Some(false)
        && is_up(view.desired, view.observed, &client.address)
        && *agent == AgentState::Online;
    match view.observed.published.contains_key(&client.address) {
        _ if is_there => ClientState::Reachable,
        false if *agent != AgentState::Online => ClientState::Invited,
        _ => ClientState::Publishing,
    }
}

fn remote_state(view: &View<'_>, agent: &AgentState, address: &OnionAddress) -> RemoteState {
    let known = match agent {
        AgentState::Online => view.health().remote(address),
        _ => None,
    };
    let Some((remote, reach)) = known.and_then(|remote| Some((remote, remote.reach.as_ref()?))) else {
        return RemoteState::Unknown;
    };
    match &reach.what {
        Ok(()) => {
            let millis = remote.round_trip.map_or(0, |round_trip| round_trip.took.as_millis());
            RemoteState::Reachable { round_trip: u64::try_from(millis).unwrap_or(u64::MAX) }
        }
        Err(why) => RemoteState::Unreachable { why: why.to_string() },
    }
}

fn import_state(view: &View<'_>, listen: &ListenAddr, remote: &RemoteState) -> ImportState {
    if let Some(backoff) = view.observed.failures.get(&Subject::Listener(listen.clone())) {
        return ImportState::Blocked { why: backoff.problem.message.clone() };
    }
    match (view.observed.listeners.contains_key(listen), remote) {
        (true, RemoteState::Unreachable { .. }) => ImportState::Degraded,
        (true, _) => ImportState::Listening,
        (false, _) if view.is_paused => ImportState::Paused,
        (false, _) => ImportState::Opening,
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
        full: Vec::new(),
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
        through: None,
        bytes: (0, 0),
    });
    RemoteStatus {
        name: name.clone(),
        address: remote.address,
        expires: remote.expires,
        state: None,
        unconfirmed: None,
        offers: (!remote.ports.is_empty()).then(|| remote.ports.iter().copied().collect()),
        imports: imports.collect(),
    }
}

#[cfg(test)]
mod tests;
