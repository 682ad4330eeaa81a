//! A note of the clients that were revoked while the configuration file could not be changed, so that an agent that starts anew keeps them
//! out, too.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::atomic;
use crate::model::onion::OnionAddress;

/// The file's name in the state directory.
const FILE: &str = "revoked.json";

/// The services of those clients.
///
/// Errors: the file can't be read, or makes no sense: who is out is not known then.
pub(super) fn read(state: &Path) -> io::Result<BTreeSet<OnionAddress>> {
    match std::fs::read(state.join(FILE)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Writes it durably; there is no file where there are none.
pub(super) fn write(state: &Path, revoked: &BTreeSet<OnionAddress>) -> io::Result<()> {
    let file = state.join(FILE);
    if !revoked.is_empty() {
        return atomic::replace(&file, &serde_json::to_vec(revoked)?);
    }
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
