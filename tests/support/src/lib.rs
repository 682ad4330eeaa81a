//! What the tests share with each other and with the demo: hosts, servers behind their exports, connections through their
//! imports, sessions with a keyring, terminals, and patience.
//!
//! Nothing here knows what a test is about. The private Tor network is the package `tornet`'s; the window and its driver are
//! those of `tests/desktop`.

#[cfg(unix)]
mod connections;
#[cfg(all(unix, feature = "tests"))]
mod fake_tor;
mod fuzz;
#[cfg(unix)]
mod host;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(unix)]
mod page;
mod patience;
#[cfg(unix)]
mod ports;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
mod programs;
#[cfg(all(target_os = "linux", feature = "tests"))]
mod prompter;
mod random;
#[cfg(unix)]
mod servers;
#[cfg(all(target_os = "linux", feature = "tests"))]
mod session;
#[cfg(unix)]
mod sshd;
#[cfg(all(unix, feature = "tests"))]
mod states;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(unix)]
mod tor_places;
#[cfg(unix)]
mod uplink;

pub use fuzz::fuzz;
pub use patience::{Awaited, LOOK, PATIENCE, until};
pub use random::Random;

#[cfg(unix)]
pub use self::unix::*;

/// What there is on Unix only.
#[cfg(unix)]
mod unix {
    pub use crate::connections::{
        Echo, SocksError, echoed, ended, first_line, is_kept_out, open_echo, reaches, refusal, socks_dial,
        talk, try_echo,
    };
    #[cfg(feature = "tests")]
    pub use crate::fake_tor::FakeTor;
    pub use crate::host::{Host, Ran, hosts, hosts_beside, hosts_on};
    #[cfg(target_os = "linux")]
    pub use crate::namespace::Namespace;
    pub use crate::page::{Page, Typed};
    pub use crate::ports::{free_address, free_port};
    pub use crate::processes::{
        Running, Signal, children, cpu_time, family, finished, is_running, kill_all, processes, program,
        resident_kib, send, tcp_peers,
    };
    pub use crate::programs::ormesh;
    #[cfg(all(target_os = "linux", feature = "tests"))]
    pub use crate::prompter::Prompter;
    pub use crate::servers::{
        Counts, Server, banner, big_reply, counter, echo, echo_v6, http, serve, unix_echo,
    };
    #[cfg(all(target_os = "linux", feature = "tests"))]
    pub use crate::session::{Keyring, Lock, PASSWORD, Session};
    pub use crate::sshd::Sshd;
    #[cfg(feature = "tests")]
    pub use crate::states::{connected, is_connected, is_online, is_reachable, remote_state};
    #[cfg(target_os = "linux")]
    pub use crate::terminal::Terminal;
    pub use crate::tor_places::{TorPlaces, tor_places};
    pub use crate::uplink::Uplink;
}

/// How often something is done: so often in every run, and as often as the other number in a soak (`ORMESH_SOAK`).
pub fn times(usually: usize, in_a_soak: usize) -> usize {
    if std::env::var_os("ORMESH_SOAK").is_some() { in_a_soak } else { usually }
}

/// The seeds of a simulation: so many in every run, and as many as the other number in a soak, or those that the environment asks for
/// (`ORMESH_SIM_START`, `ORMESH_SIM_SEEDS`).
pub fn seeds(usually: u64, in_a_soak: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let many = if std::env::var_os("ORMESH_SOAK").is_some() { in_a_soak } else { usually };
    let start = number("ORMESH_SIM_START").unwrap_or(0);
    start..start + number("ORMESH_SIM_SEEDS").unwrap_or(many)
}

/// Prints a figure that the run should tell; it is no assertion.
pub fn figure(what: &str, value: impl std::fmt::Display) {
    println!("figure: {what}: {value}");
}
