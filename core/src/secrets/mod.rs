//! Room 4, secrets: keeps keys in a store that the user chose once, and never moves them by itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::keys::{ClientPublicKey, Secret};
use crate::model::onion::OnionAddress;

/// Names one secret. Made from public halves, so a rotated key never shares its entry with its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretId {
    /// The ed25519 key of one of our services.
    Service(OnionAddress),
    /// An x25519 private key: a client's, until it first connects; or ours, for a remote.
    Client(ClientPublicKey),
}

/// Why a store could not do it. Text of the store itself is kept, for it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// The configuration lists the key and the store does not have it: missing, or the store is locked in a way that hides it.
    /// Never a reason to make a new one.
    #[error("the secret store has no entry for {0}: it is missing, or the store is locked")]
    NoEntry(SecretId),
    /// The store is there and locked.
    #[error("the secret store is locked: {0}")]
    Locked(String),
    /// There is no such store on this machine.
    #[error("there is no secret store: {0}")]
    Absent(String),
    /// It did not answer in time.
    #[error("the secret store did not answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// The file store's directory or a file in it is not safe, with the command that mends it.
    #[error("{0}")]
    Unsafe(String),
    /// Anything else.
    #[error("the secret store failed: {0}")]
    Failed(String),
}

/// One store. Calls block (a keyring may even hang): only the worker thread of [`Secrets`] makes them.
pub trait SecretStore: Send {
    /// Reads a secret; [`SecretsError::NoEntry`] where there is none.
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError>;
    /// Writes a secret durably, replacing an older one.
    fn set(&mut self, id: &SecretId, secret: &Secret) -> Result<(), SecretsError>;
    /// Erases a secret; fine where there is none.
    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError>;
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(address) => write!(f, "service-{}", address.service_id()),
            Self::Client(key) => write!(f, "client-{}", key.to_string().to_ascii_lowercase()),
        }
    }
}
