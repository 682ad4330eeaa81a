//! Records clients that were revoked while the configuration file could not be changed, so that the next agent keeps them out, too. Each
//! record is an empty file named after the client's service, which usually works even on a full disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::files::{Change, Files};
use super::private::Dir;
use crate::model::onion::OnionAddress;

/// What the files' names begin with, in the state directory.
const PREFIX: &str = "revoked-";

/// The services of those clients. A name in another form than we write is none of ours.
///
/// Errors: the directory can't be read: who is out is not known then.
pub(super) fn read(state: &Path) -> io::Result<BTreeSet<OnionAddress>> {
    let mut noted = BTreeSet::new();
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(noted),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let address: Option<OnionAddress> =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        noted.extend(address.filter(|address| name == *file_name(address)));
    }
    Ok(noted)
}

/// Notes these, and no others any more, durably. What can be done of that is done.
pub(super) fn write(files: &Files, state: &Path, revoked: &BTreeSet<OnionAddress>) -> io::Result<()> {
    let noted = read(state)?;
    if noted == *revoked {
        return Ok(());
    }
    let file = |address| state.join(file_name(address));
    let make = |address| {
        let path = file(address);
        files.before(&path, Change::Write)?;
        fs::File::create_new(path).map(drop)
    };
    let made: Vec<_> = revoked.difference(&noted).map(make).collect();
    let removed: Vec<_> = noted.difference(revoked).map(|address| files.remove(&file(address))).collect();
    let synced = Dir::open(state)?.sync();
    made.into_iter().chain(removed).chain([synced]).collect()
}

/// Forgets the note of a client that is taken out of the file.
pub(super) fn forget(files: &Files, state: &Path, address: &OnionAddress) -> io::Result<()> {
    match files.remove(&state.join(file_name(address))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn file_name(address: &OnionAddress) -> String {
    format!("{PREFIX}{address}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys::ServiceKey;

    fn address(number: u8) -> OnionAddress {
        ServiceKey::from_seed(&zeroize::Zeroizing::new([number; 32])).address()
    }

    #[test]
    fn what_is_read_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let id = address(1).to_string().strip_suffix(".onion").unwrap().to_owned();
        for other in [id.clone(), format!("{id}.ONION"), id.to_uppercase(), format!(" {id}.onion")] {
            fs::write(dir.path().join(format!("{PREFIX}{other}")), "").unwrap();
        }
        assert_eq!(read(dir.path()).unwrap(), BTreeSet::new());
        write(&Files::default(), dir.path(), &[address(1), address(2)].into()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [address(1), address(2)].into());
        write(&Files::default(), dir.path(), &BTreeSet::new()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), BTreeSet::new());
    }

    #[test]
    fn what_can_be_done_is_done_and_what_failed_is_told() {
        let dir = tempfile::tempdir().unwrap();
        // The first in order is the one that fails.
        let (first, second) = (address(1).min(address(2)), address(1).max(address(2)));
        write(&Files::default(), dir.path(), &[first, second].into()).unwrap();
        // What is no file can't be removed as one, by root either.
        fs::remove_file(dir.path().join(file_name(&first))).unwrap();
        fs::create_dir(dir.path().join(file_name(&first))).unwrap();
        assert!(write(&Files::default(), dir.path(), &[address(3)].into()).is_err());
        assert_eq!(read(dir.path()).unwrap(), [first, address(3)].into());
        fs::remove_dir(dir.path().join(file_name(&first))).unwrap();
        write(&Files::default(), dir.path(), &BTreeSet::new()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), BTreeSet::new());
    }
}
