//! The command `ormesh`: reads what was typed, hands it to one verb, and ends with an exit code. What a verb does is in `verbs`,
//! what a host does is in `ormesh_core`.

mod args;
mod invite_input;
mod output;
mod prompt;
mod qr;
mod this_binary;
mod this_host;
mod usage;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // An old console shows colours as they are written otherwise.
    #[cfg(windows)]
    let _ = anstyle_query::windows::enable_ansi_colors();
    let cli = match verbs::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::finish(&error),
    };
    // One thread: a command asks once and prints, and the agent's relays share one buffer on one thread.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::finish(Err(error.into())),
    };
    let outcome = runtime.block_on(cli.verb.run());
    // A read of standard input that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    output::finish(outcome)
}
