//! The outer layer of an invite's text: encodes and decodes checked bytes, and says what else a text may be. It knows no keys and no
//! fields.

use bech32::Bech32m;
use bech32::primitives::decode::UncheckedHrpstring;
use data_encoding::{BASE32_NOPAD, BASE64};
use zeroize::Zeroizing;

use super::error::{InviteError, Malformed};
use super::find::find;
use super::kind::{KIND_REQUESTED, MAX_CHARS, MAX_PORTS, TextKind, human_part};
use super::pasted::{is_invisible, is_quote};
use crate::model::onion::{ADDRESS_LEN, OnionAddress};

/// Bytes of the largest payload: head, two keys, expiry and ports. Vectors of this capacity never move, so leave no copy behind.
pub(super) const MAX_BYTES: usize = 2 + 64 + 4 + 2 + 2 * MAX_PORTS;
/// Characters of bech32m's checksum.
const CHECKSUM: usize = 6;

/// Writes bytes as lower-case bech32m.
pub(super) fn encode(what: TextKind, bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_CHARS));
    bech32::encode_lower_to_fmt::<Bech32m, String>(&mut text, human_part(what), bytes)
        .expect("at most MAX_BYTES bytes are within bech32m's length, and a String takes all");
    text
}

/// Reads what a person pasted: finds the one text of ours in it, checks it, and says nothing of its content.
pub(super) fn decode(what: TextKind, pasted: &str) -> Result<Zeroizing<Vec<u8>>, InviteError> {
    let found = find(what, pasted);
    let text = match (found.whole.as_slice(), found.damaged) {
        ([text], _) => text,
        ([_, _, ..], _) => return Err(InviteError::Several(what)),
        ([], Some(torn)) => return Err(damaged(what, &torn)),
        ([], None) => return Err(foreign(what, pasted)),
    };
    let hrp_string = UncheckedHrpstring::new(text).map_err(|_| damaged(what, text))?;
    let checked = hrp_string.validate_and_remove_checksum::<Bech32m>().map_err(|_| damaged(what, text))?;
    to_bytes(checked.fe32_iter().map(|element| element.to_u8()))
        .ok_or(InviteError::Malformed(what, Malformed::Padding))
}

fn damaged(what: TextKind, text: &str) -> InviteError {
    match text.chars().count() {
        length if length > MAX_CHARS => InviteError::TooLong(what, length),
        length => InviteError::Damaged { kind: what, length, least: least(what, text) },
    }
}

/// Says what a text is that holds none of ours.
fn foreign(what: TextKind, pasted: &str) -> InviteError {
    let other = match what {
        TextKind::Invite => TextKind::Request,
        TextKind::Request => TextKind::Invite,
    };
    let of_other = find(other, pasted);
    let mut lower = Zeroizing::new(String::with_capacity(pasted.len()));
    let wraps = |c: &char| c.is_whitespace() || is_invisible(*c) || is_quote(*c);
    lower.extend(pasted.chars().filter(|c| !wraps(c)).map(|c| c.to_ascii_lowercase()));
    let id = lower.strip_suffix(".onion").unwrap_or(&lower);
    let base32 = || {
        id.bytes().all(|b| BASE32_NOPAD.specification().symbols.as_bytes().contains(&b.to_ascii_uppercase()))
    };
    // Case matters here.
    let base64 = || {
        let token: Zeroizing<String> = Zeroizing::new(pasted.chars().filter(|c| !wraps(c)).collect());
        token.len() == 44 && BASE64.decode(token.as_bytes()).map(Zeroizing::new).is_ok()
    };
    match () {
        () if !of_other.whole.is_empty() || of_other.damaged.is_some() => match what {
            TextKind::Invite => InviteError::IsRequest,
            TextKind::Request => InviteError::IsInvite,
        },
        () if lower.is_empty() => InviteError::Empty(what),
        () if lower.starts_with("hidservauth") => InviteError::V2,
        () if lower.contains("descriptor:x25519:") => InviteError::TorFormat(what),
        () if id.len() == 16 && base32() => InviteError::V2,
        () if id.len() == ADDRESS_LEN && id.parse::<OnionAddress>().is_ok() => InviteError::AddressOnly,
        () if base64() => InviteError::Token2017,
        () => InviteError::NotOne { kind: what },
    }
}

/// Characters of the shortest whole text of this sort; an invite tells by its kind, in the second byte, if the text reaches that far.
fn least(what: TextKind, text: &str) -> usize {
    let head = what.human_part().len() + 1;
    // Bits 8 to 15 lie in the characters 1 to 3 of the data.
    let values = text.get(head + 1..head + 4).map(|data| {
        data.chars().map(|c| bech32::Fe32::from_char(c).map_or(0, |element| u32::from(element.to_u8())))
    });
    let kind = values.map(|mut five| five.try_fold(0, |bits, value| Some(bits << 5 | value)));
    let kind = kind.flatten().map(|bits| bits >> 4 & 0xff);
    let bytes = match what {
        TextKind::Invite if kind == Some(u32::from(KIND_REQUESTED)) => 34,
        TextKind::Invite => 66,
        TextKind::Request => 34,
    };
    head + usize::div_ceil(bytes * 8, 5) + CHECKSUM
}

/// Packs five-bit values; `None` where more than four bits are left over, or one of them is set (BIP 173).
fn to_bytes(values: impl Iterator<Item = u8>) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_CHARS));
    let (mut bits, mut have) = (0_u32, 0);
    for value in values {
        bits = bits << 5 | u32::from(value);
        have += 5;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have & 0xff) as u8);
            bits &= (1 << have) - 1;
        }
    }
    (have < 5 && bits == 0).then_some(bytes)
}
