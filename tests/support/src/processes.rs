//! Processes of other programs by their ids: whose children they are, what they use, and signals to them. Linux's `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};

use crate::patience::until;

pub use rustix::process::Signal;

/// Sends a signal to a process that a test started. That it has ended already is no error.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// The direct children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// A process and all that it has started and that have not ended, itself first.
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        family.extend(children(member));
        next += 1;
    }
    family
}

/// The name of a process's program, as the kernel cuts it.
pub fn program(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// The processes with this directory in their environment, a host's home, whose command line and environment are such.
pub fn processes(home: &Path, are: impl Fn(&[u8], &str) -> bool) -> Vec<u32> {
    let home = home.to_string_lossy();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ours = all.filter(|process| {
        // One that has ended meanwhile has neither.
        let of = |what: &str| fs::read(process.path().join(what)).unwrap_or_default();
        let environment = String::from_utf8_lossy(&of("environ")).into_owned();
        environment.contains(&*home) && are(&of("cmdline"), &environment)
    });
    ours.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
}

/// Kills what is found until nothing is.
pub fn kill_all(find: impl Fn() -> Vec<u32>) {
    until("they are gone", || {
        let found = find();
        found.iter().for_each(|pid| send(*pid, Signal::KILL));
        found.is_empty()
    });
}

/// Whether a process runs: one that has ended and was not waited for does not.
pub fn is_running(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Where its TCP connections over IPv4 lead (proc(5), "/proc/net/tcp": hexadecimal, the address in the machine's byte order).
pub fn tcp_peers(pid: u32) -> BTreeSet<SocketAddr> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let sockets: BTreeSet<String> = links
        .filter_map(|link| {
            let target = fs::read_link(link.path()).ok()?.into_os_string().into_string().ok()?;
            Some(target.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let peer = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (remote, state, inode) = (fields.get(2)?, fields.get(3)?, fields.get(9)?);
        let (address, port) = remote.split_once(':')?;
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        let peer = SocketAddr::from((address, u16::from_str_radix(port, 16).ok()?));
        // 01 is an established one.
        (*state == "01" && sockets.contains(*inode)).then_some(peer)
    };
    table.lines().filter_map(peer).collect()
}

/// Its resident memory, in KiB (`VmRSS`, proc_pid_status(5)); 0 when it does not run.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The processor time it has used, to a hundredth of a second (proc(5): utime and stime in ticks of 1/100 s).
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Runs a program that is to end by itself, and gives what it said. One that doesn't is killed.
///
/// # Panics
///
/// When it has not ended within [`crate::PATIENCE`].
#[track_caller]
pub fn finished(command: &mut Command) -> Output {
    // Files, since a pipe that nobody reads would hold it up.
    let (mut said, mut complained) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(complained.try_clone().unwrap());
    let mut child = Running(command.spawn().unwrap());
    let status = until(&format!("{command:?} ends"), || child.0.try_wait().unwrap());
    let text = |file: &mut fs::File| {
        let mut text = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut text).unwrap();
        text
    };
    Output { status, stdout: text(&mut said), stderr: text(&mut complained) }
}

/// A child that is killed with this value.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended by itself, and tells how.
    pub fn ended(&mut self) -> ExitStatus {
        until("it ends", || self.0.try_wait().unwrap())
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        // It fails only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Asks it to end, as a session's end does.
    pub fn terminate(&self) {
        send(self.id(), Signal::TERM);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_holds_memory() {
        let id = std::process::id();

        assert!(is_running(id));
        assert_eq!(family(id)[0], id);
        assert!(resident_kib(id) > 100);
    }

    #[test]
    fn an_id_that_no_process_can_have_does_not_run() {
        // Beyond PID_MAX_LIMIT (2^22, proc_sys_kernel(5)).
        assert!(!is_running(u32::MAX));
    }
}
