//! The fields at the end of an invite: each a tag, a length and a value, each at most once. An unknown even tag must be understood
//! and so is refused; an unknown odd one may be ignored.

use std::collections::BTreeSet;

use super::error::{InviteError, Malformed};
use super::kind::{MAX_PORTS, TextKind};
use crate::model::address::Port;
use crate::model::day::Day;

/// Days since 1970-01-01, big-endian, two bytes.
const EXPIRY: u8 = 1;
/// Big-endian, two bytes each, ascending.
const PORTS: u8 = 3;
// The tag 2 was a label once, which no release wrote: reserved.

/// What the tail says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) expires: Option<Day>,
    pub(super) ports: Option<BTreeSet<Port>>,
}

/// Appends the fields that there are; ports only where they are 1 to [`MAX_PORTS`].
pub(super) fn write(bytes: &mut Vec<u8>, expires: Option<Day>, ports: Option<&BTreeSet<Port>>) {
    let mut field = |tag, value: &[u8]| {
        bytes.push(tag);
        bytes.push(u8::try_from(value.len()).expect("the longest field is that of 32 ports, 64 bytes"));
        bytes.extend_from_slice(value);
    };
    if let Some(day) = expires {
        field(EXPIRY, &day.epoch_days().to_be_bytes());
    }
    if let Some(ports) = ports.filter(|ports| (1..=MAX_PORTS).contains(&ports.len())) {
        let value: Vec<u8> = ports.iter().flat_map(|port| port.get().to_be_bytes()).collect();
        field(PORTS, &value);
    }
}

/// Reads all of `bytes` as fields.
pub(super) fn read(what: TextKind, mut bytes: &[u8]) -> Result<Tail, InviteError> {
    let malformed = |why| InviteError::Malformed(what, why);
    let mut tail = Tail::default();
    let mut seen = BTreeSet::new();
    while let [tag, rest @ ..] = bytes {
        let (length, rest) = rest.split_first().ok_or(malformed(Malformed::Short))?;
        let (value, rest) = rest.split_at_checked((*length).into()).ok_or(malformed(Malformed::Short))?;
        if !seen.insert(*tag) {
            return Err(malformed(Malformed::Twice));
        }
        // A request expires never and names no ports: those two tags are unknown there, and odd.
        match (*tag, what) {
            (EXPIRY, TextKind::Invite) => {
                tail.expires = Some(read_expiry(value).ok_or(malformed(Malformed::Expiry))?);
            }
            (PORTS, TextKind::Invite) => {
                tail.ports = Some(read_ports(value).ok_or(malformed(Malformed::Ports))?);
            }
            (tag, _) if tag % 2 == 0 => return Err(InviteError::Newer(what)),
            _ => {}
        }
        bytes = rest;
    }
    Ok(tail)
}

fn read_expiry(value: &[u8]) -> Option<Day> {
    value.try_into().ok().map(|bytes| Day::from_epoch_days(u16::from_be_bytes(bytes)))
}

fn read_ports(value: &[u8]) -> Option<BTreeSet<Port>> {
    let (pairs, odd_byte) = value.as_chunks::<2>();
    if !odd_byte.is_empty()
        || pairs.is_empty()
        || pairs.len() > MAX_PORTS
        || !pairs.is_sorted_by(|a, b| a < b)
    {
        return None;
    }
    pairs.iter().map(|pair| Port::new(u16::from_be_bytes(*pair))).collect()
}
