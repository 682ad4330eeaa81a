//! How long to wait before an agent that died is started again. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// An agent that lived this long was well: what ended it is new.
const WELL: Duration = Duration::from_secs(60);

/// The pauses between starts: doubled with each early death.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// The pause after an agent that lived for `lived`.
    pub(crate) fn died_after(&mut self, lived: Duration) -> Duration {
        if lived >= WELL {
            self.deaths = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.deaths.min(10)).min(LONGEST);
        self.deaths += 1;
        pause
    }

    /// Forgets the deaths: a person wants it started.
    pub(crate) fn reset(&mut self) {
        self.deaths = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_deaths_double_the_pause_up_to_a_minute() {
        let mut backoff = Backoff::default();

        let pauses: Vec<u64> = (0..9).map(|_| backoff.died_after(Duration::ZERO).as_secs()).collect();

        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_long_life_starts_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.died_after(Duration::ZERO);
        }

        assert_eq!(backoff.died_after(WELL), FIRST);
    }
}
