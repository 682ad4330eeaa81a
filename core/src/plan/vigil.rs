//! What tor is asked when, so that it is known whether it is alive, whether it has a way to the network, and whether services of ours can
//! be reached by their introduction points. Pure: the engine carries it out.
//!
//! Two words of tor prove nothing: `network-liveness` and the bootstrap phase stay as they were through any outage. What proves something:
//! connections to relays, a circuit of one hop that is built over one of them, and introduction circuits that stand.
//!
//! A connection can die without a word: this host's address changed, a router forgot it, the relay lost its power. tor holds it for up
//! to a quarter of an hour, with every introduction circuit over it, and nobody reaches the services meanwhile. So the relays that carry such
//! circuits are asked by a circuit of one hop every 10 s. One that fails has tor connect to that relay anew for later circuits
//! (`circuit_build_failed` in tor's source). Once a later one is built the network is there, and the circuits from before lead nowhere:
//! services that were introduced by them are published anew, and the others are closed, but for those of sessions.
//!
//! Nothing is asked while nobody looks, nothing is used and no service is offered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::backoff::Moment;
use crate::model::tor::RelayId;

/// No connection stands for so long after one was lost: then there is no network. tor makes one anew within a second.
const OFFLINE_AFTER: Duration = Duration::from_millis(1500);
/// Between two tries to reach a relay while there is no network. A try costs the network nothing until it succeeds.
const TRIES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(5)];
/// Between two looks while somebody waits or watches, or something is on its way.
const SOON: Duration = Duration::from_secs(2);
/// Between two looks while only services are offered.
const SELDOM: Duration = Duration::from_secs(10);
/// A circuit under way is looked for again after this time.
const PROBE_LOOK: Duration = Duration::from_millis(400);
/// The number of a connection that only a look has found: tor's own are higher.
const FOUND: u64 = 0;
/// For how long a use, or a look of a person, counts.
const INTEREST: Duration = Duration::from_secs(12);
/// For how long after a change of services or connections it is looked at often.
const SETTLING: Duration = Duration::from_secs(30);
/// A try to build a circuit that takes longer is given up.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// Relays that are remembered, to be tried when no connection stands.
const RELAYS: usize = 3;
/// How often a relay that carries introduction circuits is asked. A service is away for this, [`PROBE_LIMIT`] and a second or two at most
/// after a connection has died in silence.
const PROVE: Duration = Duration::from_secs(10);
/// A proof that old is not asked for again when somebody connects.
const PROVEN_LATELY: Duration = Duration::from_secs(10);
/// Circuits are not closed again before this time: each is built anew. Those that are left lead nowhere, and tor tries one after the other.
const CLOSE_AGAIN: Duration = Duration::from_secs(30);

/// Why there is no network, as far as is known, where this host was asleep. tor has no such word.
pub const ASLEEP: &str = "ASLEEP";
/// The same where this host has lost an address.
pub const MOVED: &str = "MOVED";
/// The same where no connection stands, none was seen to fail, and relays were asked in vain.
const UNANSWERED: &str = "UNANSWERED";
/// So many questions in a row that tor can't ask show that there is no network: the first relay is asked twice, then another one.
const IN_VAIN: usize = 3;

/// What became of a connection between tor and a relay. The number is tor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It stands.
    Up(u64, RelayId),
    /// It was closed, or could not be made; the reason in tor's word, none where it was closed in order.
    Down(u64, Option<String>),
}

/// What tor says to a circuit of one hop that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is on its way, by this number.
    Circuit(u64),
    /// There is no connection to the relay, and none can be begun.
    Failed,
    /// tor does not know the relay, or not how to speak with it.
    UnknownRelay,
    /// Nothing.
    Unanswered,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Ask how circuits and connections are.
    Look,
    /// Build a circuit of one hop to this relay.
    Probe(RelayId),
    /// Close that circuit, which has shown what it was to show.
    Close(u64),
    /// Nothing, until this moment or a change. None waits for a change alone.
    Wait(Option<Moment>),
}

/// What a look has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The relays that a connection stands to.
    pub relays: Vec<RelayId>,
    /// The circuits that are built, of those that were asked for.
    pub built: Vec<u64>,
    /// Those that are on their way.
    pub under_way: Vec<u64>,
    /// Whether a service of ours has no introduction point that stands.
    pub lacks_introduction: bool,
    /// The circuits of several hops.
    pub circuits: Vec<Circuit>,
}

/// A circuit of several hops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    /// tor's number for it: a later one has a higher number.
    pub number: u64,
    /// The relay that it enters the network by.
    pub first: RelayId,
    /// What it is for.
    pub carries: Carries,
}

/// What a circuit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Whoever connects to a service of ours: an introduction circuit.
    Introductions,
    /// A session, or what will be one.
    Session,
    /// Nothing yet, or something that is asked for again.
    Other,
}

/// See the file's sentence. All moments are since one and the same beginning.
#[derive(Debug, Default)]
pub struct Vigil {
    /// Connections that stand.
    links: BTreeMap<u64, RelayId>,
    /// Those of them that stood when another was found to be silent: they may be so, too, and prove nothing until their relays answer.
    suspects: BTreeSet<u64>,
    /// The relays that were connected to last.
    relays: VecDeque<RelayId>,
    /// Since when none stands although one was wanted, and why.
    lost: Option<(Moment, String)>,
    /// The last one was lost, and nobody has been told.
    fell: bool,
    /// Introduction circuits lead nowhere, and nobody has been told.
    deserted: bool,
    /// Questions in a row that could not be asked while no connection stood.
    in_vain: usize,
    tries: usize,
    next_try: Moment,
    looked: Option<Moment>,
    probe: Option<Probe>,
    probed: Option<Moment>,
    /// The relay that the circuit of one hop that was asked for last leads to.
    asked: Option<RelayId>,
    /// The circuit that a relay has closed last.
    refused: Option<u64>,
    /// The circuits of several hops, as the last look has found them.
    circuits: Vec<Circuit>,
    /// When each relay that these enter by has answered last.
    answered: BTreeMap<RelayId, Moment>,
    /// The relays that did not answer. Their circuits up to this number may lead nowhere.
    doubted: BTreeMap<RelayId, u64>,
    /// The same, once another answer has shown that the network is there.
    dead: BTreeMap<RelayId, u64>,
    closed: Option<Moment>,
    used: Option<Moment>,
    watched: Option<Moment>,
    settling: Option<Moment>,
    has_services: bool,
    proven: Option<Moment>,
    to_close: Vec<u64>,
}

/// A circuit of one hop on its way.
#[derive(Debug)]
struct Probe {
    circuit: u64,
    relay: RelayId,
    began: Moment,
}

impl Vigil {
    /// A connection to a relay has changed.
    pub fn link(&mut self, link: Link, now: Moment) {
        match link {
            Link::Up(number, relay) => {
                self.relays.retain(|known| *known != relay);
                self.relays.push_front(relay.clone());
                self.relays.truncate(RELAYS);
                if self.doubted.contains_key(&relay) {
                    // It takes the place of one that is silent, which tor may hold for long yet.
                    self.links.retain(|_, to| *to != relay);
                    self.suspects = self.links.keys().copied().collect();
                }
                // One that only a look has found has its number now.
                if self.links.get(&FOUND) == Some(&relay) {
                    self.links.remove(&FOUND);
                }
                self.links.insert(number, relay);
                self.in_vain = 0;
                if self.lost.take().is_some() {
                    self.settling = Some(now);
                }
                self.tries = 0;
                self.proven(now);
            }
            Link::Down(number, reason) => {
                let stood = self.links.remove(&number).is_some();
                self.suspects.remove(&number);
                let none_stands = self.none_stands();
                if let (true, Some(reason)) = (none_stands, reason) {
                    match &mut self.lost {
                        Some((_, why)) => *why = reason,
                        None => {
                            self.next_try = now + TRIES[0];
                            self.lost = Some((now, reason));
                        }
                    }
                }
                if stood {
                    self.settling = Some(now);
                    self.fell |= none_stands && self.lost.is_some();
                }
            }
        }
    }

    /// Something has come from the network.
    pub fn proven(&mut self, now: Moment) {
        self.proven = Some(now);
    }

    /// This host was asleep: what stood before may be gone, and nothing is believed until the network has answered.
    pub fn woke(&mut self, now: Moment) {
        if self.links.is_empty() && self.lost.is_none() {
            return;
        }
        self.lost = Some((now.saturating_sub(OFFLINE_AFTER), ASLEEP.to_owned()));
        (self.tries, self.next_try) = (0, now);
        self.settling = Some(now);
        // An answer to a question from before would prove nothing.
        self.to_close.extend(self.probe.take().map(|probe| probe.circuit));
    }

    /// Whether all connections were lost since this was last asked, and with them the introduction circuits. tor makes them anew.
    pub fn take_fell(&mut self) -> bool {
        std::mem::take(&mut self.fell)
    }

    /// Whether introduction circuits were found to lead nowhere since this was last asked, though tor holds them. Once tor notices, it puts
    /// the same points up again, and importers that tried one meanwhile pass it by: the services need others.
    pub fn take_deserted(&mut self) -> bool {
        std::mem::take(&mut self.deserted)
    }

    /// This host has lost an address. What is connected over it leads nowhere, and nobody says so: there is no network until it has answered.
    /// Where another address is used it does so before anybody notices.
    pub fn moved(&mut self, now: Moment) {
        if self.links.is_empty() {
            return;
        }
        if self.lost.is_none() {
            self.lost = Some((now, MOVED.to_owned()));
        }
        // The relays that circuits enter by are asked first, all of them and those of services before others.
        self.answered.values_mut().for_each(|at| *at = now.saturating_sub(PROVE).min(*at));
        let is_better = |circuit: &&Circuit| circuit.carries == Carries::Introductions;
        let entered = self.circuits.iter().find(is_better).or(self.circuits.first());
        if let Some(relay) = entered.map(|circuit| circuit.first.clone()) {
            self.relays.retain(|known| *known != relay);
            self.relays.push_front(relay);
            self.relays.truncate(RELAYS);
        }
        (self.tries, self.next_try) = (0, now);
        self.settling = Some(now);
        // An answer over another address would say nothing, and one that can't come would take its time.
        self.to_close.extend(self.probe.take().map(|probe| probe.circuit));
    }

    /// Somebody connects through tor.
    pub fn used(&mut self, now: Moment) {
        self.used = Some(now);
    }

    /// Somebody looks at how it stands.
    pub fn watched(&mut self, now: Moment) {
        self.watched = Some(now);
    }

    /// Services were given to tor or taken from it; whether it has any now.
    pub fn services(&mut self, any: bool, now: Moment) {
        self.has_services = any;
        self.settling = Some(now);
    }

    /// A look was asked for.
    pub fn looks(&mut self, now: Moment) {
        self.looked = Some(now);
    }

    /// What it has found.
    pub fn found(&mut self, look: &Look, now: Moment) {
        if look.lacks_introduction && !look.relays.is_empty() {
            self.settling = Some(now);
        }
        // tor's own count, should an event have been missed.
        if self.links.get(&FOUND).is_some_and(|relay| !look.relays.contains(relay) || self.is_numbered(relay))
        {
            self.links.remove(&FOUND);
        }
        if self.links.is_empty() {
            for relay in &look.relays {
                self.link(Link::Up(FOUND, relay.clone()), now);
            }
        }
        self.circuits.clone_from(&look.circuits);
        self.answered.retain(|relay, _| look.circuits.iter().any(|circuit| circuit.first == *relay));
        for circuit in &look.circuits {
            self.answered.entry(circuit.first.clone()).or_insert(now);
        }
        let Some(probe) = self.probe.take() else { return };
        if look.built.contains(&probe.circuit) {
            self.to_close.push(probe.circuit);
            self.answers(probe.relay, now);
        } else if !look.under_way.contains(&probe.circuit) {
            self.asked_in_vain(&probe.relay, now);
            self.doubt(probe);
        } else if now >= probe.began + PROBE_LIMIT {
            // That relay may be gone alone, or slow to connect to: what else tor does will show it.
            self.to_close.push(probe.circuit);
            self.doubt(probe);
        } else {
            self.probe = Some(probe);
        }
    }

    /// A relay has closed this circuit, which may be one of ours.
    pub fn refused(&mut self, circuit: u64, now: Moment) {
        // A look that does not find it any more may be read before, and what tor says of the beginning of it later.
        let doubted = self.doubted.iter().find(|(_, last)| **last == circuit).map(|(relay, _)| relay.clone());
        let probe = self.probe.take_if(|probe| probe.circuit == circuit);
        match probe.map(|probe| probe.relay).or(doubted) {
            Some(relay) => self.refuses(relay, now),
            None => self.refused = Some(circuit),
        }
    }

    /// A relay that has too much to do refuses circuits: it has answered all the same. Those that it has carry on, and would not be built
    /// again. (It may keep such an answer back, like every DESTROY, so that it seems silent at first.)
    fn refuses(&mut self, relay: RelayId, now: Moment) {
        self.doubted.remove(&relay);
        self.dead.remove(&relay);
        self.answers(relay, now);
    }

    fn answers(&mut self, relay: RelayId, now: Moment) {
        self.proven(now);
        (self.tries, self.in_vain) = (0, 0);
        if self.lost.take().is_some() {
            self.settling = Some(now);
        }
        let dead = std::mem::take(&mut self.doubted);
        let introduces_nobody = |circuit: &Circuit| {
            circuit.carries == Carries::Introductions
                && dead.get(&circuit.first).is_some_and(|last| circuit.number <= *last)
        };
        if self.circuits.iter().any(introduces_nobody) {
            self.deserted = true;
            self.settling = Some(now);
        }
        self.dead.extend(dead);
        self.suspects.retain(|number| self.links.get(number) != Some(&relay));
        if let Some(answered) = self.answered.get_mut(&relay) {
            *answered = now;
        }
    }

    fn doubt(&mut self, probe: Probe) {
        // Only the first says something of the circuits from before: tor connects anew for the next.
        self.doubted.entry(probe.relay).or_insert(probe.circuit);
    }

    /// Connections that relays close in order say nothing, and for a minute tor tries none again that has failed just before. Where none stands
    /// and relays can't be asked, there is no network.
    fn asked_in_vain(&mut self, relay: &RelayId, now: Moment) {
        if !self.none_stands() || self.lost.is_some() {
            return;
        }
        self.ask_later(relay);
        self.in_vain += 1;
        if self.in_vain >= IN_VAIN {
            self.next_try = now + TRIES[0];
            self.lost = Some((now, UNANSWERED.to_owned()));
        }
    }

    /// Whether a connection to this relay is known by its number, so that its end is heard.
    fn is_numbered(&self, relay: &RelayId) -> bool {
        self.links.iter().any(|(number, to)| *number != FOUND && to == relay)
    }

    /// Others are asked before this relay again.
    fn ask_later(&mut self, relay: &RelayId) {
        let at = self.relays.iter().position(|known| known == relay);
        if let Some(later) = at.and_then(|at| self.relays.remove(at)) {
            self.relays.push_back(later);
        }
    }

    fn none_stands(&self) -> bool {
        self.links.keys().all(|number| self.suspects.contains(number))
    }

    /// A circuit was begun, or tor could not.
    pub fn began(&mut self, begun: Begun, now: Moment) {
        self.probed = Some(now);
        let (asked, refused) = (self.asked.take(), self.refused.take());
        let Some(relay) = asked else { return };
        match begun {
            Begun::Circuit(circuit) if refused == Some(circuit) => self.refuses(relay, now),
            Begun::Circuit(circuit) => self.probe = Some(Probe { circuit, relay, began: now }),
            Begun::Failed => self.asked_in_vain(&relay, now),
            // tor may lack its descriptor for now.
            Begun::UnknownRelay => {
                self.ask_later(&relay);
                self.answered.remove(&relay);
                self.doubted.remove(&relay);
            }
            Begun::Unanswered => {}
        }
    }

    /// Whether a circuit of one hop is on its way, so that it matters which circuits relays close.
    pub fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// The relay to ask next, and from when on.
    fn next_probe(&self, now: Moment) -> Option<(RelayId, Moment)> {
        let after = |pause: Duration| self.probed.map_or(now, |probed| probed + pause);
        let recent = |at: Option<Moment>, life: Duration| at.is_some_and(|at| now < at + life);
        let is_watched = recent(self.watched, INTEREST);
        let is_used = recent(self.used, INTEREST);
        if !self.doubted.is_empty() {
            if !is_watched && !is_used && !self.has_services {
                return None;
            }
            let mut all: Vec<&RelayId> = self.doubted.keys().collect();
            for relay in self.relays.iter().chain(self.links.values()) {
                if !all.contains(&relay) {
                    all.push(relay);
                }
            }
            let relay = all.get(self.tries % all.len().max(1))?;
            return Some(((*relay).clone(), after(TRIES[self.tries.min(TRIES.len() - 1)])));
        }
        let introduces = |relay: &RelayId| {
            let is_one = |circuit: &&Circuit| circuit.carries == Carries::Introductions;
            self.circuits.iter().filter(is_one).any(|circuit| circuit.first == *relay)
        };
        let longest = |only: &dyn Fn(&RelayId) -> bool| {
            let of = self.answered.iter().filter(|(relay, _)| only(relay));
            of.min_by_key(|(_, at)| **at).map(|(relay, at)| (relay.clone(), *at))
        };
        let mut due = longest(&introduces).map(|(relay, at)| (relay, at + PROVE));
        let mut may_be = |relay: RelayId, at: Moment| {
            if due.as_ref().is_none_or(|(_, due)| at < *due) {
                due = Some((relay, at));
            }
        };
        let none_stands = self.none_stands();
        // Circuits from before tell nothing where no connection stands.
        let entered = longest(&|_| true).map(|(relay, _)| relay).filter(|_| !none_stands);
        // Of those that are connected, one that tor did not know comes last.
        let is_connected = |relay: &&RelayId| self.links.values().any(|to| to == *relay);
        let connected = || self.relays.iter().find(is_connected).or_else(|| self.links.values().next());
        let any = entered.or_else(|| connected().cloned());
        if let Some(relay) = any.or_else(|| self.relays.front().cloned()) {
            if none_stands && self.has_services {
                may_be(relay.clone(), after(PROVE));
            }
            if is_watched {
                may_be(relay, after(SOON));
            } else if is_used {
                may_be(relay, self.proven.map_or(now, |proven| proven + PROVEN_LATELY));
            }
        }
        due.map(|(relay, at)| (relay, at.max(after(SOON))))
    }

    /// Has circuits closed that lead nowhere, but not too often.
    fn close_dead(&mut self, now: Moment) {
        if self.dead.is_empty() || self.closed.is_some_and(|closed| now < closed + CLOSE_AGAIN) {
            return;
        }
        let dead = std::mem::take(&mut self.dead);
        let leads_nowhere = |circuit: &&Circuit| {
            circuit.carries == Carries::Other
                && dead.get(&circuit.first).is_some_and(|last| circuit.number <= *last)
        };
        let numbers: Vec<u64> = self.circuits.iter().filter(leads_nowhere).map(|it| it.number).collect();
        if !numbers.is_empty() {
            self.closed = Some(now);
            self.settling = Some(now);
            self.to_close.extend(numbers);
        }
    }

    /// Why there is no network; none while there is one, as far as is known.
    pub fn offline(&self, now: Moment) -> Option<&str> {
        self.lost.as_ref().filter(|(since, _)| now >= *since + OFFLINE_AFTER).map(|(_, why)| why.as_str())
    }

    /// When the network was last proven to be there.
    pub fn last_proof(&self) -> Option<Moment> {
        self.proven
    }

    /// What is due.
    pub fn task(&mut self, now: Moment) -> Task {
        self.close_dead(now);
        if let Some(circuit) = self.to_close.pop() {
            return Task::Close(circuit);
        }
        let recent = |at: Option<Moment>, life: Duration| at.is_some_and(|at| now < at + life);
        let is_watched = recent(self.watched, INTEREST);
        let mut wake: Option<Moment> = None;
        let mut at = |moment: Moment| wake = Some(wake.map_or(moment, |wake| wake.min(moment)));
        if let Some((since, _)) = &self.lost {
            if now < *since + OFFLINE_AFTER {
                at(*since + OFFLINE_AFTER);
            }
            if self.probe.is_none() {
                // Each twice: for the second try tor connects anew, where the first went over a connection that leads nowhere.
                if now >= self.next_try
                    && let Some(relay) = self.relays.get(self.tries / 2 % self.relays.len().max(1)).cloned()
                {
                    let wait = TRIES[self.tries.min(TRIES.len() - 1)];
                    self.tries += 1;
                    self.next_try = now + wait;
                    self.asked = Some(relay.clone());
                    return Task::Probe(relay);
                }
                if now < self.next_try {
                    at(self.next_try);
                }
            }
        } else if self.probe.is_none()
            && let Some((relay, due)) = self.next_probe(now)
        {
            if now >= due {
                if !self.doubted.is_empty() {
                    self.tries += 1;
                }
                self.asked = Some(relay.clone());
                return Task::Probe(relay);
            }
            at(due);
        }
        let between = if self.probe.is_some() {
            Some(PROBE_LOOK)
        } else if is_watched
            || recent(self.used, INTEREST)
            || (self.has_services && recent(self.settling, SETTLING))
            || self.lost.is_some()
        {
            Some(SOON)
        } else if self.has_services {
            Some(SELDOM)
        } else {
            None
        };
        if let Some(between) = between {
            let due = self.looked.map_or(now, |looked| looked + between);
            if now >= due {
                return Task::Look;
            }
            at(due);
        }
        Task::Wait(wake)
    }
}

#[cfg(test)]
mod tests;
