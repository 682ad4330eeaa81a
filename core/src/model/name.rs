//! Names of clients and remotes, checked once when they are parsed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in characters: that of a DNS label (RFC 1035 §2.3.4), since names are host names to ssh and SOCKS.
pub const MAX_LEN: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name can't be empty")]
    Empty,
    /// More than [`MAX_LEN`] characters.
    #[error("a name has at most {MAX_LEN} characters, this one has {0}")]
    TooLong(usize),
    /// It is an IP or onion address.
    #[error("{0} is an address, and a name is one that you choose")]
    Address(String),
    /// It starts with something else than a letter.
    #[error("a name starts with a letter, not with {0:?}")]
    Start(char),
    /// It holds something else than letters, digits, `_` and `-`.
    #[error("a name holds letters, digits, '-' and '_' only, not {0:?}")]
    Char(char),
}

fn check(text: &str) -> Result<(), NameError> {
    let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
    let is_onion = text.len() <= MAX_LEN && text.to_ascii_lowercase().ends_with(".onion");
    if is_onion || text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
        return Err(NameError::Address(text.to_owned()));
    }
    if !first.is_ascii_alphabetic() {
        return Err(NameError::Start(first));
    }
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '-')) {
        return Err(NameError::Char(odd));
    }
    match text.len() {
        n if n > MAX_LEN => Err(NameError::TooLong(n)),
        _ => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// What an exporter calls one of its clients: `^[a-zA-Z][a-zA-Z0-9_-]*$`, at most 63 characters.
    ClientName
}
name! {
    /// What an importer calls a host that exports to it: `^[a-zA-Z][a-zA-Z0-9_-]*$`, at most 63 characters.
    RemoteName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels_that_start_with_a_letter() {
        for good in ["a", "my-MacBook", "web_1", &"x".repeat(63)] {
            assert_eq!(good.parse::<ClientName>().map(String::from), Ok(good.to_owned()));
        }
        for (bad, why) in [
            ("", NameError::Empty),
            ("1a", NameError::Start('1')),
            ("-a", NameError::Start('-')),
            ("a b", NameError::Char(' ')),
            ("a\nb", NameError::Char('\n')),
            ("é", NameError::Start('é')),
            (&"x".repeat(64), NameError::TooLong(64)),
            ("10.0.0.1", NameError::Address("10.0.0.1".into())),
            ("10.0.0.1:22", NameError::Address("10.0.0.1:22".into())),
            ("fe80::1", NameError::Address("fe80::1".into())),
            ("Example.Onion", NameError::Address("Example.Onion".into())),
        ] {
            assert_eq!(bad.parse::<RemoteName>(), Err(why));
        }
    }
}
