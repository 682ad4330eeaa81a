//! The capacity for sessions: the process has so many descriptors, and a session takes two of them.
//!
//! Without this, a flood of connections would take every descriptor for its near sides, none would be left for a far side, and all
//! would wait for each other. Who gets a place is the rule of [`shares`](super::shares). A connection that finds no room waits or is
//! refused, as its listener has it; to make room, the held connection ([`Holds`]) of the same listener that is quiet
//! longest gives way.
//!
//! What agents say to each other (the responder) has a small one of its own, so that it can tell why the other one is full.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::holds::Holds;
use super::shares::{Full, Id, Limit, Shares};
use super::system;

/// Descriptors left for all else: tor, files, listeners, the agent's own clients: an eighth, within these bounds.
const RESERVE: (u64, u64) = (32, 256);

/// Of the places, one in so many is the agents' own.
const CONTROL: u64 = 8;

/// Places where nothing limits them but memory.
const UNLIMITED: u64 = 1 << 32;

/// How long a refusal is reported after there is room again.
const TOLD_FOR: Duration = Duration::from_secs(10);

/// For sessions, and for what agents say to each other. Descriptors are the process's, so there is one of each. Their size is that of the
/// limit when it is first asked for: the agent raises the limit before it opens anything.
static CAPACITY: LazyLock<(Arc<Capacity>, Arc<Capacity>)> = LazyLock::new(|| {
    let (sessions, control) = places(system::descriptor_limit());
    (Capacity::new(sessions), Capacity::new(control))
});

/// How many sessions, and how many conversations of agents, a limit of descriptors leaves room for.
fn places(limit: Option<u64>) -> (u64, u64) {
    let all = limit.map_or(UNLIMITED, |limit| {
        (limit.saturating_sub((limit / 8).clamp(RESERVE.0, RESERVE.1)) / 2).max(2)
    });
    let control = (all / CONTROL).max(1);
    (all - control, control)
}

#[derive(Debug)]
struct Capacity {
    shares: Mutex<Shares>,
    /// Tells those who wait that a place was given back.
    freed: Notify,
    /// How many wait for a place.
    waiting: AtomicUsize,
    holds: Mutex<Vec<(Weak<Holds>, Weak<Part>)>>,
}

/// Whoever has a share of the capacity: a client, an import, the SOCKS front.
#[derive(Debug)]
pub(super) struct Member {
    capacity: Arc<Capacity>,
    id: Id,
}

impl Member {
    /// One that may hold at most `cap` sessions.
    pub(super) fn new(cap: u64) -> Arc<Self> {
        Self::of(&CAPACITY.0, cap)
    }

    /// One that agents talk by.
    pub(super) fn control(cap: u64) -> Arc<Self> {
        Self::of(&CAPACITY.1, cap)
    }

    fn of(capacity: &Arc<Capacity>, cap: u64) -> Arc<Self> {
        let id = capacity.shares().join(cap);
        Arc::new(Self { capacity: Arc::clone(capacity), id })
    }

    /// Allows it another number of sessions from now on; those that are open stay.
    pub(super) fn set_cap(&self, cap: u64) {
        self.capacity.shares().set_cap(self.id, cap);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.capacity.shares().leave(self.id);
    }
}

/// A listener's part of what its member has.
#[derive(Debug)]
pub(super) struct Part {
    member: Arc<Member>,
    id: Id,
    waiting: AtomicUsize,
    /// The last refusal, and how many there were since there was room.
    last: Mutex<Option<(Full, Instant, u64)>>,
}

/// A listener that turns connections away, or did a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded {
    /// Places that it holds.
    pub held: u64,
    /// Places of its client, or of the whole agent.
    pub of: u64,
    /// Whether the limit is the agent's, which descriptors set; else it is the client's.
    pub by_agent: bool,
    /// Connections turned away since there was room.
    pub refused: u64,
}

impl Part {
    /// One of several parts of a member.
    pub(super) fn of(member: &Arc<Member>) -> Arc<Self> {
        let id = member.capacity.shares().open(member.id);
        let member = Arc::clone(member);
        Arc::new(Self { member, id, waiting: AtomicUsize::new(0), last: Mutex::default() })
    }

    /// A listener that is a member by itself, bounded by the capacity alone. Its held connections give way when it has no room.
    pub(super) fn alone(holds: &Arc<Holds>) -> Arc<Self> {
        Self::with_cap(holds, u64::MAX)
    }

    /// One that may hold at most `cap` sessions.
    pub(super) fn with_cap(holds: &Arc<Holds>, cap: u64) -> Arc<Self> {
        let part = Self::of(&Member::new(cap));
        part.member.capacity.register(holds, &part);
        part
    }

    /// Takes a place, if there is one.
    pub(super) fn take(self: &Arc<Self>) -> Result<Place, Full> {
        self.member.capacity.shares().take(self.member.id, self.id)?;
        Ok(Place { part: Arc::clone(self) })
    }

    /// Waits for a place. Cancel-safe.
    pub(super) async fn place(self: &Arc<Self>) -> Place {
        let capacity = &self.member.capacity;
        let _waiting = (Waiting::new(&capacity.waiting), Waiting::new(&self.waiting));
        loop {
            let mut freed = std::pin::pin!(capacity.freed.notified());
            freed.as_mut().enable();
            if let Ok(place) = self.take() {
                return place;
            }
            capacity.relieve();
            freed.await;
        }
    }

    /// Whether a connection of it is held, and would give way.
    pub(super) fn has_held(self: &Arc<Self>) -> bool {
        let is_ours = |part: &Weak<Self>| std::ptr::eq(part.as_ptr(), Arc::as_ptr(self));
        let all = self.member.capacity.holds();
        let holds = all.iter().find(|(_, part)| is_ours(part)).and_then(|(holds, _)| holds.upgrade());
        holds.is_some_and(|holds| holds.quietest().is_some())
    }

    /// Notes that a connection was turned away.
    pub(super) fn refuse(&self, full: Full) {
        let mut last = self.last();
        let before = last.map_or(0, |(_, _, refused)| refused);
        if before == 0 {
            tracing::warn!(held = full.held, limit = ?full.limit, "full: connections are turned away");
        }
        *last = Some((full, Instant::now(), before + 1));
    }

    /// Whether it turns connections away, or did until a moment ago.
    pub(super) fn crowded(self: &Arc<Self>) -> Option<Crowded> {
        let (full, at, refused) = (*self.last())?;
        // A place that was only tried for is given back at once.
        let now = self.take().map(drop).err();
        if now.is_none() && at.elapsed() >= TOLD_FOR {
            *self.last() = None;
            return None;
        }
        let full = now.unwrap_or(full);
        let (of, by_agent) = match full.limit {
            Limit::Member(of) => (of, false),
            Limit::Agent(of) => (of, true),
        };
        Some(Crowded { held: full.held, of, by_agent, refused })
    }

    fn last(&self) -> MutexGuard<'_, Option<(Full, Instant, u64)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.member.capacity.shares().close(self.member.id, self.id);
    }
}

impl Crowded {
    /// `full: 512 of 512`, and where the rest is.
    pub fn sentence(&self) -> String {
        let Self { held, of, .. } = self;
        match held == of {
            true => format!("full: {held} of {of}"),
            false => format!("full: {held} of {of}, the rest is taken by others or kept for them"),
        }
    }
}

/// A session's place; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    part: Arc<Part>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Part { member, id, .. } = &*self.part;
        member.capacity.shares().give(member.id, *id);
        if member.capacity.waiting.load(Ordering::Relaxed) > 0 {
            member.capacity.freed.notify_waiters();
        }
    }
}

/// To be called when a connection is held from now on: if its listener waits for room, the one quiet longest ends.
pub(super) fn one_more_held() {
    if CAPACITY.0.waiting.load(Ordering::Relaxed) > 0 {
        CAPACITY.0.relieve();
    }
}

impl Capacity {
    fn new(places: u64) -> Arc<Self> {
        Arc::new(Self {
            shares: Mutex::new(Shares::new(places)),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            holds: Mutex::default(),
        })
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, holds: &Arc<Holds>, part: &Arc<Part>) {
        let mut all = self.holds();
        all.retain(|(_, part)| part.strong_count() > 0);
        all.push((Arc::downgrade(holds), Arc::downgrade(part)));
    }

    /// Of each listener that waits, ends the held connection that is quiet longest. Who waits has its share: what it wants beyond that,
    /// no other listener's connection is ended for.
    fn relieve(&self) {
        for (holds, part) in self.holds().iter() {
            let waits = part.upgrade().is_some_and(|part| part.waiting.load(Ordering::Relaxed) > 0);
            if let Some(holds) = holds.upgrade().filter(|holds| waits && holds.quietest().is_some()) {
                holds.oust_quietest();
            }
        }
    }

    fn holds(&self) -> MutexGuard<'_, Vec<(Weak<Holds>, Weak<Part>)>> {
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

    fn listener(capacity: &Arc<Capacity>, holds: &Arc<Holds>) -> Arc<Part> {
        let part = Part::of(&Member::of(capacity, u64::MAX));
        capacity.register(holds, &part);
        part
    }

    #[test]
    fn a_session_takes_two_descriptors_and_some_are_left() {
        assert_eq!(places(Some(64)), (14, 2));
        assert_eq!(places(Some(1024)), (392, 56));
        assert_eq!(places(Some(20_000)), (8_638, 1_234));
        assert_eq!(places(Some(0)), (1, 1));
        assert!(places(None).0 > 1 << 31);
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_until_another_leaves() {
        let capacity = Capacity::new(2);
        let part = listener(&capacity, &Holds::new(1));
        let first = part.place().await;
        let second = tokio::spawn({
            let part = Arc::clone(&part);
            async move { part.place().await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());

        drop(first);

        soon(second).await.unwrap();
        assert_eq!(capacity.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_held_connections_of_the_listener_that_waits_give_way_and_no_others() {
        let capacity = Capacity::new(4);
        let holds = [Holds::new(10), Holds::new(10)];
        let parts = holds.each_ref().map(|holds| listener(&capacity, holds));
        let held = || holds.each_ref().map(|holds| holds.held());
        let mut places = Vec::new();
        while let Ok(place) = parts[0].take() {
            places.push(place);
        }
        let _held = [0, 0, 1].map(|listener: usize| holds[listener].enter());
        capacity.relieve();
        assert_eq!(held(), [2, 1], "nobody waits");

        let waits = tokio::spawn({
            let part = Arc::clone(&parts[0]);
            async move { part.place().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(held(), [1, 1]);
        capacity.relieve();
        capacity.relieve();
        assert_eq!(held(), [0, 1]);
        waits.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn being_full_is_told_until_there_is_room_again() {
        let capacity = Capacity::new(100);
        let client = Member::of(&capacity, 2);
        let (web, ssh) = (Part::of(&client), Part::of(&client));
        let _place = web.take().unwrap();
        assert_eq!(web.crowded(), None);
        let full = web.take().unwrap_err();
        web.refuse(full);
        web.refuse(full);
        let crowded = Crowded { held: 1, of: 2, by_agent: false, refused: 2 };
        assert_eq!((web.crowded(), ssh.crowded()), (Some(crowded), None));
        assert!(crowded.sentence().starts_with("full: 1 of 2, "));

        // However long it is full.
        tokio::time::advance(TOLD_FOR * 10).await;
        assert_eq!(web.crowded(), Some(crowded));
        client.set_cap(512);
        assert_eq!(web.crowded(), None);
        web.refuse(full);
        assert!(web.crowded().is_some_and(|crowded| crowded.refused == 1));
    }
}
