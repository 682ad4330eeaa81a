//! Pauses between attempts: each twice as long as the one before, up to a maximum. Pure.

use std::time::Duration;

/// The pause after so many failures in a row before this one.
pub fn pause_after(failures: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures)).min(longest)
}

/// The pauses of something that is tried again and again.
#[derive(Debug, Clone)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pauses {
    /// From the first to the longest.
    pub const fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The pause after a further failure.
    pub fn after_failure(&mut self) -> Duration {
        let pause = pause_after(self.failures, self.first, self.longest);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Whether the last attempt failed.
    pub fn are_on(&self) -> bool {
        self.failures > 0
    }

    /// Starts again with the first pause: the attempt succeeded, or a user wants it tried.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_twice_the_one_before_up_to_the_longest_and_none_overflows() {
        let seconds = Duration::from_secs;
        let mut pauses = Pauses::new((seconds(1), seconds(60)));

        let first: Vec<u64> = (0..9).map(|_| pauses.after_failure().as_secs()).collect();

        assert_eq!(first, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        pauses.failures = u32::MAX;
        assert_eq!((pauses.after_failure(), pauses.after_failure()), (seconds(60), seconds(60)));
        pauses.reset();
        assert!(!pauses.are_on());
        assert_eq!(pauses.after_failure(), seconds(1));
        assert!(pauses.are_on());
    }
}
