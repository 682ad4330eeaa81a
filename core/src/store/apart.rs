//! Runs work that may wait for a disk or another process on a thread of its own, because the agent's one thread carries all traffic.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::runtime::{Handle, Id};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, watch};

/// Whose turn it is at a path.
static TURNS: LazyLock<Mutex<HashMap<PathBuf, Weak<Turn<()>>>>> = LazyLock::new(Mutex::default);
/// How much of [`apart_later`] is not done yet, by the runtime that asked for it: agents of one process (a simulation) don't wait for each other.
static LATER: LazyLock<watch::Sender<HashMap<Id, usize>>> = LazyLock::new(watch::Sender::default);

/// Does it on a thread for such work, and gives what came of it. A caller that goes away meanwhile does not stop it.
///
/// # Panics
///
/// When the work panics.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime has ended, and nobody is polled any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The same for work on one path. It is done in the order in which it was asked for, one at a time: where a file system hangs, each of its
/// paths holds up one thread.
pub async fn apart_at<T: Send + 'static>(path: &Path, work: impl FnOnce() -> T + Send + 'static) -> T {
    let turn = turn(path).lock_owned().await;
    apart(move || in_turn(work, turn)).await
}

/// The same for who can't wait for it. Without a runtime it is done at once.
pub fn apart_later(path: &Path, work: impl FnOnce() + Send + 'static) {
    let Ok(runtime) = Handle::try_current() else { return work() };
    let counted = Counted::new(runtime.id());
    let work = move || {
        work();
        drop(counted);
    };
    let turn = turn(path);
    match Arc::clone(&turn).try_lock_owned() {
        Ok(turn) => drop(runtime.spawn_blocking(move || in_turn(work, turn))),
        Err(_) => {
            runtime.spawn(async move {
                let turn = turn.lock_owned().await;
                apart(move || in_turn(work, turn)).await;
            });
        }
    }
}

/// Waits until all that was left to [`apart_later`] in this runtime is done.
pub async fn all_done() {
    let here = Handle::current().id();
    // The sender is never dropped.
    let _ = LATER.subscribe().wait_for(|left| !left.contains_key(&here)).await;
}

fn in_turn<T>(work: impl FnOnce() -> T, turn: OwnedMutexGuard<()>) -> T {
    let done = work();
    drop(turn);
    done
}

fn turn(path: &Path) -> Arc<Turn<()>> {
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(turn) = turns.get(path).and_then(Weak::upgrade) {
        return turn;
    }
    turns.retain(|_, turn| turn.strong_count() > 0);
    let turn = Arc::new(Turn::new(()));
    turns.insert(path.to_owned(), Arc::downgrade(&turn));
    turn
}

/// Counts something that is to be done later until it is done, or never will be.
struct Counted(Id);

impl Counted {
    fn new(runtime: Id) -> Self {
        LATER.send_modify(|left| *left.entry(runtime).or_default() += 1);
        Self(runtime)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LATER.send_modify(|left| {
            let Some(count) = left.get_mut(&self.0) else { return };
            *count -= 1;
            if *count == 0 {
                left.remove(&self.0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_on_a_path_is_done_in_its_order_and_holds_up_no_other_path() {
        let (here, there) = (Path::new("/order/here"), Path::new("/order/there"));
        let (go_on, hanging) = mpsc::channel::<()>();
        let (say, said) = mpsc::channel();
        let note = |word: &'static str| {
            let say = say.clone();
            move || say.send(word).unwrap()
        };
        let first = note("first");
        apart_later(here, move || {
            hanging.recv().unwrap();
            first();
        });
        apart_later(here, note("second"));
        let third = tokio::spawn(apart_at(here, note("third")));
        tokio::task::yield_now().await;

        apart_at(there, note("elsewhere")).await;
        let left = tokio::time::timeout(Duration::from_millis(50), all_done()).await;
        go_on.send(()).unwrap();
        third.await.unwrap();
        all_done().await;

        assert!(left.is_err(), "it was not waited for");
        assert_eq!(said.try_iter().collect::<Vec<_>>(), ["elsewhere", "first", "second", "third"]);
    }

    #[test]
    fn what_another_runtime_has_left_is_not_waited_for() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (ours, other) = (runtime(), runtime());
        let (go_on, hanging) = mpsc::channel::<()>();
        other.block_on(async { apart_later(Path::new("/runtime/other"), move || hanging.recv().unwrap()) });

        let done = ours.block_on(async { tokio::time::timeout(Duration::from_secs(30), all_done()).await });
        go_on.send(()).unwrap();

        assert!(done.is_ok(), "it was waited for");
        other.block_on(all_done());
    }
}
