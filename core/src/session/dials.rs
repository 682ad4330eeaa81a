//! When the importer dials, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::limits::Limits;
use super::words::{LinkId, Luck, Moment};

/// A link that lives shorter counts as a failure: its next dial waits.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// Dials under way, from their beginning until the exporter has let the link in.
#[derive(Debug, Default)]
pub(super) struct Dials {
    under_way: BTreeMap<LinkId, Moment>,
    next: u32,
    failures: u32,
    not_before: Moment,
}

/// What links there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// That are let in and answer.
    pub(super) usable: usize,
    /// That are let in, whether they answer or not.
    pub(super) up: usize,
    /// That there should be.
    pub(super) wanted: usize,
    /// Whether a second dial may run beside a slow one.
    pub(super) may_race: bool,
}

impl Dials {
    /// When the next dial is to begin, if one is needed.
    pub(super) fn due(&self, need: Need, limits: &Limits) -> Option<Moment> {
        if need.usable >= need.wanted || need.up + self.under_way.len() >= limits.links + 2 {
            return None;
        }
        if need.usable + self.under_way.len() < need.wanted {
            return Some(self.not_before);
        }
        let first = self.under_way.values().min().filter(|_| self.under_way.len() == 1)?;
        (need.usable == 0 && need.may_race).then_some((*first + limits.dial_again).max(self.not_before))
    }

    /// Begins one.
    pub(super) fn begin(&mut self, now: Moment) -> LinkId {
        let link = LinkId(self.next);
        self.next += 1;
        self.under_way.insert(link, now);
        link
    }

    /// Whether this one is under way.
    pub(super) fn has(&self, link: LinkId) -> bool {
        self.under_way.contains_key(&link)
    }

    /// The link was let in.
    pub(super) fn succeeded(&mut self, link: LinkId) {
        self.under_way.remove(&link);
    }

    /// It was not. The next one waits.
    pub(super) fn failed(&mut self, link: LinkId, limits: &Limits, luck: Luck, now: Moment) {
        if self.under_way.remove(&link).is_some() {
            self.pause(limits, luck, now);
        }
    }

    /// A link that was let in is over. The first time another one is dialled at once.
    pub(super) fn lost(&mut self, lived: Duration, limits: &Limits, luck: Luck, now: Moment) {
        match lived < SHORT_LIFE {
            true => self.pause(limits, luck, now),
            false => self.reset(),
        }
    }

    fn pause(&mut self, limits: &Limits, luck: Luck, now: Moment) {
        let (first, longest) = limits.redial;
        let pause = first.saturating_mul(2_u32.saturating_pow(self.failures.min(16))).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + luck.spread(pause);
    }

    /// There is reason to try at once.
    pub(super) fn reset(&mut self) {
        (self.failures, self.not_before) = (0, Duration::ZERO);
    }

    /// When the first of those under way has taken too long.
    pub(super) fn limit(&self, limits: &Limits) -> Option<Moment> {
        self.under_way.values().min().map(|began| *began + limits.dial)
    }

    /// Those that have taken too long.
    pub(super) fn late(&self, limits: &Limits, now: Moment) -> Vec<LinkId> {
        let is_late = |began: &Moment| now >= *began + limits.dial;
        self.under_way.iter().filter(|(_, began)| is_late(began)).map(|(link, _)| *link).collect()
    }

    /// All that are under way, which are given up.
    pub(super) fn give_up(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.under_way).into_keys().collect()
    }
}
