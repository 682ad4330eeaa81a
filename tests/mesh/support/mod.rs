//! What every test over the network needs: hosts, servers behind their exports, connections through their imports, and
//! patience. Any test target may take it in by path.
//!
//! Nothing here knows what a test is about.

#![allow(dead_code, unused_imports, reason = "each test target takes what it needs")]

mod connections;
mod host;
mod ports;
mod processes;
mod room;
mod servers;
mod sshd;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use connections::{
    Echo, SocksError, echoed, ended, first_line, is_kept_out, open_echo, reaches, refusal, socks_dial, talk,
    try_echo,
};
pub(crate) use host::{Host, ORMESH, Ran, connected, is_connected, is_online, is_reachable, remote_state};
pub(crate) use ports::{free_address, free_port};
pub(crate) use processes::{Signal, children, cpu_time, is_running, resident_kib, send, tcp_peers};
pub(crate) use room::{hosts, hosts_beside, room};
pub(crate) use servers::{Counts, Server, banner, big_reply, counter, echo, echo_v6, http, serve, unix_echo};
pub(crate) use sshd::Sshd;

/// Long enough for the slowest machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at a condition that nobody announces.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// Waits until something is so.
///
/// # Panics
///
/// When it is not within [`PATIENCE`].
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_some(what, || is_so().then_some(()));
}

/// Waits until there is something.
///
/// # Panics
///
/// When there is nothing within [`PATIENCE`].
pub(crate) fn until_some<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(got) = get() {
            return got;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(LOOK);
    }
}

/// Numbers that look random and are the same in each run (xorshift64). The seed must not be 0.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// Prints a figure that the run should tell; it is no assertion.
pub(crate) fn figure(what: &str, value: impl std::fmt::Display) {
    println!("figure: {what}: {value}");
}
