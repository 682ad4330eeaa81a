//! One direction of a relay: reads its source and writes its sink, as far as both go without waiting.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads that one relay may make in a direction before it lets others run.
pub(super) const BUDGET: usize = 16;

/// How one direction ended.
#[derive(Debug)]
pub(super) enum End {
    /// All its bytes are delivered.
    Eof,
    /// Its source broke; what came before is delivered.
    Read(io::Error),
    /// Its sink takes no more.
    Write(io::Error),
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What a stalled sink has left, from `at` on. Empty and without memory otherwise.
    pub(super) kept: Vec<u8>,
    at: usize,
    /// Its source has ended; the end counts once `kept` is delivered.
    last: Option<Result<(), io::Error>>,
    pub(super) end: Option<End>,
    /// Written since the last flush.
    dirty: bool,
    /// Bytes were read or written in this poll.
    pub(super) moved: bool,
}

impl Way {
    /// One whose sink gets these bytes first.
    pub(super) fn after(kept: Vec<u8>) -> Self {
        Self { kept, ..Self::default() }
    }

    /// Goes on until one side makes it wait. Returns the bytes read.
    pub(super) fn advance<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        buffer: &mut [u8],
    ) -> usize
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut total = 0;
        for _ in 0..BUDGET {
            match self.step(cx, from, to, buffer) {
                Poll::Ready(Some(read)) => total += read,
                Poll::Ready(None) | Poll::Pending => return total,
            }
        }
        cx.waker().wake_by_ref();
        total
    }

    /// One read and its writes; `None` when the direction has ended.
    fn step<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        buffer: &mut [u8],
    ) -> Poll<Option<usize>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            let (written, result) = write(cx, to, &kept[self.at..]);
            self.moved |= written > 0;
            self.dirty |= written > 0;
            self.at += written;
            match result {
                Poll::Ready(Ok(())) => self.at = 0,
                Poll::Ready(Err(error)) => return self.ended(End::Write(error)),
                Poll::Pending => {
                    self.kept = kept;
                    return Poll::Pending;
                }
            }
        }
        if let Some(last) = self.last.take() {
            if Pin::new(to).poll_flush(cx).is_pending() {
                self.last = Some(last);
                return Poll::Pending;
            }
            return self.ended(last.map_or_else(End::Read, |()| End::Eof));
        }
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(from).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.last = Some(Ok(())),
            Poll::Ready(Ok(())) => {
                self.moved = true;
                let bytes = buffer.filled();
                let (written, result) = write(cx, to, bytes);
                self.dirty |= written > 0;
                match result {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => self.end = Some(End::Write(error)),
                    // The next step meets the stalled sink again and waits there.
                    Poll::Pending => self.kept = bytes[written..].to_vec(),
                }
                return Poll::Ready(Some(bytes.len()));
            }
            Poll::Ready(Err(error)) => self.last = Some(Err(error)),
            Poll::Pending => {
                // Nothing more for now: let a sink that gathers bytes (a terminal) show them.
                if self.dirty && Pin::new(to).poll_flush(cx).is_ready() {
                    self.dirty = false;
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Some(0))
    }

    fn ended(&mut self, end: End) -> Poll<Option<usize>> {
        self.end = Some(end);
        Poll::Ready(None)
    }
}

/// Writes until all is written or the sink stalls or fails; says how much was written.
fn write<W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    to: &mut W,
    bytes: &[u8],
) -> (usize, Poll<io::Result<()>>) {
    let mut written = 0;
    while written < bytes.len() {
        match Pin::new(&mut *to).poll_write(cx, &bytes[written..]) {
            Poll::Ready(Ok(0)) => return (written, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
            Poll::Ready(Ok(n)) => written += n,
            Poll::Ready(Err(error)) => return (written, Poll::Ready(Err(error))),
            Poll::Pending => return (written, Poll::Pending),
        }
    }
    (written, Poll::Ready(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, DuplexStream, duplex};

    use super::*;

    async fn advance(way: &mut Way, from: &mut DuplexStream, to: &mut DuplexStream) -> usize {
        poll_fn(|cx| Poll::Ready(way.advance(cx, from, to, &mut [0; 100]))).await
    }

    #[tokio::test]
    async fn what_a_stalled_sink_has_left_is_written_bit_by_bit_and_only_what_is_written_moves() {
        let ((mut says, mut from), (mut to, mut hears)) = (duplex(100), duplex(4));
        let mut way = Way::default();
        says.write_all(b"0123456789").await.unwrap();
        assert_eq!(advance(&mut way, &mut from, &mut to).await, 10);
        assert!(way.moved && way.dirty && way.kept.len() - way.at == 6);

        (way.moved, way.dirty) = (false, false);
        assert_eq!(advance(&mut way, &mut from, &mut to).await, 0);
        assert!(!way.moved && !way.dirty, "nothing was written");

        let mut heard = Vec::new();
        for (more, left) in [("0123", 2), ("4567", 0)] {
            let mut words = [0; 4];
            hears.read_exact(&mut words).await.unwrap();
            heard.extend(words);
            assert_eq!(words, more.as_bytes());
            (way.moved, way.dirty) = (false, false);
            advance(&mut way, &mut from, &mut to).await;
            assert!(way.moved && way.kept.len() - way.at == left, "{way:?}");
            assert_eq!(way.dirty, left > 0, "it is flushed once all is written");
        }
        let mut words = [0; 2];
        hears.read_exact(&mut words).await.unwrap();
        assert_eq!(&words, b"89");
    }

    #[tokio::test]
    async fn a_sink_that_has_got_nothing_since_is_not_flushed_again() {
        let ((mut says, mut from), (mut to, _hears)) = (duplex(100), duplex(1));
        let mut way = Way::default();
        assert_eq!(advance(&mut way, &mut from, &mut to).await, 0);
        assert!(!way.moved && !way.dirty);
        says.write_all(b"0").await.unwrap();
        advance(&mut way, &mut from, &mut to).await;
        assert!(way.moved && !way.dirty, "it was flushed when nothing more came");
        // The sink is full: what comes now is kept.
        says.write_all(b"1").await.unwrap();
        advance(&mut way, &mut from, &mut to).await;
        assert!(way.kept == b"1" && !way.dirty);
    }

    #[tokio::test]
    async fn what_a_sink_has_gathered_is_shown_when_nothing_more_comes_for_now() {
        let (mut says, mut from) = duplex(100);
        let (mut to, mut way) = (BufWriter::new(Vec::new()), Way::default());
        for (words, shown) in [("login: ", "login: "), ("password: ", "login: password: ")] {
            says.write_all(words.as_bytes()).await.unwrap();
            let read = poll_fn(|cx| Poll::Ready(way.advance(cx, &mut from, &mut to, &mut [0; 100]))).await;
            assert_eq!((read, to.get_ref().as_slice()), (words.len(), shown.as_bytes()));
        }
    }
}
