//! Notices whether the far side of a connection has sent anything. A host that is full ends connections without any bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::relay::{Ending, Meter};
use super::sockets::Abort;

/// Whether a connection's far side has said anything.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<AtomicBool>);

impl Heard {
    /// A meter that notices it, besides another one.
    pub fn meter<M: Meter>(&self, meter: M) -> impl Meter + use<M> {
        Listening { meter, heard: self.clone() }
    }

    /// Whether the far side ended a connection without sending anything.
    pub fn was_silent(&self, ending: &Ending) -> bool {
        matches!(ending, Ending::Far | Ending::FarBroke(_)) && !self.0.load(Ordering::Relaxed)
    }
}

struct Listening<M> {
    meter: M,
    heard: Heard,
}

impl<M: Meter> Meter for Listening<M> {
    fn count_up(&self, bytes: usize) {
        self.meter.count_up(bytes);
    }
    fn count_down(&self, bytes: usize) {
        self.heard.0.store(true, Ordering::Relaxed);
        self.meter.count_down(bytes);
    }
}

/// The near side of a connection whose far side may end it without a word. Such an end is not passed on: whoever made this says how it
/// ended, once that is known.
#[derive(Debug)]
pub struct Unended<S> {
    near: S,
    heard: bool,
}

impl<S> Unended<S> {
    /// Withholds an end from this.
    pub fn new(near: S) -> Self {
        Self { near, heard: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unended<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().near).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unended<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.heard |= !buf.is_empty();
        Pin::new(&mut this.near).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().near).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.heard {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.near).poll_shutdown(cx)
    }
}

impl<S: Abort> Abort for Unended<S> {
    fn reset_on_close(&self, on: bool) {
        self.near.reset_on_close(on);
    }

    fn is_gone(&mut self) -> bool {
        self.near.is_gone()
    }
}
