//! Makes new keys, from the system's random numbers or from those of a test.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::model::keys::{ClientKey, ClientPublicKey, Secret, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem, catalogue};
use crate::secrets::SecretId;

type Fill = dyn Fn(&mut [u8; 32]) -> Result<(), Problem> + Send + Sync;

/// The keys of a new client.
pub(super) struct Made {
    /// Of its service.
    pub(super) address: OnionAddress,
    /// The client's public key.
    pub(super) public: ClientPublicKey,
    /// The client's private key, if it was made here.
    pub(super) own: Option<ClientKey>,
    /// What goes to the secret store.
    pub(super) secrets: Vec<(SecretId, Secret)>,
}

/// What keys are made of. Clones are the same.
#[derive(Clone)]
pub(super) struct Random(Arc<Fill>);

impl Random {
    /// The system's.
    pub(super) fn system() -> Self {
        Self::over(|bytes| getrandom::fill(bytes).map_err(|error| catalogue::no_randomness(&error)))
    }

    /// Another source.
    pub(super) fn over(fill: impl Fn(&mut [u8; 32]) -> Result<(), Problem> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    fn bytes(&self) -> Result<Zeroizing<[u8; 32]>, Problem> {
        let mut bytes = Zeroizing::new([0; 32]);
        (self.0)(&mut bytes)?;
        Ok(bytes)
    }

    /// A new service's key.
    fn service_key(&self) -> Result<ServiceKey, Problem> {
        Ok(ServiceKey::from_seed(&self.bytes()?))
    }

    /// The keys of a new client; its own key is made only where its maker gave no public one.
    pub(super) fn keys(&self, given: Option<ClientPublicKey>) -> Result<Made, Problem> {
        let service = self.service_key()?;
        let address = service.address();
        let mut secrets = vec![(SecretId::Service(address), service.to_secret())];
        let (public, own) = match given {
            Some(key) => (key, None),
            None => {
                let own = self.client_key()?;
                secrets.push((SecretId::Client(own.public()), own.to_secret()));
                (own.public(), Some(own))
            }
        };
        Ok(Made { address, public, own, secrets })
    }

    /// A new client's key.
    pub(super) fn client_key(&self) -> Result<ClientKey, Problem> {
        ClientKey::from_bytes(self.bytes()?.as_slice())
            .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to make a key: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_are_the_same() {
        let random = Random::system();
        let (one, other) = (random.keys(None).unwrap(), random.keys(None).unwrap());
        assert_ne!(one.address, other.address);
        assert_ne!(one.public, other.public);
        assert_ne!(random.client_key().unwrap().public(), random.client_key().unwrap().public());
    }

    #[test]
    fn where_no_random_numbers_are_there_are_no_keys() {
        let none = Random::over(|_| Err(Problem::new(Code::SystemFailed, "none")));
        assert!(none.keys(None).is_err());
    }

    #[test]
    fn of_a_client_with_a_key_of_its_own_only_the_services_is_made() {
        let random = Random::system();
        let theirs = random.client_key().unwrap().public();
        let made = random.keys(Some(theirs)).unwrap();
        assert_eq!((made.public, made.own.is_none()), (theirs, true));
        let ids: Vec<_> = made.secrets.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [SecretId::Service(made.address)]);
    }
}
