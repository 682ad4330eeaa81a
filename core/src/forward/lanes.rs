//! Lanes: over how many circuits one import spreads its connections, and which of them the next one takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant};

use super::relay::{Meter, Traffic};

/// Circuits of one import at most.
pub const MAX_LANES: usize = 4;

/// The lanes of one import. New connections go to the least busy one; a lane is added while even that one is busy.
#[derive(Debug)]
pub struct Lanes {
    name: String,
    lanes: Mutex<Vec<Vec<Arc<Load>>>>,
}

/// Bytes of one connection, and when they were last looked at.
#[derive(Debug)]
struct Load {
    bytes: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    bytes: u64,
    busy: bool,
}

/// A connection that moves at least this many bytes within [`WINDOW`] is a bulk one.
const BULK: u64 = 256 * 1024;

/// How often a connection's load is looked at anew.
const WINDOW: Duration = Duration::from_secs(1);

/// Bulk connections that a lane carries before another lane is opened.
const SHARE: usize = 2;

impl Load {
    fn is_busy(&self) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now - seen.at >= WINDOW {
            // Looked at rarely, the bytes are those of more than one window.
            let windows = (now - seen.at).as_millis() / WINDOW.as_millis();
            let rate = (bytes - seen.bytes) / u64::try_from(windows).unwrap_or(u64::MAX).max(1);
            *seen = Seen { at: now, bytes, busy: rate >= BULK };
        } else if bytes - seen.bytes >= BULK {
            seen.busy = true;
        }
        seen.busy
    }
}

impl Lanes {
    /// One lane to begin with. The name is the import's: unique among the imports of an agent.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), lanes: Mutex::new(vec![Vec::new()]) }
    }

    /// The isolation group of a lane: `{import}-{lane}`.
    pub fn group(&self, lane: usize) -> String {
        format!("{}-{lane}", self.name)
    }

    /// The isolation groups in use.
    pub fn groups(&self) -> Vec<String> {
        let count = self.lock().len();
        (0..count).map(|lane| self.group(lane)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Arc<Load>>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new connection its lane.
    pub fn pick(self: &Arc<Self>) -> Ride {
        let mut lanes = self.lock();
        let busy: Vec<usize> =
            lanes.iter().map(|lane| lane.iter().filter(|load| load.is_busy()).count()).collect();
        let least = (0..busy.len()).min_by_key(|lane| busy[*lane]).unwrap_or(0);
        let lane = if busy[least] >= SHARE && busy.len() < MAX_LANES {
            lanes.push(Vec::new());
            lanes.len() - 1
        } else {
            least
        };
        let seen = Seen { at: Instant::now(), bytes: 0, busy: false };
        let load = Arc::new(Load { bytes: AtomicU64::new(0), seen: Mutex::new(seen) });
        lanes[lane].push(Arc::clone(&load));
        Ride { lanes: Arc::clone(self), lane, load }
    }
}

/// One connection's place in a lane; given back on drop.
#[derive(Debug)]
pub struct Ride {
    lanes: Arc<Lanes>,
    lane: usize,
    load: Arc<Load>,
}

impl Ride {
    /// The isolation group to dial with.
    pub fn group(&self) -> String {
        self.lanes.group(self.lane)
    }

    /// A meter that counts for the lane and for the import.
    pub(super) fn meter(&self, traffic: Arc<Traffic>) -> impl Meter + use<> {
        LaneMeter { load: Arc::clone(&self.load), traffic }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        lanes[self.lane].retain(|load| !Arc::ptr_eq(load, &self.load));
    }
}

struct LaneMeter {
    load: Arc<Load>,
    traffic: Arc<Traffic>,
}

impl Meter for LaneMeter {
    fn count_up(&self, bytes: usize) {
        self.load.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.traffic.count_up(bytes);
    }
    fn count_down(&self, bytes: usize) {
        self.load.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.traffic.count_down(bytes);
    }
}

#[cfg(test)]
mod tests;
