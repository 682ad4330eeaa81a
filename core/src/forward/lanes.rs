//! Lanes: over how many circuits an import spreads its connections, and which one the next connection takes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::relay::{Meter, Traffic};

/// Circuits of one import at most.
pub const MAX_LANES: usize = 4;

/// The lanes of one import. New connections go to the least busy one; a lane is added while even that one is busy.
///
/// A connection that moves much announces itself, so that a new one need not ask those that are open.
#[derive(Debug)]
pub struct Lanes {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    /// Numbers the connections.
    picked: u64,
    /// Lanes and connections that were looked at, for tests of how much work there is.
    looks: u64,
}

#[derive(Debug, Default)]
struct Lane {
    /// The bulk connections, by when they count as such no longer.
    bulk: BTreeSet<(Instant, u64)>,
}

/// A connection that moves at least this many bytes within [`WINDOW`] is a bulk one.
const BULK: u64 = 256 * 1024;

/// In how much time [`BULK`] bytes make a bulk connection. It counts as one for two of these.
const WINDOW: Duration = Duration::from_secs(1);

/// Bulk connections that a lane carries before another lane is opened.
const SHARE: usize = 2;

impl Lanes {
    /// One lane to begin with. The name is the import's: unique among the imports of an agent.
    pub fn new(name: impl Into<String>) -> Self {
        let state = State { lanes: vec![Lane::default()], picked: 0, looks: 0 };
        Self { name: name.into(), state: Mutex::new(state) }
    }

    /// The isolation group of a lane: `{import}-{lane}`.
    pub fn group(&self, lane: usize) -> String {
        format!("{}-{lane}", self.name)
    }

    /// The isolation groups in use.
    pub fn groups(&self) -> Vec<String> {
        let count = self.lock().lanes.len();
        (0..count).map(|lane| self.group(lane)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new connection its lane.
    pub fn pick(self: &Arc<Self>) -> Ride {
        let mut state = self.lock();
        let lane = state.least_busy(Instant::now());
        state.picked += 1;
        let load = Load { number: state.picked, bytes: AtomicU64::new(0), rate: Mutex::default() };
        drop(state);
        Ride { lanes: Arc::clone(self), lane, load: Arc::new(load) }
    }
}

impl State {
    fn looked(&mut self, times: u64) {
        self.looks = self.looks.wrapping_add(times);
    }

    fn least_busy(&mut self, now: Instant) -> usize {
        let mut looks = 0;
        for lane in &mut self.lanes {
            looks += 1;
            while lane.bulk.first().is_some_and(|(until, _)| *until <= now) {
                lane.bulk.pop_first();
                looks += 1;
            }
        }
        self.looked(looks);
        let busy = |lane: &usize| self.lanes[*lane].bulk.len();
        let least = (0..self.lanes.len()).min_by_key(busy).unwrap_or(0);
        if busy(&least) < SHARE || self.lanes.len() == MAX_LANES {
            return least;
        }
        self.lanes.push(Lane::default());
        self.lanes.len() - 1
    }
}

/// Bytes of one connection.
#[derive(Debug)]
struct Load {
    number: u64,
    /// Since its rate was last looked at.
    bytes: AtomicU64,
    rate: Mutex<Rate>,
}

#[derive(Debug, Default)]
struct Rate {
    /// When it was last looked at; none before there were bytes.
    since: Option<Instant>,
    /// Until when it was announced as a bulk connection.
    bulk_until: Option<Instant>,
}

impl Load {
    /// Counts bytes. When it has become a bulk connection, or still is one: until when it counts as such.
    fn count(&self, bytes: usize) -> Option<Announcement> {
        let bytes = bytes as u64;
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes < BULK {
            return None;
        }
        let (moved, now) = (self.bytes.swap(0, Ordering::Relaxed), Instant::now());
        let mut rate = self.rate();
        let since = rate.since.replace(now).unwrap_or(now);
        let windows = u32::try_from(moved / BULK).unwrap_or(u32::MAX);
        let is_bulk = now - since <= WINDOW.saturating_mul(windows);
        is_bulk.then(|| {
            let until = now + 2 * WINDOW;
            Announcement { last: rate.bulk_until.replace(until), until }
        })
    }

    fn rate(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a connection counts as a bulk one.
struct Announcement {
    /// What was announced before.
    last: Option<Instant>,
    until: Instant,
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
        LaneMeter { lanes: Arc::clone(&self.lanes), lane: self.lane, load: Arc::clone(&self.load), traffic }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let announced = self.load.rate().bulk_until;
        let mut state = self.lanes.lock();
        state.looked(1);
        if let Some(until) = announced {
            state.lanes[self.lane].bulk.remove(&(until, self.load.number));
        }
    }
}

struct LaneMeter {
    lanes: Arc<Lanes>,
    lane: usize,
    load: Arc<Load>,
    traffic: Arc<Traffic>,
}

impl LaneMeter {
    fn count(&self, bytes: usize) {
        if let Some(Announcement { last, until }) = self.load.count(bytes) {
            let mut state = self.lanes.lock();
            let bulk = &mut state.lanes[self.lane].bulk;
            if let Some(last) = last {
                bulk.remove(&(last, self.load.number));
            }
            bulk.insert((until, self.load.number));
        }
    }
}

impl Meter for LaneMeter {
    fn count_up(&self, bytes: usize) {
        self.count(bytes);
        self.traffic.count_up(bytes);
    }
    fn count_down(&self, bytes: usize) {
        self.count(bytes);
        self.traffic.count_down(bytes);
    }
}

#[cfg(test)]
mod tests;
