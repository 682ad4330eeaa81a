//! The onion address of a v3 service: 56 characters that are a public key, its checksum and a version.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::CompressedEdwardsY;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha3::{Digest, Sha3_256};

use super::proved::Proved;

/// Characters of an onion address before `.onion` (rend-spec-v3 §6: base32 of 32 + 2 + 1 bytes).
pub const ADDRESS_LEN: usize = 56;
const VERSION: u8 = 3;

/// Why a text or a key is not an onion address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnionError {
    /// An address of a v2 service: 16 characters.
    #[error("this is a v2 onion address (16 characters); v2 services no longer exist since 2021")]
    V2,
    /// Neither 56 nor 16 characters.
    #[error("an onion address has {ADDRESS_LEN} characters before .onion, this one has {0}")]
    Length(usize),
    /// Not in the base32 alphabet.
    #[error("an onion address holds the letters a-z and the digits 2-7 only")]
    Alphabet,
    /// Mistyped: the checksum does not fit.
    #[error("the onion address is mistyped: its checksum does not fit")]
    Checksum,
    /// A version other than 3.
    #[error("the onion address is of version {0}, only version 3 is known")]
    Version(u8),
    /// The key is no canonical point of the prime-order subgroup.
    #[error("the onion address holds no valid key")]
    Key,
}

/// A v3 onion address (rend-spec-v3 §6), held as its ed25519 public key; every value is a valid one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct OnionAddress([u8; 32]);

impl OnionAddress {
    /// Takes a service's ed25519 public key, which must be canonical and torsion-free (rend-spec-v3 §1.1).
    pub fn from_public_key(key: [u8; 32]) -> Result<Self, OnionError> {
        match PROVED.is_valid(&key, || is_valid(key)) {
            true => Ok(Self(key)),
            false => Err(OnionError::Key),
        }
    }

    /// The service's ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 56 characters, without `.onion`: what tor's control port calls the service id.
    pub fn service_id(&self) -> String {
        let mut bytes = [0; 35];
        bytes[..32].copy_from_slice(&self.0);
        bytes[32..34].copy_from_slice(&checksum(&self.0));
        bytes[34] = VERSION;
        BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
    }
}

static PROVED: Proved = Proved::none();

fn is_valid(key: [u8; 32]) -> bool {
    let point = CompressedEdwardsY(key).decompress();
    point.is_some_and(|point| {
        point.compress().to_bytes() == key && !point.is_small_order() && point.is_torsion_free()
    })
}

/// `H(".onion checksum" | PUBKEY | VERSION)[:2]` with SHA3-256 (rend-spec-v3 §6).
fn checksum(key: &[u8; 32]) -> [u8; 2] {
    let hash =
        Sha3_256::new().chain_update(b".onion checksum").chain_update(key).chain_update([VERSION]).finalize();
    let [first, second, ..]: [u8; 32] = hash.into();
    [first, second]
}

impl FromStr for OnionAddress {
    type Err = OnionError;

    fn from_str(text: &str) -> Result<Self, OnionError> {
        let lower = text.trim().to_ascii_lowercase();
        let id = lower.strip_suffix(".onion").unwrap_or(&lower);
        match id.chars().count() {
            ADDRESS_LEN => {}
            16 => return Err(OnionError::V2),
            n => return Err(OnionError::Length(n)),
        }
        let bytes =
            BASE32_NOPAD.decode(id.to_ascii_uppercase().as_bytes()).map_err(|_| OnionError::Alphabet)?;
        let bytes: [u8; 35] = bytes.try_into().map_err(|_| OnionError::Alphabet)?;
        let (key, rest) = bytes.split_first_chunk::<32>().ok_or(OnionError::Alphabet)?;
        match rest {
            [a, b, VERSION] if [*a, *b] != checksum(key) => Err(OnionError::Checksum),
            [_, _, VERSION] => Self::from_public_key(*key),
            [_, _, version] => Err(OnionError::Version(*version)),
            _ => Err(OnionError::Alphabet),
        }
    }
}

impl TryFrom<String> for OnionAddress {
    type Error = OnionError;
    fn try_from(text: String) -> Result<Self, OnionError> {
        text.parse()
    }
}

impl From<OnionAddress> for String {
    fn from(address: OnionAddress) -> String {
        address.to_string()
    }
}

impl fmt::Display for OnionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.onion", self.service_id()))
    }
}

impl fmt::Debug for OnionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The Tor Project's own site and one of DuckDuckGo: addresses that others computed.
    const KNOWN: [&str; 2] = [
        "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion",
        "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion",
    ];

    #[test]
    fn known_addresses_round_trip() {
        for text in KNOWN {
            let address: OnionAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(OnionAddress::from_public_key(*address.public_key()), Ok(address));
            assert_eq!(text.to_uppercase().parse(), Ok(address));
        }
    }

    #[test]
    fn damaged_addresses_say_how() {
        let good = KNOWN[0];
        let parse = |text: &str| text.parse::<OnionAddress>().unwrap_err();
        assert_eq!(parse("expyuzz4wqqyqhjn.onion"), OnionError::V2);
        assert_eq!(parse(&good[1..]), OnionError::Length(55));
        assert_eq!(parse(&good.replacen('2', "3", 1)), OnionError::Checksum);
        assert_eq!(parse(&good.replacen('2', "1", 1)), OnionError::Alphabet);
        assert!(matches!(parse(&good.replace("wid.onion", "wia.onion")), OnionError::Version(_)));
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(OnionAddress::from_public_key(identity), Err(OnionError::Key));
        assert_eq!(OnionAddress::from_public_key([0; 32]), Err(OnionError::Key));
        // p + 1 encodes the identity a second time (RFC 8032 §5.1.3 wants it refused).
        let mut non_canonical = [0xff; 32];
        non_canonical[0] = 0xee;
        non_canonical[31] = 0x7f;
        assert_eq!(OnionAddress::from_public_key(non_canonical), Err(OnionError::Key));
    }
}
