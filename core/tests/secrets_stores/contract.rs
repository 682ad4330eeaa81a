//! What every store promises, run over each of them.

use ormesh_core::secrets::file::FileStore;
use ormesh_core::secrets::memory::MemoryStore;
use ormesh_core::secrets::{SecretStore, SecretsError};

use crate::{client_id, secret, service_id};

/// The contract. `open` gives a new handle on the same store, which is empty.
pub(crate) fn contract(open: impl Fn() -> Box<dyn SecretStore>) {
    let mut store = open();
    let (one, two) = (client_id(1), service_id(1));

    store.probe().unwrap();
    assert_eq!(store.get(&one).err(), Some(SecretsError::NoEntry(one)), "an empty store says so");
    store.delete(&one).unwrap();

    // All byte values, and the length of an expanded service key.
    let bytes: Vec<u8> = (0..=255).collect();
    store.set(&one, &secret(&bytes)).unwrap();
    store.set(&two, &secret(&[0; 64])).unwrap();
    assert_eq!(store.get(&one).unwrap().expose(), bytes);
    assert_eq!(open().get(&two).unwrap().expose(), [0; 64], "another handle sees what was written");

    store.set(&one, &secret(b"new")).unwrap();
    assert_eq!(open().get(&one).unwrap().expose(), b"new", "a second write replaces the first");

    store.probe().unwrap();
    open().delete(&one).unwrap();
    assert_eq!(store.get(&one).err(), Some(SecretsError::NoEntry(one)));
    assert_eq!(store.get(&two).unwrap().expose(), [0; 64], "a deletion touches nothing else");
    store.delete(&two).unwrap();
    store.delete(&two).unwrap();
    assert_eq!(store.get(&two).err(), Some(SecretsError::NoEntry(two)));
}

#[test]
fn memory_keeps_the_contract() {
    let store = MemoryStore::new();
    contract(|| Box::new(store.clone()));
}

#[test]
fn files_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    contract(|| Box::new(FileStore::new(&path)));
    assert_eq!(path.read_dir().unwrap().count(), 0, "nothing is left of what was deleted or tried");
}
