//! Reaches a remote's port for an application: the one place that decides between a stream of a session and a plain connection.
//!
//! A session is used where the remote's agent has announced it, unless it is switched off. If there is none yet, it is dialled over the
//! very circuit that a plain connection would take, and the application's first bytes go with it: so the first connection waits for
//! nothing. Where a session has no room, or the far side does not let it in after all, the connection is a plain one.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;

use super::dialler::{ConnectError, Connected, Dialler, Early};
use super::sessions::channel::Channel;
use super::sessions::driven::Word;
use super::silence::{Asking, Why, asking, why};
use super::sockets::Abort;
use crate::engine::DialError;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;
use crate::session::words::Refusal;

/// How often who waits is told why the last attempt failed, if it is another reason.
const TELLS: Duration = Duration::from_millis(500);

/// How a connection may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Through a session that is held so long without a link, where the far side has that.
    Session(Duration),
    /// Plain.
    Plain,
}

/// How long a session is held without a link, unless an import says otherwise.
pub const HOLD: Duration = Duration::from_secs(15 * 60);

impl Default for By {
    fn default() -> Self {
        Self::Session(HOLD)
    }
}

/// The far side of an application's connection.
pub enum Far {
    /// A Tor stream of its own.
    Plain(Asking),
    /// A stream of a session.
    Session(Channel),
    /// The far side's agent has refused it, and said why: to whoever reads, it breaks at once.
    Refused(Why),
}

impl Far {
    /// Whether it carries an end of file as it is.
    pub fn is_session(&self) -> bool {
        matches!(self, Self::Session(_))
    }

    fn refused(why: Why) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionReset, why)
    }
}

/// A connection that came about.
pub struct Reached {
    /// The far side.
    pub far: Far,
    /// Bytes of the application that were read and not sent yet. They come before anything else it says.
    pub unsent: Vec<u8>,
    /// Bytes of the application that were sent already.
    pub sent_early: usize,
}

/// Reaches a port. `group` names the circuit of a plain connection. Tells on the way why the last attempt failed.
pub async fn reach(
    dialler: &Arc<Dialler>,
    (remote, port): (&OnionAddress, Port),
    group: &str,
    by: By,
    mut early: Early<'_>,
    failed: &watch::Sender<Option<DialError>>,
) -> Result<Reached, ConnectError> {
    if let By::Session(hold) = by
        && port != Port::RESPONDER
        && dialler.sessions().may(remote)
    {
        if dialler.sessions().standing(remote, hold).is_none_or(|standing| standing.circuits == 0) {
            // So that they go with the first flight, as with a plain connection.
            early.await_first(dialler.first_bytes()).await?;
        }
        if let Some(channel) = dialler.sessions().open(remote, port, hold, group) {
            match Box::pin(through(dialler, (remote, port), channel, &mut early, failed)).await? {
                Through::Far(far) => {
                    let (sent_early, unsent) = early.split();
                    return Ok(Reached { far, unsent, sent_early });
                }
                Through::Nothing => early.unsend(),
            }
        }
    }
    let connected = dialler.connect_telling(remote, port, group, early, failed).await?;
    let Connected { stream, unsent, sent_early, .. } = connected;
    Ok(Reached { far: Far::Plain(asking(dialler, *remote, port, stream)), unsent, sent_early })
}

/// What became of a stream.
enum Through {
    /// The far side has spoken.
    Far(Far),
    /// The session has ended, and nothing of the application has arrived through it.
    Nothing,
}

/// Gives the application's first bytes to a stream, and waits for the far side's first word.
async fn through(
    dialler: &Arc<Dialler>,
    (remote, port): (&OnionAddress, Port),
    mut channel: Channel,
    early: &mut Early<'_>,
    failed: &watch::Sender<Option<DialError>>,
) -> Result<Through, ConnectError> {
    let word = early.giving(|cx, bytes| {
        let given = match Pin::new(&mut channel).poll_write(cx, bytes) {
            _ if bytes.is_empty() => 0,
            Poll::Ready(Ok(given)) => given,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        (given, channel.poll_word(cx))
    });
    // Links are dialled for all connections together, so each looks by itself why that fails.
    let told = async {
        let mut word = pin!(word);
        loop {
            if let Ok(word) = timeout(TELLS, &mut word).await {
                break word;
            }
            let lost = dialler.lost(remote);
            if lost.is_some() && *failed.borrow() != lost {
                failed.send_replace(lost);
            }
        }
    };
    let word = timeout(dialler.patience(remote), told).await;
    let failed = |error| match early.any_sent() {
        true => Err(ConnectError::Uncertain(error)),
        false => Err(ConnectError::Dial(error)),
    };
    match word {
        Err(_) => failed(dialler.lost(remote).unwrap_or(DialError::TimedOut)),
        Ok(Err(gone)) => Err(gone.into()),
        Ok(Ok(Word::None | Word::Accepted)) => Ok(Through::Far(Far::Session(channel))),
        Ok(Ok(Word::Refused(Refusal::NotGranted))) => {
            Err(ConnectError::Dial(DialError::PortNotExported(port)))
        }
        Ok(Ok(Word::Refused(refusal))) => {
            let usual = match refusal {
                Refusal::Unreachable => Why::NoBackend(port),
                _ => Why::NoRoom(port),
            };
            let why = why(dialler, *remote, port).await.unwrap_or(usual);
            Ok(Through::Far(Far::Refused(why)))
        }
        Ok(Ok(Word::NotTaken)) => Ok(Through::Nothing),
        Ok(Ok(Word::Cut(_))) if !early.any_sent() => Ok(Through::Nothing),
        // Whoever reads it is told.
        Ok(Ok(Word::Cut(_))) => Ok(Through::Far(Far::Session(channel))),
    }
}

impl AsyncRead for Far {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Session(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Refused(why) => Poll::Ready(Err(Self::refused(*why))),
        }
    }
}

impl AsyncWrite for Far {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Session(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Refused(why) => Poll::Ready(Err(Self::refused(*why))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Session(stream) => Pin::new(stream).poll_flush(cx),
            Self::Refused(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Session(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Refused(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Abort for Far {
    fn reset_on_close(&self, on: bool) {
        match self {
            Self::Plain(stream) => stream.reset_on_close(on),
            Self::Session(stream) => stream.reset_on_close(on),
            Self::Refused(_) => {}
        }
    }

    fn abort(self, why: &str) {
        match self {
            Self::Plain(stream) => stream.abort(why),
            Self::Session(stream) => stream.abort(why),
            Self::Refused(_) => {}
        }
    }
}
