//! The words of a session that all its files share: numbers, names and codes. Codes travel as one byte; one that is not known is read as
//! the last of its kind, so that a later version may add some.

use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Time since some beginning that the driver chooses; only differences matter.
pub type Moment = Duration;

/// A number from 0 to 65,535, drawn by the driver, which spreads the times of dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Luck(pub u16);

impl Luck {
    /// A time between half of this one and one and a half of it.
    pub fn spread(self, pause: Duration) -> Duration {
        pause / 2 + pause.mul_f64(f64::from(self.0) / 65_536.0)
    }
}

/// A stream's number in its session. The importer gives them, from 0, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// A link's number in its session. The importer gives them, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// A session's name at its exporter: random, given by the importer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

/// What a link shows to join a session: random, brought by the session's first link. Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(pub [u8; 32]);

impl Secret {
    /// Whether they are the same, in a time that does not depend on where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What travels as one byte.
pub trait Code {
    /// Reads it.
    fn of(byte: u8) -> Self;
    /// As it travels.
    fn byte(self) -> u8;
}

/// Codes as they travel.
macro_rules! codes {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $code:ident = $byte:literal),* $(,)? } else $last:ident) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$inner])* $code = $byte),* }

        impl Code for $name {
            fn of(byte: u8) -> Self {
                match byte { $($byte => Self::$code,)* _ => Self::$last }
            }

            fn byte(self) -> u8 {
                self as u8
            }
        }
    };
}

codes! {
    /// Why a stream was not accepted.
    Refusal {
        /// The client may not have this port.
        NotGranted = 1,
        /// Nothing listens behind it.
        Unreachable = 2,
        /// There is no room for one more.
        Full = 3,
        /// For another reason.
        Other = 4,
    } else Other
}

codes! {
    /// Why a stream was cut off, both ways.
    Cut {
        /// An application's connection was reset.
        Application = 1,
        /// There was no link for longer than the time to hold.
        HoldOver = 2,
        /// The exporter does not know any more what it has delivered.
        Forgotten = 3,
        /// The other agent ends.
        Leaving = 4,
        /// The client's access has ended.
        Revoked = 5,
        /// For another reason.
        Other = 6,
        /// The importer has deleted its remote.
        Deleted = 7,
    } else Other
}

codes! {
    /// Why a link was turned away.
    TurnedAway {
        /// There is no such session, or its secret is another one: which of them is not said.
        Unknown = 1,
        /// The session has as many links as it may have, or had one of this number.
        Full = 2,
        /// The other end speaks another version.
        Version = 3,
        /// For another reason.
        Other = 4,
        /// There are no sessions here, or no new ones any more.
        NotOffered = 5,
    } else Other
}

codes! {
    /// Why a session has ended.
    Farewell {
        /// The agent ends, or nobody needs the session any more.
        Leaving = 1,
        /// The client's access has ended.
        Revoked = 2,
        /// The other end has broken the rules.
        Violation = 3,
        /// There was no link for longer than the time to hold.
        HoldOver = 4,
        /// The exporter has forgotten it.
        Forgotten = 5,
        /// For another reason.
        Other = 6,
        /// The exporter has no sessions, or no new ones any more.
        NotOffered = 7,
        /// The importer has deleted its remote.
        Deleted = 8,
    } else Other
}

/// What it means for each stream.
impl From<Farewell> for Cut {
    fn from(farewell: Farewell) -> Self {
        match farewell {
            Farewell::Leaving => Self::Leaving,
            Farewell::Revoked => Self::Revoked,
            Farewell::HoldOver => Self::HoldOver,
            Farewell::Forgotten => Self::Forgotten,
            Farewell::Deleted => Self::Deleted,
            Farewell::Violation | Farewell::Other | Farewell::NotOffered => Self::Other,
        }
    }
}

/// How the other end has broken the rules. For the log; the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A frame of a kind that does not exist.
    UnknownFrame,
    /// A frame that is shorter or longer than its kind.
    Length,
    /// Another version.
    Version,
    /// A number that is too large, or not allowed there.
    Number,
    /// A frame that this side does not take, or not now.
    Unexpected,
    /// Bytes for a stream that was never opened.
    NoStream,
    /// More bytes than there was credit for.
    Credit,
    /// A stream's end moved, or bytes came behind it.
    End,
    /// More was acknowledged than was sent.
    Ack,
    /// More streams, or more pieces of one, than there may be.
    Flood,
}
