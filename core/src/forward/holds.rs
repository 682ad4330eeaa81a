//! Places for held connections: the application has closed its side, and the far side may still send.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// Connections of one import that may be held at a time.
pub const HOLD_LIMIT: usize = 256;

/// The places for held connections of one import: when all are taken, the one quiet longest gives its place to a newcomer.
#[derive(Debug)]
pub struct Holds {
    limit: usize,
    /// By when bytes last moved on them, compared with those of other imports.
    taken: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

/// Numbers the moments at which bytes moved on held connections, over all imports.
static MOMENTS: AtomicU64 = AtomicU64::new(0);

impl Holds {
    /// With room for `limit` connections.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default() })
    }

    /// How many are held.
    pub fn held(&self) -> usize {
        self.taken().len()
    }

    /// The moment at which bytes last moved on the one quiet longest.
    pub(super) fn quietest(&self) -> Option<u64> {
        self.taken().keys().next().copied()
    }

    /// Ends the one quiet longest.
    pub(super) fn oust_quietest(&self) {
        // Dropping the sender tells it.
        self.taken().pop_first();
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for one more.
    pub(super) fn enter(self: &Arc<Self>) -> Held {
        let (sender, ousted) = oneshot::channel();
        let moment = MOMENTS.fetch_add(1, Ordering::Relaxed);
        self.taken().insert(moment, sender);
        if self.held() > self.limit {
            self.oust_quietest();
        }
        Held { holds: Arc::clone(self), moment, ousted }
    }
}

/// A held connection's place; given back on drop.
#[derive(Debug)]
pub(super) struct Held {
    holds: Arc<Holds>,
    moment: u64,
    ousted: oneshot::Receiver<()>,
}

impl Held {
    /// Waits until another needs the place.
    pub(super) fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        pin!(&mut self.ousted).poll(cx).map(drop)
    }

    /// Bytes have moved on it: it is the last to give way.
    pub(super) fn moved(&mut self) {
        let mut taken = self.holds.taken();
        // One that was ousted meanwhile has no place any more.
        if let Some(place) = taken.remove(&self.moment) {
            self.moment = MOMENTS.fetch_add(1, Ordering::Relaxed);
            taken.insert(self.moment, place);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holds.taken().remove(&self.moment);
    }
}
