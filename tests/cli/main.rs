//! The command `ormesh` as its user sees it, run as a program with directories of its own. No agent and no tor.
#![cfg(unix)]

mod host;
mod output;
mod status;
mod transcript;
mod usage;
