//! New keys, from the system's randomness or what is handed in for it.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::problem::{Code, Problem, catalogue};

type Fill = dyn Fn(&mut [u8; 32]) -> Result<(), Problem> + Send + Sync;

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
    pub(super) fn service_key(&self) -> Result<ServiceKey, Problem> {
        Ok(ServiceKey::from_seed(&self.bytes()?))
    }

    /// A new client's key.
    pub(super) fn client_key(&self) -> Result<ClientKey, Problem> {
        ClientKey::from_bytes(self.bytes()?.as_slice())
            .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to make a key: {error}")))
    }
}
