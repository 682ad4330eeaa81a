//! Public keys that were checked to be valid. A check is slow, and a configuration's keys are read often.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that are remembered; a host has hundreds. At more all are forgotten, so that what strangers send fills no memory.
const MOST: usize = 4096;

/// The keys of one sort that were proved.
pub(super) struct Proved(Mutex<BTreeSet<[u8; 32]>>);

impl Proved {
    /// None yet.
    pub(super) const fn none() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    /// Whether a key is valid. `prove` is called unless the key was found valid before; an invalid one is checked again each time.
    pub(super) fn is_valid(&self, key: &[u8; 32], prove: impl FnOnce() -> bool) -> bool {
        if self.known().contains(key) {
            return true;
        }
        #[cfg(test)]
        PROOFS.set(PROOFS.get() + 1);
        let valid = prove();
        if valid {
            let mut known = self.known();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(*key);
        }
        valid
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
thread_local! {
    /// The proofs that this thread has made.
    pub(super) static PROOFS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn only_what_is_valid_is_remembered() {
        let proved = Proved::none();
        assert!(!proved.is_valid(&key(1), || false));
        assert!(!proved.is_valid(&key(1), || false));
        assert!(proved.is_valid(&key(2), || true));
        assert!(proved.is_valid(&key(2), || panic!("it was proved before")));
        assert!(!proved.is_valid(&key(3), || false));
    }

    #[test]
    fn no_number_of_keys_fills_the_memory() {
        let proved = Proved::none();
        for number in 0..3 * MOST {
            assert!(proved.is_valid(&key(number), || true));
            assert!(proved.known().len() <= MOST);
        }
        assert!(proved.is_valid(&key(3 * MOST - 1), || panic!("it was proved just now")));
    }
}
