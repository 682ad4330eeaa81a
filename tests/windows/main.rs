//! What runs on Windows, run under Wine: the real `ormesh.exe` with its real tor, on a private Tor network with Linux hosts.
//!
//! Run by `cargo xtask test --windows`, which makes the programs, Wine's prefix and the network. What Wine can't show is listed in
//! docs/platforms.md with the test that shows it on Windows.
#![cfg(target_os = "linux")]

mod command;
mod files;
mod host;
mod installed;
mod mesh;
mod pipe;
mod tor;

/// A variable that `cargo xtask test --windows` sets.
fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: cargo xtask test --windows"))
}
