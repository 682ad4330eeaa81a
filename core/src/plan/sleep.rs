//! Tells that this host was asleep, or this program stopped, from two clocks and from what was due meanwhile. Pure.
//!
//! The clock that never goes back stands still while Linux and macOS sleep, and this host's clock does not; under Windows, and for a
//! process that was stopped (SIGSTOP), both go on, and what was due comes late. A clock that somebody sets forward looks like sleep: whoever
//! asks must only do what is harmless then.

use std::time::Duration;

use super::backoff::Moment;

/// This host's clock may be corrected by as much as this.
const SET: Duration = Duration::from_secs(10);
/// A machine that is overloaded may be as late as this.
const LATE: Duration = Duration::from_secs(20);

/// See the file's sentence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sleep {
    looked: Option<(Moment, Duration)>,
    due: Option<Moment>,
}

impl Sleep {
    /// Looks at both clocks (`unix` is this host's, since 1970); whether it was asleep since the last look.
    pub fn ended(&mut self, now: Moment, unix: Duration) -> bool {
        let before = self.looked.replace((now, unix));
        let is_late = self.due.take().is_some_and(|due| now > due + LATE);
        let is_ahead = before
            .is_some_and(|(then, unix_then)| unix.saturating_sub(unix_then) > now.saturating_sub(then) + SET);
        is_late || is_ahead
    }

    /// The next look is at this moment or sooner; none where that is not known.
    pub fn due(&mut self, at: Option<Moment>) {
        self.due = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn sleep_is_told_by_either_clock_and_once() {
        let mut sleep = Sleep::default();
        assert!(!sleep.ended(seconds(5), seconds(1_000_000)));
        // Idle for an hour, awake: nothing was due.
        assert!(!sleep.ended(seconds(3605), seconds(1_003_600)));
        // The clock that never goes back stood still.
        assert!(sleep.ended(seconds(3606), seconds(1_003_721)));
        assert!(!sleep.ended(seconds(3607), seconds(1_003_722)));
        // Both went on, and what was due came two minutes late.
        sleep.due(Some(seconds(3617)));
        assert!(sleep.ended(seconds(3737), seconds(1_003_852)));
        assert!(!sleep.ended(seconds(4000), seconds(1_004_115)));
    }

    #[test]
    fn a_clock_that_is_set_back_or_a_slow_machine_is_no_sleep() {
        let mut sleep = Sleep::default();
        sleep.ended(seconds(0), seconds(1_000_000));
        sleep.due(Some(seconds(10)));
        assert!(!sleep.ended(seconds(28), seconds(1_000_028)));
        assert!(!sleep.ended(seconds(38), seconds(999_000)));
        assert!(!sleep.ended(seconds(48), seconds(999_015)));
    }
}
