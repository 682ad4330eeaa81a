//! The exporter's first look at a link: whose it is to be. Nothing is kept for it but the bytes of its first frame.

use super::codec::{self, Frame, Hello};
use super::words::{TurnedAway, Violation};

/// What a first frame may have at most. More bytes than this, and those of one read, need not be kept.
pub const LONGEST_HELLO: usize = 3 + 59 + 13 * super::limits::PAST_LINKS;

/// Reads a link's first frame, and how many bytes it had; none while it is not whole.
pub fn knock(bytes: &[u8]) -> Result<Option<(Hello, usize)>, TurnedAway> {
    match codec::read(bytes) {
        Ok(None) => Ok(None),
        Ok(Some((Frame::Hello(hello), length))) => Ok(Some((hello, length))),
        Err(Violation::Version) => Err(TurnedAway::Version),
        Ok(Some(_)) | Err(_) => Err(TurnedAway::Other),
    }
}

/// What a link is told that is turned away; then it is closed.
pub fn no(why: TurnedAway) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::No(why).write(&mut out);
    out
}
