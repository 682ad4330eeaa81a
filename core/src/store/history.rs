//! What is remembered of clients between runs: when each first connected and when it was last seen. Not configuration: nobody edits it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::atomic;
use crate::model::onion::OnionAddress;

/// One client's times, in seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its first accepted stream. From then on its invite cannot be shown again.
    pub first: u64,
    /// Its last one.
    pub last: u64,
}

/// The times of all clients, by the address of their service, so that a rotated client starts anew.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    seen: BTreeMap<OnionAddress, Seen>,
}

impl History {
    /// Reads what is remembered; a file that can't be read as such is set aside, for to forget is better than not to start.
    pub fn open(state: &std::path::Path) -> Self {
        let path = state.join("history.json");
        let seen = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the history is damaged and was set aside");
                let _ = std::fs::rename(&path, path.with_extension("broken"));
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { path, seen }
    }

    /// When a client was seen.
    pub fn get(&self, address: &OnionAddress) -> Option<Seen> {
        self.seen.get(address).copied()
    }

    /// Remembers that a client was seen; true when it was the first time, which is written durably before this returns.
    pub fn saw(&mut self, address: OnionAddress, now: u64) -> io::Result<bool> {
        match self.seen.get_mut(&address) {
            Some(seen) => {
                seen.last = seen.last.max(now);
                Ok(false)
            }
            None => {
                self.seen.insert(address, Seen { first: now, last: now });
                self.save().map(|()| true)
            }
        }
    }

    /// Forgets all but these addresses.
    pub fn retain(&mut self, keep: impl Fn(&OnionAddress) -> bool) {
        self.seen.retain(|address, _| keep(address));
    }

    /// Writes it durably.
    pub fn save(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.seen).map_err(io::Error::other)?;
        atomic::replace(&self.path, &bytes)
    }
}
