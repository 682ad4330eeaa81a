//! How long to wait before tor is started again (pure): not at all after a tor that worked, longer and longer after one that never did.

use std::time::Duration;

use crate::model::pauses::pause_after;

const FIRST: Duration = Duration::from_millis(250);
/// For a tor that works and ends soon after: each start costs the network something.
const LONGEST_AFTER_READY: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(30);
/// A tor that was ready for this long is restarted without a pause.
const SETTLED: Duration = Duration::from_secs(10);

/// The waits between starts.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// tor ended or could not start. `ready_for` is how long it was ready, none when it never was.
    pub(super) fn after(&mut self, ready_for: Option<Duration>) -> Duration {
        if ready_for.is_some_and(|time| time >= SETTLED) {
            self.failures = 0;
        }
        let longest = if ready_for.is_some() { LONGEST_AFTER_READY } else { LONGEST };
        let wait = pause_after(self.failures, FIRST, longest);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_thirty_seconds() {
        let mut backoff = Backoff::default();

        let waits: Vec<_> = (0..9).map(|_| backoff.after(None).as_millis()).collect();

        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(backoff.after(Some(Duration::from_secs(1))), LONGEST_AFTER_READY);
        assert_eq!(backoff.after(Some(SETTLED)), FIRST);
        assert_eq!(backoff.after(None).as_millis(), 500);
    }
}
