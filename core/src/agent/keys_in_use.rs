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
    /// Stores a fetched key, if the configuration needs it still; returns the problem if there is none.
    pub(super) fn take(&mut self, fetched: Fetched, config: &Config) -> Result<(), Problem> {
        let secret = fetched.result.map_err(Problem::from)?;
        let damaged = || {
            Problem::new(Code::KeyDamaged, format!("the secret store's entry {} is damaged", fetched.id))
                .hint("rotate the client, or replace the remote by a new invite")
        };
        match fetched.id {
            SecretId::Service(address) => {
                let key = ServiceKey::from_secret(&secret).ok().filter(|key| key.address() == address);
                let key = key.ok_or_else(damaged)?;
                // What it is for may have been deleted while the store was asked.
                if is_needed(config, &fetched.id) {
                    self.services.insert(address, key);
                }
            }
            SecretId::Client(public) => {
                let key = ClientKey::from_secret(&secret).ok().filter(|key| key.public() == public);
                let key = key.ok_or_else(damaged)?;
                if is_needed(config, &fetched.id) {
                    self.clients.insert(public, key);
                }
            }
        }
        Ok(())
    }

    /// Forgets keys that nothing needs any more.
    pub(super) fn forget_unneeded(&mut self, config: &Config) {
        self.clients.retain(|key, _| is_needed(config, &SecretId::Client(*key)));
        self.services.retain(|address, _| is_needed(config, &SecretId::Service(*address)));
    }
}

fn is_needed(config: &Config, id: &SecretId) -> bool {
    match id {
        SecretId::Service(address) => config.client_at(address).is_some(),
        SecretId::Client(key) => config.remotes.values().any(|remote| remote.key == *key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{address, client, client_key, config, service_key};
    use super::*;

    fn fetched(id: SecretId, secret: Secret) -> Fetched {
        Fetched { subject: Subject::Socks, id, result: Ok(secret) }
    }

    #[test]
    fn a_key_that_comes_when_it_is_not_needed_any_more_is_not_kept() {
        let (mut keys, nothing) = (KeysInUse::default(), config(""));
        let mut listed = config("");
        listed.clients.insert("laptop".parse().unwrap(), client(1));
        let service = || fetched(SecretId::Service(address(1)), service_key(1).to_secret());
        assert_eq!(keys.take(service(), &listed), Ok(()));
        assert_eq!(keys.services.len(), 1);
        assert_eq!(
            keys.take(service(), &nothing),
            Ok(()),
            "the client was deleted while the store was asked"
        );
        let public = client_key(2).public();
        assert_eq!(keys.take(fetched(SecretId::Client(public), client_key(2).to_secret()), &nothing), Ok(()));
        assert!(keys.clients.is_empty());
    }
}
