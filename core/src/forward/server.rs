//! A listener that stays and owns its sessions: it accepts, backs off when the system lacks resources, refuses or waits when its share is
//! used up, and ends all sessions on request.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::capacity::{Part, Place};
use super::listen::{Bound, SocketPath};
use super::shares::Full;
use super::sockets::Abort;
use crate::engine::stream::Stream;
use crate::model::pauses::Pauses;

/// The first and the longest pause after an accept that failed (out of descriptors, say).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long a connection may wait for a place. While a listener is full for longer than that, no other waits either, unless a held one
/// can give way.
const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of a connection for which there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtBound {
    /// It is closed at once, so that a flood uses no resources here.
    Refuse,
    /// It waits a little, since bursts pass, and is reset then.
    Wait,
}

/// Where connections come from.
pub(crate) trait Accept: Send + Sync + 'static {
    /// What a connection is.
    type Conn: Abort + Send + 'static;

    /// Waits for one. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Conn>> + Send;
}

impl Accept for Bound {
    type Conn = Stream;

    fn accept(&mut self) -> impl Future<Output = io::Result<Stream>> + Send {
        self.listener.accept()
    }
}

/// A listening socket, and each that takes its place.
pub(crate) struct Renewable {
    bound: Bound,
    next: mpsc::UnboundedReceiver<Bound>,
}

impl Accept for Renewable {
    type Conn = Stream;

    async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            tokio::select! {
                biased;
                accepted = self.bound.listener.accept() => return accepted,
                Some(next) = self.next.recv() => self.bound = next,
            }
        }
    }
}

/// Gives a listener another socket; its sessions go on.
#[derive(Debug)]
pub(crate) struct Renewer {
    socket: Option<SocketPath>,
    next: mpsc::UnboundedSender<Bound>,
}

impl Renewer {
    /// With what it is to renew.
    pub(crate) fn of(bound: Bound) -> (Self, Renewable) {
        let (sender, next) = mpsc::unbounded_channel();
        (Self { socket: bound.socket(), next: sender }, Renewable { bound, next })
    }

    /// Where the Unix socket is that is listened on.
    pub(crate) fn socket(&self) -> Option<&SocketPath> {
        self.socket.as_ref()
    }

    /// Listens on this one from now on.
    pub(crate) fn renew(&mut self, bound: Bound) {
        self.socket = bound.socket();
        // One that takes no more connections drops it.
        let _ = self.next.send(bound);
    }
}

/// A running listener. Dropping it ends it, without waiting for that.
#[derive(Debug)]
pub(crate) struct Server {
    refuse: CancellationToken,
    stop: CancellationToken,
    over: CancellationToken,
}

impl Server {
    /// Runs a task for each connection; the task keeps the place until it ends.
    pub(crate) fn start<A, H, S>(listener: A, part: Arc<Part>, at_bound: AtBound, handle: H) -> Self
    where
        A: Accept,
        H: Fn(A::Conn, Place) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let server = Self { refuse: stop.child_token(), stop, over: CancellationToken::new() };
        let (refuse, stop) = (server.refuse.clone(), server.stop.clone());
        let over = server.over.clone().drop_guard();
        tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            accept_all(listener, &part, at_bound, handle, &mut sessions, &refuse).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = async { while let Some(ended) = sessions.join_next().await { note(ended) } } => {}
            }
            sessions.shutdown().await;
            drop(over);
        });
        server
    }

    /// Takes no more connections; those that are open go on.
    pub(crate) fn refuse(&self) {
        self.refuse.cancel();
    }

    /// Takes no more connections, ends the open ones, and waits until all are gone.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.over.cancelled().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Accepts until asked to stop; the listener is closed when this returns.
async fn accept_all<A, H, S>(
    mut listener: A,
    part: &Arc<Part>,
    at_bound: AtBound,
    handle: H,
    sessions: &mut JoinSet<()>,
    refuse: &CancellationToken,
) where
    A: Accept,
    H: Fn(A::Conn, Place) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    enum Tick<C> {
        Refuse,
        Ended(Result<(), tokio::task::JoinError>),
        Accepted(io::Result<C>),
        Place(Place),
        StillFull,
    }
    let mut pauses = Pauses::new(BACKOFF);
    // A moment, not a time to wait: sessions that end meanwhile must not put it off.
    let mut after = Instant::now();
    // Accepted, and waiting for room.
    let mut waiting: Option<(A::Conn, Full)> = None;
    // Since when none was given a place.
    let mut full: Option<Instant> = None;
    loop {
        let tick = tokio::select! {
            biased;
            () = refuse.cancelled() => Tick::Refuse,
            Some(ended) = sessions.join_next() => Tick::Ended(ended),
            place = part.place(), if waiting.is_some() => Tick::Place(place),
            () = sleep_until(full.unwrap_or(after) + PATIENCE), if waiting.is_some() => Tick::StillFull,
            accepted = accept_after(&mut listener, after), if waiting.is_none() => Tick::Accepted(accepted),
        };
        match tick {
            Tick::Refuse => return,
            Tick::Ended(ended) => note(ended),
            Tick::Accepted(Ok(stream)) => {
                pauses.reset();
                match (part.take(), at_bound) {
                    (Ok(place), _) => {
                        full = None;
                        sessions.spawn(handle(stream, place));
                    }
                    (Err(why), AtBound::Wait) if full.is_none_or(|since| since.elapsed() < PATIENCE) => {
                        full.get_or_insert_with(Instant::now);
                        waiting = Some((stream, why));
                    }
                    (Err(why), AtBound::Wait) if part.has_held() => {
                        full = Some(Instant::now());
                        waiting = Some((stream, why));
                    }
                    (Err(why), _) => {
                        part.refuse(why);
                        stream.abort("there is no room for more connections");
                    }
                }
            }
            Tick::Accepted(Err(error)) => {
                if !pauses.are_on() {
                    warn!(%error, "a connection can't be accepted; it is tried again");
                }
                let pause = pauses.after_failure();
                debug!(%error, ?pause, "a connection could not be accepted");
                after = Instant::now() + pause;
            }
            Tick::StillFull => {
                if let Some((stream, why)) = waiting.take() {
                    part.refuse(why);
                    stream.abort("there is no room for more connections");
                }
            }
            Tick::Place(place) => {
                full = None;
                if let Some((stream, _)) = waiting.take() {
                    sessions.spawn(handle(stream, place));
                }
            }
        }
    }
}

async fn accept_after<A: Accept>(listener: &mut A, after: Instant) -> io::Result<A::Conn> {
    if after > Instant::now() {
        sleep_until(after).await;
    }
    listener.accept().await
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        warn!(%error, "a session panicked");
    }
}

#[cfg(test)]
mod tests;
