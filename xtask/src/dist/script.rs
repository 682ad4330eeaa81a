//! What packages do when they are installed and removed, for deb and rpm alike, as lines of a shell.
//!
//! Only the system service is steered: an agent that a user runs is the user's. After an upgrade it goes on as it was until
//! the user restarts it (`ormesh` offers that); on removal it is named.

use std::fs;

use anyhow::{Context, Result};

use super::made::Made;

/// After the files are there.
pub(super) fn installed(made: &Made) -> Result<String> {
    read(made, "installed.sh")
}

/// Before the files go for good; an upgrade is no removal.
pub(super) fn removing(made: &Made) -> Result<String> {
    read(made, "removing.sh")
}

fn read(made: &Made, name: &str) -> Result<String> {
    let file = made.packaging(name);
    fs::read_to_string(&file).with_context(|| format!("failed to read: {}", file.display()))
}
