//! What `/proc` says of processes. Where there is none, a process is alone and nothing is known of it.

use std::fs;

/// Whether a process of this id runs; one that has ended and waits to be collected does not.
pub(crate) fn is_running(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// The process and all that it has started and that have not ended, itself first.
pub(crate) fn family(id: u32) -> Vec<u32> {
    let mut family = vec![id];
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, stat(id)?.1)))
        .collect();
    let mut next = 0;
    while next < family.len() {
        let member = family[next];
        family.extend(all.iter().filter(|(_, parent)| *parent == member).map(|(id, _)| *id));
        next += 1;
    }
    family
}

/// The memory that a process holds, in KiB (`VmRSS`, proc_pid_status(5)).
pub(crate) fn resident(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// A process's state and parent (proc_pid_stat(5)); its name, in parentheses, may hold anything.
fn stat(id: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_holds_memory() {
        let id = std::process::id();

        assert!(is_running(id));
        assert_eq!(family(id)[0], id);
        assert!(resident(id).expect("Linux tells") > 100);
    }

    #[test]
    fn an_id_that_no_process_can_have_does_not_run() {
        // Beyond PID_MAX_LIMIT (2^22, proc_sys_kernel(5)).
        assert!(!is_running(u32::MAX));
    }
}
