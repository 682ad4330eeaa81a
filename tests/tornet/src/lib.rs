//! A private Tor network on loopback: three authorities and three relays, each a real `tor`, for tests, the demo and the bench.
//!
//! [`Tornet::up`] starts one and returns when every node holds the full consensus; the network then lives exactly as long as
//! the process that owns it, however that process ends. [`shared`] gives all tests of a process one network, and joins the
//! test run's when there is one. [`client`] starts a plain tor on it, to play a peer that is not ormesh;
//! [`bridge`] a bridge into it.
//!
//! Nothing here ever leaves 127.0.0.1. What runs *on* the network (hosts, agents, services) is left to the caller, who hands
//! [`Network::client_torrc`] to it, for ormesh in the environment variable `ORMESH_TOR_NETWORK`.

pub mod bridge;
mod claim;
pub mod client;
mod control;
mod keys;
mod network;
mod ports;
mod process;
mod shared;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod system;
mod tools;
mod tornet;
mod torrc;

pub use claim::ask_to_stop;
pub use control::Control;
pub use network::{Network, Node, NodeState, Role};
pub use shared::{TORNET_VARIABLE, cache_dir, shared};
pub use tools::Tools;
pub use tornet::{Tornet, unix_now};
