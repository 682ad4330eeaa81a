//! Logs connections that were cut off or refused: at most one line a second for each listener.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// Connections cut off, or refused, at one listener.
#[derive(Debug, Default)]
pub(super) struct Cuts(Mutex<Tally>);

#[derive(Debug, Default)]
struct Tally {
    told: Option<Instant>,
    untold: u64,
}

impl Cuts {
    /// Counts one. When it is time for a line: how many there were since the last one, besides this.
    pub(super) fn note(&self) -> Option<u64> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if tally.told.is_some_and(|told| now - told < PAUSE) {
            tally.untold += 1;
            return None;
        }
        tally.told = Some(now);
        Some(std::mem::take(&mut tally.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_cuts_make_one_line_a_second_that_counts_them() {
        let cuts = Cuts::default();
        assert_eq!([cuts.note(), cuts.note(), cuts.note()], [Some(0), None, None]);
        tokio::time::advance(PAUSE).await;
        assert_eq!([cuts.note(), cuts.note()], [Some(2), None]);
    }
}
