//! Notes of a few facts that the next agent must know, each as an empty file whose name says it: that usually works even on a full disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use super::files::{Change, Files};
use super::private::Dir;

/// What is noted in files of this prefix in the state directory. A name in another form than we write is none of ours.
///
/// Errors: the directory can't be read: what is noted is not known then.
pub fn read<T: FromStr + ToString + Ord>(state: &Path, prefix: &str) -> io::Result<BTreeSet<T>> {
    let mut noted = BTreeSet::new();
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(noted),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let fact: Option<T> = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
        noted.extend(fact.filter(|fact| name == *file_name(prefix, fact)));
    }
    Ok(noted)
}

/// Notes these, and no others of this prefix any more, durably. What can be done of that is done.
pub fn write<T: FromStr + ToString + Ord>(
    files: &Files,
    state: &Path,
    prefix: &str,
    facts: &BTreeSet<T>,
) -> io::Result<()> {
    let noted = read(state, prefix)?;
    if noted == *facts {
        return Ok(());
    }
    let file = |fact| state.join(file_name(prefix, fact));
    let make = |fact| {
        let path = file(fact);
        files.before(&path, Change::Write)?;
        fs::File::create_new(path).map(drop)
    };
    let made: Vec<_> = facts.difference(&noted).map(make).collect();
    let removed: Vec<_> = noted.difference(facts).map(|fact| files.remove(&file(fact))).collect();
    let synced = Dir::open(state)?.sync();
    made.into_iter().chain(removed).chain([synced]).collect()
}

/// Forgets one.
pub fn forget<T: ToString>(files: &Files, state: &Path, prefix: &str, fact: &T) -> io::Result<()> {
    match files.remove(&state.join(file_name(prefix, fact))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn file_name<T: ToString>(prefix: &str, fact: &T) -> String {
    format!("{prefix}{}", fact.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys::ServiceKey;
    use crate::model::onion::OnionAddress;

    const PREFIX: &str = "revoked-";

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
        assert_eq!(read::<OnionAddress>(dir.path(), PREFIX).unwrap(), BTreeSet::new());
        write(&Files::default(), dir.path(), PREFIX, &[address(1), address(2)].into()).unwrap();
        assert_eq!(read::<OnionAddress>(dir.path(), PREFIX).unwrap(), [address(1), address(2)].into());
        write(&Files::default(), dir.path(), PREFIX, &BTreeSet::<OnionAddress>::new()).unwrap();
        assert_eq!(read::<OnionAddress>(dir.path(), PREFIX).unwrap(), BTreeSet::new());
    }

    #[test]
    fn what_can_be_done_is_done_and_what_failed_is_told() {
        let dir = tempfile::tempdir().unwrap();
        // The first in order is the one that fails.
        let (first, second) = (address(1).min(address(2)), address(1).max(address(2)));
        write(&Files::default(), dir.path(), PREFIX, &[first, second].into()).unwrap();
        // What is no file can't be removed as one, by root either.
        fs::remove_file(dir.path().join(file_name(PREFIX, &first))).unwrap();
        fs::create_dir(dir.path().join(file_name(PREFIX, &first))).unwrap();
        assert!(write(&Files::default(), dir.path(), PREFIX, &[address(3)].into()).is_err());
        assert_eq!(read::<OnionAddress>(dir.path(), PREFIX).unwrap(), [first, address(3)].into());
        fs::remove_dir(dir.path().join(file_name(PREFIX, &first))).unwrap();
        write(&Files::default(), dir.path(), PREFIX, &BTreeSet::<OnionAddress>::new()).unwrap();
        assert_eq!(read::<OnionAddress>(dir.path(), PREFIX).unwrap(), BTreeSet::new());
    }
}
