//! A byte stream and a listener over TCP or a Unix socket, behind one type.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

/// A connected byte stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
    /// One whose end of file has to be confirmed.
    Confirmed(Confirmed),
    /// A pipe within the process, for fakes.
    Pipe(tokio::io::DuplexStream),
}

impl Stream {
    /// What it is underneath.
    pub fn raw(&self) -> &Self {
        match self {
            Self::Confirmed(confirmed) => confirmed.stream.raw(),
            other => other,
        }
    }
}

/// A stream whose end of file counts once something else has confirmed it; until then it is not there yet, and else it is an error.
pub struct Confirmed {
    stream: Box<Stream>,
    word: Word,
}

enum Word {
    Awaited(Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>),
    Told(Result<(), io::ErrorKind>),
}

impl Confirmed {
    /// `word` is asked when the stream has ended.
    pub fn new(stream: Stream, word: impl Future<Output = io::Result<()>> + Send + Sync + 'static) -> Self {
        Self { stream: Box::new(stream), word: Word::Awaited(Box::pin(word)) }
    }
}

impl std::fmt::Debug for Confirmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Confirmed").field(&self.stream).finish()
    }
}

impl AsyncRead for Confirmed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (room, before) = (buf.remaining(), buf.filled().len());
        ready!(Pin::new(&mut *this.stream).poll_read(cx, buf))?;
        if room == 0 || buf.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        match &mut this.word {
            Word::Told(told) => Poll::Ready(told.map_err(Into::into)),
            Word::Awaited(word) => {
                let told = ready!(word.as_mut().poll(cx));
                this.word = Word::Told(told.as_ref().copied().map_err(io::Error::kind));
                Poll::Ready(told)
            }
        }
    }
}

impl AsyncWrite for Confirmed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
    /// Pipes within the process, for fakes. Without an end: when nobody can send one any more, it waits for ever.
    Pipes(tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<Stream>>),
}

/// Connects to a Unix socket. A file system that hangs holds up none but this.
#[cfg(unix)]
pub async fn connect_unix(path: &std::path::Path) -> io::Result<Stream> {
    use socket2::{Domain, SockAddr, Socket, Type};
    let place = path.to_owned();
    let connected = crate::store::apart::apart_at(path, move || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Never wait behind a full backlog.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(place)?)?;
        io::Result::Ok(socket)
    });
    UnixStream::from_std(connected.await?.into()).map(Stream::Unix)
}

impl Listener {
    /// Accepts one connection. Cancel-safe.
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Interactive bytes must not wait for an acknowledgement (Nagle).
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
            Self::Pipes(streams) => match streams.lock().await.recv().await {
                Some(stream) => Ok(stream),
                None => std::future::pending().await,
            },
        }
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $body:expr) => {
        match $self {
            Stream::Tcp($stream) => $body,
            #[cfg(unix)]
            Stream::Unix($stream) => $body,
            Stream::Confirmed($stream) => $body,
            Stream::Pipe($stream) => $body,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_end_counts_once_it_is_confirmed() {
        for confirmed in [true, false] {
            let (stream, mut peer) = duplex(100);
            let (sender, word) = oneshot::channel();
            let word = async {
                if word.await.unwrap() { Ok(()) } else { Err(io::ErrorKind::ConnectionReset.into()) }
            };
            let mut stream = Stream::Confirmed(Confirmed::new(Stream::Pipe(stream), word));
            peer.write_all(b"answer").await.unwrap();
            drop(peer);
            let mut heard = Vec::new();
            let mut reading = Box::pin(stream.read_to_end(&mut heard));
            tokio::select! {
                biased;
                ended = &mut reading => panic!("it ended unconfirmed: {ended:?}"),
                () = tokio::task::yield_now() => {}
            }

            sender.send(confirmed).unwrap();

            assert_eq!(reading.await.is_ok(), confirmed);
            assert_eq!(heard, b"answer");
            assert_eq!(stream.read(&mut [0]).await.is_ok(), confirmed);
        }
    }
}
