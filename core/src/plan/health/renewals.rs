//! How often to publish a service again when it has no working introduction point: soon, but never in a storm.

use std::time::Duration;

use crate::model::onion::OnionAddress;
use crate::plan::backoff::Moment;

/// What tor is given to mend it by itself, where there was no outage. It builds a lost introduction circuit again within seconds.
pub(super) const MENDED_BY_TOR: Duration = Duration::from_secs(15);
/// After a renewal, until the next one if it did not help: each costs some circuits and a descriptor in a dozen directories.
const WAITS: [Duration; 5] = [
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
/// A service that stood for so long is mended: what comes then is another fault.
const MENDED: Duration = Duration::from_secs(60);
/// So many renewals in a row that were spoilt by an outage, or helped for a while, are not taken for ones that do not help: while a network
/// comes and goes, a service is up soon after each time.
const SPOILT: usize = 4;
/// After more of these the second of [`WAITS`] is kept to: while a network comes and goes for long, a service is up half a minute after it stays.
const SPOILT_STEP: usize = 1;
/// Renewals are spread over this time instead of happening all at once.
const JITTER: Duration = Duration::from_millis(1000);

/// See the file's sentence: of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Renewals {
    /// In a row.
    count: usize,
    last: Moment,
    /// Since when an introduction point stands.
    stands: Option<Moment>,
    /// Those in a row before the last that nothing explains: they did not help.
    futile: usize,
    /// Whether one has stood since the last.
    helped: bool,
}

impl Renewals {
    /// It was published again. The network has been there since `online`.
    pub(super) fn renewed(&mut self, at: Moment, online: Moment) {
        self.stands(false, at);
        self.futile = if self.count == 0 || self.is_explained(online) { 0 } else { self.futile + 1 };
        self.count += 1;
        self.last = at;
        self.helped = false;
    }

    /// Whether an introduction point stands now.
    pub(super) fn stands(&mut self, stands: bool, at: Moment) {
        match (stands, self.stands) {
            (true, None) => {
                self.stands = Some(at);
                self.helped = true;
            }
            (false, Some(since)) => {
                self.stands = None;
                if at >= since + MENDED {
                    self.count = 0;
                }
            }
            _ => {}
        }
    }

    /// Before when there is no other; none where it was not renewed, or has stood for long since. The network has been there since `online`.
    pub(super) fn wait(&self, online: Moment) -> Option<Moment> {
        let in_a_row = self.count.checked_sub(1)?;
        let futile = if self.is_explained(online) { 0 } else { self.futile };
        let step = futile.max(in_a_row.saturating_sub(SPOILT).min(SPOILT_STEP));
        Some(self.last + WAITS[step.min(WAITS.len() - 1)])
    }

    /// Whether the last one says nothing of the next: it helped for a while, or an outage has spoilt it.
    fn is_explained(&self, online: Moment) -> bool {
        self.helped || self.last < online
    }
}

/// By how much this service's turn comes later than that of others.
pub(super) fn jitter(address: &OnionAddress) -> Duration {
    let byte = u32::from(address.public_key()[0]);
    JITTER * byte / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn renewals_that_do_not_help_come_ever_later() {
        let mut renewals = Renewals::default();
        assert_eq!(renewals.wait(seconds(0)), None);
        let mut waits = Vec::new();
        for _ in 0..8 {
            renewals.renewed(seconds(1000), seconds(0));
            waits.push((renewals.wait(seconds(0)).unwrap() - seconds(1000)).as_secs());
        }
        assert_eq!(waits, [15, 30, 60, 120, 300, 300, 300, 300]);
    }

    #[test]
    fn what_an_outage_has_spoilt_or_what_helped_for_a_while_says_little_of_the_next() {
        let wait = |online: u64, stood: bool| {
            let mut renewals = Renewals::default();
            let mut waits = Vec::new();
            for _ in 0..8 {
                renewals.renewed(seconds(1000), seconds(online));
                if stood {
                    renewals.stands(true, seconds(1002));
                    renewals.stands(false, seconds(1010));
                }
                waits.push((renewals.wait(seconds(online)).unwrap() - seconds(1000)).as_secs());
            }
            waits
        };
        let later = [15, 15, 15, 15, 15, 30, 30, 30];
        assert_eq!(wait(1010, false), later, "the network was away since");
        assert_eq!(wait(0, true), later, "it stood for a while");
        assert_eq!(wait(0, false)[..4], [15, 30, 60, 120]);
    }

    #[test]
    fn only_what_stood_for_long_begins_anew() {
        let mut renewals = Renewals::default();
        renewals.renewed(seconds(0), seconds(0));
        renewals.stands(true, seconds(5));
        renewals.stands(false, seconds(30));
        assert_eq!(renewals.wait(seconds(0)), Some(seconds(15)));
        renewals.renewed(seconds(31), seconds(0));
        assert_eq!(renewals.wait(seconds(0)), Some(seconds(46)));
        renewals.stands(true, seconds(40));
        renewals.stands(true, seconds(80));
        renewals.stands(false, seconds(100));
        assert_eq!(renewals.wait(seconds(0)), None);
    }
}
