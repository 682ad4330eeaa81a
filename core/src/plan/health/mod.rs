//! Health: what is known about this host and its remotes, since when, and by which proof. All rooms report to it; [`super::derive`] makes
//! what users see from it.
//!
//! ```text
//! engine ─ state, clock, Lost, Uploaded,  │
//!            Introductions, NetworkProven ──┐
//! forward/dialler ─ Dialled ──────────────┤
//! agent/warm, serve (ping), doctor ─ ─────┤              ┌─ derive ─ status: every state and problem
//!            Answered, Surveyed ──────────┼── Health ────┼─ findings ─ what doctor knows already
//! agent/crowds ─ Full ────────────────────┤              └─ plan ─ what is on its way
//! agent/stranger ─ refused, let in ───────┤
//! agent/execute ─ Given, Withdrawn ───────┤
//! agent/vault ─ Store ────────────────────┘
//! ```
//!
//! Invariants: the last proof wins, by the moment at which it was made; what only tor could prove is forgotten with tor, and a proof from
//! before that comes too late; a service that let a stranger in is never taken for closed again.

mod known;
mod renewals;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backoff::Moment;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::status::TorStatus;
use crate::model::tor::{DialError, EngineState, Survey};

pub use known::{Known, NETWORK_LIFE, Proof, REMOTE_AGAIN, REMOTE_LIFE};
use renewals::{MENDED_BY_TOR, Renewals, jitter};
pub use report::{Full, Report};

/// See the file's sentence.
#[derive(Debug, Clone, Default)]
pub struct Health {
    engine: Option<Known<EngineState>>,
    tor: Option<TorStatus>,
    clock: Option<Known<Option<String>>>,
    survey: Option<Known<Survey>>,
    /// That the network is there, as it was shown last.
    network: Option<Known<()>>,
    services: BTreeMap<OnionAddress, ServiceHealth>,
    /// Services that were recently published again without a change.
    renewals: BTreeMap<OnionAddress, Renewals>,
    /// Services that let a stranger in. Kept until the agent ends.
    open: BTreeMap<OnionAddress, Moment>,
    remotes: BTreeMap<OnionAddress, RemoteHealth>,
    store: Option<Known<Option<Problem>>>,
    /// When tor was last lost, or not connected: what it proved before says nothing any more.
    cut: Moment,
}

/// What is known of a service that tor was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceHealth {
    /// A directory has its present descriptor.
    pub uploaded: Option<Known<()>>,
    /// Whether an introduction point of it stands.
    pub introduced: Option<Known<bool>>,
    /// Its introduction points fell or lead nowhere, and tor puts the same ones up again. An importer's tor that has tried one of them
    /// meanwhile uses it no more for two minutes (`HS_CACHE_CLIENT_INTRO_STATE_MAX_AGE` in tor's source).
    pub passed_by: bool,
    /// It refuses strangers.
    pub closed: Option<Known<()>>,
}

/// What is known of a remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteHealth {
    /// Whether its host was met, or why not. An answer of the host that refuses a connection is a meeting, too.
    pub reach: Option<Known<Result<(), DialError>>>,
    /// The last round trip, there while the host is reached.
    pub round_trip: Option<RoundTrip>,
    /// The ports that it exports to us.
    pub ports: Option<Known<BTreeSet<Port>>>,
    /// Its ports without room.
    pub full: Option<Known<Full>>,
}

/// A round trip to a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    /// How long it took.
    pub took: Duration,
    /// When it was measured.
    pub at: Moment,
    /// Over a circuit that was there; else it includes its building, and says little of the next one.
    pub warm: bool,
}

impl Health {
    /// Takes a report in, of something that was learnt at a moment; whether it tells something new.
    pub fn report(&mut self, report: Report, at: Moment) -> bool {
        match report {
            Report::Engine(state) => {
                if !state.is_ready() {
                    self.cut_off(at);
                }
                Known::learn(&mut self.engine, state, Proof::TorSaid, at)
            }
            Report::Tor(tor) => self.tor.replace(tor.clone()) != Some(tor),
            Report::Clock(warning) => Known::learn(&mut self.clock, warning, Proof::TorSaid, at),
            Report::Lost => {
                self.cut_off(at);
                self.services.clear();
                self.renewals.clear();
                true
            }
            Report::Surveyed(survey) => {
                at >= self.cut && Known::learn(&mut self.survey, survey, Proof::TorAnswered, at)
            }
            Report::Given(address) => {
                self.services.insert(address, ServiceHealth::default());
                true
            }
            Report::Introductions(standing) => {
                let mut is_news = false;
                let ready =
                    self.engine.as_ref().filter(|known| known.what.is_ready()).map(|known| known.since);
                for (address, number) in standing {
                    let Some(service) = self.services.get_mut(&address) else { continue };
                    let fell =
                        service.introduced.as_ref().filter(|known| !known.what).map(|known| known.since);
                    service.passed_by |=
                        number > 0 && fell.zip(ready).is_some_and(|(fell, ready)| fell < ready);
                    is_news |= Known::learn(&mut service.introduced, number > 0, Proof::TorAnswered, at);
                    if let Some(renewals) = self.renewals.get_mut(&address) {
                        renewals.stands(number > 0, at);
                    }
                }
                is_news
            }
            Report::IntroductionsDeserted => {
                for (address, service) in &mut self.services {
                    service.passed_by = true;
                    Known::learn(&mut service.introduced, false, Proof::TorAnswered, at);
                    if let Some(renewals) = self.renewals.get_mut(address) {
                        renewals.stands(false, at);
                    }
                }
                !self.services.is_empty()
            }
            Report::Renewed(address) => {
                let online = self.engine.as_ref().map_or(at, |known| known.since);
                self.renewals.entry(address).or_default().renewed(at, online);
                false
            }
            Report::NetworkProven => {
                at >= self.cut && Known::learn(&mut self.network, (), Proof::Circuit, at)
            }
            Report::Withdrawn(address) => {
                self.renewals.remove(&address);
                self.services.remove(&address).is_some()
            }
            Report::Uploaded(address) => match self.services.get_mut(&address) {
                Some(service) => Known::learn(&mut service.uploaded, (), Proof::Upload, at),
                None => false,
            },
            Report::StrangerRefused(address) => match self.services.get_mut(&address) {
                Some(service) if at >= self.cut => Known::learn(&mut service.closed, (), Proof::Stranger, at),
                _ => false,
            },
            Report::StrangerLetIn(address) => {
                if let Some(service) = self.services.get_mut(&address) {
                    service.closed = None;
                }
                self.open.insert(address, at).is_none()
            }
            Report::Dialled { remote, outcome, took, warm } => {
                let by = Proof::Dial;
                self.of_remote(remote, at, |remote| remote.tried(outcome, RoundTrip { took, at, warm }, by))
            }
            Report::Answered { remote, took, ports } => {
                let round_trip = RoundTrip { took, at, warm: true };
                self.of_remote(remote, at, |remote| {
                    let is_news = remote.tried(Ok(()), round_trip, Proof::Answer);
                    is_news | remote.told_ports(ports, at)
                })
            }
            Report::Full(remote, full) => {
                let full = full.unwrap_or_default();
                self.of_remote(remote, at, |remote| {
                    let was_full = remote.full.as_ref().is_some_and(|known| !known.what.is_empty());
                    let is_full = !full.is_empty();
                    Known::learn(&mut remote.full, full, Proof::Answer, at) && (was_full || is_full)
                })
            }
            Report::KeyRemoved(address) => self.remotes.remove(&address).is_some(),
            Report::Store(failure) => Known::learn(&mut self.store, failure, Proof::Store, at),
        }
    }

    /// What only tor could prove, and is no more.
    fn cut_off(&mut self, at: Moment) {
        self.cut = self.cut.max(at);
        self.remotes.clear();
        self.survey = None;
        self.network = None;
    }

    /// Nothing is learnt of a remote without tor, and nothing by a tor that was lost since.
    fn of_remote(
        &mut self,
        address: OnionAddress,
        at: Moment,
        learn: impl FnOnce(&mut RemoteHealth) -> bool,
    ) -> bool {
        self.is_ready() && at >= self.cut && learn(self.remotes.entry(address).or_default())
    }

    /// What the engine is doing.
    pub fn engine(&self) -> &EngineState {
        self.engine.as_ref().map_or(&EngineState::Stopped, |known| &known.what)
    }

    /// Whether the engine takes services and keys.
    pub fn is_ready(&self) -> bool {
        self.engine().is_ready()
    }

    /// Which tor runs, or ran last.
    pub fn tor(&self) -> Option<&TorStatus> {
        self.tor.as_ref()
    }

    /// What is wrong with this host's clock, in a sentence.
    pub fn clock(&self) -> Option<&String> {
        self.clock.as_ref()?.what.as_ref()
    }

    /// How tor stood when it was last asked.
    pub fn survey(&self) -> Option<&Known<Survey>> {
        self.survey.as_ref()
    }

    /// A service that tor was given.
    pub fn service(&self, address: &OnionAddress) -> Option<&ServiceHealth> {
        self.services.get(address)
    }

    /// Whether a directory has a service's present descriptor.
    pub fn is_uploaded(&self, address: &OnionAddress) -> bool {
        self.service(address).is_some_and(|service| service.uploaded.is_some())
    }

    /// When a service that tor has had since this moment is to be given to it anew, since no introduction point of it stands, or none that
    /// every importer uses. None while one does, and while that is not known.
    ///
    /// An outage of the network may have used up the circuits that tor builds for a service in five minutes, and importers that tried
    /// meanwhile pass by the introduction points from before: then nothing but another beginning helps, and it is due at once. Else tor may
    /// mend it by itself, and is given time. A renewal that does not help is followed by the next ever later; one that an outage has spoilt is soon repeated, some times in a row.
    pub fn renewal_due(&self, address: &OnionAddress, given: Moment) -> Option<Moment> {
        let engine = self.engine.as_ref().filter(|known| known.what.is_ready())?;
        let service = self.services.get(address)?;
        let introduced = service.introduced.as_ref().filter(|known| !known.what || service.passed_by)?;
        let jitter = jitter(address);
        if let Some(wait) = self.renewals.get(address).and_then(|of_it| of_it.wait(engine.since)) {
            return Some(wait.max(engine.since) + jitter);
        }
        Some(match given < engine.since || service.passed_by {
            true => engine.since.max(given) + jitter,
            false => introduced.since.max(given) + MENDED_BY_TOR + jitter,
        })
    }

    /// That the network is there, as it was shown last.
    pub fn network(&self) -> Option<&Known<()>> {
        self.network.as_ref()
    }

    /// For how long nothing has come from the network although tor is connected, where that is too long.
    pub fn network_unconfirmed(&self, now: Moment) -> Option<Duration> {
        let engine = self.engine.as_ref().filter(|known| known.what.is_ready())?;
        let network = self.network.as_ref().map(|known| known.proven);
        let met = |remote: &RemoteHealth| {
            remote.reach.as_ref().filter(|reach| reach.what.is_ok()).map(|reach| reach.proven)
        };
        let uploaded = |service: &ServiceHealth| service.uploaded.as_ref().map(|known| known.proven);
        let proofs = self.remotes.values().filter_map(met).chain(self.services.values().filter_map(uploaded));
        let last = proofs.chain(network).fold(engine.since, Moment::max);
        Some(now.saturating_sub(last)).filter(|age| *age > NETWORK_LIFE)
    }

    /// For how long a remote that was reached was not heard of, where that is too long.
    pub fn remote_unconfirmed(&self, address: &OnionAddress, now: Moment) -> Option<Duration> {
        let reach = self.remote(address)?.reach.as_ref().filter(|reach| reach.what.is_ok())?;
        Some(now.saturating_sub(reach.proven)).filter(|age| *age > REMOTE_LIFE)
    }

    /// Whether a remote was tried, and that is so long ago that who looks should have it tried again. One that is in use is reached all the
    /// time; it tells its ports only when it is asked.
    pub fn is_to_be_tried(&self, address: &OnionAddress, now: Moment) -> bool {
        let is_old = |proven: Moment| now >= proven + REMOTE_AGAIN;
        self.remote(address).is_some_and(|remote| {
            remote.reach.as_ref().is_some_and(|reach| {
                is_old(reach.proven)
                    || reach.what.is_ok() && remote.ports.as_ref().is_some_and(|ports| is_old(ports.proven))
            })
        })
    }

    /// Whether a remote was reached since it told its ports, so that these are not known any more.
    pub fn has_old_ports(&self, address: &OnionAddress) -> bool {
        self.remote(address).is_some_and(RemoteHealth::has_old_ports)
    }

    /// Whether an introduction point of a service stands; none where nobody knows.
    pub fn is_introduced(&self, address: &OnionAddress) -> Option<bool> {
        Some(self.service(address)?.introduced.as_ref()?.what)
    }

    /// Whether a service let a stranger in: then it stays down.
    pub fn is_open(&self, address: &OnionAddress) -> bool {
        self.open.contains_key(address)
    }

    /// The services that let a stranger in.
    pub fn open(&self) -> impl Iterator<Item = &OnionAddress> {
        self.open.keys()
    }

    /// A remote that was tried.
    pub fn remote(&self, address: &OnionAddress) -> Option<&RemoteHealth> {
        self.remotes.get(address)
    }

    /// Whether the last attempt met a remote; none where there was none since tor is connected.
    pub fn is_reached(&self, address: &OnionAddress) -> Option<bool> {
        Some(self.remote(address)?.reach.as_ref()?.what.is_ok())
    }

    /// The ports that a remote exports to us, as it told last; none where it did not, or where it was reached since without telling.
    pub fn exported(&self, address: &OnionAddress) -> Option<&BTreeSet<Port>> {
        let remote = self.remote(address).filter(|remote| !remote.has_old_ports())?;
        remote.ports.as_ref().map(|ports| &ports.what)
    }

    /// Whether a remote, as far as it has told, exports this port to us.
    pub fn is_exported(&self, address: &OnionAddress, port: Port) -> Option<bool> {
        self.exported(address).map(|ports| ports.contains(&port))
    }

    /// What is wrong with the secret store, as it answered last.
    pub fn store(&self) -> Option<&Problem> {
        self.store.as_ref()?.what.as_ref()
    }
}

impl RemoteHealth {
    fn has_old_ports(&self) -> bool {
        let reached = self.reach.as_ref().filter(|reach| reach.what.is_ok());
        reached
            .zip(self.ports.as_ref())
            .is_some_and(|(reach, ports)| reach.proven > ports.proven + REMOTE_LIFE)
    }

    fn told_ports(&mut self, ports: Option<BTreeSet<Port>>, at: Moment) -> bool {
        match (ports, &mut self.ports) {
            (Some(ports), slot) => Known::learn(slot, ports, Proof::Answer, at),
            // An agent of a version that does not tell takes nothing back.
            (None, Some(known)) => {
                known.proven = known.proven.max(at);
                false
            }
            (None, None) => false,
        }
    }

    fn tried(&mut self, outcome: Result<(), DialError>, round_trip: RoundTrip, by: Proof) -> bool {
        let at = round_trip.at;
        if self.reach.as_ref().is_some_and(|known| at < known.proven) {
            return false;
        }
        let outcome = match outcome {
            Err(error) if !error.has_met() => Err(error),
            _ => Ok(()),
        };
        self.round_trip = match (&outcome, self.round_trip) {
            (Err(_), _) => None,
            (Ok(()), Some(known)) if known.warm && !round_trip.warm => Some(known),
            (Ok(()), _) => Some(round_trip),
        };
        let was_so = |known: &&Known<Result<(), DialError>>| known.what.is_ok() == outcome.is_ok();
        let since = self.reach.as_ref().filter(was_so).map_or(at, |known| known.since);
        let is_news = Known::learn(&mut self.reach, outcome, by, at);
        if let Some(known) = &mut self.reach {
            // Another reason is not another state.
            known.since = since;
        }
        is_news
    }
}
