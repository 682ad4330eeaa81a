//! The two texts that hosts hand each other, and the bounds of both.

use std::fmt;

use bech32::Hrp;

/// The longest text that is looked at, in characters; bech32m detects damage up to 1023 (BIP 350).
pub const MAX_CHARS: usize = 400;
/// The most ports that an invite names; a longer list is left out.
pub const MAX_PORTS: usize = 32;

pub(super) const VERSION: u8 = 1;
pub(super) const KIND_PRIVATE: u8 = 0;
pub(super) const KIND_REQUESTED: u8 = 1;
pub(super) const KIND_REQUEST: u8 = 2;

/// Which of the two texts was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// `ormesh1…`, from an exporter to an importer.
    Invite,
    /// `ormeshreq1…`, from an importer to an exporter.
    Request,
}

impl TextKind {
    /// What the text begins with, less the digit 1 that follows (BIP 173's human-readable part).
    pub fn human_part(self) -> &'static str {
        match self {
            Self::Invite => "ormesh",
            Self::Request => "ormeshreq",
        }
    }
}

impl fmt::Display for TextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Invite => "invite",
            Self::Request => "request",
        })
    }
}

/// The same as bech32 takes it.
pub(super) fn human_part(what: TextKind) -> Hrp {
    Hrp::parse_unchecked(what.human_part())
}
