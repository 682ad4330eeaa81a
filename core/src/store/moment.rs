//! Decides when to read a configuration file that another program changes: at once if it was replaced as a whole, otherwise when its writer
//! is done. Pure: time is an input.

use std::time::{Duration, Instant};

/// After the last event: editors save in steps.
pub(super) const SETTLE: Duration = Duration::from_millis(50);
/// A file that is written in place, by a writer that has not closed it, is taken as it is after this time without a change. Long, since an
/// upload over Tor may pause for seconds.
const UNCLOSED: Duration = Duration::from_secs(30);
/// The same where nobody tells when a file is closed.
const QUIET: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Another file, or none, is in its place: what was renamed is whole.
    Replaced,
    /// It is being written.
    Written,
    /// Its writer has closed it.
    Closed,
    /// Its owner or mode.
    Mode,
    /// It is another one than before, and nobody has told why.
    Differs,
}

/// When the file is to be read next, and whether its writer is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moment {
    /// When to read it; not at all where nothing has happened.
    pub(super) due: Option<Instant>,
    /// Whether its writer is at work: then nobody else should change it.
    pub(super) is_being_written: bool,
}

impl Moment {
    /// Takes in what was seen. `closing_is_told` says whether [`Seen::Closed`] follows each [`Seen::Written`].
    pub(super) fn after(self, seen: Seen, now: Instant, closing_is_told: bool) -> Self {
        let quiet = if closing_is_told { UNCLOSED } else { QUIET };
        match seen {
            Seen::Replaced | Seen::Closed => Self { due: Some(now + SETTLE), is_being_written: false },
            Seen::Written => Self { due: Some(now + quiet), is_being_written: closing_is_told },
            // A writer that is at work is waited for all the same.
            Seen::Mode if self.is_being_written => self,
            Seen::Mode => Self { due: Some(self.due.unwrap_or(now + SETTLE)), is_being_written: false },
            Seen::Differs if self.is_being_written => self,
            Seen::Differs => Self { due: Some(now + QUIET), is_being_written: false },
        }
    }

    /// How long nothing need be done.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen() -> impl Strategy<Value = Seen> {
        prop::sample::select(vec![Seen::Replaced, Seen::Written, Seen::Closed, Seen::Mode, Seen::Differs])
    }

    proptest! {
        /// Whatever else is seen: between a write and the close that follows it, the file is not read before a long quiet.
        #[test]
        fn half_a_file_is_not_read(before in prop::collection::vec(seen(), 0..5), after in prop::collection::vec(0u64..9_000, 0..20)) {
            let mut now = Instant::now();
            let mut moment = Moment::default();
            for seen in before {
                moment = moment.after(seen, now, true);
            }
            moment = moment.after(Seen::Written, now, true);
            for (number, pause) in after.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                prop_assert!(moment.due.unwrap() > now && moment.is_being_written);
                // Parts, and what may be seen between two of them.
                let seen = [Seen::Written, Seen::Mode, Seen::Differs][number % 3];
                let last = moment;
                moment = moment.after(seen, now, true);
                prop_assert!(moment.due >= last.due);
            }
            moment = moment.after(Seen::Closed, now, true);
            prop_assert_eq!(moment, Moment { due: Some(now + SETTLE), is_being_written: false });
        }

        /// Whatever was seen is followed by a look.
        #[test]
        fn nothing_is_missed(seen in prop::collection::vec(seen(), 1..9), told: bool) {
            let now = Instant::now();
            let moment = seen.into_iter().fold(Moment::default(), |moment, seen| moment.after(seen, now, told));
            prop_assert!(moment.wait(now).is_some_and(|wait| wait <= UNCLOSED));
        }
    }

    #[test]
    fn what_is_renamed_into_place_is_read_at_once_in_the_middle_of_a_write_too() {
        let now = Instant::now();
        let moment = Moment::default().after(Seen::Written, now, true).after(Seen::Replaced, now, true);
        assert_eq!(moment.wait(now), Some(SETTLE));
    }
}
