//! Free TCP ports of loopback, handed out once each in a process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ephemeral ranges, so that no outgoing connection takes one before its listener does.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// How many ports have been handed out, or found taken.
static LOOKED_AT: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 where nothing listens.
pub fn free_port() -> u16 {
    // Test processes that run side by side begin far from each other.
    let start = std::process::id().wrapping_mul(997) % COUNT;
    for _ in 0..COUNT {
        let port = FIRST + (start + LOOKED_AT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// An address of loopback where nothing listens.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}
