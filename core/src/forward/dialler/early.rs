//! The application's first bytes, read while its connection is still being made; and the news that it has gone away.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use crate::forward::sockets::Abort;
use crate::model::pauses::Pauses;

/// Bytes read ahead at most. tor holds early data back itself, so more would gain nothing.
const LIMIT: usize = 16 * 1024;

/// Bytes of one read.
const CHUNK: usize = 4 * 1024;

/// The first and the longest time between two looks whether an application that has sent its last byte is gone.
const LOOK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// The application has reset its connection, or closed it without having sent anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppGone;

/// An application that is being connected.
pub trait App: AsyncRead + Abort + Send + Unpin {}

impl<A: AsyncRead + Abort + Send + Unpin> App for A {}

/// What an application says before it is connected. An end of file is no news: it may still want the answer. One that has closed its
/// connection wants none, but what it has sent before is delivered all the same.
pub struct Early<'a> {
    app: Option<&'a mut dyn App>,
    bytes: Vec<u8>,
    sent: usize,
    /// Asked right before any of it is sent, whether it may be.
    may_send: Option<&'a (dyn Fn() -> bool + Send + Sync)>,
    has_ended: bool,
    /// Until the next look whether it is gone.
    look: Option<Pin<Box<Sleep>>>,
    looks: Pauses,
}

impl<'a> Early<'a> {
    /// Reads from an application.
    pub fn of(app: &'a mut dyn App) -> Self {
        Self::reading(Some(app))
    }

    /// Nobody speaks.
    pub fn none() -> Early<'static> {
        Early::reading(None)
    }

    fn reading(app: Option<&'a mut dyn App>) -> Self {
        let looks = Pauses::new(LOOK);
        Self { app, bytes: Vec::new(), sent: 0, may_send: None, has_ended: false, look: None, looks }
    }

    /// Sends nothing ahead that this does not let.
    pub(super) fn asking(self, may_send: &'a (dyn Fn() -> bool + Send + Sync)) -> Self {
        Self { may_send: Some(may_send), ..self }
    }

    /// Reads what is there. Ready when nothing more will be read, or the application is gone.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AppGone>> {
        while self.bytes.len() < LIMIT && !self.has_ended {
            let Some(app) = &mut self.app else { break };
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            match ready!(Pin::new(&mut **app).poll_read(cx, &mut chunk)) {
                Err(_) => return Poll::Ready(Err(AppGone)),
                Ok(()) if chunk.filled().is_empty() => self.has_ended = true,
                Ok(()) => self.bytes.extend_from_slice(chunk.filled()),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when an application that has sent nothing is known to be gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(app) = self.app.as_mut().filter(|_| self.has_ended && self.bytes.is_empty()) else {
            return Poll::Pending;
        };
        loop {
            match &mut self.look {
                Some(look) => {
                    ready!(look.as_mut().poll(cx));
                    if app.is_gone() {
                        return Poll::Ready(());
                    }
                    self.look = None;
                }
                None => self.look = Some(Box::pin(sleep(self.looks.after_failure()))),
            }
        }
    }

    /// Does some work and reads beside it; ends early when the application is gone.
    pub(super) async fn beside<F: Future>(&mut self, work: F) -> Result<F::Output, AppGone> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(Err(gone)) = self.poll_fill(cx) {
                return Poll::Ready(Err(gone));
            }
            if self.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(AppGone));
            }
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Gives what it reads away, as much as is taken, until there is an outcome; ends early when the application is gone.
    pub(in crate::forward) async fn giving<T>(
        &mut self,
        mut give: impl FnMut(&mut Context<'_>, &[u8]) -> (usize, Poll<T>),
    ) -> Result<T, AppGone> {
        poll_fn(|cx| {
            if let Poll::Ready(Err(gone)) = self.poll_fill(cx) {
                return Poll::Ready(Err(gone));
            }
            if self.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(AppGone));
            }
            let (given, outcome) = give(cx, &self.bytes[self.sent..]);
            self.sent += given;
            outcome.map(Ok)
        })
        .await
    }

    /// Waits for the first bytes, but not long.
    pub(in crate::forward) async fn await_first(&mut self, patience: Duration) -> Result<(), AppGone> {
        let first = poll_fn(|cx| match self.poll_fill(cx) {
            Poll::Pending if self.bytes.is_empty() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
            Poll::Ready(result) => Poll::Ready(result),
        });
        timeout(patience, first).await.unwrap_or(Ok(()))
    }

    /// All that was read, which counts as sent from now on; nothing where it may not be.
    pub(super) fn send_all(&mut self) -> &[u8] {
        if !self.bytes.is_empty() && self.may_send.is_some_and(|may_send| !may_send()) {
            return &[];
        }
        self.sent = self.bytes.len();
        &self.bytes
    }

    pub(in crate::forward) fn any_sent(&self) -> bool {
        self.sent > 0
    }

    /// It was proved that nothing arrived.
    pub(in crate::forward) fn unsend(&mut self) {
        self.sent = 0;
    }

    /// How much was sent, and what was read and not sent.
    pub(in crate::forward) fn split(self) -> (usize, Vec<u8>) {
        (self.sent, self.bytes[self.sent..].to_vec())
    }
}

impl fmt::Debug for Early<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What applications say is nobody's business.
        f.debug_struct("Early")
            .field("bytes", &self.bytes.len())
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
