//! A stream of a session as a byte stream: with an end of its own in each direction, and resets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::driven::{Driven, Word};
use crate::forward::sockets::Abort;
use crate::session::words::{Cut, Refusal, StreamId};

/// See the file's sentence. Dropped before both directions have ended, it is cut off at the other end.
#[derive(Debug)]
pub struct Channel {
    driven: Arc<Driven>,
    stream: StreamId,
    /// What the other end is told if it is dropped: a refusal before it was accepted.
    unless: Unless,
    is_finishing: bool,
    /// All that was written has arrived, and its end.
    has_finished: bool,
    has_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unless {
    Refuse(Refusal),
    Cut(Cut),
}

/// Why a stream was cut off, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(.0, *.1))]
pub struct CutOff(pub Cut, bool);

/// `is_own` where this end has left.
fn sentence(cut: &Cut, is_own: bool) -> &'static str {
    match cut {
        Cut::Leaving if is_own => "the tor of this host has ended",
        Cut::Application => "the far side's program reset it",
        Cut::HoldOver => "there was no way to the far side for longer than connections are held",
        Cut::Forgotten => "the far side's agent does not know the connection any more",
        Cut::Leaving => "the far side's agent has ended",
        Cut::Revoked => "the far side does not export the port to this host any more",
        Cut::Deleted => "its remote was deleted",
        Cut::Other => "the far side has cut it off",
    }
}

impl Channel {
    /// One that this end has opened.
    pub(super) fn opened(driven: Arc<Driven>, stream: StreamId) -> Self {
        let unless = Unless::Cut(Cut::Application);
        Self { driven, stream, unless, is_finishing: false, has_finished: false, has_ended: false }
    }

    /// One that the other end wants. It is refused unless it is accepted.
    pub(super) fn wanted(driven: Arc<Driven>, stream: StreamId) -> Self {
        let unless = Unless::Refuse(Refusal::NotGranted);
        Self { driven, stream, unless, is_finishing: false, has_finished: false, has_ended: false }
    }

    /// The other end is told that it is connected. From now on, it is told that its access has ended if this is dropped.
    pub fn accept(&mut self) {
        self.unless = Unless::Cut(Cut::Revoked);
        // One that is gone meanwhile says so when it is read.
        let _ = self.driven.accept(self.stream);
    }

    /// The other end is told why it is not.
    pub fn refuse(mut self, why: Refusal) {
        self.unless = Unless::Refuse(why);
    }

    fn broken(&self, cut: Cut) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionReset, CutOff(cut, self.driven.has_left()))
    }

    /// Waits for the far side's first word.
    pub(in crate::forward) fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<Word> {
        self.driven.poll_word(self.stream, cx)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        match self.unless {
            _ if self.has_finished && self.has_ended => self.driven.leave(self.stream),
            Unless::Refuse(why) => self.driven.refuse(self.stream, why),
            Unless::Cut(why) => self.driven.reset(self.stream, why),
        }
    }
}

impl Abort for Channel {
    /// It always is.
    fn reset_on_close(&self, _on: bool) {}

    /// Whether it was cut off.
    fn is_gone(&mut self) -> bool {
        self.driven.is_gone(self.stream)
    }

    fn abort(mut self, _why: &str) {
        if let Unless::Cut(cut) = &mut self.unless {
            *cut = Cut::Application;
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match ready!(this.driven.poll_read(this.stream, buf.initialize_unfilled(), cx)) {
            Ok(Some(read)) => buf.advance(read),
            Ok(None) => this.has_ended = true,
            Err(cut) => return Poll::Ready(Err(this.broken(cut))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.driven.poll_write(this.stream, bytes, cx).map_err(|cut| this.broken(cut))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_finished {
            return Poll::Ready(Ok(()));
        }
        if !std::mem::replace(&mut this.is_finishing, true) {
            this.driven.finish(this.stream).map_err(|cut| this.broken(cut))?;
        }
        // Until then it can be cut off: its gate and its place last as long.
        ready!(this.driven.poll_arrived(this.stream, cx)).map_err(|cut| this.broken(cut))?;
        this.has_finished = true;
        Poll::Ready(Ok(()))
    }
}
