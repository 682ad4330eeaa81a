//! What tor is asked when, so that it is known whether it is alive, whether it has a way to the network, and whether services of ours can
//! be reached by their introduction points. Pure: the engine carries it out.
//!
//! Two words of tor prove nothing: `network-liveness` and the bootstrap phase stay as they were through any outage. What proves something:
//! connections to relays, a circuit of one hop that is built over one of them, and introduction circuits that stand.
//!
//! Nothing is asked while nobody looks, nothing is used and no service is offered.

use std::collections::{BTreeMap, VecDeque};
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
/// For how long a use, or a look of a person, counts.
const INTEREST: Duration = Duration::from_secs(12);
/// For how long after a change of services or connections it is looked at often.
const SETTLING: Duration = Duration::from_secs(30);
/// A try to build a circuit that takes longer is given up.
const PROBE_LIMIT: Duration = Duration::from_secs(20);
/// Relays that are remembered, to be tried when no connection stands.
const RELAYS: usize = 3;

/// What became of a connection between tor and a relay. The number is tor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It stands.
    Up(u64, RelayId),
    /// It was closed, or could not be made; the reason in tor's word, none where it was closed in order.
    Down(u64, Option<String>),
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
}

/// See the file's sentence. All moments are since one and the same beginning.
#[derive(Debug, Default)]
pub struct Vigil {
    /// Connections that stand.
    links: BTreeMap<u64, RelayId>,
    /// The relays that were connected to last.
    relays: VecDeque<RelayId>,
    /// Since when none stands although one was wanted, and why.
    lost: Option<(Moment, String)>,
    tries: usize,
    next_try: Moment,
    looked: Option<Moment>,
    probe: Option<(u64, Moment)>,
    probed: Option<Moment>,
    used: Option<Moment>,
    watched: Option<Moment>,
    settling: Option<Moment>,
    has_services: bool,
    proven: Option<Moment>,
    to_close: Vec<u64>,
}

impl Vigil {
    /// A connection to a relay has changed.
    pub fn link(&mut self, link: Link, now: Moment) {
        match link {
            Link::Up(number, relay) => {
                self.relays.retain(|known| *known != relay);
                self.relays.push_front(relay.clone());
                self.relays.truncate(RELAYS);
                self.links.insert(number, relay);
                if self.lost.take().is_some() {
                    self.settling = Some(now);
                }
                self.tries = 0;
                self.proven(now);
            }
            Link::Down(number, reason) => {
                let stood = self.links.remove(&number).is_some();
                if let (true, Some(reason)) = (self.links.is_empty(), reason) {
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
                }
            }
        }
    }

    /// Something has come from the network.
    pub fn proven(&mut self, now: Moment) {
        self.proven = Some(now);
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
        if !look.relays.is_empty() && self.links.is_empty() {
            for relay in &look.relays {
                self.link(Link::Up(0, relay.clone()), now);
            }
        }
        if let Some((circuit, began)) = self.probe {
            if look.built.contains(&circuit) {
                self.proven(now);
            }
            if look.built.contains(&circuit) || now >= began + PROBE_LIMIT {
                self.to_close.push(circuit);
                self.probe = None;
            } else if !look.under_way.contains(&circuit) {
                self.probe = None;
            }
        }
    }

    /// A circuit was begun, or tor could not.
    pub fn began(&mut self, circuit: Option<u64>, now: Moment) {
        self.probed = Some(now);
        self.probe = circuit.map(|circuit| (circuit, now));
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
                if now >= self.next_try
                    && let Some(relay) = self.relays.get(self.tries % self.relays.len().max(1)).cloned()
                {
                    let wait = TRIES[self.tries.min(TRIES.len() - 1)];
                    self.tries += 1;
                    self.next_try = now + wait;
                    return Task::Probe(relay);
                }
                if now < self.next_try {
                    at(self.next_try);
                }
            }
        } else if is_watched && self.probe.is_none() {
            let due = self.probed.map_or(now, |probed| probed + SOON);
            match self.links.values().next() {
                Some(relay) if now >= due => return Task::Probe(relay.clone()),
                Some(_) => at(due),
                None => {}
            }
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
mod tests {
    use super::*;

    fn relay(number: u8) -> RelayId {
        format!("${number:040X}").parse().unwrap()
    }

    fn seconds(seconds: f64) -> Moment {
        Duration::from_secs_f64(seconds)
    }

    fn refused() -> Option<String> {
        Some("CONNECTREFUSED".to_owned())
    }

    /// Plays it as an engine does, whose looks find this, and gives what was done in that time.
    fn play(vigil: &mut Vigil, from: f64, to: f64, look: &Look) -> Vec<Task> {
        let (mut now, mut done) = (seconds(from), Vec::new());
        while now < seconds(to) {
            let task = vigil.task(now);
            match &task {
                Task::Look => {
                    vigil.looks(now);
                    vigil.found(look, now);
                }
                Task::Probe(_) => vigil.began(None, now),
                Task::Close(_) => {}
                Task::Wait(until) => {
                    now = until.unwrap_or(seconds(to));
                    continue;
                }
            }
            done.push(task);
        }
        done
    }

    #[test]
    fn nothing_is_asked_while_nobody_looks_and_nothing_is_used_or_offered() {
        let mut vigil = Vigil::default();
        vigil.link(Link::Up(1, relay(1)), seconds(1.0));
        vigil.used(seconds(2.0));

        assert!(!play(&mut vigil, 2.0, 15.0, &Look::default()).is_empty());
        assert_eq!(vigil.task(seconds(15.0)), Task::Wait(None));
        // tor closes what it does not need.
        vigil.link(Link::Down(1, None), seconds(200.0));
        assert_eq!(vigil.task(seconds(201.0)), Task::Wait(None));
        assert_eq!(vigil.offline(seconds(300.0)), None);
    }

    #[test]
    fn a_service_costs_six_questions_a_minute() {
        let mut vigil = Vigil::default();
        vigil.link(Link::Up(1, relay(1)), seconds(0.0));
        vigil.services(true, seconds(0.0));
        let look = Look { relays: vec![relay(1)], ..Look::default() };
        play(&mut vigil, 0.0, 60.0, &look);

        let asked = play(&mut vigil, 60.0, 120.0, &look);

        assert_eq!(asked, vec![Task::Look; 6]);
    }

    #[test]
    fn the_end_of_every_connection_is_the_networks_end_and_it_is_tried_until_it_is_back() {
        let mut vigil = Vigil::default();
        vigil.link(Link::Up(1, relay(1)), seconds(0.0));
        vigil.link(Link::Up(2, relay(2)), seconds(0.0));
        vigil.link(Link::Down(1, refused()), seconds(10.0));
        assert_eq!(vigil.offline(seconds(20.0)), None, "one stands");
        vigil.link(Link::Down(2, refused()), seconds(20.0));
        assert_eq!(vigil.offline(seconds(21.0)), None, "tor may have another at once");
        assert_eq!(vigil.offline(seconds(21.5)), Some("CONNECTREFUSED"));

        let tried = play(&mut vigil, 20.0, 50.0, &Look::default());
        let tried: Vec<_> = tried.into_iter().filter(|task| matches!(task, Task::Probe(_))).collect();

        assert!((6..10).contains(&tried.len()), "{tried:?}");
        assert!(tried.contains(&Task::Probe(relay(1))) && tried.contains(&Task::Probe(relay(2))));
        vigil.link(Link::Up(3, relay(2)), seconds(50.0));
        assert_eq!(vigil.offline(seconds(60.0)), None);
    }

    #[test]
    fn who_looks_has_the_network_proven_every_two_seconds() {
        let mut vigil = Vigil::default();
        vigil.link(Link::Up(1, relay(1)), seconds(0.0));
        vigil.watched(seconds(60.0));
        assert_eq!(vigil.last_proof(), Some(seconds(0.0)));

        assert_eq!(vigil.task(seconds(60.0)), Task::Probe(relay(1)));
        vigil.began(Some(7), seconds(60.0));
        assert_eq!(vigil.task(seconds(60.0)), Task::Look);
        vigil.looks(seconds(60.0));
        vigil.found(&Look { under_way: vec![7], ..Look::default() }, seconds(60.0));
        assert_eq!(vigil.task(seconds(60.1)), Task::Wait(Some(seconds(60.4))));
        vigil.looks(seconds(60.4));
        vigil.found(&Look { built: vec![7], ..Look::default() }, seconds(60.4));

        assert_eq!(vigil.last_proof(), Some(seconds(60.4)));
        assert_eq!(vigil.task(seconds(60.4)), Task::Close(7));
        assert_eq!(vigil.task(seconds(62.0)), Task::Probe(relay(1)));
    }
}
