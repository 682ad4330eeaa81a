//! The secret store in use: opened once, and how it answered last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::config::Config;
use crate::model::keys::Secret;
use crate::model::problem::{Problem, Subject};
use crate::model::store_kind::StoreKind;
use crate::secrets::{SecretId, Secrets, SecretsError, Stores};

/// How long a keyring may take when a person may have to unlock it first.
pub(super) const PROMPT: Duration = Duration::from_secs(60);
/// How long a store's answer holds for other keys, too, when it failed. Shorter than the time after which the loop tries again.
pub(super) const QUIET: Duration = Duration::from_secs(3);

/// See the file's sentence.
pub(in crate::agent) struct Store {
    stores: Arc<dyn Stores>,
    open: Mutex<Option<(StoreKind, String, Secrets)>>,
    /// What the store answered last, when that was a failure, and when.
    failure: watch::Sender<Option<Failure>>,
    /// Whether a person was asked to unlock the store without having done anything: once is enough.
    asked: AtomicBool,
}

/// What was wrong with the store, and when it answered so.
pub(in crate::agent) type Failure = (SecretsError, Instant);

impl Store {
    pub(super) fn new(stores: Arc<dyn Stores>) -> Self {
        Self {
            stores,
            open: Mutex::default(),
            failure: watch::Sender::new(None),
            asked: AtomicBool::new(false),
        }
    }

    /// All that there are, to choose from.
    pub(super) fn all(&self) -> &dyn Stores {
        &*self.stores
    }

    /// A store of that kind, opened for this once.
    pub(super) fn open_another(&self, config: &Config, kind: StoreKind) -> Secrets {
        self.stores.open(kind, config.instance.as_str())
    }

    /// The store of that kind; opened once, so that a hanging one is known to hang.
    pub(super) fn secrets(&self, config: &Config, kind: StoreKind) -> Secrets {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some((of, instance, secrets)) if *of == kind && instance == config.instance.as_str() => {
                secrets.clone()
            }
            _ => {
                let instance = config.instance.as_str();
                let secrets = self.stores.open(kind, instance);
                *open = Some((kind, instance.to_owned(), secrets.clone()));
                secrets
            }
        }
    }

    pub(super) fn current(&self, config: &Config) -> Result<Secrets, SecretsError> {
        let kind = config.agent.secrets.ok_or_else(|| {
            SecretsError::Failed(
                "none was chosen yet, though the configuration names keys (agent.secrets)".into(),
            )
        })?;
        Ok(self.secrets(config, kind))
    }

    pub(super) fn other(&self, config: &Config, kind: StoreKind) -> Secrets {
        let other = match kind {
            StoreKind::OsKeyring => StoreKind::File,
            StoreKind::File => StoreKind::OsKeyring,
        };
        self.stores.open(other, config.instance.as_str())
    }

    /// Writes a secret.
    pub(in crate::agent) async fn set(
        &self,
        config: &Config,
        kind: StoreKind,
        id: SecretId,
        secret: Secret,
    ) -> Result<(), Problem> {
        let secrets = self.secrets(config, kind).with_deadline(PROMPT);
        Ok(self.noted(secrets.set(id, secret).await)?)
    }

    /// Reads a secret for a person who waits for it.
    pub(in crate::agent) async fn get(&self, config: &Config, id: SecretId) -> Result<Secret, Problem> {
        let secrets = self.current(config)?.with_deadline(PROMPT);
        Ok(self.noted(secrets.get(id).await)?)
    }

    /// Reads a secret for the loop, which tries again by itself. A store that failed a moment ago is not asked again for the next
    /// key. One that is locked asks a person once; whether it has been unlocked is seen without asking.
    pub(in crate::agent) async fn read(&self, config: &Config, id: SecretId) -> Result<Secret, SecretsError> {
        let failure = self.failure.borrow().clone();
        if let Some((error, since)) = failure
            && since.elapsed() < QUIET
        {
            return Err(error);
        }
        let secrets = match self.current(config) {
            Ok(secrets) => secrets,
            Err(error) => return self.noted(Err(error)),
        };
        let result = secrets.get(id).await;
        if !matches!(result, Err(SecretsError::Locked(_))) || self.asked.swap(true, Ordering::Relaxed) {
            return self.noted(result);
        }
        // Known at once, not only when the person has answered.
        let _ = self.noted(result);
        self.noted(secrets.with_deadline(PROMPT).unlock().await)?;
        self.noted(secrets.get(id).await)
    }

    /// Has the store ask a person, who wishes it, where it is locked.
    pub(in crate::agent) async fn unlock(&self, config: &Config) -> Result<(), Problem> {
        // What was not chosen yet is chosen, and asked, by the first change of keys.
        let Some(kind) = config.agent.secrets else { return Ok(()) };
        Ok(self.noted(self.secrets(config, kind).with_deadline(PROMPT).unlock().await)?)
    }

    /// Whether the store was locked when it answered last.
    pub(in crate::agent) fn is_locked(&self) -> bool {
        matches!(&*self.failure.borrow(), Some((SecretsError::Locked(_), _)))
    }

    /// Remembers whether the store works, for `status`.
    pub(super) fn noted<T>(&self, result: Result<T, SecretsError>) -> Result<T, SecretsError> {
        self.failure.send_replace(match &result {
            Ok(_) | Err(SecretsError::NoEntry(_)) => None,
            Err(error) => Some((error.clone(), Instant::now())),
        });
        result
    }

    /// What is wrong with the store, as it answered last.
    pub(in crate::agent) fn problem(&self) -> Option<Problem> {
        let failure = self.failure.borrow();
        failure.as_ref().map(|(error, _)| Problem::from(error.clone()).about(Subject::Store))
    }

    /// Wakes when the store has answered.
    pub(in crate::agent) fn answers(&self) -> watch::Receiver<Option<Failure>> {
        self.failure.subscribe()
    }

    /// Waits until the store is found to fail.
    pub(in crate::agent) async fn until_failing(&self) {
        // The sender is ours.
        let _ = self.failure.subscribe().wait_for(Option::is_some).await;
    }

    /// Tries a store that was found to fail. One that works is left alone.
    pub(in crate::agent) async fn is_failing(&self, config: &Config) -> bool {
        if self.failure.borrow().is_none() {
            return false;
        }
        let probed = match self.current(config) {
            Ok(secrets) => secrets.probe().await,
            // What could not be chosen is chosen again by the next command that needs it.
            Err(_) => Ok(()),
        };
        self.noted(probed).is_err()
    }
}
