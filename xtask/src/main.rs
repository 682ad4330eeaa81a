//! `cargo xtask`: the project's own commands, each in a room of its own.
//!
//! This file parses the command line and says how a command ended; what a command does is in its module.

#[cfg(unix)]
mod audit;
#[cfg(unix)]
mod bench;
#[cfg(unix)]
mod cross;
#[cfg(unix)]
mod demo;
#[cfg(unix)]
mod desktop;
#[cfg(unix)]
mod dist;
#[cfg(unix)]
mod interrupt;
#[cfg(unix)]
mod mutants;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod say;
#[cfg(unix)]
mod setup;
#[cfg(unix)]
mod sim;
#[cfg(unix)]
mod soak;
#[cfg(unix)]
mod test;
#[cfg(unix)]
mod tornet;
#[cfg(unix)]
mod windows;
#[cfg(unix)]
mod workspace;

#[cfg(unix)]
mod command_line;

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    command_line::run()
}

/// Elsewhere the set-up has no packages to take tools from, so there is nothing to run.
#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("error: cargo xtask runs on Linux and macOS; here use `cargo test -p ormesh-core`");
    ExitCode::FAILURE
}
