//! `ormesh completions`: what a shell needs to complete commands and options.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use crate::output::{self, DONE, Outcome};

#[derive(Args)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Outcome {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ormesh", &mut text);
        output::print(&String::from_utf8_lossy(&text))?;
        DONE
    }
}
