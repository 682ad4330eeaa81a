//! The current date and time, as an input, because a machine's clock can be wrong, be set, and jump.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::day::Day;

/// A clock that tells the time of day. Clones are the same.
#[derive(Clone)]
pub struct Calendar(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Calendar {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::over(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// A clock that tells seconds since 1970-01-01 UTC.
    pub fn over(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Seconds since 1970-01-01 UTC; 0 on a clock that is set before.
    pub fn now(&self) -> u64 {
        (self.0)()
    }

    /// Today, in UTC.
    pub fn today(&self) -> Day {
        Day::from_unix(self.now())
    }
}

impl std::fmt::Debug for Calendar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calendar")
    }
}
