//! Invites and join requests: the texts that hosts hand each other, parsed strictly and written one way only.
//!
//! A text is bech32m (BIP 350) over `version, kind, 32 bytes for each key, tail`: `find` takes them out of what was pasted, `text` has the
//! outer layer, `tail` the fields at the end. Whether a name or an address is known already is for others to say.

mod error;
mod find;
mod kind;
mod pasted;
mod tail;
mod text;

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::address::Port;
use super::day::Day;
use super::keys::{ClientKey, ClientPublicKey};
use super::onion::OnionAddress;

pub use error::{InviteError, Malformed};
pub use kind::{MAX_CHARS, MAX_PORTS, TextKind};

use kind::{KIND_PRIVATE, KIND_REQUEST, KIND_REQUESTED, VERSION};

/// The client's key, in an invite.
pub enum InviteKey {
    /// The invite contains the private key: anyone who has the text can act as the client.
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
        tail::write(&mut bytes, self.expires, self.ports.as_ref());
        text::encode(TextKind::Invite, &bytes)
    }

    /// Finds the one invite in what a person pastes, on the day `today`: quoted, broken into lines, in the midst of other words.
    pub fn parse(text: &str, today: Day) -> Result<Self, InviteError> {
        let what = TextKind::Invite;
        let bytes = text::decode(what, text)?;
        Self::from_payload(&bytes, today)
    }

    /// Whether a text contains a complete one, for callers that read line by line.
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
        Ok(Self { address, key, expires: tail.expires, ports: tail.ports })
    }
}

/// An importer's wish to become a client; public, since the private half of the key stays with the importer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The public half of the key that the importer made.
    pub key: ClientPublicKey,
}

impl JoinRequest {
    /// Writes the text, in lower case.
    pub fn to_text(&self) -> String {
        let mut bytes = vec![VERSION, KIND_REQUEST];
        bytes.extend_from_slice(self.key.as_bytes());
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
        tail::read(what, rest)?;
        Ok(Self { key })
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
