//! Sockets that are being made, apart from the loop: a file system may not answer, and nothing else should wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::engine::GateAddr;
use crate::forward::listen::{Bound, ListenError};
use crate::plan::Socket;

/// After this time a file system counts as not answering.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket that was made, and what tor calls it if it is a gate's.
pub(super) struct Made {
    pub(super) bound: Bound,
    pub(super) gate: Option<GateAddr>,
}

/// What became of one so far.
pub(super) enum Opened {
    /// It listens.
    Made(Made),
    /// It could not be made.
    Failed(ListenError),
    /// Not known yet: [`Openings::news`].
    UnderWay,
    /// Not known yet, for too long.
    Hangs,
}

struct Opening {
    /// The generation of the configuration that asked for it.
    generation: u64,
    since: Instant,
    result: Option<Result<Made, ListenError>>,
}

impl Opening {
    fn hangs(&self) -> bool {
        self.result.is_none() && self.since.elapsed() >= PATIENCE
    }
}

/// See the file's sentence.
#[derive(Default)]
pub(super) struct Openings {
    all: BTreeMap<Socket, Opening>,
    tasks: JoinSet<(Socket, Result<Made, ListenError>)>,
    /// Those that were reported to the loop as taking too long.
    told: BTreeSet<Socket>,
}

impl Openings {
    /// Begins to make a socket, or says what became of it; one that was made is given once.
    pub(super) fn open<F>(&mut self, socket: &Socket, generation: u64, make: impl FnOnce() -> F) -> Opened
    where
        F: Future<Output = Result<Made, ListenError>> + Send + 'static,
    {
        let Some(opening) = self.all.get(socket) else {
            let (key, making) = (socket.clone(), make());
            self.tasks.spawn(async move { (key, making.await) });
            let opening = Opening { generation, since: Instant::now(), result: None };
            self.all.insert(socket.clone(), opening);
            return Opened::UnderWay;
        };
        let hangs = opening.hangs();
        match self.all.remove(socket) {
            Some(Opening { result: Some(Ok(made)), .. }) => Opened::Made(made),
            Some(Opening { result: Some(Err(error)), .. }) => Opened::Failed(error),
            Some(opening) => {
                self.all.insert(socket.clone(), opening);
                if hangs { Opened::Hangs } else { Opened::UnderWay }
            }
            None => Opened::UnderWay,
        }
    }

    /// Whether a socket is being made.
    pub(super) fn is_under_way(&self, socket: &Socket) -> bool {
        self.all.get(socket).is_some_and(|opening| opening.result.is_none())
    }

    /// The generations that wait for a socket, those left out whose file system does not answer.
    pub(super) fn generations(&self) -> BTreeSet<u64> {
        let waited_for = |opening: &&Opening| opening.result.is_none() && !opening.hangs();
        self.all.values().filter(waited_for).map(|opening| opening.generation).collect()
    }

    /// Drops what was made and nobody wanted any more.
    pub(super) fn drop_unwanted(&mut self) {
        self.all.retain(|_, opening| opening.result.is_none());
        self.told.retain(|socket| self.all.contains_key(socket));
    }

    /// Wants none of them any more, and waits until those that were made are closed.
    pub(super) async fn give_up(&mut self) {
        self.tasks.shutdown().await;
        self.all.clear();
        self.told.clear();
    }

    /// Waits until something came of one, or took too long; gives which. Cancel-safe.
    pub(super) async fn news(&mut self) -> Socket {
        loop {
            let untold = self
                .all
                .iter()
                .filter(|(socket, opening)| opening.result.is_none() && !self.told.contains(*socket));
            let late = untold.map(|(socket, opening)| (opening.since + PATIENCE, socket.clone())).min();
            let too_long = async {
                match &late {
                    Some((at, _)) => sleep_until(*at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // One that panicked would be the panic of a file system call.
                Some(Ok((socket, result))) = self.tasks.join_next() => {
                    if let Some(opening) = self.all.get_mut(&socket) {
                        opening.result = Some(result);
                    }
                    return socket;
                }
                () = too_long => {}
            }
            if let Some((_, socket)) = late {
                self.told.insert(socket.clone());
                return socket;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::address::ListenAddr;

    fn socket(path: &str) -> Socket {
        Socket::Listener(ListenAddr::Unix(PathBuf::from(path)))
    }

    fn failed() -> ListenError {
        ListenError::PathExists("/x".into())
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_told_once_and_taken_when_it_comes() {
        let (hung, other) = (socket("/hung"), socket("/other"));
        let (answer, hangs) = tokio::sync::oneshot::channel();
        let mut openings = Openings::default();
        let slow = async move { Err(hangs.await.unwrap()) };
        assert!(matches!(openings.open(&hung, 1, || slow), Opened::UnderWay));
        assert!(matches!(openings.open(&other, 2, async || Err(failed())), Opened::UnderWay));

        assert_eq!(openings.news().await, other);
        assert_eq!(openings.generations(), [1].into());
        assert!(matches!(openings.open(&other, 2, async || unreachable!()), Opened::Failed(_)));
        assert_eq!(openings.news().await, hung);
        assert!(openings.generations().is_empty() && openings.is_under_way(&hung));
        assert!(matches!(openings.open(&hung, 3, async || unreachable!()), Opened::Hangs));
        let again = tokio::time::timeout(10 * PATIENCE, openings.news()).await;
        assert!(again.is_err(), "it was told twice");

        answer.send(failed()).unwrap();
        assert_eq!(openings.news().await, hung);
        openings.drop_unwanted();
        assert!(matches!(openings.open(&hung, 3, async || Err(failed())), Opened::UnderWay), "it was kept");
    }
}
