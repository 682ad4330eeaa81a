//! Places for so many tors at a time: tests run side by side, and each host with its tor takes one.

use std::sync::{Condvar, Mutex, PoisonError};

/// How many hosts there are at a time: two for each of the tests that run side by side, which mostly wait.
const PLACES: usize = 8;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// TorPlaces taken; given back when dropped.
#[derive(Debug)]
pub struct TorPlaces(usize);

/// Takes so many places at once, waiting for them.
pub fn tor_places(places: usize) -> TorPlaces {
    assert!(places <= PLACES, "there are {PLACES} places");
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = FREED.wait_while(taken, |taken| *taken + places > PLACES);
    *wait.unwrap_or_else(PoisonError::into_inner) += places;
    TorPlaces(places)
}

impl TorPlaces {
    /// Gives one of them to another.
    pub(crate) fn split_off(&mut self) -> TorPlaces {
        self.0 -= 1;
        TorPlaces(1)
    }
}

impl Drop for TorPlaces {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        FREED.notify_all();
    }
}
