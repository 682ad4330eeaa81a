//! The front of every store: calls run on a thread of their own with a deadline, so a keyring that hangs or asks the user delays only its
//! caller. It is the same for all stores.
//!
//! The thread can't be joined, since it may never return; it ends by itself once the last [`Secrets`] is gone and its call is over.
//! While one call hangs, others are refused at once; after `Patience::replace_after` the thread is left behind and another tried,
//! a few times at most.
//!
//! Whether a store may ask a person is told by the deadline: only a call that leaves a person the time to answer may. To any other, a store
//! that is locked says so.

use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::file::FileStore;
use super::keyring::KeyringStore;
use super::{SecretId, SecretStore, SecretsError};
use crate::model::keys::Secret;
use crate::model::store_kind::StoreKind;

/// How long a store may take. The slowest honest answer of a keyring was measured at 0.6 s.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// How long where a person may be asked to unlock the store: in a command that a person has just typed. A store that does not answer
/// at all is given up after [`DEADLINE`] all the same.
pub const PROMPT_DEADLINE: Duration = Duration::from_secs(60);

/// When to give up on the thread itself.
#[derive(Clone, Copy)]
struct Patience {
    /// From the first call that timed out; not below [`PROMPT_DEADLINE`], so that nobody waits for the old thread any more.
    replace_after: Duration,
    /// Threads left behind at one time.
    most_abandoned: usize,
}

const PATIENCE: Patience = Patience { replace_after: PROMPT_DEADLINE, most_abandoned: 3 };

/// One secret store, as everyone uses it. Clones share it. Its calls want a tokio runtime with a clock, and never block its threads.
#[derive(Clone)]
pub struct Secrets {
    kind: StoreKind,
    front: Arc<dyn Front>,
    deadline: Duration,
}

/// Carries out calls on a store, each with a deadline, and never blocks the caller's thread.
#[async_trait]
pub trait Front: Send + Sync {
    /// Carries one out.
    async fn ask(&self, op: Op, deadline: Duration) -> Answer;
}

type Make = Box<dyn Fn() -> Box<dyn SecretStore> + Send + Sync>;

struct Shared {
    make: Make,
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    jobs: Option<mpsc::Sender<Job>>,
    /// Which thread is the current one.
    generation: u64,
    /// Since when the current thread has a call that timed out and is not over.
    hung_since: Option<Instant>,
    /// Whether the current thread's call is asking a person.
    asks: bool,
    /// Threads left behind that have not come back.
    abandoned: usize,
}

/// A call of a store: see [`SecretStore`].
pub enum Op {
    /// Reads a secret.
    Get(SecretId),
    /// Writes one.
    Set(SecretId, Secret),
    /// Erases one.
    Delete(SecretId),
    /// Sees whether it answers.
    Reach,
    /// Has it ask a person, where it is locked.
    Unlock,
    /// Sees whether it works.
    Probe,
}

/// What came of a call: a secret only of [`Op::Get`].
pub type Answer = Result<Option<Secret>, SecretsError>;

struct Job {
    op: Op,
    may_ask: bool,
    reply: oneshot::Sender<Answer>,
}

impl Secrets {
    /// The store of this kind: files in `dir`, or the entries of `instance` in the system's keyring. Nothing is touched before the
    /// first call.
    pub fn open(kind: StoreKind, dir: &Path, instance: &str) -> Self {
        let (dir, instance) = (dir.to_owned(), instance.to_owned());
        Self::over(kind, move || match kind {
            StoreKind::OsKeyring => Box::new(KeyringStore::new(&instance)),
            StoreKind::File => Box::new(FileStore::new(&dir)),
        })
    }

    /// Any store; `make` is called for each new thread and must not block.
    pub fn over(kind: StoreKind, make: impl Fn() -> Box<dyn SecretStore> + Send + Sync + 'static) -> Self {
        Self::with_patience(kind, make, PATIENCE)
    }

    fn with_patience(
        kind: StoreKind,
        make: impl Fn() -> Box<dyn SecretStore> + Send + Sync + 'static,
        patience: Patience,
    ) -> Self {
        let state = State { jobs: None, generation: 0, hung_since: None, asks: false, abandoned: 0 };
        let shared = Shared { make: Box::new(make), patience, state: Mutex::new(state) };
        Self::by(kind, Arc::new(Arc::new(shared)))
    }

    /// A store whose calls are carried out in another way than by a thread.
    pub fn by(kind: StoreKind, front: Arc<dyn Front>) -> Self {
        Self { kind, front, deadline: DEADLINE }
    }

    /// The same store with another deadline for each call.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { kind: self.kind, front: Arc::clone(&self.front), deadline }
    }

    /// The kind of store this is.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// Reads a secret; [`SecretsError::NoEntry`] where there is none, which is no reason to make one.
    pub async fn get(&self, id: SecretId) -> Result<Secret, SecretsError> {
        self.call(Op::Get(id)).await?.ok_or(SecretsError::NoEntry(id))
    }

    /// Writes a secret durably. After [`SecretsError::TimedOut`] it may be written all the same, late: see [`super::journal`].
    pub async fn set(&self, id: SecretId, secret: Secret) -> Result<(), SecretsError> {
        self.call(Op::Set(id, secret)).await.map(drop)
    }

    /// Erases a secret; fine where there is none.
    pub async fn delete(&self, id: SecretId) -> Result<(), SecretsError> {
        self.call(Op::Delete(id)).await.map(drop)
    }

    /// Has a store that is locked ask a person. The deadline must leave time for that.
    pub async fn unlock(&self) -> Result<(), SecretsError> {
        self.call(Op::Unlock).await.map(drop)
    }

    /// Writes, reads and erases a value of no meaning, to see whether the store works.
    pub async fn probe(&self) -> Result<(), SecretsError> {
        self.call(Op::Probe).await.map(drop)
    }

    async fn call(&self, op: Op) -> Answer {
        if may_ask(self.deadline) {
            // The time is for a person to answer, not for a store that is dead.
            self.front.ask(Op::Reach, DEADLINE).await?;
        }
        self.front.ask(op, self.deadline).await
    }
}

#[async_trait]
impl Front for Arc<Shared> {
    async fn ask(&self, op: Op, deadline: Duration) -> Answer {
        let (reply, mut answer) = oneshot::channel();
        let generation = self.submit(Job { op, may_ask: may_ask(deadline), reply }, deadline)?;
        match tokio::time::timeout(deadline, &mut answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_gone)) => Err(SecretsError::Failed("its thread ended unexpectedly".into())),
            Err(_elapsed) => self.give_up(generation, &mut answer, deadline),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job to the current thread, or to a new one where there is none or the current one has hung for long enough.
    fn submit(self: &Arc<Self>, mut job: Job, deadline: Duration) -> Result<u64, SecretsError> {
        let mut state = self.state();
        if let Some(since) = state.hung_since {
            let patience = self.patience;
            if since.elapsed() < patience.replace_after || state.abandoned >= patience.most_abandoned {
                return Err(if state.asks { is_asked() } else { SecretsError::TimedOut(deadline) });
            }
            state.abandoned += 1;
            state.jobs = None;
            state.hung_since = None;
            state.asks = false;
        }
        if state.asks {
            // One prompt is enough, whoever it is for.
            return Err(is_asked());
        }
        if let Some(jobs) = &state.jobs {
            match jobs.send(job) {
                Ok(()) => return Ok(state.generation),
                // The thread died of a panic in the store; the next one may do better.
                Err(mpsc::SendError(returned)) => job = returned,
            }
        }
        let (jobs, queue) = mpsc::channel();
        state.generation += 1;
        let (shared, generation) = (Arc::downgrade(self), state.generation);
        let store = (self.make)();
        std::thread::Builder::new()
            .name("secrets".into())
            .spawn(move || Thread { shared, generation }.run(store, &queue))
            .map_err(|error| SecretsError::Failed(format!("failed to start its thread: {error}")))?;
        // Nobody receives only where the new thread has died already; then the reply is dropped, and the caller told.
        let _ = jobs.send(job);
        state.jobs = Some(jobs);
        Ok(state.generation)
    }

    /// Ends the wait for an answer: takes one that came at the last moment, else notes that the thread hangs.
    fn give_up(&self, generation: u64, answer: &mut oneshot::Receiver<Answer>, deadline: Duration) -> Answer {
        // Threads reply under this lock, so there is either an answer now, or its sender will see the note.
        let mut state = self.state();
        if let Ok(answer) = answer.try_recv() {
            return answer;
        }
        if state.generation == generation && state.asks {
            if !may_ask(deadline) {
                return Err(is_asked());
            }
            state.hung_since.get_or_insert_with(Instant::now);
            return Err(SecretsError::Locked(format!("its password was not typed within {deadline:?}")));
        }
        if state.generation == generation {
            state.hung_since.get_or_insert_with(Instant::now);
        }
        Err(SecretsError::TimedOut(deadline))
    }
}

/// What a thread keeps to report with. It does not keep the store's front alive.
struct Thread {
    shared: Weak<Shared>,
    generation: u64,
}

impl Thread {
    fn run(self, mut store: Box<dyn SecretStore>, queue: &mpsc::Receiver<Job>) {
        for Job { op, may_ask, reply } in queue {
            // Whoever has stopped waiting has reported a failure: it must not be made untrue without need.
            let is_wanted = !reply.is_closed();
            if is_wanted && may_ask && !matches!(op, Op::Reach) {
                let asks = store.is_locked().unwrap_or_default();
                self.note_whether_it_asks(asks);
            }
            let answer = is_wanted.then(|| perform(&mut *store, op, may_ask));
            self.note_whether_it_asks(false);
            let Some(shared) = self.shared.upgrade() else { return };
            let mut state = shared.state();
            if let Some(answer) = answer {
                // An error means that the caller has gone, which concerns nobody else.
                let _ = reply.send(answer);
            }
            if state.generation == self.generation {
                state.hung_since = None;
            }
        }
    }
}

impl Thread {
    fn note_whether_it_asks(&self, asks: bool) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.state();
        if state.generation == self.generation {
            state.asks = asks;
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.state();
        if state.generation == self.generation {
            state.jobs = None;
            state.hung_since = None;
            state.asks = false;
        } else {
            state.abandoned = state.abandoned.saturating_sub(1);
        }
    }
}

/// Whether a deadline leaves a person the time to answer.
pub(crate) fn may_ask(deadline: Duration) -> bool {
    deadline > DEADLINE
}

fn is_asked() -> SecretsError {
    SecretsError::Locked("its password is being asked for".into())
}

/// Carries out a call on a store, here and now.
pub(crate) fn perform(store: &mut dyn SecretStore, op: Op, may_ask: bool) -> Answer {
    if !may_ask && !matches!(op, Op::Reach) && store.is_locked()? {
        return Err(SecretsError::Locked("it needs your password".into()));
    }
    match op {
        Op::Unlock => store.unlock().map(|()| None),
        Op::Get(id) => store.get(&id).map(Some),
        Op::Set(id, secret) => store.set(&id, &secret).map(|()| None),
        Op::Delete(id) => store.delete(&id).map(|()| None),
        Op::Reach => store.reach().map(|()| None),
        Op::Probe => store.probe().map(|()| None),
    }
}

#[cfg(test)]
mod tests;
