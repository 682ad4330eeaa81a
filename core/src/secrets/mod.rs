//! Room 4, secrets: keeps keys in a store that is chosen once, and moves them only when the user asks.
//!
//! Everyone talks to [`Secrets`], which keeps a store that hangs away from its callers. [`journal`] makes "the secret and the
//! configuration agree" survive a kill at any point; [`migrate`] moves all keys when the user asks for it.

pub mod choose;
pub mod file;
pub mod journal;
pub mod keyring;
pub mod memory;
pub mod migrate;
pub mod worker;

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::keys::{ClientPublicKey, Secret};
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem, Subject};
use crate::model::store_kind::StoreKind;
use crate::store::DirError;

pub use worker::{Answer, Front, Op, Secrets};

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
    TimedOut(Duration),
    /// There is no room for a file of ours.
    #[error("{0}")]
    Full(String),
    /// A directory or file of ours is not safe.
    #[error("{problem}; {mend}")]
    Unsafe {
        /// What is wrong with it.
        problem: String,
        /// What to do about it: one line.
        mend: String,
    },
    /// Anything else.
    #[error("the secret store failed: {0}")]
    Failed(String),
}

impl SecretsError {
    /// Whether it may pass by itself: the state *locked*, in which everything that needs no secret goes on.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Unsafe { .. })
    }

    /// What to do about it: one line.
    pub fn hint(&self) -> String {
        match self {
            Self::NoEntry(_) => {
                "unlock the keyring, if that is the store (`ormesh secrets status`); a lost key is replaced by `ormesh client rotate`, or by a new invite"
                    .into()
            }
            Self::Locked(_) => {
                "`ormesh secrets unlock` asks for the keyring's password, or log in; on a host without a keyring, ORMESH_SECRETS=file at first use".into()
            }
            Self::Absent(_) => "start the keyring, or use files: `ormesh secrets migrate --to file`".into(),
            Self::TimedOut(_) => "look for a window of the keyring that waits for its password; if there is none, restart the keyring".into(),
            Self::Full(_) => "free some space and try again".into(),
            Self::Unsafe { mend, .. } => mend.clone(),
            Self::Failed(_) => "`ormesh secrets status` tries the store".into(),
        }
    }
}

impl SecretsError {
    /// For a file that the system did not let be written.
    fn from_io(kind: ErrorKind, message: String) -> Self {
        match kind {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(message),
            _ => Self::Failed(message),
        }
    }
}

impl From<DirError> for SecretsError {
    fn from(DirError { problem, kind }: DirError) -> Self {
        match kind {
            None => Self::Unsafe { problem: problem.message, mend: problem.hint },
            Some(kind) => Self::from_io(kind, problem.message),
        }
    }
}

impl From<SecretsError> for Problem {
    fn from(error: SecretsError) -> Self {
        let message = match &error {
            SecretsError::Unsafe { problem, .. } => problem.clone(),
            other => other.to_string(),
        };
        let code = match error {
            SecretsError::NoEntry(_) => return Self::new(Code::KeyMissing, message).hint(error.hint()),
            SecretsError::Locked(_) => Code::StoreLocked,
            SecretsError::Absent(_) => Code::StoreAbsent,
            SecretsError::TimedOut(_) => Code::StoreSilent,
            SecretsError::Full(_) => Code::StoreFull,
            SecretsError::Unsafe { .. } => Code::StoreUnsafe,
            SecretsError::Failed(_) => Code::StoreFailed,
        };
        Self::new(code, message).about(Subject::Store).hint(error.hint())
    }
}

/// One store. Calls block (a keyring may even hang): only the worker thread of [`Secrets`] makes them.
pub trait SecretStore: Send {
    /// Reads a secret; [`SecretsError::NoEntry`] where there is none.
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError>;
    /// Writes a secret durably, replacing an older one.
    fn set(&mut self, id: &SecretId, secret: &Secret) -> Result<(), SecretsError>;
    /// Erases a secret; fine where there is none, an error where the store can't tell.
    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError>;
    /// Makes sure that the store answers at all, without anything that could have it ask a person.
    fn reach(&mut self) -> Result<(), SecretsError> {
        Ok(())
    }
    /// Whether the store would ask a person before anything else. Finding that out asks nobody.
    fn is_locked(&mut self) -> Result<bool, SecretsError> {
        Ok(false)
    }
    /// Has a store that is locked ask a person; [`SecretsError::Locked`] where it stays so.
    fn unlock(&mut self) -> Result<(), SecretsError> {
        Ok(())
    }
    /// Writes, reads and erases a value of no meaning, to see whether the store works.
    fn probe(&mut self) -> Result<(), SecretsError>;
}

/// The stores of this machine, as an input, so that the simulation can use other ones.
pub trait Stores: Send + Sync {
    /// The store of this kind that keeps the keys of this instance. Nothing is touched before the first call.
    fn open(&self, kind: StoreKind, instance: &str) -> Secrets;

    /// The kind that the user wants at first use, if it was said.
    ///
    /// Errors: what was said is no kind.
    fn preferred(&self) -> Result<Option<StoreKind>, Problem>;
}

/// The keyring of the system, and files in a directory.
#[derive(Debug, Clone)]
pub struct SystemStores {
    /// Where files would be kept.
    pub dir: PathBuf,
}

impl Stores for SystemStores {
    fn open(&self, kind: StoreKind, instance: &str) -> Secrets {
        Secrets::open(kind, &self.dir, instance)
    }

    fn preferred(&self) -> Result<Option<StoreKind>, Problem> {
        match std::env::var("ORMESH_SECRETS") {
            Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|error| {
                Problem::new(Code::BadEnvironment, format!("ORMESH_SECRETS can't be used: {error}"))
            }),
            _ => Ok(None),
        }
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(address) => write!(f, "service-{}", address.service_id()),
            Self::Client(key) => write!(f, "client-{}", key.to_string().to_ascii_lowercase()),
        }
    }
}
