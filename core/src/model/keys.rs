//! Secret keys and their public halves; the secret ones are zeroized and cannot be printed, cloned or serialised.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use data_encoding::{BASE32_NOPAD, BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::onion::{OnionAddress, OnionError};
use super::proved::Proved;

/// Why bytes or a text are not a key. It never holds what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The wrong number of bytes.
    #[error("the key has a wrong length")]
    Length,
    /// Not base32 of 32 bytes.
    #[error("the key is not 52 characters of base32")]
    Encoding,
    /// The all-zero key, or a point of low order, which every secret maps to the same place (RFC 7748 §6.1).
    #[error("the key is a weak one (zero or of low order)")]
    Weak,
}

/// Bytes of a secret as a store keeps them: zeroized on drop, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, to be written to a store or parsed into a key, and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// The ed25519 key of an onion service, expanded (64 bytes: clamped scalar and hash prefix, as tor's `ED25519-V3`).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ServiceKey([u8; 64]);

impl ServiceKey {
    /// Expands 32 random bytes as RFC 8032 §5.1.5 does.
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        let mut expanded: [u8; 64] = Sha512::digest(seed.as_slice()).into();
        let mut scalar = [0; 32];
        scalar.copy_from_slice(&expanded[..32]);
        expanded[..32].copy_from_slice(&clamp_integer(scalar));
        scalar.zeroize();
        Self(expanded)
    }

    /// Reads back what [`ServiceKey::to_secret`] made.
    pub fn from_secret(secret: &Secret) -> Result<Self, KeyError> {
        secret.expose().try_into().map(Self).map_err(|_| KeyError::Length)
    }

    /// The bytes for a secret store.
    pub fn to_secret(&self) -> Secret {
        Secret(self.0.to_vec())
    }

    /// The address at which tor publishes a service with this key.
    pub fn address(&self) -> OnionAddress {
        let mut scalar = [0; 32];
        scalar.copy_from_slice(&self.0[..32]);
        let point = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(scalar));
        scalar.zeroize();
        let address: Result<_, OnionError> = OnionAddress::from_public_key(point.compress().to_bytes());
        address.expect("a clamped scalar times the base point is canonical and torsion-free")
    }

    /// Base64 for `ADD_ONION ED25519-V3:…` (control-spec §3.27).
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(&self.0))
    }
}

/// The x25519 private key with which a client reads one service's descriptor (rend-spec-v3 §2.5.1.3).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientKey([u8; 32]);

impl ClientKey {
    /// Takes 32 bytes; zero is refused. They are clamped when used, as tor does.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::Length)?;
        if bytes == [0; 32] { Err(KeyError::Weak) } else { Ok(Self(bytes)) }
    }

    /// Reads back what [`ClientKey::to_secret`] made.
    pub fn from_secret(secret: &Secret) -> Result<Self, KeyError> {
        Self::from_bytes(secret.expose())
    }

    /// Parses tor's form in files: 52 characters of base32 without padding, either case (rend-spec-v3, appendix G).
    pub fn from_base32(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(decode_base32(text)?);
        Self::from_bytes(bytes.as_slice())
    }

    /// The bytes for a secret store.
    pub fn to_secret(&self) -> Secret {
        Secret(self.0.to_vec())
    }

    /// The bytes, for the invite codec.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn public(&self) -> ClientPublicKey {
        ClientPublicKey(MontgomeryPoint::mul_base_clamped(self.0).to_bytes())
    }

    /// Base32 for `.auth_private` files.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }

    /// Base64 for `ONION_CLIENT_AUTH_ADD` (control-spec §3.30), which takes no base32.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(&self.0))
    }
}

/// The public half of a [`ClientKey`]: what an exporter's service is restricted to. Text form: base32, as `ClientAuthV3=` takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct ClientPublicKey([u8; 32]);

impl ClientPublicKey {
    /// Takes 32 bytes; zero and points of low order are refused (RFC 7748 §6.1).
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        // Multiplying by any clamped scalar (a multiple of the cofactor) sends exactly the low-order points to zero.
        let is_strong = || MontgomeryPoint(bytes).mul_clamped([1; 32]).to_bytes() != [0; 32];
        if PROVED.is_valid(&bytes, is_strong) { Ok(Self(bytes)) } else { Err(KeyError::Weak) }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

static PROVED: Proved = Proved::none();

fn decode_base32(text: &str) -> Result<[u8; 32], KeyError> {
    let upper = Zeroizing::new(text.trim().trim_end_matches('=').to_ascii_uppercase());
    let bytes = Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| KeyError::Encoding)?);
    bytes.as_slice().try_into().map_err(|_| KeyError::Encoding)
}

impl FromStr for ClientPublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_base32(text).and_then(Self::from_bytes)
    }
}

impl TryFrom<String> for ClientPublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<ClientPublicKey> for String {
    fn from(key: ClientPublicKey) -> String {
        key.to_string()
    }
}

impl fmt::Display for ClientPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE32_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for ClientPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_public_key_of_rfc_8032() {
        // RFC 8032 §7.1, test 1.
        let seed = data_encoding::HEXLOWER
            .decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap();
        let key = ServiceKey::from_seed(&Zeroizing::new(seed.try_into().unwrap()));
        assert_eq!(
            data_encoding::HEXLOWER.encode(key.address().public_key()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(ServiceKey::from_secret(&key.to_secret()).unwrap().address(), key.address());
    }

    #[test]
    fn a_client_key_gives_the_public_key_of_rfc_7748() {
        // RFC 7748 §5.2: one iteration, where the scalar and the base point are both 9.
        let mut nine = [0; 32];
        nine[0] = 9;
        let key = ClientKey::from_bytes(&nine).unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(key.public().as_bytes()),
            "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
        );
        assert_eq!(ClientKey::from_base32(&key.to_base32()).unwrap().public(), key.public());
        assert_eq!(*key.to_base64(), "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    }

    #[test]
    fn weak_keys_are_refused() {
        assert!(matches!(ClientKey::from_bytes(&[0; 32]), Err(KeyError::Weak)));
        let mut one = [0; 32];
        one[0] = 1;
        for low_order in [[0; 32], one] {
            assert_eq!(ClientPublicKey::from_bytes(low_order), Err(KeyError::Weak));
        }
        assert_eq!("AAAA".parse::<ClientPublicKey>(), Err(KeyError::Encoding));
    }
}
