//! What stands in for Unix's means elsewhere: ownership over the control connection alone, and directories as they come.

use std::fs;
use std::io;
use std::path::Path;

/// Guards nothing: `TAKEOWNERSHIP` has to do.
#[derive(Debug)]
pub(crate) struct Guard;

impl Guard {
    /// As on Unix, without its effect.
    pub(crate) fn watch(_pid: u32) -> io::Result<Self> {
        Ok(Self)
    }
}

/// Creates a directory, with those above it.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}
