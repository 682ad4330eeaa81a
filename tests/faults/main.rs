//! Faults, injected on purpose: kills at bad moments, full disks, hostile neighbours, broken tors and locked keyrings. What must hold
//! then is said by each test's name.
//!
//! The real command and the real agent; most hosts here never connect to a network (`alone`).
#![cfg(target_os = "linux")]

/// What the tests share, and the command under test.
mod support {
    pub(crate) use ::support::*;

    pub(crate) const ORMESH: &str = env!("CARGO_BIN_EXE_ormesh");
}

mod alone;
mod canary;
mod config;
mod environment;
mod files;
mod held;
mod hostile;
mod injected;
mod ipc;
mod keyring;
mod killed;
mod lifecycle;
mod lost;
mod open_files;
mod ports;
mod revoked;
mod together;
mod torless;
