//! The error when no agent answers.

use crate::model::problem::{Problem, catalogue};
use crate::store::lock;
use crate::store::paths::Paths;

/// The problem for a request that needs a running agent when none answers: no agent runs, or which one does.
pub fn not_running(paths: &Paths) -> Problem {
    unreachable(paths).unwrap_or_else(catalogue::no_agent)
}

/// The agent that runs, when none answers: it is just starting, or somebody removed its socket.
pub(super) fn unreachable(paths: &Paths) -> Option<Problem> {
    let pid = std::fs::read_to_string(paths.agent_pid()).ok()?;
    lock::is_held(&paths.agent_lock()).then(|| catalogue::agent_unreachable(pid.trim(), &paths.socket()))
}
