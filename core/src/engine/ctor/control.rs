//! The control connection: writes commands, matches replies with them in order, and passes events on. The only file that uses torut.
//!
//! What the commands say is left to `commands`, what the events mean to `events`. Invariant: a byte that does not parse, an answer
//! nobody asked for, or an event nobody subscribed to ends the connection; the supervisor then starts tor anew.

// It reads what tor says, or whatever has taken its place: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use torut::control::{Conn, ConnError};

use super::batch::Batch;
use super::long_reply::Parts;
use super::reply::Reply;
use crate::engine::EngineError;
use crate::engine::stream::Stream;

/// The time limit for an answer. tor answers in milliseconds, unless the machine swaps or tor hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);
/// Events that may wait to be handled. When the queue is full the reader waits, and so does tor.
const EVENTS: usize = 256;
/// Requests that may wait to be written.
const REQUESTS: usize = 64;
/// Asynchronous notifications (control-spec §4).
const EVENT_CODE: u16 = 650;

/// Why a control connection ended, or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ControlError {
    /// Closed by tor, or never answered.
    #[error("the control connection was closed")]
    Closed,
    #[error("the control connection broke: {0}")]
    Broken(String),
    #[error("what came over the control connection is not the control protocol: {0}")]
    Protocol(&'static str),
    /// The peer does not know the cookie, so it is not the tor that was started.
    #[error("who answers on the control connection is not the tor that was started")]
    Stranger,
    #[error("{0}")]
    Refused(#[from] EngineError),
}

struct Request {
    batch: Batch,
    waiters: Vec<oneshot::Sender<Reply>>,
}

/// Speaks on a control connection. Clones share it.
#[derive(Clone)]
pub(super) struct Control {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

struct Shared {
    pending: Mutex<Pending>,
    stuck: Notify,
    /// Why tor was given up, though it answers.
    given_up: OnceLock<&'static str>,
}

struct Pending {
    waiters: VecDeque<oneshot::Sender<Reply>>,
    /// Whether events were subscribed to.
    subscribed: bool,
    /// When tor last said anything.
    heard: Instant,
    /// When it last answered. Events are no answers: a tor that tells of itself alone serves nobody.
    answered: Instant,
    ended: Option<ControlError>,
}

/// The connection's events; closes it when dropped.
pub(super) struct Events {
    receiver: mpsc::Receiver<Vec<String>>,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

/// Takes a connection over.
pub(super) fn open(stream: Stream) -> (Control, Events) {
    let (reader, writer) = tokio::io::split(stream);
    let (requests, requested) = mpsc::channel(REQUESTS);
    let (events, receiver) = mpsc::channel(EVENTS);
    let now = Instant::now();
    let pending =
        Pending { waiters: VecDeque::new(), subscribed: false, heard: now, answered: now, ended: None };
    let shared =
        Arc::new(Shared { pending: Mutex::new(pending), stuck: Notify::new(), given_up: OnceLock::new() });
    let tasks = [
        tokio::spawn(read(reader, Arc::clone(&shared), events)),
        tokio::spawn(write(writer, Arc::clone(&shared), requested)),
    ];
    (Control { requests, shared: Arc::clone(&shared) }, Events { receiver, shared, tasks })
}

impl Control {
    /// Sends commands and waits for all their replies. Refused commands are replies too.
    pub(super) async fn ask(&self, batch: Batch, action: &'static str) -> Result<Vec<Reply>, EngineError> {
        let (waiters, replies): (Vec<_>, Vec<_>) = (0..batch.commands).map(|_| oneshot::channel()).unzip();
        let asked = Instant::now();
        let answered = async {
            let request = Request { batch, waiters };
            self.requests.send(request).await.map_err(|_| EngineError::NotRunning)?;
            let mut all = Vec::with_capacity(replies.len());
            for reply in replies {
                all.push(reply.await.map_err(|_| EngineError::NotRunning)?);
            }
            Ok(all)
        };
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(result) => result,
            Err(_) => {
                if self.shared.pending().answered <= asked {
                    self.shared.stuck.notify_one();
                }
                Err(EngineError::TimedOut(DEADLINE, action))
            }
        }
    }

    /// Sends one command, which must succeed.
    pub(super) async fn tell(&self, command: &str, action: &'static str) -> Result<Reply, EngineError> {
        let mut replies = self.ask(Batch::one(command), action).await?;
        let reply = replies.pop().ok_or(EngineError::NotRunning)?;
        if reply.is_ok() { Ok(reply) } else { Err(reply.refused(action)) }
    }

    /// Asks for one value (control-spec §3.9). The keyword is one of ours, never data.
    pub(super) async fn get_info(&self, keyword: &'static str) -> Result<String, EngineError> {
        let mut reply = self.tell(&format!("GETINFO {keyword}"), "tell about itself").await?;
        let value = reply.lines.first_mut().and_then(|line| {
            let value = line.strip_prefix(keyword)?.strip_prefix('=')?;
            // A data reply begins with a line break after the sign.
            Some(value.strip_prefix("\r\n").unwrap_or(value).to_owned())
        });
        value.ok_or_else(|| reply.refused("tell about itself"))
    }

    /// When tor last said anything.
    pub(super) fn heard(&self) -> Instant {
        self.shared.pending().heard
    }

    /// Whether both speak on the same connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Allows events; call it before the command that subscribes to them.
    pub(super) fn expect_events(&self) {
        self.shared.pending().subscribed = true;
    }

    /// Has tor stopped. The reason completes "tor was stopped: ".
    pub(super) fn give_up(&self, why: &'static str) {
        self.shared.given_up.get_or_init(|| why);
        self.shared.stuck.notify_one();
    }

    /// Returns when a command got no answer in time and none after it did, or when tor was given up (with the reason). Cancel-safe.
    pub(super) async fn stuck(&self) -> Option<&'static str> {
        self.shared.stuck.notified().await;
        self.shared.given_up.get().copied()
    }
}

impl Events {
    /// The next event's lines, or why there are no more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Vec<String>, ControlError> {
        match self.receiver.recv().await {
            Some(lines) => Ok(lines),
            None => Err(self.reason()),
        }
    }

    /// Why the connection ended.
    pub(super) fn reason(&self) -> ControlError {
        self.shared.pending().ended.clone().unwrap_or(ControlError::Closed)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.shared.end(ControlError::Closed);
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all waiting; the first reason is kept.
    fn end(&self, reason: ControlError) {
        let mut pending = self.pending();
        pending.waiters.clear();
        pending.ended.get_or_insert(reason);
    }
}

/// Cancelled only together with its connection, because [`Conn::receive_data`] loses what it has read when dropped.
async fn read(reader: ReadHalf<Stream>, shared: Arc<Shared>, events: mpsc::Sender<Vec<String>>) {
    let mut parts = Parts::new(reader);
    let reason = loop {
        match receive(&mut parts).await {
            Ok((EVENT_CODE, lines)) => {
                let subscribed = {
                    let mut pending = shared.pending();
                    pending.heard = Instant::now();
                    pending.subscribed
                };
                if !subscribed {
                    break ControlError::Protocol("an event that nobody subscribed to");
                }
                if events.send(lines).await.is_err() {
                    break ControlError::Closed;
                }
            }
            Ok((code, lines)) => {
                let reply = Reply { code, lines };
                let waiter = {
                    let mut pending = shared.pending();
                    pending.heard = Instant::now();
                    pending.answered = pending.heard;
                    pending.waiters.pop_front()
                };
                let Some(waiter) = waiter else {
                    break ControlError::Protocol("an answer that nobody asked for");
                };
                // Whoever asked may have given up.
                let _ = waiter.send(reply);
            }
            Err(error) => break error.into(),
        }
    };
    shared.end(reason);
}

/// Reads one reply, whatever its length.
async fn receive(parts: &mut Parts<ReadHalf<Stream>>) -> Result<(u16, Vec<String>), ConnError> {
    // It keeps nothing between two replies.
    let (code, mut lines) = Conn::new(&mut *parts).receive_data().await?;
    while parts.goes_on() {
        let (_, more) = Conn::new(&mut *parts).receive_data().await?;
        // The line that ended the part, and then the data goes on where it was cut.
        lines.pop();
        let mut more = more.into_iter();
        if let (Some(data), Some(rest)) = (lines.last_mut(), more.next()) {
            data.push_str(&rest);
        }
        lines.extend(more);
    }
    if parts.was_cut() {
        tracing::warn!(code, "a reply of tor was too long; the rest of it was passed over");
    }
    Ok((code, lines))
}

async fn write(writer: WriteHalf<Stream>, shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    let mut conn = Conn::new(writer);
    while let Some(Request { batch, waiters }) = requests.recv().await {
        {
            let mut pending = shared.pending();
            if pending.ended.is_some() {
                return;
            }
            // Before the bytes go out, or the answer could be there first.
            pending.waiters.extend(waiters);
        }
        if let Err(error) = conn.write_data(&batch.bytes).await {
            // The reader, which sees the connection end too, tells the supervisor.
            return shared.end(error.into());
        }
    }
}

impl From<ConnError> for ControlError {
    fn from(error: ConnError) -> Self {
        match error {
            ConnError::IOError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Self::Closed,
            ConnError::IOError(error) => Self::Broken(error.to_string()),
            ConnError::TooManyBytesRead => Self::Protocol("a reply without end"),
            ConnError::NonAsciiByteFound => Self::Protocol("a byte that is not ASCII"),
            ConnError::ResponseCodeMismatch => Self::Protocol("a reply with two codes"),
            _ => Self::Protocol("a reply of another form"),
        }
    }
}
