//! Frames as they travel: one byte for the kind, two for the length of what follows, and numbers in network order.
//!
//! ```text
//! 1 hello    version 1, flags 1 (1: no answer was seen yet), session 16, secret 32, hold 4 (seconds), link 4, counts
//! 2 welcome  flags 1 (1: the session is new), counts
//! 3 no       code 1
//! 4 open     stream 4, port 2
//! 5 accept   stream 4
//! 6 refuse   stream 4, code 1
//! 7 data     stream 4, offset 8, flags 1 (1: the end), bytes (at most 16,384)
//! 8 credit   stream 4, limit 8
//! 9 reset    stream 4, code 1
//! 10 ack     frames 8, flags 1 (1: bulk has waited for links lately)
//! 11 ping    token 4
//! 12 pong    token 4
//! 13 goodbye code 1
//! counts: how many 1 (at most 8), each: link 4, frames 8, standing 1 (0: it answers, 1: it is suspect, 2: it is over)
//! ```
//!
//! A reader is given what has come so far and takes whole frames only. Nothing is allocated for a length that is claimed.

use super::limits::{CHUNK, PAST_LINKS};
use super::words::{
    Code as _, Cut, Farewell, LinkId, Refusal, Secret, SessionId, StreamId, TurnedAway, Violation,
};

/// The version that this end speaks.
pub const VERSION: u8 = 1;
/// Kind and length.
pub const HEAD: usize = 3;
/// What a data frame has besides its bytes.
pub const DATA_HEAD: usize = HEAD + 13;
/// The longest frame.
pub const LONGEST: usize = DATA_HEAD + CHUNK;
/// No stream has more bytes: no sum of lengths wraps.
const FARTHEST: u64 = 1 << 62;

/// How many frames of a link were received, and how it stands for the end that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The link.
    pub link: LinkId,
    /// The frames.
    pub frames: u64,
    /// Whether it answers.
    pub stands: Stands,
}

/// How a link stands for the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// It answers.
    Sound,
    /// It owes an answer.
    Suspect,
    /// It is over: nothing more is read of it.
    Over,
}

/// Those of a hello or a welcome.
pub type Counts = Vec<Count>;

/// The first frame of a link, from the importer.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Whose it is to be.
    pub session: SessionId,
    /// By what it may.
    pub secret: Secret,
    /// Whether the importer has never had an answer, so that the session may be new.
    pub is_fresh: bool,
    /// For how long the importer holds the session without a link, in seconds.
    pub hold: u32,
    /// The link's number.
    pub link: LinkId,
    /// What was received of links before.
    pub received: Counts,
}

/// A frame.
#[derive(Debug, Clone)]
pub enum Frame<'a> {
    /// The importer's first.
    Hello(Hello),
    /// The exporter's first.
    Welcome {
        /// Whether the session was made for this link.
        is_new: bool,
        /// What was received of links before.
        received: Counts,
    },
    /// The exporter's first and last.
    No(TurnedAway),
    /// The importer opens a stream.
    Open(StreamId, u16),
    /// The exporter's backend has taken it.
    Accept(StreamId),
    /// It has not.
    Refuse(StreamId, Refusal),
    /// Bytes of a stream.
    Data {
        /// Whose.
        stream: StreamId,
        /// Where in the stream they begin.
        offset: u64,
        /// Whether the stream ends behind them, this way.
        is_end: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The stream may have so many bytes from its beginning on.
    Credit(StreamId, u64),
    /// The stream is cut off, both ways.
    Reset(StreamId, Cut),
    /// How far this link was read.
    Ack {
        /// Frames but hello, welcome, ack, ping and pong.
        frames: u64,
        /// Whether bytes have waited lately since all links were full.
        bulk_waits: bool,
    },
    /// Asks for a sign of life.
    Ping(u32),
    /// Gives it.
    Pong(u32),
    /// The session is over.
    Goodbye(Farewell),
}

impl Frame<'_> {
    /// Whether it is counted and acknowledged.
    pub fn is_counted(&self) -> bool {
        match self {
            Self::Open(..)
            | Self::Accept(_)
            | Self::Refuse(..)
            | Self::Data { .. }
            | Self::Credit(..)
            | Self::Reset(..) => true,
            Self::Hello(_)
            | Self::Welcome { .. }
            | Self::No(_)
            | Self::Ack { .. }
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::Goodbye(_) => false,
        }
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([self.kind(), 0, 0]);
        match self {
            Self::Hello(hello) => {
                out.extend([VERSION, u8::from(hello.is_fresh)]);
                out.extend(hello.session.0);
                out.extend(hello.secret.0);
                out.extend(hello.hold.to_be_bytes());
                out.extend(hello.link.0.to_be_bytes());
                write_counts(&hello.received, out);
            }
            Self::Welcome { is_new, received } => {
                out.push(u8::from(*is_new));
                write_counts(received, out);
            }
            Self::No(code) => out.push(code.byte()),
            Self::Open(stream, port) => {
                out.extend(stream.0.to_be_bytes());
                out.extend(port.to_be_bytes());
            }
            Self::Accept(stream) => out.extend(stream.0.to_be_bytes()),
            Self::Refuse(stream, code) => {
                out.extend(stream.0.to_be_bytes());
                out.push(code.byte());
            }
            Self::Data { stream, offset, is_end, bytes } => {
                out.extend(stream.0.to_be_bytes());
                out.extend(offset.to_be_bytes());
                out.push(u8::from(*is_end));
                out.extend_from_slice(bytes);
            }
            Self::Credit(stream, limit) => {
                out.extend(stream.0.to_be_bytes());
                out.extend(limit.to_be_bytes());
            }
            Self::Reset(stream, code) => {
                out.extend(stream.0.to_be_bytes());
                out.push(code.byte());
            }
            Self::Ack { frames, bulk_waits } => {
                out.extend(frames.to_be_bytes());
                out.push(u8::from(*bulk_waits));
            }
            Self::Ping(token) | Self::Pong(token) => out.extend(token.to_be_bytes()),
            Self::Goodbye(code) => out.push(code.byte()),
        }
        let length = out.len().saturating_sub(start + HEAD);
        let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(place) = out.get_mut(start + 1..start + HEAD) {
            place.copy_from_slice(&length);
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Welcome { .. } => 2,
            Self::No(_) => 3,
            Self::Open(..) => 4,
            Self::Accept(_) => 5,
            Self::Refuse(..) => 6,
            Self::Data { .. } => 7,
            Self::Credit(..) => 8,
            Self::Reset(..) => 9,
            Self::Ack { .. } => 10,
            Self::Ping(_) => 11,
            Self::Pong(_) => 12,
            Self::Goodbye(_) => 13,
        }
    }
}

/// Reads the first frame, and how many bytes it had; none where it is not whole yet.
pub fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Violation> {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    let (least, most) = lengths(kind).ok_or(Violation::UnknownFrame)?;
    let Some(length) = bytes.get(1..HEAD) else { return Ok(None) };
    let length = length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
    if !(least..=most).contains(&length) {
        return Err(Violation::Length);
    }
    let Some(body) = bytes.get(HEAD..HEAD + length) else { return Ok(None) };
    let mut body = Body(body);
    let frame = frame(kind, &mut body)?;
    match body.0.is_empty() {
        true => Ok(Some((frame, HEAD + length))),
        false => Err(Violation::Length),
    }
}

/// How long the rest of a frame of this kind may be, so that one that can't be right is refused before it has come.
fn lengths(kind: u8) -> Option<(usize, usize)> {
    let counts = 13 * PAST_LINKS;
    Some(match kind {
        1 => (59, 59 + counts),
        2 => (2, 2 + counts),
        3 | 13 => (1, 1),
        4 => (6, 6),
        5 | 11 | 12 => (4, 4),
        6 | 9 => (5, 5),
        7 => (13, 13 + CHUNK),
        8 => (12, 12),
        10 => (9, 9),
        _ => return None,
    })
}

fn frame<'a>(kind: u8, body: &mut Body<'a>) -> Result<Frame<'a>, Violation> {
    Ok(match kind {
        1 => {
            if body.byte()? != VERSION {
                return Err(Violation::Version);
            }
            let is_fresh = body.flag()?;
            Frame::Hello(Hello {
                session: SessionId(body.array()?),
                secret: Secret(body.array()?),
                is_fresh,
                hold: body.u32()?,
                link: LinkId(body.u32()?),
                received: body.counts()?,
            })
        }
        2 => Frame::Welcome { is_new: body.flag()?, received: body.counts()? },
        3 => Frame::No(TurnedAway::of(body.byte()?)),
        4 => {
            let stream = body.stream()?;
            match u16::from_be_bytes(body.array()?) {
                0 => return Err(Violation::Number),
                port => Frame::Open(stream, port),
            }
        }
        5 => Frame::Accept(body.stream()?),
        6 => Frame::Refuse(body.stream()?, Refusal::of(body.byte()?)),
        7 => {
            let (stream, offset, is_end) = (body.stream()?, body.far()?, body.flag()?);
            let bytes = body.rest();
            if bytes.is_empty() && !is_end {
                return Err(Violation::Length);
            }
            Frame::Data { stream, offset, is_end, bytes }
        }
        8 => Frame::Credit(body.stream()?, body.far()?),
        9 => Frame::Reset(body.stream()?, Cut::of(body.byte()?)),
        10 => Frame::Ack { frames: body.far()?, bulk_waits: body.flag()? },
        11 => Frame::Ping(body.u32()?),
        12 => Frame::Pong(body.u32()?),
        13 => Frame::Goodbye(Farewell::of(body.byte()?)),
        _ => return Err(Violation::UnknownFrame),
    })
}

fn write_counts(counts: &[Count], out: &mut Vec<u8>) {
    let counts = counts.get(..PAST_LINKS).unwrap_or(counts);
    out.push(u8::try_from(counts.len()).unwrap_or_default());
    for Count { link, frames, stands } in counts {
        out.extend(link.0.to_be_bytes());
        out.extend(frames.to_be_bytes());
        out.push(match stands {
            Stands::Sound => 0,
            Stands::Suspect => 1,
            Stands::Over => 2,
        });
    }
}

/// What is left of a frame.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Violation::Length)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, Violation> {
        self.array().map(|[byte]| byte)
    }

    /// Other bits are for later versions, which tell theirs first.
    fn flag(&mut self) -> Result<bool, Violation> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Violation::Number),
        }
    }

    fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_be_bytes)
    }

    fn far(&mut self) -> Result<u64, Violation> {
        match self.array().map(u64::from_be_bytes)? {
            number if number <= FARTHEST => Ok(number),
            _ => Err(Violation::Number),
        }
    }

    fn stream(&mut self) -> Result<StreamId, Violation> {
        self.u32().map(StreamId)
    }

    fn counts(&mut self) -> Result<Counts, Violation> {
        let many = usize::from(self.byte()?);
        if many > PAST_LINKS {
            return Err(Violation::Number);
        }
        (0..many).map(|_| self.count()).collect()
    }

    fn count(&mut self) -> Result<Count, Violation> {
        let (link, frames) = (LinkId(self.u32()?), self.far()?);
        let stands = match self.byte()? {
            0 => Stands::Sound,
            1 => Stands::Suspect,
            2 => Stands::Over,
            _ => return Err(Violation::Number),
        };
        Ok(Count { link, frames, stands })
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests;
