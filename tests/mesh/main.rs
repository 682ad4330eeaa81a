//! Hosts that meet over a private Tor network: the real command, the real agent and real tors, as their users have them.
//!
//! Each test has hosts of its own (`support`); the network is shared. Faults that are injected on purpose are left to
//! `tests/faults`.
#![cfg(unix)]

mod support;

mod first_connection;
