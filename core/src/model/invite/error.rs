//! Why a text is neither an invite nor a request, and what to do about it. No error contains any of the text.

use super::kind::{MAX_CHARS, TextKind};
use crate::model::day::Day;

/// Why a text is no invite or no request. It never holds what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Nothing but spaces and quotes.
    #[error("the {0} is empty")]
    Empty(TextKind),
    /// More than [`MAX_CHARS`] characters.
    #[error("the {0} is too long ({1} characters, at most {MAX_CHARS})")]
    TooLong(TextKind, usize),
    /// Two of them, which differ.
    #[error("there are several different {0}s in the text")]
    Several(TextKind),
    /// 32 bytes in base64, as ormesh wrote them in 2017.
    #[error(
        "this looks like a token of the ormesh of 2017; its v2 onion services no longer exist since 2021"
    )]
    Token2017,
    /// None is in it.
    #[error("this is no {kind}: one begins with {}1", .kind.human_part())]
    NotOne {
        /// What was expected.
        kind: TextKind,
    },
    /// A request where an invite is expected.
    #[error("this is a request, not an invite")]
    IsRequest,
    /// An invite where a request is expected.
    #[error("this is an invite, not a request")]
    IsInvite,
    /// A `HidServAuth` line or a v2 onion address.
    #[error("this belongs to a v2 onion service, as of 2017; those no longer exist since 2021")]
    V2,
    /// An onion address by itself.
    #[error("this is an onion address alone; an invite holds a key too")]
    AddressOnly,
    /// A key in one of tor's own formats.
    #[error("this is a key in tor's own format, no {0}")]
    TorFormat(TextKind),
    /// A checksum that does not fit, a character that can't be there, or a mixture of cases.
    #[error("the {kind} is mistyped or cut ({})", count(*.length, *.least))]
    Damaged {
        /// What was expected.
        kind: TextKind,
        /// Characters given.
        length: usize,
        /// Characters of the shortest whole one.
        least: usize,
    },
    /// The checksum fits and the content makes no sense: a faulty program wrote it.
    #[error("the {0} is malformed: {1}")]
    Malformed(TextKind, Malformed),
    /// A later version, or a field that must be understood and isn't.
    #[error("the {0} was made by a newer ormesh")]
    Newer(TextKind),
    /// Its last day is over.
    #[error("the invite expired at the end of {0} in UTC")]
    Expired(Day),
}

fn count(length: usize, least: usize) -> String {
    if length < least { format!("{length} of {least} characters") } else { format!("{length} characters") }
}

/// What makes no sense in a text whose checksum fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Bits after the last whole byte that are not zero, or too many of them.
    #[error("its padding is not zero")]
    Padding,
    /// A kind that does not go with how the text begins.
    #[error("its kind is unknown")]
    Kind,
    /// It ends within a key or a field.
    #[error("it ends too early")]
    Short,
    /// The onion service's key is no canonical point of the prime-order subgroup.
    #[error("its onion service key is invalid")]
    ServiceKey,
    /// The client's key is zero or of low order.
    #[error("its client key is invalid")]
    ClientKey,
    /// A field occurs twice.
    #[error("a field occurs twice")]
    Twice,
    /// The expiry is not two bytes.
    #[error("its expiry is invalid")]
    Expiry,
    /// The ports are not 1 to [`MAX_PORTS`](super::MAX_PORTS) ascending numbers other than zero.
    #[error("its ports are invalid")]
    Ports,
}

impl InviteError {
    /// What to do about it: one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty(TextKind::Request) | Self::NotOne { kind: TextKind::Request } => {
                "ask for the text that `ormesh remote request` printed"
            }
            Self::Empty(_) | Self::NotOne { .. } => "ask for the text that `ormesh client add` printed",
            Self::TooLong(..) | Self::Damaged { .. } => "copy the whole text again",
            Self::IsRequest => "on the exporting host: `ormesh client add NAME --request …`",
            Self::IsInvite => "on the importing host: `ormesh remote add NAME …`",
            Self::Several(_) => "paste the one that is meant",
            Self::V2 | Self::Token2017 => "ask the other host for an invite of a v3 onion service",
            Self::AddressOnly => "ask the other host for an invite: `ormesh client add NAME`",
            Self::TorFormat(TextKind::Invite) => "`ormesh remote add` takes a line of an .auth_private file",
            Self::TorFormat(TextKind::Request) | Self::Malformed(..) => "ask the other host for a new one",
            Self::Newer(_) => "update ormesh on this host",
            Self::Expired(_) => "ask the other host for a new invite",
        }
    }
}
