//! Room 2, brain: compares what is wanted with what is, and says what to do next. Pure: no clock, no IO; time comes in as a value.
//!
//! Desired comes from the configuration, Observed from Facts; [`plan`] gives Steps, removals first. A Step goes out, a Fact comes back.

pub mod adopt;
pub mod backoff;
pub mod derive;
pub mod doctor;
mod facts;
pub mod given;
pub mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::address::{ListenAddr, Port, Target};
use crate::model::config::{Config, HalfClose, Users};
use crate::model::day::Day;
use crate::model::keys::ClientPublicKey;
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;
use backoff::Backoff;

/// Time since the agent started; only differences matter.
pub type Moment = Duration;

/// How many services may be on their way to the directories at once. Twenty at once stall tor (circuit-pending cap); ten don't.
const PUBLISHING_AT_ONCE: usize = 10;
/// Between two publications once that many are on their way.
const PUBLISH_PACE: Duration = Duration::from_millis(500);
/// Changed port lists wait this long for more of them, since each costs a new descriptor.
const REPLACE_DEBOUNCE: Duration = Duration::from_secs(1);

/// What the configuration asks for, today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// One service for each client that is not expired and has a port to reach.
    pub services: BTreeMap<OnionAddress, Service>,
    /// The services of remotes, and the public half of our key for each.
    pub remotes: BTreeMap<OnionAddress, ClientPublicKey>,
    /// What listens for imports.
    pub listeners: BTreeMap<ListenAddr, Listener>,
    /// The agent's SOCKS server.
    pub socks: Option<Socks>,
}

/// The SOCKS server as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socks {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Who may use it.
    pub users: Users,
}

/// A service as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Whose it is.
    pub client: ClientName,
    /// The only key that reads its descriptor.
    pub key: ClientPublicKey,
    /// Virtual port → what is behind its gate. Besides the responder's it holds at least one port.
    pub ports: BTreeMap<Port, Behind>,
}

impl Service {
    /// The gate of one of its ports.
    fn door(&self, port: &Port) -> Option<Door> {
        Some(Door { key: self.key, behind: self.ports.get(port)?.clone() })
    }
}

/// What is behind a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// An export's target.
    Target(Target),
    /// The agent itself, on virtual port 1.
    Responder,
}

/// A gate that is open: for whom, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Whose key the service takes: sessions under another one end.
    pub key: ClientPublicKey,
    /// What is behind it.
    pub behind: Behind,
}

/// An import as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Whose port.
    pub remote: RemoteName,
    /// The remote's service.
    pub address: OnionAddress,
    /// The public half of our key for it: what came through by another one ends.
    pub key: ClientPublicKey,
    /// Its virtual port.
    pub port: Port,
    /// What becomes of a half-close.
    pub half_close: HalfClose,
    /// Who may connect to it.
    pub users: Users,
}

impl Desired {
    /// What a configuration asks for on a day; nothing at all while the agent is paused.
    ///
    /// Invariant: a client with no port to reach, or whose last day is over, has no service.
    pub fn from_config(config: &Config, today: Day, paused: bool) -> Self {
        if paused {
            return Self::default();
        }
        let users = config.agent.socks_users;
        let socks = config.agent.socks_addr.map(|addr| Socks { addr, users });
        let mut desired = Self { socks, ..Self::default() };
        for (name, client) in &config.clients {
            let granted = config.granted_ports(name, client);
            if client.expires.is_some_and(|day| day.is_over(today)) || granted.is_empty() {
                continue;
            }
            let targets = config.exports.iter().filter(|(port, _)| granted.contains(port));
            let targets = targets.map(|(port, export)| (*port, Behind::Target(export.target.clone())));
            let ports = targets.chain([(Port::RESPONDER, Behind::Responder)]).collect();
            let service = Service { client: name.clone(), key: client.key, ports };
            desired.services.insert(client.address, service);
        }
        for (name, remote) in &config.remotes {
            desired.remotes.insert(remote.address, remote.key);
            for (listen, import) in &remote.imports {
                let listener = Listener {
                    remote: name.clone(),
                    address: remote.address,
                    key: remote.key,
                    port: import.remote_port,
                    half_close: import.half_close,
                    users: import.users,
                };
                desired.listeners.insert(listen.clone(), listener);
            }
        }
        desired
    }
}

/// What is, as far as the Facts have told.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Whether the engine takes services and keys.
    pub ready: bool,
    /// The gates that are open, by service and port.
    pub gates: BTreeMap<(OnionAddress, Port), Door>,
    /// What tor was given.
    pub published: BTreeMap<OnionAddress, Published>,
    /// The remotes whose key tor holds.
    pub keys: BTreeMap<OnionAddress, ClientPublicKey>,
    /// What listens.
    pub listeners: BTreeMap<ListenAddr, Listener>,
    /// Of the gates and listeners that are open, those whose socket is not where it was made any more: nobody finds them.
    pub gone: BTreeSet<Socket>,
    /// The SOCKS server that listens.
    pub socks: Option<Socks>,
    /// What failed lately, and when it may be tried again.
    pub failures: BTreeMap<Subject, Backoff>,
    /// When each client was last seen, in seconds since 1970: who used it last is published first.
    pub last_seen: BTreeMap<OnionAddress, u64>,
    /// When the last service was handed to tor.
    pub last_publish: Option<Moment>,
}

/// A service that tor was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Whose key restricts it.
    pub key: ClientPublicKey,
    /// The virtual ports it was given with; none when it is not known what tor has.
    pub ports: BTreeSet<Port>,
    /// When.
    pub at: Moment,
    /// Whether a directory has its descriptor.
    pub uploaded: bool,
}

/// A socket in the file system on which the agent listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    /// A gate's.
    Gate(OnionAddress, Port),
    /// An import's.
    Listener(ListenAddr),
}

/// What a Step, and so a failure, is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Publishing or replacing a service, or opening its gates.
    Service(OnionAddress),
    /// Taking a service down.
    Withdrawal(OnionAddress),
    /// Handing over the key for a remote.
    Key(OnionAddress),
    /// Having tor forget the key for a remote.
    KeyRemoval(OnionAddress),
    /// Listening for an import.
    Listener(ListenAddr),
    /// The SOCKS server.
    Socks,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Stop listening, and close what came through.
    CloseListener(ListenAddr),
    /// Stop the SOCKS server.
    CloseSocks,
    /// Close a gate and its sessions: from now on nobody reaches that port.
    CloseGate(OnionAddress, Port),
    /// Close a service's circuits and take it down. Its gates are closed already.
    Withdraw(OnionAddress),
    /// Have tor forget the key for a remote.
    RemoveKey(OnionAddress),
    /// Open a gate, or only its socket where that is gone. It is there before tor knows of it.
    OpenGate(OnionAddress, Port, ClientName, Door),
    /// Give tor a service with these ports.
    Publish(OnionAddress, ClientPublicKey, BTreeSet<Port>),
    /// Give tor another list of ports for a service, in one go.
    Replace(OnionAddress, ClientPublicKey, BTreeSet<Port>),
    /// Listen for an import, or only make its socket again where that is gone.
    OpenListener(ListenAddr, Listener),
    /// Start the SOCKS server.
    OpenSocks(Socks),
    /// Hand tor the key for a remote. Last, since tor drops keys on some signals.
    AddKey(OnionAddress, ClientPublicKey),
}

impl Step {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::CloseListener(listen) | Self::OpenListener(listen, _) => Subject::Listener(listen.clone()),
            Self::CloseSocks | Self::OpenSocks(_) => Subject::Socks,
            Self::CloseGate(address, _)
            | Self::OpenGate(address, ..)
            | Self::Publish(address, ..)
            | Self::Replace(address, ..) => Subject::Service(*address),
            Self::Withdraw(address) => Subject::Withdrawal(*address),
            Self::AddKey(address, _) => Subject::Key(*address),
            Self::RemoveKey(address) => Subject::KeyRemoval(*address),
        }
    }
}

/// What to do now, and when to ask again at the latest if no Fact comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In order: removals, then additions.
    pub steps: Vec<Step>,
    /// When something waits for time alone.
    pub wake: Option<Moment>,
}

impl Plan {
    fn wake_at(&mut self, moment: Moment) {
        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
    }
}

/// Compares what is wanted with what is.
pub fn plan(desired: &Desired, observed: &Observed, now: Moment) -> Plan {
    let mut plan = Plan::default();
    remove(&mut plan, desired, observed, now);
    add_gates(&mut plan, desired, observed, now);
    add_listeners(&mut plan, desired, observed, now);
    if observed.ready {
        add_services(&mut plan, desired, observed, now);
        add_keys(&mut plan, desired, observed, now);
    }
    plan
}

/// Nothing here waits: who may not come in is kept out now. Only what tor was told in vain is told again after a while.
fn remove(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (listen, open) in &observed.listeners {
        if desired.listeners.get(listen) != Some(open) {
            plan.steps.push(Step::CloseListener(listen.clone()));
        }
    }
    if observed.socks.is_some() && observed.socks != desired.socks {
        plan.steps.push(Step::CloseSocks);
    }
    for ((address, port), door) in &observed.gates {
        let wanted = desired.services.get(address).and_then(|service| service.door(port));
        if wanted.as_ref() != Some(door) {
            plan.steps.push(Step::CloseGate(*address, *port));
        }
    }
    for (address, published) in &observed.published {
        let is_wanted = desired.services.get(address).is_some_and(|service| service.key == published.key);
        if !is_wanted && !waits(plan, observed, &Subject::Withdrawal(*address), now) {
            plan.steps.push(Step::Withdraw(*address));
        }
    }
    for (address, key) in &observed.keys {
        let is_wanted = desired.remotes.get(address) == Some(key);
        if !is_wanted && !waits(plan, observed, &Subject::KeyRemoval(*address), now) {
            plan.steps.push(Step::RemoveKey(*address));
        }
    }
}

fn add_gates(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (address, service) in &desired.services {
        if waits(plan, observed, &Subject::Service(*address), now) {
            continue;
        }
        for (port, door) in service.ports.keys().filter_map(|port| Some((port, service.door(port)?))) {
            let is_gone = observed.gone.contains(&Socket::Gate(*address, *port));
            if is_gone || observed.gates.get(&(*address, *port)) != Some(&door) {
                plan.steps.push(Step::OpenGate(*address, *port, service.client.clone(), door));
            }
        }
    }
}

fn add_listeners(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (listen, listener) in &desired.listeners {
        let open = observed.listeners.get(listen) == Some(listener)
            && !observed.gone.contains(&Socket::Listener(listen.clone()));
        if !open && !waits(plan, observed, &Subject::Listener(listen.clone()), now) {
            plan.steps.push(Step::OpenListener(listen.clone(), listener.clone()));
        }
    }
    if let Some(socks) = desired.socks
        && observed.socks != Some(socks)
        && !waits(plan, observed, &Subject::Socks, now)
    {
        plan.steps.push(Step::OpenSocks(socks));
    }
}

/// At most one service is handed over in a plan once many are on their way; who was seen last comes first.
fn add_services(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    let mut waiting: Vec<_> =
        desired.services.iter().filter(|(address, _)| !is_up(desired, observed, address)).collect();
    waiting.sort_by_key(|(address, _)| std::cmp::Reverse(observed.last_seen.get(*address)));
    let is_on_its_way = |published: &&Published| !published.uploaded && !published.ports.is_empty();
    let mut on_their_way = observed.published.values().filter(is_on_its_way).count();
    let mut last = observed.last_publish;
    for (address, service) in waiting {
        if waits(plan, observed, &Subject::Service(*address), now) {
            continue;
        }
        let ports: BTreeSet<Port> = service.ports.keys().copied().collect();
        let ready_at = match observed.published.get(address) {
            Some(published) if published.key == service.key => {
                let settled = published.at + REPLACE_DEBOUNCE;
                let paced = if on_their_way >= PUBLISHING_AT_ONCE {
                    last.map(|last| last + PUBLISH_PACE)
                } else {
                    None
                };
                paced.map_or(settled, |paced| paced.max(settled))
            }
            _ if on_their_way >= PUBLISHING_AT_ONCE => last.map_or(now, |last| last + PUBLISH_PACE),
            _ => now,
        };
        if ready_at > now {
            plan.wake_at(ready_at);
            continue;
        }
        plan.steps.push(match observed.published.get(address) {
            Some(published) if published.key == service.key => Step::Replace(*address, service.key, ports),
            _ => Step::Publish(*address, service.key, ports),
        });
        on_their_way += 1;
        last = Some(now);
    }
}

/// Whether tor has a service as it is wanted.
pub fn is_up(desired: &Desired, observed: &Observed, address: &OnionAddress) -> bool {
    let (Some(service), Some(published)) = (desired.services.get(address), observed.published.get(address))
    else {
        return false;
    };
    published.key == service.key && published.ports.iter().eq(service.ports.keys())
}

fn add_keys(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (address, key) in &desired.remotes {
        if observed.keys.get(address) != Some(key) && !waits(plan, observed, &Subject::Key(*address), now) {
            plan.steps.push(Step::AddKey(*address, *key));
        }
    }
}

/// Whether a subject is in backoff; then the plan wakes at its end.
fn waits(plan: &mut Plan, observed: &Observed, subject: &Subject, now: Moment) -> bool {
    match observed.failures.get(subject).map(|backoff| backoff.retry_at) {
        Some(at) if at > now => {
            plan.wake_at(at);
            true
        }
        _ => false,
    }
}
