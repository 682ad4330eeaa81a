//! The command `ormesh` as its user sees it, run as a program with directories of its own. No tor.
#![cfg(unix)]

mod agent;
mod available;
mod doctor;
mod exposure;
mod json;
mod output;
#[cfg(target_os = "linux")]
mod prompt;
mod refused;
mod status;
mod transcript;
mod usage;
