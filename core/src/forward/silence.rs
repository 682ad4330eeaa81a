//! Finds out why a far side ended a connection without having sent a byte. To tor, a port that is full and a backend that is not there look
//! like an ordinary end; so the agent there is asked before such an end is passed on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dialler::{Carried, Dialler};
use super::responder::Info;
use super::sockets::Abort;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

/// Why a host ended a connection without a byte, as far as its agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It has no place for it: open connections, and how many there can be of all.
    #[error("the far side has no room for it: port {0} is full: {1} of {2}")]
    Full(Port, u64, u64),
    /// It has no place for it, and no more is known.
    #[error("the far side has no room for it: port {0} is full")]
    NoRoom(Port),
    /// Nothing accepts connections there.
    #[error("nothing accepts connections behind port {0} of the far side")]
    NoBackend(Port),
    /// It is not exported to us any more.
    #[error("the far side does not export port {0} to this host any more")]
    NotExported(Port),
    /// Its agent was asked and did not answer: its service may be gone, as it is when a client is revoked.
    #[error("the far side ended it without a byte, and its agent does not answer")]
    NoAnswer,
}

impl Why {
    /// What an answer says of a port; none where the port is as it should be, so that the server ended the connection.
    fn of(info: &Info, port: Port) -> Option<Self> {
        match info.port(port) {
            None => Some(Self::NotExported(port)),
            Some(told) => match told.full {
                Some((held, of)) => Some(Self::Full(port, held, of)),
                None => (!told.open).then_some(Self::NoBackend(port)),
            },
        }
    }

    /// What was found to be the reason of an error that [`Asking`] gave.
    pub fn find(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// The far side of a connection. Its end without a byte is an error, where its agent knows a reason for it.
pub struct Asking<S = Carried> {
    stream: S,
    state: State,
}

type Word = Pin<Box<dyn Future<Output = Option<Why>> + Send>>;

enum State {
    /// Nothing has come yet; by this its agent is asked.
    Silent(Box<dyn FnOnce() -> Word + Send>),
    /// It has ended like this, and its agent is asked.
    Ended(io::Result<()>, Word),
    /// Whatever comes is passed on.
    Passing,
}

/// Has the agent of a remote asked if this connection to one of its ports ends without a byte. A remote that is not known to have one is
/// not asked.
pub fn asking(dialler: &Arc<Dialler>, remote: OnionAddress, port: Port, stream: Carried) -> Asking {
    let dialler = Arc::clone(dialler);
    let word = move || -> Word { Box::pin(async move { why(&dialler, remote, port).await }) };
    Asking::new(stream, word)
}

/// Asks the agent of a remote why it ended a connection to one of its ports.
pub(super) async fn why(dialler: &Arc<Dialler>, remote: OnionAddress, port: Port) -> Option<Why> {
    let has_agent = dialler.has_agent(&remote);
    let Some(info) = dialler.info(&remote).await else { return has_agent.then_some(Why::NoAnswer) };
    let why = Why::of(&info, port);
    if matches!(why, Some(Why::Full(..))) {
        dialler.found_full(&remote);
    }
    why
}

impl<S> Asking<S> {
    fn new(stream: S, word: impl FnOnce() -> Word + Send + 'static) -> Self {
        Self { stream, state: State::Silent(Box::new(word)) }
    }
}

/// Whether the far side may have made this end. One that broke on the way tells its reason itself.
fn is_its_own(end: &io::Result<()>) -> bool {
    end.as_ref().map_or_else(|error| error.kind() == io::ErrorKind::ConnectionReset, |()| true)
}

impl<S: AsyncRead + Unpin> AsyncRead for Asking<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !matches!(this.state, State::Ended(..)) {
            let (room, before) = (buf.remaining(), buf.filled().len());
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
            let is_end = room > 0 && buf.filled().len() == before;
            match std::mem::replace(&mut this.state, State::Passing) {
                State::Silent(word) if is_end && is_its_own(&read) => {
                    this.state = State::Ended(read, word());
                }
                silent @ State::Silent(_) if room == 0 => {
                    this.state = silent;
                    return Poll::Ready(read);
                }
                _ => return Poll::Ready(read),
            }
        }
        let State::Ended(_, word) = &mut this.state else { return Poll::Ready(Ok(())) };
        let why = ready!(word.as_mut().poll(cx));
        match (why, std::mem::replace(&mut this.state, State::Passing)) {
            (Some(why), _) => Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, why))),
            (None, State::Ended(read, _)) => Poll::Ready(read),
            (None, _) => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Asking<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: Abort> Abort for Asking<S> {
    fn reset_on_close(&self, on: bool) {
        self.stream.reset_on_close(on);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::engine::DialError;
    use crate::forward::dialler::Early;
    use crate::forward::reports::Reports;
    use crate::forward::testing::{Act, Keys, NOW, Script, onion, port, read_all};

    fn told(ports: serde_json::Value) -> Info {
        serde_json::from_value(json!({ "ormesh": 1, "ports": ports })).unwrap()
    }

    #[test]
    fn an_agent_knows_why_a_port_ends_connections_without_a_byte() {
        let why = |ports| Why::of(&told(ports), port(80));
        assert_eq!(why(json!([{ "port": 80, "open": true }])), None, "so its server did");
        assert_eq!(why(json!([{ "port": 80, "open": false }])), Some(Why::NoBackend(port(80))));
        assert_eq!(why(json!([{ "port": 22, "open": true }])), Some(Why::NotExported(port(80))));
        let full = why(json!([{ "port": 80, "open": true, "full": [4, 4] }])).unwrap();
        assert_eq!(full, Why::Full(port(80), 4, 4));
        assert!(full.to_string().ends_with("full: 4 of 4"), "{full}");
    }

    fn over(stream: DuplexStream, why: Option<Why>) -> Asking<DuplexStream> {
        let word = move || -> Word {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                why
            })
        };
        Asking::new(stream, word)
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_without_a_byte_is_passed_on_once_its_agent_was_asked_and_knows_no_reason() {
        for why in [None, Some(Why::Full(port(80), 4, 4))] {
            let (near, far) = duplex(64);
            drop(far);
            let before = tokio::time::Instant::now();

            let ended = read_all(&mut over(near, why)).await;

            assert_eq!(before.elapsed(), Duration::from_secs(1));
            assert_eq!(ended.err().as_ref().and_then(Why::find), why);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_after_a_byte_is_passed_on_at_once() {
        let (near, mut far) = duplex(64);
        far.write_all(b"x").await.unwrap();
        drop(far);
        let (before, mut stream) = (tokio::time::Instant::now(), over(near, Some(Why::NoBackend(port(80)))));

        assert_eq!(stream.read(&mut []).await.unwrap(), 0, "that is no end");
        assert_eq!(read_all(&mut stream).await.unwrap(), b"x");
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_without_a_byte_is_an_error_where_an_agent_is_known_and_does_not_answer() {
        for has_agent in [true, false] {
            let (engine, mut peers) = Script::new([Act::Accept(NOW)], Act::Fail(NOW, DialError::Gone));
            let (reports, _reported) = Reports::new();
            let dialler = Dialler::new(engine, Arc::new(Keys::default()), reports);
            let connected = dialler.connect(&onion(), port(80), "g", Early::none()).await.unwrap();
            if has_agent {
                dialler.has_responder(&onion());
            }
            drop(peers.recv().await.unwrap());

            let ended = read_all(&mut asking(&dialler, onion(), port(80), connected.stream)).await;

            assert_eq!(ended.err().as_ref().and_then(Why::find), has_agent.then_some(Why::NoAnswer));
        }
    }

    #[test]
    fn what_broke_on_the_way_is_not_asked_for() {
        assert!(is_its_own(&Ok(())) && is_its_own(&Err(io::ErrorKind::ConnectionReset.into())));
        assert!(!is_its_own(&Err(io::ErrorKind::ConnectionAborted.into())));
    }
}
