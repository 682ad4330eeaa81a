//! Room 7, forward: carries bytes between applications, tor and backends. It decides nothing about configuration, and starts no tor.
//!
//! An import: [`import::ImportListener`] (or [`socks_front::SocksFront`]) → [`dialler::Dialler`] → tor. An export: tor →
//! [`gate::Gate`] → backend, and [`responder::Responder`] on virtual port 1. In between lies the same [`relay`].
//!
//! Everything runs on the caller's tokio runtime. Each listener owns its sessions: closing it ends them and waits for that.

mod answers;
pub mod backend;
pub mod calendar;
pub mod capacity;
mod cuts;
pub mod dialler;
pub mod gate;
pub mod guests;
pub mod holders;
pub mod holds;
pub mod import;
pub mod lanes;
pub mod listen;
mod listened;
mod listening;
#[cfg(any(windows, test))]
mod looks;
pub mod owner;
#[cfg(windows)]
mod peers;
pub mod ports;
pub mod programs;
pub mod reach;
pub mod relay;
pub mod reports;
pub mod responder;
mod server;
pub mod sessions;
pub mod shares;
pub mod silence;
pub mod sockets;
pub mod socks_front;
#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;
#[cfg(target_os = "linux")]
mod tcp_table;
#[cfg(test)]
pub(crate) mod testing;
pub mod warm;
