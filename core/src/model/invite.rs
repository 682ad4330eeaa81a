//! Invites and join requests: the texts that hosts hand each other, parsed strictly and written one way only.
//!
//! A text is bech32m (BIP 350) over `version, kind, 32 bytes for each key, tail`: `find` takes them out of what was pasted, `text` has the
//! outer layer, `tail` the fields at the end. Whether a name or an address is known already is for others to say. No error holds any of the text.

mod find;
mod tail;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::address::Port;
use super::day::Day;
use super::keys::{ClientKey, ClientPublicKey};
use super::onion::OnionAddress;

pub use text::MAX_CHARS;

/// The longest label, in bytes.
pub const MAX_LABEL: usize = 32;
/// The most ports that an invite names; a longer list is left out.
pub const MAX_PORTS: usize = 32;

const VERSION: u8 = 1;
const KIND_PRIVATE: u8 = 0;
const KIND_REQUESTED: u8 = 1;
const KIND_REQUEST: u8 = 2;

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
    /// The label is no [`Label`].
    #[error("its label is invalid")]
    Label,
    /// The ports are not 1 to [`MAX_PORTS`] ascending numbers other than zero.
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

/// A few words that the other host adds: untrusted text. 1 to [`MAX_LABEL`] bytes of UTF-8, no control or invisible characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(String);

/// The text is no [`Label`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a label has 1 to {MAX_LABEL} bytes and no control or invisible characters")]
pub struct LabelError;

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Self, LabelError> {
        let bad = |c: char| c.is_control() || text::is_invisible(c);
        match (1..=MAX_LABEL).contains(&text.len()) && text.trim() == text && !text.contains(bad) {
            true => Ok(Self(text.to_owned())),
            false => Err(LabelError),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The client's key, in an invite.
pub enum InviteKey {
    /// The invite carries it: whoever has the text is the client.
    Private(ClientKey),
    /// The reply to a request: the importer made the key and keeps it with the pending request.
    Requested,
}

/// What an importer needs to reach an exporter. It may hold a private key: so neither `Debug`, `Clone` nor `Serialize`.
pub struct Invite {
    /// The onion address of the service that was made for this client.
    pub address: OnionAddress,
    /// The client's key, or that it was requested.
    pub key: InviteKey,
    /// The last day on which it works.
    pub expires: Option<Day>,
    /// What the exporter calls itself, or the client.
    pub label: Option<Label>,
    /// The ports granted when it was made; `None` where it doesn't say.
    pub ports: Option<BTreeSet<Port>>,
}

impl Invite {
    /// Writes the text, in lower case: the one place where a private key leaves the secret store. Show it once, never log it.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(text::MAX_BYTES));
        bytes.push(VERSION);
        bytes.push(match &self.key {
            InviteKey::Private(_) => KIND_PRIVATE,
            InviteKey::Requested => KIND_REQUESTED,
        });
        bytes.extend_from_slice(self.address.public_key());
        if let InviteKey::Private(key) = &self.key {
            bytes.extend_from_slice(key.expose());
        }
        tail::write(&mut bytes, self.expires, self.label.as_ref(), self.ports.as_ref());
        text::encode(TextKind::Invite, &bytes)
    }

    /// Finds the one invite in what a person pastes, on the day `today`: quoted, broken into lines, in the midst of other words.
    pub fn parse(text: &str, today: Day) -> Result<Self, InviteError> {
        let what = TextKind::Invite;
        let bytes = text::decode(what, text)?;
        Self::from_payload(&bytes, today)
    }

    /// Whether a text holds a whole one: for whoever reads it line by line.
    pub fn is_in(text: &str) -> bool {
        !find::find(TextKind::Invite, text).whole.is_empty()
    }

    fn from_payload(bytes: &[u8], today: Day) -> Result<Self, InviteError> {
        let what = TextKind::Invite;
        let malformed = |why| InviteError::Malformed(what, why);
        let (kind, rest) = split_head(what, bytes)?;
        if kind != KIND_PRIVATE && kind != KIND_REQUESTED {
            return Err(malformed(Malformed::Kind));
        }
        let (address, rest) = rest.split_first_chunk::<32>().ok_or(malformed(Malformed::Short))?;
        let address =
            OnionAddress::from_public_key(*address).map_err(|_| malformed(Malformed::ServiceKey))?;
        let (key, rest) = if kind == KIND_PRIVATE {
            let (key, rest) = rest.split_first_chunk::<32>().ok_or(malformed(Malformed::Short))?;
            let key = ClientKey::from_bytes(key).map_err(|_| malformed(Malformed::ClientKey))?;
            (InviteKey::Private(key), rest)
        } else {
            (InviteKey::Requested, rest)
        };
        let tail = tail::read(what, rest)?;
        if let Some(day) = tail.expires.filter(|day| day.is_over(today)) {
            return Err(InviteError::Expired(day));
        }
        Ok(Self { address, key, expires: tail.expires, label: tail.label, ports: tail.ports })
    }
}

/// An importer's wish to become a client; public, since the private half of the key stays with the importer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The public half of the key that the importer made.
    pub key: ClientPublicKey,
    /// What the importer calls itself.
    pub label: Option<Label>,
}

impl JoinRequest {
    /// Writes the text, in lower case.
    pub fn to_text(&self) -> String {
        let mut bytes = vec![VERSION, KIND_REQUEST];
        bytes.extend_from_slice(self.key.as_bytes());
        tail::write(&mut bytes, None, self.label.as_ref(), None);
        text::encode(TextKind::Request, &bytes).to_string()
    }

    /// Finds the one request in what a person pastes.
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let bytes = text::decode(TextKind::Request, text)?;
        Self::from_payload(&bytes)
    }

    fn from_payload(bytes: &[u8]) -> Result<Self, InviteError> {
        let what = TextKind::Request;
        let malformed = |why| InviteError::Malformed(what, why);
        let (kind, rest) = split_head(what, bytes)?;
        if kind != KIND_REQUEST {
            return Err(malformed(Malformed::Kind));
        }
        let (key, rest) = rest.split_first_chunk::<32>().ok_or(malformed(Malformed::Short))?;
        let key = ClientPublicKey::from_bytes(*key).map_err(|_| malformed(Malformed::ClientKey))?;
        let tail = tail::read(what, rest)?;
        Ok(Self { key, label: tail.label })
    }
}

/// Takes version and kind off; an unknown version is a later one.
fn split_head(what: TextKind, bytes: &[u8]) -> Result<(u8, &[u8]), InviteError> {
    match bytes {
        [VERSION, kind, rest @ ..] => Ok((*kind, rest)),
        [0, ..] | [] | [_] => Err(InviteError::Malformed(what, Malformed::Short)),
        _ => Err(InviteError::Newer(what)),
    }
}

#[cfg(test)]
mod tests;
