//! Ending a process on Unix, unless systemd would start it again.

use rustix::process::{Pid, Signal, kill_process};

/// Asks a process to end. That fails only if it has ended.
pub(super) fn terminate(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Ends a process that does not end when it is asked to, a stopped one too. That fails only if it has ended.
pub(super) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// How to restart an agent that is our unit's, by its control group (cgroups(7)); none for any other.
pub(super) fn service_command(pid: u32) -> Option<&'static str> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let ours = groups.lines().find(|line| line.ends_with("/ormesh.service"))?;
    match ours.contains("/user@") {
        true => Some("systemctl --user restart ormesh"),
        false => Some("systemctl restart ormesh"),
    }
}
