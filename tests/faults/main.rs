//! Faults, injected on purpose: kills at bad moments, full disks, hostile neighbours, broken tors and locked keyrings. What must hold
//! then is said by each test's name.
//!
//! The real command and the real agent; most hosts here never connect to a network (`alone`).
#![cfg(target_os = "linux")]

#[path = "../mesh/support/mod.rs"]
mod support;

mod alone;
mod canary;
mod config;
mod environment;
mod files;
mod held;
mod injected;
mod ipc;
mod keyring;
mod killed;
mod lifecycle;
mod lost;
mod ports;
mod revoked;
mod session;
mod together;
mod torless;
