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
    let socket = SockRef::from(stream);
    // A stream without it still works; it only ends later when its peer is lost.
    let _ = socket.set_tcp_keepalive(&keepalive);
    // Probes are not sent while bytes wait for an acknowledgement; this limits that case.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_user_timeout(Some(KEEPALIVE_AFTER + KEEPALIVE_EVERY * KEEPALIVE_TRIES));
}
