//! The secret stores from outside: one contract for all of them, what the file store refuses, and the system's keyring in every
//! state that was seen in the field.

mod contract;
#[cfg(windows)]
mod credentials;
#[cfg(unix)]
mod file;
#[cfg(target_os = "linux")]
mod keyring;
mod opaque;
#[cfg(target_os = "linux")]
mod session;

use ormesh_core::model::keys::{ClientKey, Secret, ServiceKey};
use ormesh_core::secrets::SecretId;

/// The id of some client's key.
fn client_id(number: u8) -> SecretId {
    SecretId::Client(ClientKey::from_bytes(&[number; 32]).expect("the number is not zero").public())
}

/// The id of some service's key.
fn service_id(number: u8) -> SecretId {
    SecretId::Service(ServiceKey::from_seed(&[number; 32].into()).address())
}

/// A secret of these bytes.
fn secret(bytes: &[u8]) -> Secret {
    Secret::new(bytes.to_vec())
}
