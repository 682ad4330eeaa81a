//! The control connection: writes commands, gives each its reply in order, and passes events on. The one file that uses torut.
//!
//! What the commands say is left to `commands`, what the events mean to `events`. Invariant: a byte that does not parse, an answer
//! nobody asked for, or an event nobody subscribed to ends the connection; the supervisor then starts tor anew.

// It reads what tor says, or whatever has taken its place: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use torut::control::{Conn, ConnError};
use zeroize::{Zeroize as _, Zeroizing};

use super::long_reply::Parts;
use crate::engine::EngineError;
use crate::engine::stream::Stream;

/// For an answer. tor answers in milliseconds; only a machine that swaps, or a tor that hangs, takes longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);
/// Events that wait to be handled. When it is full the reader waits, and with it tor.
const EVENTS: usize = 256;
/// Requests that wait to be written.
const REQUESTS: usize = 64;
/// Characters of a reply's text that are passed on.
const TEXT: usize = 200;
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

/// A reply, whose lines may hold a key (ONION_CLIENT_AUTH_VIEW does).
pub(super) struct Reply {
    /// Of control-spec §4.
    pub(super) code: u16,
    /// Without the code; a data line (`250+`) holds its data.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Whether the command was carried out.
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The error to a refused command.
    pub(super) fn refused(&self, action: &'static str) -> EngineError {
        let text = self.lines.last().map(|line| presentable(line)).unwrap_or_default();
        EngineError::Refused { action, code: self.code, text }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.lines.zeroize();
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("code", &self.code).finish_non_exhaustive()
    }
}

/// What tor says, cut and without what could disturb a terminal. A long word may be a key, and is left out.
pub(super) fn presentable(text: &str) -> String {
    let is_long = |word: &str| word.len() > 40 && !word.contains('.');
    let words = text.split_whitespace().map(|word| if is_long(word) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(TEXT).collect()
}

/// Commands that are written at once, with nothing between them.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Zeroizing<Vec<u8>>,
    commands: usize,
}

impl Batch {
    /// One command.
    pub(super) fn one(command: &str) -> Self {
        let mut batch = Self::default();
        batch.push(command);
        batch
    }

    /// Appends a command.
    ///
    /// # Panics
    ///
    /// When the command is more than one line of printable ASCII: `commands` builds them from types that hold nothing else.
    pub(super) fn push(&mut self, command: &str) {
        assert!(command.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "a command must be one line");
        // A growing buffer would leave copies of a key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.bytes.len() + command.len() + 2));
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(command.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        self.bytes = bytes;
        self.commands += 1;
    }
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
    let pending = Pending { waiters: VecDeque::new(), subscribed: false, heard: Instant::now(), ended: None };
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
                if self.shared.pending().heard <= asked {
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

    /// Lets events come; to be called before the command that subscribes to them.
    pub(super) fn expect_events(&self) {
        self.shared.pending().subscribed = true;
    }

    /// Has tor ended for a reason, which completes "tor was stopped: ".
    pub(super) fn give_up(&self, why: &'static str) {
        self.shared.given_up.get_or_init(|| why);
        self.shared.stuck.notify_one();
    }

    /// Returns once a command got no answer and nothing else was heard either, or tor was given up; then with the reason. Cancel-safe.
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

    /// Nobody waits any longer; the first reason stays.
    fn end(&self, reason: ControlError) {
        let mut pending = self.pending();
        pending.waiters.clear();
        pending.ended.get_or_insert(reason);
    }
}

/// Never cancelled but with its connection, because [`Conn::receive_data`] loses what it has read when dropped.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    const GENEROUS: Duration = Duration::from_secs(60);

    fn pair() -> (Control, Events, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (control, events) = open(Stream::Pipe(ours));
        (control, events, theirs)
    }

    /// Says this to one who has subscribed to events and asked for nothing, then closes; tells what came of it.
    async fn after(bytes: &[u8]) -> (Vec<Vec<String>>, ControlError) {
        let (control, mut events, mut tor) = pair();
        control.expect_events();
        let bytes = bytes.to_vec();
        let said = tokio::spawn(async move {
            // The connection may be closed before all of it was taken.
            let _ = tor.write_all(&bytes).await;
        });
        let mut all = Vec::new();
        let end = loop {
            match tokio::time::timeout(GENEROUS, events.next()).await.expect("it ends") {
                Ok(lines) => all.push(lines),
                Err(error) => break error,
            }
        };
        drop(events);
        said.await.unwrap();
        (all, end)
    }

    #[tokio::test]
    async fn replies_come_in_order_and_events_between_them() {
        let (control, mut events, mut tor) = pair();
        control.expect_events();
        let mut batch = Batch::one("ONE");
        batch.push("TWO");
        let asked = tokio::spawn(async move { control.ask(batch, "count").await });
        let mut written = [0; 10];
        tor.read_exact(&mut written).await.unwrap();
        for byte in b"650 FIRST\r\n250-a\r\n250 OK\r\n650+SECOND\r\nx\r\n.\r\n650 OK\r\n552 no\r\n" {
            tor.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }

        let replies = asked.await.unwrap().unwrap();

        assert_eq!(&written, b"ONE\r\nTWO\r\n");
        assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [250, 552]);
        assert_eq!(replies[0].lines, ["a", "OK"]);
        assert_eq!(events.next().await.unwrap(), ["FIRST"]);
        assert_eq!(events.next().await.unwrap(), ["SECOND\r\nx", "OK"]);
    }

    #[tokio::test]
    async fn values_are_read_in_both_forms() {
        let (control, _events, mut tor) = pair();
        tor.write_all(b"").await.unwrap();
        let both = tokio::spawn(async move {
            let one = control.get_info("version").await;
            (one, control.get_info("circuit-status").await, control.get_info("version").await)
        });
        let mut buffer = [0; 100];
        let _ = tor.read(&mut buffer).await.unwrap();
        tor.write_all(b"250-version=0.4.9.11\r\n250 OK\r\n").await.unwrap();
        let _ = tor.read(&mut buffer).await.unwrap();
        tor.write_all(b"250+circuit-status=\r\n1 BUILT\r\n2 BUILT\r\n.\r\n250 OK\r\n").await.unwrap();
        let _ = tor.read(&mut buffer).await.unwrap();
        tor.write_all(b"250 OK\r\n").await.unwrap();

        let (one, data, other) = both.await.unwrap();

        assert_eq!(one.as_deref(), Ok("0.4.9.11"));
        assert_eq!(data.as_deref(), Ok("1 BUILT\r\n2 BUILT"));
        assert!(matches!(other, Err(EngineError::Refused { code: 250, .. })), "{other:?}");
    }

    #[tokio::test]
    async fn an_endless_line_ends_it() {
        let line = [b"650 ".to_vec(), vec![b'x'; 3 << 20]].concat();

        assert_eq!(after(&line).await, (vec![], ControlError::Protocol("a reply without end")));
    }

    #[tokio::test]
    async fn a_reply_of_endless_lines_ends_it() {
        let lines = b"650-\r\n".repeat(1 << 20);

        assert_eq!(after(&lines).await, (vec![], ControlError::Protocol("a reply without end")));
    }

    #[tokio::test]
    async fn a_long_answer_is_read_whole_and_one_without_measure_in_part() {
        for (lines, is_whole) in [(10_000, true), (40_000, false)] {
            let (control, mut events, mut tor) = pair();
            control.expect_events();
            let data = |n: usize| format!("{n} BUILT {}", "x".repeat(300));
            let said = tokio::spawn(async move {
                let mut buffer = [0; 100];
                let _ = tor.read(&mut buffer).await.unwrap();
                tor.write_all(b"650 BEFORE\r\n250+circuit-status=\r\n").await.unwrap();
                for n in 0..lines {
                    tor.write_all(format!("{}\r\n", data(n)).as_bytes()).await.unwrap();
                }
                tor.write_all(b".\r\n250 OK\r\n650 AFTER\r\n").await.unwrap();
                let _ = tor.read(&mut buffer).await.unwrap();
                tor.write_all(b"250-version=1\r\n250 OK\r\n").await.unwrap();
                tor
            });

            let answer = control.get_info("circuit-status").await.unwrap();

            let read: Vec<&str> = answer.split("\r\n").collect();
            assert_eq!(read.len() == lines, is_whole, "{}", read.len());
            assert!(read.iter().enumerate().all(|(n, line)| *line == data(n)));
            assert_eq!(control.get_info("version").await.as_deref(), Ok("1"));
            assert_eq!(events.next().await.unwrap(), ["BEFORE"]);
            assert_eq!(events.next().await.unwrap(), ["AFTER"]);
            said.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_flood_waits_for_the_reader() {
        let (control, mut events, mut tor) = pair();
        control.expect_events();
        let flood = tokio::spawn(async move {
            for n in 0_u32.. {
                if tor.write_all(format!("650 EVENT {n}\r\n").as_bytes()).await.is_err() {
                    return n;
                }
            }
            0
        });

        for n in 0..10_000 {
            assert_eq!(events.next().await.unwrap(), [format!("EVENT {n}")]);
        }
        drop(events);

        // What was taken beyond what was read is bounded by the channel, the buffer and this test's pipe.
        let written = tokio::time::timeout(GENEROUS, flood).await.unwrap().unwrap();
        assert!(written < 10_000 + 256 + 20_000, "{written}");
    }

    #[tokio::test]
    async fn what_is_not_the_protocol_ends_it() {
        for (bytes, why) in [
            (&b"250 OK\r\n"[..], ControlError::Protocol("an answer that nobody asked for")),
            (b"650 \xff\r\n", ControlError::Protocol("a byte that is not ASCII")),
            (b"HTTP/1.1 200 OK\r\n", ControlError::Protocol("a reply of another form")),
            (b"650-a\r\n651 b\r\n", ControlError::Protocol("a reply with two codes")),
            (b"650 cut", ControlError::Closed),
            (b"", ControlError::Closed),
        ] {
            assert_eq!(after(bytes).await, (vec![], why), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn events_before_the_subscription_end_it() {
        let (_control, mut events, mut tor) = pair();
        tor.write_all(b"650 HELLO\r\n").await.unwrap();

        assert_eq!(events.next().await, Err(ControlError::Protocol("an event that nobody subscribed to")));
    }

    #[tokio::test]
    async fn who_waits_is_told_of_the_end() {
        let (control, events, mut tor) = pair();
        let asked = tokio::spawn({
            let control = control.clone();
            async move { control.tell("ONE", "count").await.map(drop) }
        });
        let mut written = [0; 5];
        tor.read_exact(&mut written).await.unwrap();
        drop(tor);

        assert_eq!(asked.await.unwrap(), Err(EngineError::NotRunning));
        assert_eq!(control.tell("TWO", "count").await.map(drop), Err(EngineError::NotRunning));
        drop(events);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_and_a_late_answer_goes_to_nobody_else() {
        let (control, _events, mut tor) = pair();

        let error = control.tell("ONE", "count").await.map(drop);
        control.stuck().await;
        tor.write_all(b"551 late\r\n").await.unwrap();
        let next = tokio::spawn(async move { control.tell("TWO", "count").await.map(|reply| reply.code) });
        let mut written = [0; 10];
        tor.read_exact(&mut written).await.unwrap();
        tor.write_all(b"250 OK\r\n").await.unwrap();

        assert_eq!(error, Err(EngineError::TimedOut(DEADLINE, "count")));
        assert_eq!(next.await.unwrap(), Ok(250));
    }

    #[test]
    #[should_panic(expected = "a command must be one line")]
    fn no_command_holds_a_line_break() {
        Batch::one("GETINFO version\r\nSETCONF DisableNetwork 1");
    }

    #[test]
    fn texts_of_replies_hold_no_key_and_no_control_characters() {
        let key = "q".repeat(88);

        assert_eq!(presentable(&format!("Failed \x1b[31m to\tdecode {key}")), "Failed [31m to decode …");
        assert_eq!(presentable(&"ab ".repeat(1000)).len(), TEXT);
        let reply = Reply { code: 250, lines: vec![key.clone()] };
        assert!(!format!("{reply:?}").contains(&key));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_end_in_words(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // The pipe closes after the bytes, so it must end; `after` has a deadline.
            runtime.block_on(after(&bytes));
        }
    }
}
