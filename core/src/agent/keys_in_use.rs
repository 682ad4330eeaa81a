//! The keys in use, in memory, so that neither a restart of tor nor a changed port list needs the secret store.

use std::collections::BTreeMap;

use crate::model::config::Config;
use crate::model::keys::{ClientKey, ClientPublicKey, Secret, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem};
use crate::plan::Subject;
use crate::secrets::{SecretId, SecretsError};

/// The secret store's answer to a request for a key.
pub(super) struct Fetched {
    /// The subject of the Step that waits for it.
    pub(super) subject: Subject,
    pub(super) id: SecretId,
    /// The key.
    pub(super) result: Result<Secret, SecretsError>,
}

/// The keys, each by what it is asked for.
#[derive(Default)]
pub(super) struct KeysInUse {
    pub(super) services: BTreeMap<OnionAddress, ServiceKey>,
    pub(super) clients: BTreeMap<ClientPublicKey, ClientKey>,
}

impl KeysInUse {
    /// Stores a fetched key; returns the problem if there is none.
    pub(super) fn take(&mut self, fetched: Fetched) -> Result<(), Problem> {
        let secret = fetched.result.map_err(Problem::from)?;
        let damaged = || {
            Problem::new(Code::KeyDamaged, format!("the secret store's entry {} is damaged", fetched.id))
                .hint("rotate the client, or replace the remote by a new invite")
        };
        match fetched.id {
            SecretId::Service(address) => {
                let key = ServiceKey::from_secret(&secret).ok().filter(|key| key.address() == address);
                self.services.insert(address, key.ok_or_else(damaged)?);
            }
            SecretId::Client(public) => {
                let key = ClientKey::from_secret(&secret).ok().filter(|key| key.public() == public);
                self.clients.insert(public, key.ok_or_else(damaged)?);
            }
        }
        Ok(())
    }

    /// Forgets keys that nothing needs any more.
    pub(super) fn forget_unneeded(&mut self, config: &Config) {
        self.clients.retain(|key, _| config.remotes.values().any(|remote| remote.key == *key));
        self.services.retain(|address, _| config.client_at(address).is_some());
    }
}
