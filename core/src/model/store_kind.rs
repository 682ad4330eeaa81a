//! The names of the secret stores, as configuration and commands spell them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which store keeps the secrets: chosen at first use, written to the configuration, never changed by the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum StoreKind {
    /// The system's: Keychain, Credential Manager, Secret Service.
    OsKeyring,
    /// Files of mode 0600 in a directory of mode 0700, as ssh and tor keep theirs.
    File,
}

impl StoreKind {
    /// As a sentence calls it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::OsKeyring => "the system's keyring",
            Self::File => "the directory of key files",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OsKeyring => "os-keyring",
            Self::File => "file",
        })
    }
}

/// The text is neither `os-keyring` nor `file`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret store is os-keyring or file, not {0:?}")]
pub struct StoreKindError(String);

impl FromStr for StoreKind {
    type Err = StoreKindError;
    fn from_str(text: &str) -> Result<Self, StoreKindError> {
        match text {
            "os-keyring" => Ok(Self::OsKeyring),
            "file" => Ok(Self::File),
            other => Err(StoreKindError(other.to_owned())),
        }
    }
}
