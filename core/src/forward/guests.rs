//! The places of connections that come over the local protocol. Together they share capacity as one member, like the SOCKS address.

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
}

/// A connection's place; given back on drop.
#[derive(Debug)]
pub struct Guest(#[expect(dead_code, reason = "held for its drop")] Place);

impl Default for Guests {
    fn default() -> Self {
        Self { holds: Holds::new(HOLD_LIMIT), part: OnceLock::new() }
    }
}

impl Guests {
    /// Gives a connection a place, after a little while if need be. Cancel-safe.
    ///
    /// Errors: there is none; how full it is.
    pub async fn enter(&self) -> Result<Guest, Option<Crowded>> {
        let part = self.part.get_or_init(|| Part::alone(&self.holds));
        let full = match part.take() {
            Ok(place) => return Ok(Guest(place)),
            Err(full) => full,
        };
        match timeout(PATIENCE, part.place()).await {
            Ok(place) => Ok(Guest(place)),
            Err(_) => {
                part.refuse(full);
                Err(part.crowded())
            }
        }
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
