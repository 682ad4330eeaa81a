//! `ormesh man`: the man pages, written from the same text as `--help`, for packages.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};

use crate::output::{DONE, Outcome};

#[derive(Args)]
pub(crate) struct Man {
    /// Where to write them; made when it is missing
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Man {
    /// `command` is the whole command line.
    pub(crate) fn run(self, command: Command) -> Outcome {
        let place = || format!("failed to write the man pages to {}", self.directory.display());
        std::fs::create_dir_all(&self.directory).with_context(place)?;
        clap_mangen::generate_to(command, &self.directory).with_context(place)?;
        DONE
    }
}
