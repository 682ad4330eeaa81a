//! The claim on a network's directory: one owner at a time, seen by others, and asked by them to stop.
//!
//! The claim is a file lock, which the kernel releases when the owner dies; so it is never stale, and no process is ever
//! taken for an owner by its number.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::network::Network;
use crate::process::POLL;

/// How long the lock of a network is asked for; a passing look at it ([`is_owned`]) is over well before.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A directory in which only this process may run a network, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Claim {
    dir: PathBuf,
    _lock: File,
}

impl Claim {
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let lock =
            File::create(lock_file(&dir)).with_context(|| format!("failed to lock {}", dir.display()))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    bail!("a private Tor network runs there already: {}", dir.display())
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).context("failed to lock the network's directory");
                }
            }
        }
        let _ = fs::remove_file(stop_request(&dir));
        Ok(Self { dir, _lock: lock })
    }

    /// The claimed directory, absolute.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether someone asked for the network's end ([`ask_to_stop`]).
    pub(crate) fn stop_requested(&self) -> bool {
        stop_request(&self.dir).exists()
    }
}

/// Asks whoever holds the network in `dir` ([`crate::Tornet::hold`]) to end it, and waits until that is done. No process is
/// signalled, so none can be mistaken for it.
///
/// Returns `false` when none was running.
///
/// # Errors
///
/// When the owner does not heed it within `patience`: a test's own network ends with the test.
pub fn ask_to_stop(dir: &Path, patience: Duration) -> Result<bool> {
    if !is_owned(dir)? {
        return Ok(false);
    }
    let request = stop_request(dir);
    fs::write(&request, "").with_context(|| format!("failed to write {}", request.display()))?;
    let deadline = Instant::now() + patience;
    while is_owned(dir)? {
        if Instant::now() > deadline {
            let _ = fs::remove_file(&request);
            let owner =
                Network::read(dir).map_or("unknown".to_owned(), |network| network.owner().to_string());
            bail!("the network's owner (process {owner}) did not end it: {}", dir.display());
        }
        thread::sleep(POLL);
    }
    let _ = fs::remove_file(&request);
    Ok(true)
}

/// Whether a live process owns a network in `dir`, ready or not. The kernel releases the lock when the owner dies.
pub(crate) fn is_owned(dir: &Path) -> Result<bool> {
    let file = match File::open(lock_file(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to look at {}", lock_file(dir).display()));
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("failed to look at the network's lock"),
    }
}

fn lock_file(dir: &Path) -> PathBuf {
    dir.join("owner.lock")
}

fn stop_request(dir: &Path) -> PathBuf {
    dir.join("stop")
}
