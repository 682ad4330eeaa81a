//! The places of connections that come over the local protocol. Together they share capacity as one member, like the SOCKS address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::timeout;

use super::capacity::{Crowded, Part, Place};
use super::holds::{HOLD_LIMIT, Holds};

/// How long a connection may wait for a place, as at a listener.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those who come, and what they hold.
#[derive(Debug)]
pub struct Guests {
    holds: Arc<Holds>,
    /// Made for the first of them.
    part: OnceLock<Arc<Part>>,
    open: Arc<AtomicU64>,
}

/// A connection's place; given back on drop.
#[derive(Debug)]
pub struct Guest {
    _place: Place,
    open: Arc<AtomicU64>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Guests {
    fn default() -> Self {
        Self { holds: Holds::new(HOLD_LIMIT), part: OnceLock::new(), open: Arc::default() }
    }
}

impl Guests {
    /// Gives a connection a place, after a little while if need be. Cancel-safe.
    ///
    /// Errors: there is none; how full it is.
    pub async fn enter(&self) -> Result<Guest, Option<Crowded>> {
        let part = self.part.get_or_init(|| Part::alone(&self.holds));
        let full = match part.take() {
            Ok(place) => return Ok(self.guest(place)),
            Err(full) => full,
        };
        match timeout(PATIENCE, part.place()).await {
            Ok(place) => Ok(self.guest(place)),
            Err(_) => {
                part.refuse(full);
                Err(part.crowded())
            }
        }
    }

    /// How many are connected, or about to be.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    fn guest(&self, place: Place) -> Guest {
        self.open.fetch_add(1, Ordering::Relaxed);
        Guest { _place: place, open: Arc::clone(&self.open) }
    }

    /// Whether some were turned away for want of room.
    pub fn crowded(&self) -> Option<Crowded> {
        self.part.get()?.crowded()
    }

    /// The places of those that are held.
    pub fn holds(&self) -> &Arc<Holds> {
        &self.holds
    }
}
