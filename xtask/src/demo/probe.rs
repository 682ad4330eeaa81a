//! Looks at processes and ports from outside: what `/proc` says, and whether an address answers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Whether a process of this id runs; one that has ended and waits to be collected does not.
pub(super) fn is_running(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// The process and all that it has started and that have not ended, itself first.
pub(super) fn family(id: u32) -> Vec<u32> {
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
pub(super) fn resident(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// A process's state and parent (proc_pid_stat(5)); its name, in parentheses, may hold anything.
fn stat(id: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether something listens at `address`.
pub(super) fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// The body of the page at `address`, by HTTP/1.1 (RFC 9112).
///
/// # Errors
///
/// When there is no answer within `limit`, or not a whole one with status 200.
pub(super) fn get(address: SocketAddr, limit: Duration) -> Result<String> {
    let mut stream = open(address, "/", limit)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("failed to read from: {address}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("failed to fetch http://{address}/: empty reply");
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("failed to fetch http://{address}/: {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// Connects to `address` and asks for `path`; reading is limited to `limit`.
pub(super) fn open(address: SocketAddr, path: &str, limit: Duration) -> Result<TcpStream> {
    let what = || format!("failed to connect to: {address}");
    let mut stream = TcpStream::connect_timeout(&address, limit).with_context(what)?;
    stream.set_read_timeout(Some(limit)).with_context(what)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .with_context(what)?;
    Ok(stream)
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
