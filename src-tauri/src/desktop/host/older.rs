//! An agent that can't be asked: one of another version, or one that does not answer yet. It is told to end, or ended by the system's means.

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::time::{Duration, Instant};

use ormesh_core::agent;
use ormesh_core::model::problem::{Code, Problem, Subject, catalogue};
use ormesh_core::store::lock;
use ormesh_core::store::paths::Paths;

const DEADLINE: Duration = Duration::from_secs(20);
/// The same for one that answers nothing: it is killed then, since a stopped process obeys nothing else.
const SILENT_DEADLINE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// Ends the agent that holds these paths' lock, and waits until it has let go.
///
/// `is_silent`: it answers nothing, so it is asked nothing.
///
/// Errors: it is a service manager's to end, or it does not end.
pub(super) async fn end(paths: &Paths, is_silent: bool) -> Result<(), Problem> {
    let holder = std::fs::read_to_string(paths.agent_pid()).ok().and_then(|pid| pid.trim().parse().ok());
    // The number is that of an agent only as long as the lock is held.
    let Some(pid) = holder.filter(|_| is_held(paths)) else { return Ok(()) };
    if let Some(command) = system::service_command(pid) {
        return Err(catalogue::agent_managed(command));
    }
    let is_told = !is_silent
        && match agent::greet(paths).await {
            Ok(Some(running)) => running.stop().await.is_ok(),
            _ => false,
        };
    if !is_told {
        system::terminate(pid);
    }
    let start = Instant::now();
    let mut is_killed = !is_silent;
    while is_held(paths) {
        if !is_killed && start.elapsed() >= SILENT_DEADLINE {
            tracing::warn!(pid, "the agent answers nothing and does not end; killing it");
            system::kill(pid);
            is_killed = true;
        }
        if start.elapsed() >= DEADLINE {
            return Err(Problem::new(
                Code::AgentNotEnding,
                format!("the other agent (process {pid}) does not end"),
            )
            .about(Subject::Agent)
            .hint("end it by hand, then try again"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Asks a child of ours to end.
pub(super) fn terminate(pid: Option<u32>) {
    if let Some(pid) = pid {
        system::terminate(pid);
    }
}

fn is_held(paths: &Paths) -> bool {
    matches!(lock::try_lock(&paths.agent_lock()), Ok(None))
}
