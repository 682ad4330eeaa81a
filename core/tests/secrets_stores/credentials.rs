//! Windows' Credential Manager.

use ormesh_core::secrets::keyring::KeyringStore;

use crate::contract::contract;

#[test]
fn the_credential_manager_keeps_the_contract() {
    contract(|| Box::new(KeyringStore::new("ormesh-contract")));
}
