//! When to retry what failed: soon at first, then less and less often, for ever.

use std::time::Duration;

use crate::model::pauses::pause_after;
use crate::model::problem::{Problem, ProblemKind};

/// Time since the agent started; only differences matter.
pub type Moment = Duration;

const FIRST: Duration = Duration::from_millis(500);
/// Short enough that a port which became free is taken again within five seconds.
const LONGEST: Duration = Duration::from_secs(4);
/// For a secret store, which may ask a person each time that it is tried.
const FIRST_OF_SECRETS: Duration = Duration::from_secs(4);
const LONGEST_OF_SECRETS: Duration = Duration::from_secs(60);

/// What failed, how often in a row, and when it may be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Failures in a row.
    pub failures: u32,
    /// When it may be tried again.
    pub retry_at: Moment,
    /// What went wrong the last time.
    pub problem: Problem,
}

impl Backoff {
    /// A further failure, after `previous` if there was one.
    pub fn after(previous: Option<&Self>, problem: Problem, now: Moment) -> Self {
        let failures = previous.map_or(0, |backoff| backoff.failures).saturating_add(1);
        let (first, longest) = match problem.kind {
            ProblemKind::Secrets => (FIRST_OF_SECRETS, LONGEST_OF_SECRETS),
            _ => (FIRST, LONGEST),
        };
        let wait = pause_after(failures - 1, first, longest);
        Self { failures, retry_at: now + wait, problem }
    }
}
