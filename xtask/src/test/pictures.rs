//! Where a test run keeps its pictures: of every state of the views, and of the real window.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::say;
use crate::workspace::Workspace;

/// A directory that holds this run's pictures and no older ones.
pub(super) struct Pictures(PathBuf);

impl Pictures {
    /// The environment variable by which tests find the directory.
    pub(super) const VARIABLE: &'static str = "ORMESH_PICTURES";

    /// `pictures` in cargo's target directory, emptied.
    pub(super) fn fresh(workspace: &Workspace) -> Result<Pictures> {
        let dir = workspace.target().join("pictures");
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&dir),
        }
        .with_context(|| format!("failed to empty: {}", dir.display()))?;
        Ok(Pictures(dir))
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    /// Says how many there are and where.
    pub(super) fn tell(&self) {
        let count = fs::read_dir(&self.0).map_or(0, Iterator::count);
        say::note(&format!("{count} pictures in {}", self.0.display()));
    }
}
