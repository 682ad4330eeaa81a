//! A remote's bytes over the local connection, after [`Response::Connected`]: in pieces, so that an end can be told from a failure.
//!
//! A piece is its length, four bytes, big-endian, and so many bytes. One of length 0 is the end of that direction. `ff ff ff ff` is a
//! failure, and a frame with [`Response::Refused`] follows that says why. A connection that ends without either broke.

// It reads what anyone with the socket may write: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::Response;
use super::frame::{self, MAX_RESPONSE};
use crate::forward::sockets::Abort;
use crate::model::problem::{Code, Problem};

/// Bytes of one piece at most.
const MOST: usize = 64 * 1024;

/// The length that stands for a failure.
const FAILURE: u32 = u32::MAX;

/// The problem of an agent that went away while it had something to say.
pub(super) fn agent_ended() -> Problem {
    Problem::new(Code::AgentEnded, "the agent ended while it was asked")
        .hint("ormesh status shows whether it runs")
}

/// Either end.
#[derive(Debug)]
pub struct Pieces<S> {
    stream: S,
    reading: Reading,
    writing: Writing,
}

#[derive(Debug)]
enum Reading {
    /// A length, of which so many bytes are there.
    Length([u8; 4], usize),
    /// Bytes that are left of a piece.
    Piece(usize),
    Ended,
    Failed,
}

#[derive(Debug)]
struct Writing {
    length: [u8; 4],
    /// Bytes of the length that were written.
    at: usize,
    /// Bytes that are left of the piece.
    left: usize,
    ended: bool,
}

impl<S> Pieces<S> {
    /// Takes a connection over.
    pub fn new(stream: S) -> Self {
        let writing = Writing { length: [0; 4], at: 4, left: 0, ended: false };
        Self { stream, reading: Reading::Length([0; 4], 0), writing }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pieces<S> {
    /// Ends it as a failure, unless it has ended in order. Nothing more can be written.
    pub async fn fail(&mut self, why: Problem) -> io::Result<()> {
        if std::mem::replace(&mut self.writing.ended, true) || self.writing.left > 0 || self.writing.at < 4 {
            // In the middle of a piece its being broken off says the same.
            return Ok(());
        }
        self.stream.write_all(&FAILURE.to_be_bytes()).await?;
        frame::write(&mut self.stream, &Response::Refused(why)).await
    }

    /// Why reading failed: what the other end said, or that it went away with its connections.
    pub async fn failure(mut self) -> Problem {
        let said = match self.reading {
            Reading::Failed => frame::read(&mut self.stream, MAX_RESPONSE).await,
            _ => Ok(None),
        };
        match said {
            Ok(Some(Response::Refused(problem))) => problem,
            _ => Problem::new(Code::CutOff, "the connection was cut off: the agent of this host has ended")
                .hint("what has come may be a part of what was sent"),
        }
    }
}

impl<S: AsyncWrite + Unpin> Pieces<S> {
    /// Writes what is left of a length.
    fn poll_length(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.writing.length.get(self.writing.at..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.writing.at += written,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pieces<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.reading {
                Reading::Length(bytes, at) => {
                    let mut rest = ReadBuf::new(bytes.get_mut(*at..).unwrap_or_default());
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut rest))?;
                    match rest.filled().len() {
                        0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                        read => *at += read,
                    }
                    if *at == bytes.len() {
                        this.reading = match u32::from_be_bytes(*bytes) {
                            0 => Reading::Ended,
                            FAILURE => Reading::Failed,
                            length => Reading::Piece(usize::try_from(length).map_err(io::Error::other)?),
                        };
                    }
                }
                Reading::Piece(left) => {
                    let most = buffer.remaining().min(*left);
                    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
                    let read = part.filled().len();
                    if read == 0 && most > 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    buffer.advance(read);
                    *left -= read;
                    if *left == 0 {
                        this.reading = Reading::Length([0; 4], 0);
                    }
                    return Poll::Ready(Ok(()));
                }
                Reading::Ended => return Poll::Ready(Ok(())),
                Reading::Failed => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pieces<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.writing.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.writing.left == 0 {
            let left = bytes.len().min(MOST);
            if left == 0 {
                return Poll::Ready(Ok(0));
            }
            let length = u32::try_from(left).map_err(io::Error::other)?.to_be_bytes();
            this.writing = Writing { length, at: 0, left, ended: false };
        }
        ready!(this.poll_length(cx))?;
        let part = bytes.get(..this.writing.left).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, part))?;
        this.writing.left -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Ends this direction in order; the other one goes on.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.writing.ended {
            if this.writing.left > 0 {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            this.writing = Writing { length: [0; 4], at: 0, left: 0, ended: true };
        }
        ready!(this.poll_length(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }
}

impl<S: AsyncRead + Unpin> Abort for &mut Pieces<S> {
    /// An end that was not written is a failure.
    fn reset_on_close(&self, _on: bool) {}

    /// After its end a peer says nothing, so what comes from there is that it goes away.
    fn is_gone(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.reading, Reading::Ended)
            && Pin::new(&mut self.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    async fn read_all(pieces: &mut Pieces<impl AsyncRead + Unpin>) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let result = pieces.read_to_end(&mut bytes).await.map(drop);
        (bytes, result)
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(said in vec(vec(any::<u8>(), 0..3000), 0..20), room in 1usize..5000) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (near, far) = duplex(room);
                let (mut near, mut far) = (Pieces::new(near), Pieces::new(far));
                let words = said.clone();
                let speak = async {
                    for words in &words {
                        near.write_all(words).await.unwrap();
                    }
                    near.shutdown().await.unwrap();
                    near.shutdown().await.unwrap();
                    // The other direction is as it was.
                    near.read_u8().await.unwrap()
                };
                let listen = async {
                    let (heard, end) = read_all(&mut far).await;
                    end.unwrap();
                    far.write_u8(7).await.unwrap();
                    heard
                };
                let (answer, heard) = tokio::join!(speak, listen);
                assert!(heard == said.concat() && answer == 7);
            });
        }
    }

    #[tokio::test]
    async fn a_failure_is_no_end_and_is_told() {
        let (near, far) = duplex(1000);
        let (mut near, mut far) = (Pieces::new(near), Pieces::new(far));
        near.write_all(b"half an ans").await.unwrap();
        near.fail(Problem::new(Code::CutOff, "it broke")).await.unwrap();

        let (heard, end) = read_all(&mut far).await;

        assert_eq!(
            (heard.as_slice(), end.unwrap_err().kind()),
            (&b"half an ans"[..], io::ErrorKind::ConnectionReset)
        );
        assert_eq!(far.failure().await.message, "it broke");
    }

    #[tokio::test]
    async fn an_end_that_is_not_said_is_a_failure() {
        for cut in [0, 3, 4, 6] {
            let (mut near, far) = duplex(1000);
            near.write_all(&[0, 0, 0, 5, b'w', b'o'][..cut]).await.unwrap();
            drop(near);
            let mut far = Pieces::new(far);

            let (heard, end) = read_all(&mut far).await;

            assert_eq!(
                (heard.len(), end.unwrap_err().kind()),
                (cut.saturating_sub(4), io::ErrorKind::UnexpectedEof)
            );
            assert_eq!(far.failure().await.code, Code::CutOff);
        }
    }

    #[tokio::test]
    async fn nothing_is_added_to_what_has_ended() {
        let (near, far) = duplex(1000);
        let (mut near, mut far) = (Pieces::new(near), Pieces::new(far));
        near.write_all(b"all").await.unwrap();
        near.shutdown().await.unwrap();
        near.fail(Problem::new(Code::CutOff, "too late")).await.unwrap();
        assert!(near.write_all(b"more").await.is_err());

        let (heard, end) = read_all(&mut far).await;

        assert_eq!(heard, b"all");
        end.unwrap();
    }

    #[test]
    fn fuzzed_pieces_end_or_fail() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let samples = [b"\0\0\0\x05hello\0\0\0\0".to_vec(), b"\xff\xff\xff\xff\0\0\0\x04null".to_vec()];
        support::fuzz("pieces of the local protocol", &samples, |bytes| {
            let stream = tokio::io::join(bytes, tokio::io::sink());
            let (heard, _) = runtime.block_on(read_all(&mut Pieces::new(stream)));
            assert!(heard.len() <= bytes.len());
        });
    }
}
