//! Every number that bounds a session, in one place.

use std::time::Duration;

/// Bytes of one data frame at most: 16 ms of a circuit that carries 1 MB/s, which is how long a key press may wait behind it.
pub const CHUNK: usize = 16 * 1024;
/// A reader that keeps up is given more credit, from this on. It is known to both ends, so that first bytes need no round trip.
pub const FIRST_CREDIT: u64 = 64 * 1024;
/// A stream with more bytes than this on their way is bulk; others go before it.
pub const QUICK: u64 = 32 * 1024;
/// Links that an exporter serves at once: twice what an importer uses, since an end may learn of a death later than the other.
pub const LINKS_SERVED: usize = 8;
/// Sessions that an exporter keeps for one client: one for each time to hold of the client's imports.
pub const SESSIONS_SERVED: usize = 4;
/// Links that are over whose counts are remembered, and told when another one joins.
pub const PAST_LINKS: usize = 8;
/// Pieces of a stream that wait for what is missing before them.
pub const PIECES: usize = 2048;
/// Frames of a stream that may be on their way.
pub const FRAMES_IN_FLIGHT: usize = 512;
/// Frames without bytes that may wait to be sent, or to be acknowledged. Only a peer that acknowledges nothing, or too little, gets there.
pub const WAITING: usize = 8192;
/// With so many of them, an importer opens no more streams: its applications come and go while there is no link.
pub const WAITING_TO_OPEN: usize = WAITING / 8;
/// Streams that may be opened out of order.
pub const OUT_OF_ORDER: usize = 4096;

/// How long what was read is left unacknowledged, unless there is something else to send: an echo carries it.
pub const ACK_DELAY: Duration = Duration::from_millis(25);
/// How many bytes are.
pub const ACK_BYTES: usize = 16 * 1024;

/// What a session may take, in bytes, streams, links and time.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes that were written and are not acknowledged, for all streams.
    pub session_unacked: u64,
    /// The same for a stream.
    pub stream_unacked: u64,
    /// Of the first, kept for streams that have little to say (less than [`SMALL`](Self::SMALL)).
    pub kept_for_small: u64,
    /// Bytes that a stream's application has not read yet: its credit, once its reader has shown that it keeps up.
    pub stream_unread: u64,
    /// How much of such credit, beyond [`FIRST_CREDIT`] each, all streams may have.
    pub session_unread: u64,
    /// Streams at once.
    pub streams: usize,
    /// Links at once, under bulk.
    pub links: usize,
    /// How long a session waits without any link: what the importer wishes, and what an exporter allows at most.
    pub hold: Duration,
    /// See there.
    pub longest_hold: Duration,
    /// How long a dial may take, until the far agent has answered.
    pub dial: Duration,
    /// Another dial is begun beside one that takes longer, while there is no link.
    pub dial_again: Duration,
    /// The pause after a dial that failed, and the longest one.
    pub redial: (Duration, Duration),
    /// For how long bulk must wait for links until there is a second, a third, a fourth.
    pub widen: [Duration; 3],
    /// A link that bulk does not need any more is closed after this time.
    pub retire: Duration,
    /// How long nothing is heard of a link, while there are streams, until it is asked; then each time twice as long, up to the second.
    pub ping: (Duration, Duration),
    /// The shortest and the longest time that a link may owe an answer.
    pub patience: (Duration, Duration),
    /// How long a suspect link is given until it is over.
    pub suspect: Duration,
}

impl Limits {
    /// See [`Limits::kept_for_small`].
    pub const SMALL: u64 = 4 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            session_unacked: 2 * 1024 * 1024,
            stream_unacked: 512 * 1024,
            kept_for_small: 256 * 1024,
            stream_unread: 512 * 1024,
            session_unread: 8 * 1024 * 1024,
            streams: 256,
            links: 4,
            hold: seconds(15 * 60),
            longest_hold: seconds(24 * 60 * 60),
            dial: seconds(12),
            dial_again: seconds(4),
            redial: (Duration::from_millis(500), seconds(4)),
            widen: [Duration::from_millis(500), seconds(3), seconds(5)],
            retire: seconds(30),
            ping: (seconds(15), seconds(300)),
            patience: (seconds(1), seconds(10)),
            suspect: seconds(6),
        }
    }
}
