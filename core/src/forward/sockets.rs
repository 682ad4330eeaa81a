//! What is asked of sockets beyond reading and writing: to be reset, and to notice a peer that is gone.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

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
    /// Ends it. Where the system has no such thing (Unix sockets, pipes) it is closed.
    fn abort(self);
}

impl Abort for Stream {
    fn abort(self) {
        if let Self::Tcp(stream) = &self {
            // Closing with a linger time of zero sends RST (tcp(7)). If it is refused, the close is an ordinary one.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Abort for tokio::io::DuplexStream {
    fn abort(self) {}
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
