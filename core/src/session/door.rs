//! What is heard first on a link: by the exporter, whose it is to be, and nothing is kept for it but the bytes of its first frame; by the
//! importer, whether the far side has sessions at all.

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

/// Whether what an importer hears first on a link is a line of an agent that has no sessions, and reads no frames.
pub(super) fn is_an_answer(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'{')
}

/// What a link is told that is turned away; then it is closed.
pub fn no(why: TurnedAway) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::No(why).write(&mut out);
    out
}
