//! Room for sessions: the process has so many descriptors, and a session takes two of them.
//!
//! Without this, a flood of connections would take every descriptor for its near sides, none would be left for a far side, and all
//! would wait for each other. A connection that finds no room waits; to make room, the held connection ([`Holds`])
//! that is quiet longest gives way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::relay::Holds;
use super::system;

/// Descriptors left for all else: tor, files, listeners, the agent's own clients: an eighth, within these bounds.
const RESERVE: (u64, u64) = (32, 256);

/// The process's room. Descriptors are the process's, so there is one. Its size is that of the limit when it is first asked for: the
/// agent raises the limit before it opens anything.
static ROOM: LazyLock<Room> = LazyLock::new(|| Room::for_limit(system::descriptor_limit()));

#[derive(Debug)]
struct Room {
    places: Arc<Semaphore>,
    /// How many wait for room.
    waiting: AtomicUsize,
    holds: Mutex<Vec<Weak<Holds>>>,
}

/// A session's room; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Waits for room. Cancel-safe.
pub(super) async fn place() -> Place {
    ROOM.place().await
}

/// To be called when a connection is held from now on: if somebody waits for room, the one quiet longest ends.
pub(super) fn one_more_held() {
    if ROOM.waiting.load(Ordering::Relaxed) > 0 {
        ROOM.relieve();
    }
}

/// Has held connections give way when room is short.
pub(super) fn register(holds: &Arc<Holds>) {
    ROOM.register(holds);
}

impl Room {
    fn for_limit(limit: Option<u64>) -> Self {
        let sessions = |limit: u64| limit.saturating_sub((limit / 8).clamp(RESERVE.0, RESERVE.1)) / 2;
        let sessions = limit.map_or(Semaphore::MAX_PERMITS, |limit| {
            usize::try_from(sessions(limit).max(1)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
        });
        Self {
            places: Arc::new(Semaphore::new(sessions)),
            waiting: AtomicUsize::new(0),
            holds: Mutex::default(),
        }
    }

    async fn place(&self) -> Place {
        if self.places.available_permits() == 0 {
            self.relieve();
        }
        let _waiting = Waiting::new(&self.waiting);
        let permit = Arc::clone(&self.places).acquire_owned().await;
        Place { _permit: permit.expect("the semaphore is never closed") }
    }

    fn register(&self, holds: &Arc<Holds>) {
        let mut all = self.holds();
        all.retain(|holds| holds.strong_count() > 0);
        all.push(Arc::downgrade(holds));
    }

    /// Ends the held connection that is quiet longest, if there is one.
    fn relieve(&self) {
        let all: Vec<Arc<Holds>> = self.holds().iter().filter_map(Weak::upgrade).collect();
        if let Some(holds) = all.iter().filter(|holds| holds.held() > 0).min_by_key(|holds| holds.quietest())
        {
            holds.oust_quietest();
        }
    }

    fn holds(&self) -> MutexGuard<'_, Vec<Weak<Holds>>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::testing::soon;

    #[test]
    fn a_session_takes_two_descriptors_and_some_are_left() {
        let sessions = |limit| Room::for_limit(limit).places.available_permits();
        assert_eq!(sessions(Some(64)), 16);
        assert_eq!(sessions(Some(1024)), 448);
        assert_eq!(sessions(Some(20_000)), 9_872);
        assert_eq!(sessions(Some(0)), 1);
        assert_eq!(sessions(None), Semaphore::MAX_PERMITS);
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_until_another_leaves() {
        let room = Arc::new(Room::for_limit(Some(0)));
        let first = room.place().await;
        let second = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.place().await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());

        drop(first);

        soon(second).await.unwrap();
    }

    #[test]
    fn the_held_connection_quiet_longest_gives_way_whichever_import_it_belongs_to() {
        let room = Room::for_limit(None);
        let imports = [Holds::new(10), Holds::new(10), Holds::new(10)];
        imports.iter().for_each(|holds| room.register(holds));
        let order = [1, 0, 1];
        let _held = order.map(|import: usize| imports[import].enter());
        let held = || imports.each_ref().map(|holds| holds.held());

        room.relieve();
        assert_eq!(held(), [1, 1, 0]);
        room.relieve();
        assert_eq!(held(), [0, 1, 0]);
        room.relieve();
        room.relieve();
        assert_eq!(held(), [0, 0, 0]);
    }
}
