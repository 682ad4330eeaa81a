//! What sockets must do besides reading and writing: reset, and notice that the peer is gone.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::owner::has_closed;
use super::system;
use crate::engine::stream::Stream;

/// A silent peer is asked after this time whether it is there…
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// …then at this interval…
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// …and given up after so many answers are missing: 120 s in all.
#[cfg(not(windows))]
const KEEPALIVE_TRIES: u32 = 4;

/// A stream that can end so that its peer sees a failure, not an end of file.
pub trait Abort {
    /// Whether closing it, by whatever ends it, is a failure to its peer; at first it is not.
    ///
    /// A TCP connection is then reset, even when this process dies. A Unix socket has no such thing: its peer sees an end of file,
    /// unless it had said something that was not read.
    fn reset_on_close(&self, on: bool);

    /// Ends it as a failure. `why` is for a peer that can receive a reason.
    fn abort(self, _why: &str)
    where
        Self: Sized,
    {
        self.reset_on_close(true);
    }

    /// Whether the peer, which has sent its last byte, is known to read no more either. False where that can't be known.
    fn is_gone(&mut self) -> bool {
        false
    }
}

impl Abort for Stream {
    fn reset_on_close(&self, on: bool) {
        if let Self::Tcp(stream) = self {
            // Closing with a linger time of zero sends RST (tcp(7)). If it is refused, the close is an ordinary one.
            let _ = SockRef::from(stream).set_linger(on.then_some(Duration::ZERO));
        }
    }

    fn is_gone(&mut self) -> bool {
        match self {
            // Where the system doesn't tell: what is closed answers keep-alive probes by a reset once its FIN_WAIT_2 is over (a minute).
            Self::Tcp(stream) => !matches!(stream.take_error(), Ok(None)) || has_closed(stream),
            other => system::is_gone(other),
        }
    }
}

impl Abort for tokio::io::DuplexStream {
    fn reset_on_close(&self, _on: bool) {}
}

/// Has a TCP peer probed, so that a half-open connection ends within 120 s. Others need no probing.
pub fn keep_alive(stream: &Stream) {
    let Stream::Tcp(stream) = stream else { return };
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_TRIES);
    // A stream without it still works; it only ends later when its peer is lost. (TCP_USER_TIMEOUT would also cover bytes that nobody
    // acknowledges, but Linux ends connections by it whose reader merely stalls: tcp(7), "zero window".)
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// Bytes that a link's socket may hold before tor has taken them, as far as the system keeps to it (Linux doubles it, for its own needs).
const SHORT: usize = 32 * 1024;

/// Lets little lie in a socket: what does can't be overtaken.
pub fn keep_short(stream: &Stream) {
    // If it is refused, bulk delays key presses a little more.
    let _ = match stream.raw() {
        Stream::Tcp(stream) => SockRef::from(stream).set_send_buffer_size(SHORT),
        #[cfg(unix)]
        Stream::Unix(stream) => SockRef::from(stream).set_send_buffer_size(SHORT),
        Stream::Confirmed(_) | Stream::Pipe(_) => Ok(()),
    };
}

#[cfg(all(test, not(windows)))]
mod tests {
    use super::*;
    use crate::forward::testing::tcp_pair;

    #[tokio::test]
    async fn a_half_open_connection_ends_within_two_minutes() {
        let (stream, _peer) = tcp_pair().await;
        let stream = Stream::Tcp(stream);

        keep_alive(&stream);

        let Stream::Tcp(stream) = &stream else { panic!("it was TCP") };
        let socket = SockRef::from(stream);
        assert!(socket.keepalive().unwrap());
        let probes = socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
        assert!(socket.tcp_keepalive_time().unwrap() + probes <= Duration::from_secs(120));
    }
}
