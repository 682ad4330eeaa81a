//! The history of clients across runs: when each first connected and when it was last seen. It is not configuration.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::Files;
use super::private;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Problem, catalogue};

/// The file's name in the state directory.
pub const FILE: &str = "history.json";

/// One client's times, in seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its first accepted stream. From then on its invite cannot be shown again.
    pub first: u64,
    /// Its last one.
    pub last: u64,
}

/// The times of all clients, by the address of their service, so that a rotated client starts with none.
///
/// An address goes when its keys go ([`History::forget`]), never because a configuration does not name it at the moment.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    seen: BTreeMap<OnionAddress, Seen>,
    problem: Option<Problem>,
    /// Whether a file that can't be read is there still: it is not written over.
    is_spoilt: bool,
}

/// A history to be written by a thread that may wait for the disk.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl History {
    /// Reads what is remembered, for an agent. A file that can't be read is put aside under another name and is [`History::problem`]: to
    /// forget is better than not to start.
    pub fn open(files: &Files, state: &Path) -> Self {
        let mut history = Self::read(state);
        if let Some(problem) = history.problem.take() {
            let (problem, moved) = put_aside(files, &history.path, &problem.message);
            history.problem = Some(problem);
            history.is_spoilt = !moved;
        }
        history
    }

    /// Reads what is remembered, and leaves a file that can't be read where it is.
    pub fn read(state: &Path) -> Self {
        let path = state.join(FILE);
        let read = match private::patiently(|| std::fs::read(&path)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.to_string()),
        };
        let read =
            read.map_err(|why| format!("the history of clients, {}, can't be read ({why})", path.display()));
        let (seen, problem) = match read {
            Ok(seen) => (seen, None),
            Err(why) => (BTreeMap::new(), Some(catalogue::history_spoilt(why))),
        };
        let is_spoilt = problem.is_some();
        Self { path, seen, problem, is_spoilt }
    }

    /// Why it is not known who has connected before, when it is not.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// Whether nobody has ever connected.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// When a client was seen.
    pub fn get(&self, address: &OnionAddress) -> Option<Seen> {
        self.seen.get(address).copied()
    }

    /// Remembers that a client was seen; true when it was the first time, which should be written before anyone relies on it.
    ///
    /// What comes later counts, though it be an earlier time: then the clock was ahead before.
    pub fn saw(&mut self, address: OnionAddress, now: u64) -> bool {
        match self.seen.get_mut(&address) {
            Some(seen) => {
                seen.last = now;
                false
            }
            None => {
                self.seen.insert(address, Seen { first: now, last: now });
                true
            }
        }
    }

    /// Forgets a client whose keys are erased; false when nothing was known of it.
    pub fn forget(&mut self, address: &OnionAddress) -> bool {
        self.seen.remove(address).is_some()
    }

    /// What is to be written now.
    ///
    /// Errors: a file that can't be read is in its place.
    pub fn page(&self) -> io::Result<Page> {
        if self.is_spoilt {
            return Err(io::Error::other("the one that is there can't be read, and is kept"));
        }
        let bytes = serde_json::to_vec_pretty(&self.seen).map_err(io::Error::other)?;
        Ok(Page { path: self.path.clone(), bytes })
    }
}

impl Page {
    /// Writes it durably.
    pub fn write(&self, files: &Files) -> io::Result<()> {
        files.replace(&self.path, &self.bytes)
    }
}

/// Renames a history to a name that nothing has, so that no earlier one is lost.
fn put_aside(files: &Files, path: &Path, why: &str) -> (Problem, bool) {
    let aside = (1..).map(|number: u32| path.with_file_name(format!("{FILE}.damaged-{number}")));
    let aside = aside.into_iter().find(|aside| std::fs::symlink_metadata(aside).is_err()).unwrap_or_default();
    let moved = files.rename(path, &aside);
    tracing::warn!(path = %path.display(), why, ?moved, "the history of clients can't be read");
    let message = match &moved {
        Ok(()) => format!("{why}; it is now {}", aside.display()),
        Err(error) => format!("{why}, nor put aside: {error}"),
    };
    (catalogue::history_spoilt(message), moved.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys::ServiceKey;

    #[test]
    fn a_history_that_can_not_be_read_is_kept_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let address = ServiceKey::from_seed(&zeroize::Zeroizing::new([1; 32])).address();
        for number in 1..=3 {
            std::fs::write(dir.path().join(FILE), format!("damage {number}")).unwrap();
            let mut history = History::open(&Files::default(), dir.path());
            assert!(history.problem().is_some());
            let aside = dir.path().join(format!("{FILE}.damaged-{number}"));
            assert_eq!(std::fs::read_to_string(aside).unwrap(), format!("damage {number}"));
            assert!(history.saw(address, 1) && !history.saw(address, 2));
            history.page().unwrap().write(&Files::default()).unwrap();
            assert_eq!(
                History::open(&Files::default(), dir.path()).get(&address),
                Some(Seen { first: 1, last: 2 })
            );
        }
        assert!(History::open(&Files::default(), dir.path()).problem().is_none());
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_no_time_to_come() {
        let dir = tempfile::tempdir().unwrap();
        let address = ServiceKey::from_seed(&zeroize::Zeroizing::new([1; 32])).address();
        let mut history = History::read(dir.path());
        for (now, last) in [(900, 900), (100, 100), (101, 101)] {
            history.saw(address, now);
            assert_eq!(history.get(&address).map(|seen| seen.last), Some(last));
        }
    }
}
