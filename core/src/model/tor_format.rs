//! Tor's own text for client authorisation, both ways: for Tor Browser, Orbot, onionpipe and plain tor.
//!
//! The format is that of tor(1), CLIENT AUTHORIZATION, and rend-spec-v3, appendix G: the key is base32 without padding. (The control
//! port takes base64 instead: [`ClientKey::to_base64`].) No error holds any of the text.

use zeroize::Zeroizing;

use super::keys::{ClientKey, KeyError};
use super::onion::{OnionAddress, OnionError};

/// The auth type and key type, as both sorts of line name them.
const DESCRIPTOR: &str = "descriptor:x25519:";

/// Why a text is no line of an `.auth_private` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TorFormatError {
    /// Not `<56 characters>:descriptor:x25519:<52 characters>`.
    #[error("this is no line of an .auth_private file (ADDRESS:descriptor:x25519:KEY)")]
    NotPrivate,
    /// A line of the service's side where the client's is expected.
    #[error("this is a line of the service's .auth file; a client needs the .auth_private line")]
    IsPublic,
    /// Its onion address is none.
    #[error(transparent)]
    Address(OnionError),
    /// Its key is none.
    #[error(transparent)]
    Key(KeyError),
}

/// Whether a text is meant as a line of an `.auth_private` or `.auth` file, rather than as an invite.
pub fn is_tor_format(text: &str) -> bool {
    position(text).is_some()
}

/// Writes the line of an `.auth_private` file, without line end. It holds the private key: show it once, never log it.
pub fn write_auth_private(address: &OnionAddress, key: &ClientKey) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(128));
    line.push_str(&address.service_id());
    line.push(':');
    line.push_str(DESCRIPTOR);
    line.push_str(&key.to_base32());
    line
}

/// Reads a line of an `.auth_private` file; the key alone is [`ClientKey::from_base32`].
pub fn parse_auth_private(text: &str) -> Result<(OnionAddress, ClientKey), TorFormatError> {
    let text = line(text);
    let (before, key) = split(text).ok_or(TorFormatError::NotPrivate)?;
    let address = match before.strip_suffix(':') {
        Some(address) => address.parse().map_err(TorFormatError::Address)?,
        None if before.is_empty() => return Err(TorFormatError::IsPublic),
        None => return Err(TorFormatError::NotPrivate),
    };
    let key = ClientKey::from_base32(key).map_err(TorFormatError::Key)?;
    Ok((address, key))
}

/// The one line of tor's in what a person pasted: what is written together around the type words.
fn line(text: &str) -> &str {
    let Some(at) = position(text) else { return text.trim() };
    let apart = |c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == ':' || c == '=');
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let start = before.rsplit(apart).next().map_or(0, |word| before.len() - word.len());
    let end = text.len() - after.len() + after.find(apart).unwrap_or(after.len());
    text.get(start..end).unwrap_or_default().trim_end_matches(['.', ':'])
}

/// What is before the two type words, in either case, and what is after them.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = position(text)?;
    Some((text.get(..at)?, text.get(at + DESCRIPTOR.len()..)?))
}

fn position(text: &str) -> Option<usize> {
    text.as_bytes()
        .windows(DESCRIPTOR.len())
        .position(|window| window.eq_ignore_ascii_case(DESCRIPTOR.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::keys::ServiceKey;

    fn address() -> OnionAddress {
        ServiceKey::from_seed(&Zeroizing::new([3; 32])).address()
    }

    fn key() -> ClientKey {
        ClientKey::from_bytes(&[9; 32]).unwrap()
    }

    fn private_error(text: &str) -> TorFormatError {
        parse_auth_private(text).err().expect("the text was taken")
    }

    #[test]
    fn an_auth_private_line_round_trips() {
        let line = write_auth_private(&address(), &key());
        let (id, rest) = line.split_once(':').unwrap();
        assert_eq!(id, address().service_id());
        assert_eq!(rest, "descriptor:x25519:BEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQ");
        assert!(is_tor_format(&line));
        for form in [line.to_string(), format!("  {}\r\n", *line), line.to_uppercase(), line.to_lowercase()] {
            let (read, read_key) = parse_auth_private(&form).unwrap();
            assert_eq!(read, address());
            assert_eq!(read_key.expose(), key().expose());
        }
        for pasted in [
            format!("Here it is: {}", *line),
            format!("On Monday:\n> {}\n> Bye.\n", *line),
            format!("<{}>, {}", *line, "see you."),
            format!("ä{}ä", *line),
        ] {
            assert_eq!(parse_auth_private(&pasted).unwrap().0, address(), "{pasted}");
        }
        let with_onion = line.replacen(':', ".onion:", 1);
        assert_eq!(parse_auth_private(&with_onion).unwrap().0, address());
    }

    #[test]
    fn the_wrong_side_is_told_and_damage_refused() {
        let private = write_auth_private(&address(), &key());
        let public = format!("{DESCRIPTOR}{}", key().public());
        assert_eq!(private_error(&public), TorFormatError::IsPublic);
        assert_eq!(private_error("ormesh1qqqq"), TorFormatError::NotPrivate);
        assert_eq!(private_error(&format!("x{public}")), TorFormatError::NotPrivate);
        assert_eq!(private_error(&private[..private.len() - 1]), TorFormatError::Key(KeyError::Encoding));
        assert_eq!(private_error(&private[1..]), TorFormatError::Address(OnionError::Length(55)));
        let zero = format!("{}:{DESCRIPTOR}{}", address().service_id(), "A".repeat(52));
        assert_eq!(private_error(&zero), TorFormatError::Key(KeyError::Weak));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}", tail in "\\PC{0,80}") {
            for text in [text.clone(), format!("{text}:descriptor:x25519:{tail}")] {
                let _ = parse_auth_private(&text);
            }
        }
    }

    #[test]
    fn fuzzed_keys_of_tor_are_read_or_refused() {
        let written = write_auth_private(&address(), &key());
        support::fuzz("keys as tor writes them", &[written.as_bytes(), b"a:descriptor:x25519:b"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let _ = (is_tor_format(&text), parse_auth_private(&text));
        });
    }
}
