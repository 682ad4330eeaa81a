//! Attempts beside one that is late: over fresh circuits, by a descriptor that is fetched anew. The first to be answered wins.
//!
//! A host that was killed and is back has other introduction points. The relays of the old ones may still take introductions for it
//! (`INTRODUCE_ACK` from a circuit whose end they were not told of), and tor waits for an answer that can't come.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::circuits::Remotes;
use crate::engine::stream::Stream;
use crate::engine::{Attempt, DialError, OnionEngine};
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

/// How many attempts one gets beside it.
const BESIDE: u32 = 2;

/// How many attempts there may be beside others, to all remotes: each takes a file descriptor more than its session was given.
pub(super) const ALL_BESIDE: usize = 24;

/// How long a descriptor is waited for before tor is asked to connect with the one it has.
const FETCH: Duration = Duration::from_millis(1500);

/// One attempt of a race.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) isolation: String,
    pub(super) began: Instant,
    /// Whether its circuit was there already.
    pub(super) warm: bool,
}

type Answer = (Runner, Result<Stream, DialError>);
/// What an attempt beside another holds.
type Room = [Option<OwnedSemaphorePermit>; 2];
type Running = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a race takes.
pub(super) struct Race<'a> {
    pub(super) engine: &'a Arc<dyn OnionEngine>,
    pub(super) remotes: &'a Mutex<Remotes>,
    /// The remote whose descriptor came last.
    pub(super) descriptor: &'a watch::Sender<Option<OnionAddress>>,
    /// For how long a circuit counts as being there.
    pub(super) circuit_life: Duration,
    /// [`ALL_BESIDE`].
    pub(super) beside: &'a Arc<Semaphore>,
}

impl Race<'_> {
    fn remotes(&self) -> MutexGuard<'_, Remotes> {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Awaits the reply of an attempt. Where it is late the group gets another circuit, and unless this attempt must stay `alone`, it is
    /// tried over that one, too. `last` becomes the last circuit that was tried.
    pub(super) async fn run(
        &self,
        (remote, port, group): (&OnionAddress, Port, &str),
        first: Runner,
        attempt: Attempt,
        alone: bool,
        last: &mut String,
    ) -> Answer {
        let mut late = self.remotes().late(remote, first.warm);
        let mut due = first.began + late;
        let mut running: Vec<Running> = vec![Box::pin(async move { (first, attempt.reply().await) })];
        let (mut beside, of_one) = (0, self.remotes().beside(remote));
        loop {
            let answer = tokio::select! {
                biased;
                answer = any(&mut running) => Ok(answer),
                room = self.room_at(due, &of_one, alone), if beside < BESIDE => Err(room),
            };
            match answer {
                Ok((runner, Err(error))) if error.is_retryable() && !running.is_empty() => {
                    debug!(%remote, %error, isolation = runner.isolation, "an attempt beside others failed");
                }
                Ok(answer) => return answer,
                Err(room) => {
                    beside += 1;
                    late *= 2;
                    due = Instant::now() + late;
                    let fresh = self.renewed(remote, group, last);
                    debug!(%remote, isolation = fresh, alone, "an attempt is late");
                    let runner = self.beside(remote, port, fresh.clone());
                    if alone {
                        // All that can be done is for those that come after it.
                        beside = BESIDE;
                        tokio::spawn(runner.fetched());
                    } else {
                        *last = fresh;
                        running.push(Box::pin(async move {
                            let _room = room;
                            runner.run().await
                        }));
                    }
                }
            }
        }
    }

    /// Waits for the moment, and for room for one more attempt; one that stays alone needs none. Cancel-safe.
    async fn room_at(&self, due: Instant, of_one: &Arc<Semaphore>, alone: bool) -> Room {
        sleep_until(due).await;
        if alone {
            return [None, None];
        }
        // They are never closed.
        let of_one = Arc::clone(of_one).acquire_owned().await.ok();
        [of_one, Arc::clone(self.beside).acquire_owned().await.ok()]
    }

    /// The group's circuit, which is another than this one.
    fn renewed(&self, remote: &OnionAddress, group: &str, isolation: &str) -> String {
        let mut remotes = self.remotes();
        remotes.renew(remote, group, isolation);
        remotes.circuit(remote, group, self.circuit_life).0
    }

    fn beside(&self, remote: &OnionAddress, port: Port, isolation: String) -> Beside {
        let fetches = self.remotes().may_fetch(remote);
        let descriptor = self.descriptor.subscribe();
        Beside { engine: Arc::clone(self.engine), remote: *remote, port, isolation, fetches, descriptor }
    }
}

/// An attempt that was not begun yet.
struct Beside {
    engine: Arc<dyn OnionEngine>,
    remote: OnionAddress,
    port: Port,
    isolation: String,
    /// Whether the descriptor is fetched before.
    fetches: bool,
    descriptor: watch::Receiver<Option<OnionAddress>>,
}

impl Beside {
    /// Fetches the descriptor, if that is to be done, and gives it some time to come.
    async fn fetched(mut self) -> Self {
        if self.fetches {
            let fetch = async {
                if self.engine.fetch_descriptor(&self.remote).await.is_err() {
                    return;
                }
                while self.descriptor.changed().await.is_ok() {
                    if *self.descriptor.borrow_and_update() == Some(self.remote) {
                        return;
                    }
                }
            };
            let _ = timeout(FETCH, fetch).await;
        }
        self
    }

    async fn run(self) -> Answer {
        let this = self.fetched().await;
        let runner = Runner { isolation: this.isolation, began: Instant::now(), warm: false };
        let answer = match this.engine.dial(&this.remote, this.port, &runner.isolation).await {
            Ok(attempt) => attempt.reply().await,
            Err(error) => Err(error),
        };
        (runner, answer)
    }
}

/// The first of them that is answered, which is taken out. Cancel-safe.
async fn any(running: &mut Vec<Running>) -> Answer {
    poll_fn(|cx| {
        for place in 0..running.len() {
            if let Poll::Ready(answer) = running[place].as_mut().poll(cx) {
                drop(running.swap_remove(place));
                return Poll::Ready(answer);
            }
        }
        Poll::Pending
    })
    .await
}
