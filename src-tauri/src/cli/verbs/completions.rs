//! `ormesh completions`: what a shell needs to complete commands and options.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::{self, DONE, Outcome};

#[derive(Args)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// `command` is the whole command line.
    pub(crate) fn run(self, mut command: Command) -> Outcome {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "ormesh", &mut text);
        output::print(&String::from_utf8_lossy(&text))?;
        DONE
    }
}
