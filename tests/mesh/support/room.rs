//! Room for so many tors at a time: tests run side by side, and each host with its tor takes a place.

use std::sync::{Condvar, Mutex, PoisonError};

use super::host::Host;

/// How many hosts there are at a time. Two processors start four tors about as fast as they would one after the other.
const PLACES: usize = 4;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// Places taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Places(usize);

/// Takes so many places at once, waiting for them.
pub(crate) fn room(places: usize) -> Places {
    assert!(places <= PLACES, "there are {PLACES} places");
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = FREED.wait_while(taken, |taken| *taken + places > PLACES);
    *wait.unwrap_or_else(PoisonError::into_inner) += places;
    Places(places)
}

impl Drop for Places {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        FREED.notify_all();
    }
}

/// Hosts with nothing set up, by their names in messages. Their places are taken at once, so that two tests never wait for each
/// other.
pub(crate) fn hosts<const N: usize>(names: [&'static str; N]) -> [Host; N] {
    hosts_beside(names, 0).0
}

/// The same, with places for so many other tors.
pub(crate) fn hosts_beside<const N: usize>(names: [&'static str; N], others: usize) -> ([Host; N], Places) {
    let mut places = room(N + others);
    let hosts = names.map(|name| {
        places.0 -= 1;
        Host::new(name, Places(1))
    });
    (hosts, places)
}
