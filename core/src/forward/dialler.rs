//! The dialler: reaches a remote's port within a bounded time, by as many attempts as that takes, and reports how each has ended.
//!
//! An attempt that is late, by what this remote's own connections take, gets others beside it (`race`): the circuit may be dead, or the
//! descriptor older than the service. A request is never delivered twice. The application's first bytes follow the CONNECT without waiting for its reply ("optimistic
//! data") only on a circuit that was seen to work, and once they may have left, only a reply which proves that they did not is
//! followed by another attempt. What tor is and how it is told to dial belongs to [`crate::engine`]; what the application is told
//! belongs to the caller.

mod circuits;
mod early;
mod lines;
mod race;

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;

pub use early::{AppGone, Early};
pub use lines::Carried;

use super::answers::Answers;
use super::reports::Reports;
use super::responder::{self, Info};
use super::sessions::pool::{DialLink, Link, Pool};
use super::sockets::Abort;
use crate::engine::stream::Stream;
use crate::engine::{DialError, EngineState, OnionEngine};
use crate::model::address::Port;
use crate::model::onion::OnionAddress;
use crate::plan::health::Report;
use circuits::Remotes;
use lines::Lines;
use race::{Race, Runner};

/// Gives tor a remote's key again, after it has forgotten it.
#[async_trait]
pub trait Rekey: Send + Sync + 'static {
    /// Whether the key was handed over, so that another attempt makes sense.
    async fn rekey(&self, address: &OnionAddress) -> bool;
}

/// The times that a dialler keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first attempt to the last; also how long tor is waited for.
    pub overall: Duration,
    /// The same for a remote that was not reached at the last attempt: it may be back, but whoever connects is not to wait for long.
    pub lost: Duration,
    /// One attempt where a circuit has to be built. (Without a limit one was seen to hang for 185 s.)
    pub cold: Duration,
    /// One attempt on a circuit that was seen to work.
    pub warm: Duration,
    /// How long after its last use a circuit is taken to be there still. Far less than `MaxCircuitDirtiness` in our torrc: the longer
    /// ago, the likelier a circuit has died, and first bytes sent over a dead one can't be sent again.
    pub circuit_life: Duration,
    /// How long the application is given for its first bytes once the CONNECT is on its way. Far below a round trip through Tor, so
    /// that it costs nothing where the server speaks first.
    pub first_bytes: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            overall: Duration::from_secs(60),
            lost: Duration::from_secs(30),
            cold: Duration::from_secs(10),
            warm: Duration::from_secs(8),
            circuit_life: Duration::from_secs(9 * 60),
            first_bytes: Duration::from_millis(20),
        }
    }
}

/// Why a connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No attempt succeeded, and none can or there is no time for another; the last one's reason.
    #[error(transparent)]
    Dial(DialError),
    /// The application's first bytes may have reached the service, so there was no second attempt.
    #[error("the request may have been delivered, its reply is lost: {0}")]
    Uncertain(DialError),
    /// The application closed its connection meanwhile.
    #[error("the application closed its connection")]
    AppGone,
}

impl ConnectError {
    /// The engine's reason, if it was one.
    pub fn dial_error(&self) -> Option<&DialError> {
        match self {
            Self::Dial(error) | Self::Uncertain(error) => Some(error),
            Self::AppGone => None,
        }
    }
}

impl From<AppGone> for ConnectError {
    fn from(_: AppGone) -> Self {
        Self::AppGone
    }
}

/// A connection that came about.
#[derive(Debug)]
pub struct Connected {
    /// The stream to the remote's port.
    pub stream: Carried,
    /// Bytes of the application that were read and not sent yet. They come before anything else it says.
    pub unsent: Vec<u8>,
    /// Bytes of the application that were sent already.
    pub sent_early: usize,
    /// From the CONNECT to its reply; includes the building of a circuit where there was none.
    pub round_trip: Duration,
}

/// Reaches remotes. One for an agent; shared by imports and the SOCKS front.
pub struct Dialler {
    engine: Arc<dyn OnionEngine>,
    rekey: Arc<dyn Rekey>,
    limits: Limits,
    remotes: Arc<Mutex<Remotes>>,
    lines: Lines,
    /// Room for attempts beside others.
    beside: Arc<Semaphore>,
    reports: Reports,
    /// Bumped when the engine has lost all it held.
    lost: watch::Sender<u64>,
    /// The remote whose descriptor came last.
    descriptor: watch::Sender<Option<OnionAddress>>,
    answers: Answers,
    /// Remotes that were found to be full and were not reported yet.
    full: Mutex<BTreeSet<OnionAddress>>,
    full_told: Notify,
    sessions: Pool,
}

impl Dialler {
    /// With the usual [`Limits`].
    pub fn new(engine: Arc<dyn OnionEngine>, rekey: Arc<dyn Rekey>, reports: Reports) -> Arc<Self> {
        Self::with_limits(engine, rekey, reports, Limits::default())
    }

    /// With other times.
    pub fn with_limits(
        engine: Arc<dyn OnionEngine>,
        rekey: Arc<dyn Rekey>,
        reports: Reports,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            engine,
            rekey,
            limits,
            remotes: Arc::default(),
            lines: Lines::default(),
            beside: Arc::new(Semaphore::new(race::ALL_BESIDE)),
            reports,
            lost: watch::Sender::new(0),
            descriptor: watch::Sender::default(),
            answers: Answers::default(),
            full: Mutex::default(),
            full_told: Notify::new(),
            sessions: Pool::new({
                let this = Weak::clone(this);
                move || this.upgrade().map(|this| this as Arc<dyn DialLink>)
            }),
        })
    }

    /// Call this on [`crate::engine::EngineEvent::Lost`]: attempts are started again, and no circuit counts as warm.
    pub fn engine_lost(&self) {
        self.remotes().cool();
        self.lost.send_modify(|n| *n += 1);
    }

    /// Call this on [`crate::engine::EngineEvent::Received`]: attempts that wait for a descriptor continue.
    pub fn descriptor_came(&self, remote: &OnionAddress) {
        self.descriptor.send_replace(Some(*remote));
    }

    /// Where reports of what is learnt through it go.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Whether a remote is known to have an agent that answers.
    pub(super) fn has_agent(&self, remote: &OnionAddress) -> bool {
        self.lines.has_responder(remote)
    }

    /// Asks the agent of a remote for its ports, or has part in an answer to the same question. None where it is not known to have one, or
    /// where it does not answer.
    pub async fn info(&self, remote: &OnionAddress) -> Option<Arc<Info>> {
        if !self.has_agent(remote) {
            return None;
        }
        let question = async {
            let connected = self.connect(remote, Port::RESPONDER, ASKED_BY, Early::none()).await.ok()?;
            let info = responder::ask_info(connected.stream).await.ok()?;
            self.sessions.announced(remote, info.sessions);
            Some(info)
        };
        let question = async { timeout(ANSWER, question).await.ok().flatten() };
        timeout(ANSWER, self.answers.ask(remote, question)).await.ok().flatten()
    }

    /// Call this when a port of a remote was found to be full.
    pub(super) fn found_full(&self, remote: &OnionAddress) {
        if self.full().insert(*remote) {
            self.full_told.notify_one();
        }
    }

    /// Waits for a remote with a port that was found to be full. Cancel-safe; for one who waits.
    pub async fn next_full(&self) -> OnionAddress {
        loop {
            if let Some(remote) = self.full().pop_first() {
                return remote;
            }
            self.full_told.notified().await;
        }
    }

    fn full(&self) -> MutexGuard<'_, BTreeSet<OnionAddress>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a remote that was deleted or whose key was replaced.
    pub fn forget(&self, remote: &OnionAddress) {
        self.remotes().forget(remote);
        self.lines.forget(remote);
        self.answers.forget(remote);
        self.sessions.forget(remote);
    }

    /// These are all remotes that there are. Connections to one that is not among them end by a reset.
    pub fn keep(&self, remotes: BTreeSet<OnionAddress>) {
        self.sessions.keep(remotes.clone());
        self.lines.keep(remotes);
    }

    /// The remote is known to run ormesh: its agent can be asked whether a circuit to it lives.
    pub fn has_responder(&self, remote: &OnionAddress) {
        self.lines.responds(remote);
    }

    /// Forgets the circuits of an isolation group that ended: an import's.
    pub fn forget_group(&self, remote: &OnionAddress, group: &str) {
        self.remotes().forget_group(remote, group);
    }

    /// Why a remote was not reached at the last attempt, if it was not.
    pub fn lost(&self, remote: &OnionAddress) -> Option<DialError> {
        self.remotes().lost(remote)
    }

    /// Whether the remote was reached at the last attempt.
    pub fn is_reached(&self, remote: &OnionAddress) -> bool {
        self.remotes().is_reached(remote)
    }

    /// Whether the group has a circuit to the remote that was seen to work.
    pub fn is_warm(&self, remote: &OnionAddress, group: &str) -> bool {
        self.remotes().circuit(remote, group, self.limits.circuit_life).1
    }

    /// Sessions with remotes.
    pub fn sessions(&self) -> &Pool {
        &self.sessions
    }

    /// How long the application is given for its first bytes.
    pub(super) fn first_bytes(&self) -> Duration {
        self.limits.first_bytes
    }

    /// How long a connection to a remote may take to come about.
    pub(super) fn patience(&self, remote: &OnionAddress) -> Duration {
        let is_lost = self.engine.state().borrow().is_ready() && self.lost(remote).is_some();
        if is_lost { self.limits.lost } else { self.limits.overall }
    }

    /// The engine dialled through.
    pub fn engine(&self) -> &Arc<dyn OnionEngine> {
        &self.engine
    }

    fn remotes(&self) -> MutexGuard<'_, Remotes> {
        locked(&self.remotes)
    }

    /// Has a connection end with its circuit, whose group then gets another one.
    fn carry(&self, stream: Stream, remote: &OnionAddress, group: &str, isolation: &str) -> Carried {
        let (remotes, dead) = (Arc::clone(&self.remotes), (*remote, group.to_owned(), isolation.to_owned()));
        self.lines.carry(stream, &self.engine, remote, isolation, move || {
            locked(&remotes).renew(&dead.0, &dead.1, &dead.2);
        })
    }

    /// Reaches a remote's port, or says why not, within [`Limits::overall`].
    ///
    /// Connections of one `group` share a circuit. The group is a part of a SOCKS user name: at most 200 bytes.
    pub async fn connect(
        &self,
        remote: &OnionAddress,
        port: Port,
        group: &str,
        early: Early<'_>,
    ) -> Result<Connected, ConnectError> {
        self.connect_telling(remote, port, group, early, &watch::Sender::default()).await
    }

    /// The same for who waits with a person: tells on the way why the last attempt failed.
    pub async fn connect_telling(
        &self,
        remote: &OnionAddress,
        port: Port,
        group: &str,
        mut early: Early<'_>,
        failed: &watch::Sender<Option<DialError>>,
    ) -> Result<Connected, ConnectError> {
        let mut state = self.engine.state();
        let mut lost = self.lost.subscribe();
        let deadline = Instant::now() + self.patience(remote);
        let mut course = Course::default();
        loop {
            let ready = async { state.wait_for(EngineState::is_ready).await.is_ok() };
            let ready = early.beside(timeout_at(deadline, ready)).await?;
            if ready != Ok(true) || Instant::now() >= deadline {
                return Err(ConnectError::Dial(course.last.unwrap_or(DialError::NotReady)));
            }
            lost.mark_unchanged();

            let (first, warm) = self.remotes().circuit(remote, group, self.limits.circuit_life);
            let mut isolation = first.clone();
            let began = Instant::now();
            let limit = (began + if warm { self.limits.warm } else { self.limits.cold }).min(deadline);
            let outcome = tokio::select! {
                biased;
                // First: of many that end at once, none shall begin anything in the room that another leaves.
                () = sleep_until(limit) => Outcome::TooLong,
                outcome = self.attempt((remote, port, group), &mut isolation, warm, &mut early) => outcome,
                () = leaves_ready(&mut state) => Outcome::Restarted,
                _ = lost.changed() => Outcome::Restarted,
            };
            let (error, left_nothing, restarted) = match outcome {
                Outcome::Done(stream, round_trip, warm) => {
                    if isolation != first {
                        self.lines.doubt(remote, &first, port);
                    }
                    if self.remotes().succeeded(remote, group, &isolation, round_trip, warm) {
                        self.tell(remote, Ok(()), round_trip, warm);
                    }
                    if port == Port::RESPONDER {
                        self.lines.responds(remote);
                    }
                    let stream = self.carry(stream, remote, group, &isolation);
                    let (sent_early, unsent) = early.split();
                    return Ok(Connected { stream, unsent, sent_early, round_trip });
                }
                Outcome::AppGone => return Err(ConnectError::AppGone),
                Outcome::Restarted => (DialError::NotReady, false, true),
                Outcome::TooLong => (DialError::TimedOut, false, false),
                Outcome::Failed(error) => {
                    let left_nothing = error.left_nothing();
                    (error, left_nothing, false)
                }
            };
            debug!(%remote, %port, %error, warm, "an attempt to connect failed");
            let is_rekeyed = error == DialError::KeyMissing && !course.rekeyed && {
                course.rekeyed = true;
                early.beside(timeout_at(deadline, self.rekey.rekey(remote))).await? == Ok(true)
            };
            // tor's own state says nothing about the remote.
            if error != DialError::NotReady {
                // Nor does a key that tor lacked and has again.
                if self.remotes().failed(remote, group, &error, !is_rekeyed) {
                    self.tell(remote, Err(error.clone()), began.elapsed(), warm);
                }
                failed.send_replace(Some(error.clone()));
            }
            if matches!(error, DialError::Gone | DialError::NotPublished) && self.lines.has_responder(remote)
            {
                self.lines.doubt_all(remote);
            }
            if error == DialError::TimedOut {
                // The circuit hangs: the next attempt, and every later connection of the group, gets another.
                self.remotes().renew(remote, group, &isolation);
                self.lines.doubt(remote, &first, port);
            }
            if early.any_sent() && !left_nothing {
                return Err(ConnectError::Uncertain(error));
            }
            early.unsend();
            let pause = if restarted {
                course.rekeyed = false;
                Duration::ZERO
            } else if is_rekeyed {
                Duration::ZERO
            } else {
                match course.pause_after(&error) {
                    // The time that the attempt took was pause enough.
                    Some(pause) => pause.saturating_sub(began.elapsed()),
                    None => return Err(ConnectError::Dial(error)),
                }
            };
            course.last = Some(error);
            if !pause.is_zero() {
                early.beside(sleep_until(deadline.min(Instant::now() + pause))).await?;
            }
        }
    }

    /// One attempt: dial, send what the application has said already if the circuit is warm, await the reply. `isolation` is the circuit's that
    /// was dialled over, and that of the last one where others were tried beside it.
    async fn attempt(
        &self,
        to: (&OnionAddress, Port, &str),
        isolation: &mut String,
        warm: bool,
        early: &mut Early<'_>,
    ) -> Outcome {
        let began = Instant::now();
        let dialled = match early.beside(self.engine.dial(to.0, to.1, isolation)).await {
            Ok(dialled) => dialled,
            Err(AppGone) => return Outcome::AppGone,
        };
        let mut attempt = match dialled {
            Ok(attempt) => attempt,
            Err(error) => return Outcome::Failed(error),
        };
        if warm {
            if early.await_first(self.limits.first_bytes).await.is_err() {
                return Outcome::AppGone;
            }
            let first = early.send_all();
            if !first.is_empty()
                && let Err(error) = attempt.send_early(first).await
            {
                return Outcome::Failed(error);
            }
        }
        let first = Runner { isolation: isolation.clone(), began, warm };
        // What may have been delivered is sent over no second circuit.
        let alone = early.any_sent();
        let race = Race {
            engine: &self.engine,
            remotes: &self.remotes,
            descriptor: &self.descriptor,
            circuit_life: self.limits.circuit_life,
            beside: &self.beside,
        };
        match early.beside(race.run(to, first, attempt, alone, isolation)).await {
            Ok((runner, Ok(stream))) => {
                *isolation = runner.isolation;
                Outcome::Done(stream, runner.began.elapsed(), runner.warm)
            }
            Ok((_, Err(error))) => Outcome::Failed(error),
            Err(AppGone) => Outcome::AppGone,
        }
    }

    fn tell(&self, remote: &OnionAddress, outcome: Result<(), DialError>, took: Duration, warm: bool) {
        self.reports.tell(Report::Dialled { remote: *remote, outcome, took, warm });
    }
}

#[async_trait]
impl DialLink for Dialler {
    async fn dial_link(
        &self,
        remote: &OnionAddress,
        group: &str,
        first: Vec<u8>,
        speaks: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(Box<dyn Link>, Vec<u8>), DialError> {
        let mut first = Greeting(first);
        let early = Early::of(&mut first).asking(speaks);
        let connected = self.connect(remote, Port::RESPONDER, group, early).await;
        match connected {
            Ok(Connected { stream, mut unsent, .. }) => {
                stream.keep_short();
                // What was not read ahead of it.
                unsent.append(&mut first.0);
                Ok((Box::new(stream), unsent))
            }
            Err(ConnectError::Dial(error) | ConnectError::Uncertain(error)) => Err(error),
            Err(ConnectError::AppGone) => Err(DialError::NotReady),
        }
    }

    fn forget(&self, remote: &OnionAddress, group: &str) {
        self.forget_group(remote, group);
    }

    fn state(&self) -> watch::Receiver<EngineState> {
        self.engine.state()
    }
}

/// What a link says first, as an application that then waits.
struct Greeting(Vec<u8>);

impl AsyncRead for Greeting {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let first = &mut self.get_mut().0;
        if first.is_empty() {
            return Poll::Pending;
        }
        let rest = first.split_off(first.len().min(buf.remaining()));
        buf.put_slice(&std::mem::replace(first, rest));
        Poll::Ready(Ok(()))
    }
}

impl Abort for Greeting {
    fn reset_on_close(&self, _on: bool) {}
}

fn locked(remotes: &Mutex<Remotes>) -> MutexGuard<'_, Remotes> {
    remotes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How an attempt ended.
enum Outcome {
    /// In this time, and whether over a circuit that was there.
    Done(Stream, Duration, bool),
    AppGone,
    /// tor ended or lost what it held.
    Restarted,
    /// Our own limit.
    TooLong,
    Failed(DialError),
}

/// What has happened on the way to one connection.
#[derive(Debug, Default)]
struct Course {
    last: Option<DialError>,
    rekeyed: bool,
    pauses: u32,
    refused: u32,
}

impl Course {
    /// How long to wait before another attempt; `None` where there shall be none.
    fn pause_after(&mut self, error: &DialError) -> Option<Duration> {
        if !error.is_retryable() || *error == DialError::KeyMissing {
            return None;
        }
        if matches!(error, DialError::Failed | DialError::Code(_)) {
            // Most often a closed backend, but also a port list that is being replaced: worth a second look, not a minute.
            self.refused += 1;
            if self.refused > REFUSED_RETRIES {
                return None;
            }
        }
        let pause = PAUSE.0.saturating_mul(1 << self.pauses.min(8)).min(PAUSE.1);
        self.pauses += 1;
        Some(pause)
    }
}

/// The first and the longest pause between attempts. A service is often not found soon after its first upload, then it is.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));

/// How long the agent of a remote may take to tell of its ports.
const ANSWER: Duration = Duration::from_secs(15);

/// The circuits over which agents are asked; those that keep a remote's state known are the same.
const ASKED_BY: &str = "state";

/// Further attempts after the other end refused.
const REFUSED_RETRIES: u32 = 2;

async fn leaves_ready(state: &mut watch::Receiver<EngineState>) {
    if state.wait_for(|state| !state.is_ready()).await.is_err() {
        // Its sender is gone, so it changes no more.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
