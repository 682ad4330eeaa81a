//! Notices a circuit that has died without a word under the connections that it carries, and ends them.
//!
//! tor may never hear that a circuit is gone: a relay keeps the cell that says so until it has something else to send on that link
//! (`circuitmux_append_destroy_cell` in tor's source wakes nobody), and a host that lost its power says nothing at all. Who waits for
//! an answer would wait without end. So a circuit whose far side has been silent for a while is asked, by a connection to the other
//! agent's responder; one whose new connections hang is asked at once, by another connection to the same port where there is no
//! responder. It counts as dead only if a circuit beside it tells that it isn't the network that is gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::{debug, info};

use crate::engine::stream::Stream;
use crate::engine::{DialError, OnionEngine};
use crate::forward::sockets::{Abort, keep_short};
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

/// How long a circuit may be silent before it is asked, at first and at most: an application that only waits costs little.
const QUIET: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(5 * 60));

/// How long one question may take. More than a loaded circuit ever needs.
const ANSWER: Duration = Duration::from_secs(20);

/// How often it is asked before it is compared with another circuit.
const QUESTIONS: usize = 2;

/// Silent for so long, with all questions unanswered, a circuit is dead, whatever the network does: TCP, too, gives up after this time.
const GIVEN_UP: Duration = Duration::from_secs(15 * 60);

/// The circuits that carry connections.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    lines: HashMap<(OnionAddress, String), Weak<Line>>,
    /// Remotes whose agent answers on [`Port::RESPONDER`].
    responders: HashSet<OnionAddress>,
    /// The only remotes that may be reached; none before they were told.
    wanted: Option<BTreeSet<OnionAddress>>,
}

impl Known {
    fn is_wanted(&self, remote: &OnionAddress) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(remote))
    }
}

/// One circuit, for as long as it carries connections.
#[derive(Debug)]
struct Line {
    heard: Mutex<Instant>,
    dead: CancellationToken,
    /// The remote was deleted: nothing more is carried, not even what has come already.
    unwanted: AtomicBool,
    /// By which port it is to be asked at once.
    doubt: watch::Sender<Option<Port>>,
    /// Whether it is asked now and then.
    responds: watch::Sender<bool>,
    watch: OnceLock<AbortHandle>,
}

impl Line {
    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_as_unwanted(&self) {
        self.unwanted.store(true, Ordering::Relaxed);
        self.dead.cancel();
    }

    fn check_wanted(&self) -> io::Result<()> {
        match self.unwanted.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "its remote was deleted")),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get() {
            watch.abort();
        }
    }
}

impl Lines {
    /// The remote is known to have a responder.
    pub(super) fn responds(&self, remote: &OnionAddress) {
        self.known().responders.insert(*remote);
    }

    /// Whether it is.
    pub(super) fn has_responder(&self, remote: &OnionAddress) -> bool {
        self.known().responders.contains(remote)
    }

    pub(super) fn forget(&self, remote: &OnionAddress) {
        self.known().responders.remove(remote);
    }

    /// These remotes are all that may be reached: connections to others end, those that are still being made, too.
    pub(super) fn keep(&self, wanted: BTreeSet<OnionAddress>) {
        let mut known = self.known();
        for ((remote, _), line) in &known.lines {
            if !wanted.contains(remote)
                && let Some(line) = line.upgrade()
            {
                line.end_as_unwanted();
            }
        }
        known.wanted = Some(wanted);
    }

    /// A connection that ends when the circuit of this isolation is found dead. `dead` is called then, too.
    pub(super) fn carry(
        &self,
        stream: Stream,
        engine: &Arc<dyn OnionEngine>,
        remote: &OnionAddress,
        isolation: &str,
        dead: impl FnOnce() + Send + 'static,
    ) -> Carried {
        let mut known = self.known();
        let responds = known.responders.contains(remote);
        let line = known.lines.get(&(*remote, isolation.to_owned())).and_then(Weak::upgrade);
        // One that was ended is not that of a remote which was added again since.
        let line = line.filter(|line| !line.unwanted.load(Ordering::Relaxed)).unwrap_or_else(|| {
            known.lines.retain(|_, line| line.strong_count() > 0);
            let line = Arc::new(Line {
                heard: Mutex::new(Instant::now()),
                dead: CancellationToken::new(),
                unwanted: AtomicBool::new(false),
                doubt: watch::Sender::default(),
                responds: watch::Sender::default(),
                watch: OnceLock::new(),
            });
            known.lines.insert((*remote, isolation.to_owned()), Arc::downgrade(&line));
            let asked =
                Asked { engine: Arc::clone(engine), remote: *remote, isolation: isolation.to_owned() };
            let task = tokio::spawn(watch(Arc::downgrade(&line), asked, dead));
            let _ = line.watch.set(task.abort_handle());
            line
        });
        line.responds.send_if_modified(|told| std::mem::replace(told, responds) != responds);
        *line.heard() = Instant::now();
        if !known.is_wanted(remote) {
            line.end_as_unwanted();
        }
        let dead = Box::pin(line.dead.clone().cancelled_owned());
        Carried { stream, line, dead, is_stalled: false }
    }

    /// A new connection to this port hangs on the circuit of this isolation.
    pub(super) fn doubt(&self, remote: &OnionAddress, isolation: &str, port: Port) {
        let line = self.known().lines.get(&(*remote, isolation.to_owned())).and_then(Weak::upgrade);
        if let Some(line) = line {
            line.doubt.send_replace(Some(port));
        }
    }

    /// The remote is said to be gone: each of its circuits is to be asked at once, since tor may not hear of their end.
    pub(super) fn doubt_all(&self, remote: &OnionAddress) {
        for ((of, _), line) in &self.known().lines {
            if of == remote
                && let Some(line) = line.upgrade()
            {
                line.doubt.send_replace(Some(Port::RESPONDER));
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to a remote, which ends as a failure when its circuit is found dead.
pub struct Carried {
    stream: Stream,
    line: Arc<Line>,
    dead: Pin<Box<WaitForCancellationFutureOwned>>,
    /// tor took no more bytes, when it was last given some.
    is_stalled: bool,
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Carried").field(&self.stream).finish()
    }
}

impl Carried {
    /// Lets little lie before it, where that can be: what does can't be overtaken.
    pub(super) fn keep_short(&self) {
        keep_short(&self.stream);
    }
}

impl AsyncRead for Carried {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.line.check_wanted()?;
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Pending => {
                ready!(this.dead.as_mut().poll(cx));
                this.line.check_wanted()?;
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "its circuit through Tor does not answer any more",
                )))
            }
            done => {
                if buf.filled().len() > before {
                    *this.line.heard() = Instant::now();
                }
                done
            }
        }
    }
}

impl AsyncWrite for Carried {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.line.check_wanted()?;
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        match written {
            Poll::Pending => this.is_stalled = true,
            // tor has taken what there was, so the far side has let it send more. Only once it stalls does that say so: before, tor takes
            // what it can hold itself.
            Poll::Ready(Ok(1..)) if std::mem::take(&mut this.is_stalled) => {
                *this.line.heard() = Instant::now();
            }
            Poll::Ready(_) => {}
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Abort for Carried {
    fn reset_on_close(&self, on: bool) {
        self.stream.reset_on_close(on);
    }
}

/// What it takes to ask a circuit.
struct Asked {
    engine: Arc<dyn OnionEngine>,
    remote: OnionAddress,
    isolation: String,
}

/// Watches one circuit until it is found dead; ends with the line at the latest.
async fn watch(line: Weak<Line>, asked: Asked, dead: impl FnOnce()) {
    let Some((mut doubt, mut responds)) =
        line.upgrade().map(|line| (line.doubt.subscribe(), line.responds.subscribe()))
    else {
        return;
    };
    // Since when its silence counts, and when it was last asked or heard.
    let mut alive = Instant::now();
    let (mut last, mut patience) = (alive, QUIET.0);
    // The port at which new connections hang, where there is no responder, until the circuit was seen to live.
    let mut doubted = None;
    for number in 0u64.. {
        let is_asked = *responds.borrow_and_update();
        tokio::select! {
            () = sleep_until(last + patience), if is_asked || doubted.is_some() => {}
            Ok(()) = doubt.changed() => {
                if !is_asked && doubted.is_none() {
                    // Nobody has asked it before.
                    alive = Instant::now();
                }
                doubted = *doubt.borrow_and_update();
            }
            Ok(()) = responds.changed() => {
                alive = Instant::now();
                continue;
            }
            else => return,
        }
        let Some(heard) = line.upgrade().map(|line| *line.heard()) else { return };
        alive = alive.max(heard);
        if heard > last && doubted.is_none() {
            (last, patience) = (heard, QUIET.0);
            continue;
        }
        let began = Instant::now();
        let port = doubted.filter(|_| !is_asked).unwrap_or(Port::RESPONDER);
        let verdict = asked.examine(port, number).await;
        debug!(remote = %asked.remote, isolation = %asked.isolation, ?verdict, "asked a silent circuit");
        let Some(line) = line.upgrade() else { return };
        last = Instant::now();
        if verdict == Verdict::Alive || *line.heard() >= began {
            patience = (last - heard).clamp(QUIET.0, QUIET.1);
            (alive, doubted) = (last, None);
            continue;
        }
        patience = QUIET.0;
        if verdict == Verdict::Dead || last - alive >= GIVEN_UP {
            info!(remote = %asked.remote, "a circuit answers no more, so its connections end");
            dead();
            return line.dead.cancel();
        }
    }
}

/// What is found out about a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Alive,
    /// It answers no more, while the network does.
    Dead,
    /// It is as if the network were gone.
    Silent,
}

impl Asked {
    async fn examine(&self, port: Port, number: u64) -> Verdict {
        for _ in 0..QUESTIONS {
            match self.ask(port, &self.isolation).await {
                Ok(()) => return Verdict::Alive,
                Err(error) if error.has_met() => return Verdict::Alive,
                Err(DialError::TimedOut) => {}
                // It never came as far as this circuit.
                Err(_) => return Verdict::Silent,
            }
        }
        match self.ask(port, &format!("{}~beside{number}", self.isolation)).await {
            Ok(()) | Err(DialError::Gone | DialError::NotPublished | DialError::KeyRefused) => Verdict::Dead,
            Err(error) if error.has_met() => Verdict::Dead,
            Err(_) => Verdict::Silent,
        }
    }

    /// Whether a connection to the port comes about over the circuit of this isolation.
    async fn ask(&self, port: Port, isolation: &str) -> Result<(), DialError> {
        let question =
            async { self.engine.dial(&self.remote, port, isolation).await?.reply().await.map(drop) };
        timeout(ANSWER, question).await.unwrap_or(Err(DialError::TimedOut))
    }
}

#[cfg(test)]
mod tests;
