//! Locks: empty files, so that a lock that blocks readers (Windows) blocks nobody. The system frees a lock when its process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::model::problem::{Code, Problem, catalogue};

/// How long an edit waits for another one; each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // To close it is not enough: a process that is just being started has the file open, too, until it becomes another program.
        let _ = self.0.unlock();
    }
}

/// Takes a lock; none when another process holds it.
pub fn try_lock(path: &Path) -> io::Result<Option<Lock>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a process holds a lock that nobody takes for moments only. Who takes it just now may be kept out, so looks at it again.
pub fn is_held(path: &Path) -> bool {
    let file = File::open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Takes a lock that others hold for moments only.
pub fn wait(path: &Path) -> Result<Lock, Problem> {
    match wait_at_most(path, PATIENCE) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(Problem::new(Code::Busy, "another command has been making a change for too long")
            .hint(format!("see which process holds {}", path.display()))),
        Err(error) => Err(catalogue::cannot_lock(path, &error)),
    }
}

/// Takes a lock; none when another process holds it all that time.
pub fn wait_at_most(path: &Path, patience: Duration) -> io::Result<Option<Lock>> {
    let start = Instant::now();
    loop {
        match try_lock(path)? {
            None if start.elapsed() < patience => std::thread::sleep(PAUSE),
            taken => return Ok(taken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_when_it_is_dropped_though_a_process_that_is_being_started_has_the_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = try_lock(&path).unwrap().unwrap();
        // What fork gives to a child.
        let inherited = lock.0.try_clone().unwrap();
        assert!(try_lock(&path).unwrap().is_none());

        drop(lock);

        assert!(try_lock(&path).unwrap().is_some());
        drop(inherited);
    }
}
