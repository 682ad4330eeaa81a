//! How files are used: away from the agent's one thread, and with a notice before each change.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::apart::apart;
use super::atomic;
use super::private;

/// What is to become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is written, or made: that takes room.
    Write,
    /// It is removed, or gets another name.
    Remove,
}

/// Where work on files is done. Handed in, so that a simulation can put it in an order of its own, fail it, or end it in between.
#[async_trait]
pub trait Ways: Debug + Send + Sync {
    /// Does some work that may wait for a disk. It goes on when the caller goes away.
    async fn apart(&self, work: Box<dyn FnOnce() + Send>);

    /// Told before the file of this path is changed. Errors: the change is not made.
    fn before(&self, path: &Path, change: Change) -> io::Result<()>;
}

/// The system's: threads for such work, and nothing to say against a change.
#[derive(Debug)]
struct System;

#[async_trait]
impl Ways for System {
    async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
        apart(work).await;
    }

    fn before(&self, _path: &Path, _change: Change) -> io::Result<()> {
        Ok(())
    }
}

/// The way to files. Clones are the same.
#[derive(Debug, Clone)]
pub struct Files(Arc<dyn Ways>);

impl Default for Files {
    fn default() -> Self {
        Self(Arc::new(System))
    }
}

impl Files {
    /// Files that are worked on in this way.
    pub fn over(ways: Arc<dyn Ways>) -> Self {
        Self(ways)
    }

    /// Does some work that may wait for a disk or for another process, and gives what came of it. A caller that goes away meanwhile does
    /// not stop it.
    pub async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = oneshot::channel();
        let work = move || {
            // Nobody waits for it where the caller went away.
            let _ = done.send(work());
        };
        self.0.apart(Box::new(work)).await;
        match result.await {
            Ok(result) => result,
            // The runtime has ended, and nobody is polled any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// To be called before each change of a file that is made in another way than by the functions here.
    pub fn before(&self, path: &Path, change: Change) -> io::Result<()> {
        self.0.before(path, change)
    }

    /// [`atomic::replace`].
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.before(path, Change::Write)?;
        atomic::replace(path, bytes)
    }

    /// [`atomic::replace_if`].
    pub fn replace_if(&self, path: &Path, expected: Option<&[u8]>, bytes: &[u8]) -> io::Result<bool> {
        self.before(path, Change::Write)?;
        atomic::replace_if(path, expected, bytes)
    }

    /// Removes a file.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.before(path, Change::Remove)?;
        private::patiently(|| fs::remove_file(path))
    }

    /// Renames a file.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before(from, Change::Remove)?;
        private::patiently(|| fs::rename(from, to))
    }
}
