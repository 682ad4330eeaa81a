//! Hosts that meet over a private Tor network: the real command, the real agent and real tors, as their users have them.
//!
//! Each test has hosts of its own (the package `support`); the network is shared. Faults that are injected on purpose are left to
//! `tests/faults`.
#![cfg(target_os = "linux")]

/// What the tests share, and the command under test.
mod support {
    pub(crate) use ::support::*;

    pub(crate) const ORMESH: &str = env!("CARGO_BIN_EXE_ormesh");
}

mod addresses;
mod bridges;
mod cleaners;
mod commands;
mod config_over_itself;
mod containers;
mod crowds;
mod doctor;
mod edits;
mod exactly_once;
mod expiry;
mod figures;
mod grants;
mod half_close;
mod invites;
mod leaks;
mod pause;
mod plain_tor;
mod protocols;
mod restarts;
mod revocation;
mod sessions;
mod strangers;
mod transcript;
mod users;
mod waiting;
