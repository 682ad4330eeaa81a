//! The store for tests: secrets in memory, shared by all clones. No command offers it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{SecretId, SecretStore, SecretsError};
use crate::model::keys::Secret;
use crate::model::store_kind::StoreKind;
use crate::secrets::Secrets;

/// A store in memory that can be locked, as a keyring can.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    entries: BTreeMap<SecretId, Secret>,
    locked: bool,
    asked: usize,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The front over this store, as everyone else uses it; it calls itself a store of this kind.
    pub fn secrets(&self, kind: StoreKind) -> Secrets {
        let store = self.clone();
        Secrets::over(kind, move || Box::new(store.clone()))
    }

    /// From now on every call is refused, or no longer.
    pub fn set_locked(&self, locked: bool) {
        self.content().locked = locked;
    }

    /// How often a person was asked to unlock it, who never did.
    pub fn asked(&self) -> usize {
        self.content().asked
    }

    /// The ids that the store has, in order.
    pub fn ids(&self) -> Vec<SecretId> {
        self.content().entries.keys().copied().collect()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlocked(&self) -> Result<MutexGuard<'_, Content>, SecretsError> {
        let mut content = self.content();
        if content.locked {
            content.asked += 1;
            return Err(SecretsError::Locked("it was told to be".into()));
        }
        Ok(content)
    }
}

impl SecretStore for MemoryStore {
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError> {
        let content = self.unlocked()?;
        let secret = content.entries.get(id).ok_or(SecretsError::NoEntry(*id))?;
        Ok(Secret::new(secret.expose().to_vec()))
    }

    fn set(&mut self, id: &SecretId, secret: &Secret) -> Result<(), SecretsError> {
        self.unlocked()?.entries.insert(*id, Secret::new(secret.expose().to_vec()));
        Ok(())
    }

    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError> {
        self.unlocked()?.entries.remove(id);
        Ok(())
    }

    fn is_locked(&mut self) -> Result<bool, SecretsError> {
        Ok(self.content().locked)
    }

    fn unlock(&mut self) -> Result<(), SecretsError> {
        self.unlocked().map(drop)
    }

    fn probe(&mut self) -> Result<(), SecretsError> {
        self.unlocked().map(drop)
    }
}
