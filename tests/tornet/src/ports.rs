//! Picks TCP ports on loopback that are free at this moment; that they stay free until tor binds them is left to luck and a
//! second try.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Below the ephemeral ranges of Linux (32768 on) and of the others (49152 on), so that no outgoing connection takes one of
/// them between our look and tor's bind.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// Finds `count` distinct free ports.
///
/// # Errors
///
/// When the whole range holds fewer than that.
pub(crate) fn free(count: usize) -> Result<Vec<u16>> {
    let size = usize::from(RANGE.end - RANGE.start);
    let start = RandomState::new().hash_one(std::process::id()) as usize % size;
    // All stay bound until the last is found: that is what makes them distinct.
    let mut held = Vec::with_capacity(count);
    for port in RANGE.cycle().skip(start).take(size) {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
            if held.len() == count {
                return Ok(held.into_iter().map(|(port, _)| port).collect());
            }
        }
    }
    bail!("failed to find {count} free ports on loopback in {RANGE:?}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_distinct_and_skip_a_taken_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();

        let ports = free(24).unwrap();

        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 24);
        assert!(ports.iter().all(|port| RANGE.contains(port) && *port != taken));
    }
}
