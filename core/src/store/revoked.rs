//! Notes which clients were revoked while the configuration file could not be changed, so that an agent that starts anew keeps them out,
//! too. Each is a file of no content, named for the client's service: that can mostly be made on a disk that is full.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::private::Dir;
use crate::model::onion::OnionAddress;

/// What the files' names begin with, in the state directory.
const PREFIX: &str = "revoked-";

/// The services of those clients.
///
/// Errors: the directory can't be read: who is out is not known then.
pub(super) fn read(state: &Path) -> io::Result<BTreeSet<OnionAddress>> {
    let mut noted = BTreeSet::new();
    for entry in fs::read_dir(state)? {
        let name = entry?.file_name();
        let address: Option<OnionAddress> =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        noted.extend(address);
    }
    Ok(noted)
}

/// Notes these, and no others any more, durably.
pub(super) fn write(state: &Path, revoked: &BTreeSet<OnionAddress>) -> io::Result<()> {
    let noted = read(state)?;
    let file = |address: &OnionAddress| state.join(format!("{PREFIX}{address}"));
    for address in revoked.difference(&noted) {
        fs::File::create_new(file(address))?;
    }
    for address in noted.difference(revoked) {
        fs::remove_file(file(address))?;
    }
    Dir::open(state)?.sync()
}
