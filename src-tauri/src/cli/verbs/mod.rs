//! The verbs of `ormesh`, one file each: the clap type and, beside it, what it does.

mod agent;
mod client;
mod completions;
mod config;
mod doctor;
mod export;
mod import;
mod man;
mod nc;
mod ping;
mod remote;
mod secrets;
mod ssh;
mod ssh_config;
mod status;
mod systemd_unit;
mod wait;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::output::Outcome;

const EXAMPLES: &str = "\
Examples:
  On the host that offers something:
    ormesh export add 22               offer this host's ssh
    ormesh client add my-MacBook       make an invite for one client

  On the client:
    ormesh remote add website          paste the invite
    ormesh ssh website                 dial it
    ormesh import add website 22 127.0.0.1:10022

  On both:
    ormesh agent run                   run tor and carry the connections
    ormesh status

`ormesh --help` lists the exit codes and the environment variables.";

const REFERENCE: &str = "\
Exit codes:
  0  done
  1  failed
  2  usage: what was typed or configured makes no sense
  3  the agent is not running, or not ready
  4  refused, or not authorised
  5  the secret store is locked or missing
  6  tor is missing, too old or does not work

Environment:
  ORMESH_CONFIG       the configuration file
  ORMESH_STATE        the state directory
  ORMESH_SECRETS      the secret store chosen at first use: os-keyring or file
  ORMESH_EXPORTS      exports for `agent run` to make: \"22;8080 80\"
  ORMESH_CLIENTS      clients for `agent run` to make: \"desktop;laptop\"
  ORMESH_EPHEMERAL    1 allows a state directory that does not persist
  ORMESH_TOR          the tor binary
  ORMESH_TOR_NETWORK  a file of torrc lines that describe a private Tor network
  ORMESH_LOG          what the agent logs, as in debug or ormesh_core=trace
  NO_COLOR            no colours";

fn long_help() -> String {
    let (examples, _) = EXAMPLES.rsplit_once("\n\n").unwrap_or((EXAMPLES, ""));
    format!("{examples}\n\n{REFERENCE}")
}

/// A private mesh of hosts over Tor.
///
/// One host exports ports to named clients; another adds it as a remote with the invite it was given, and imports its
/// ports. Every export is an onion service that only its client can find and reach.
#[derive(Parser)]
#[command(name = "ormesh", bin_name = "ormesh", version, after_help = EXAMPLES, after_long_help = long_help())]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What can be done.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show this host: its exports, clients, remotes and imports, as YAML
    Status(status::Status),
    /// Offer ports of this host, or of its LAN, to clients
    #[command(subcommand, arg_required_else_help = true)]
    Export(export::Export),
    /// Say who may reach the exports, and make their invites
    #[command(subcommand, arg_required_else_help = true)]
    Client(client::Client),
    /// Add hosts by the invites that they made
    #[command(subcommand, arg_required_else_help = true)]
    Remote(remote::Remote),
    /// Bring a remote's ports to local addresses
    #[command(subcommand, arg_required_else_help = true)]
    Import(import::Import),
    /// Open ssh to a remote
    Ssh(ssh::Ssh),
    /// Connect standard input and output to a remote's port, for ssh's ProxyCommand
    Nc(nc::Nc),
    /// Ask a remote how it is, and how far
    Ping(ping::Ping),
    /// Walk the layers, from this host to the other end, and say which one fails
    ///
    /// The exit code is 0 where no layer fails; what could not be tried is no failure. Else it is that of the first one that fails: 3 for the
    /// agent (none runs, it is paused, or it can't read the configuration), 5 for the secret store, 6 for tor, 4 for a remote's key or port,
    /// 1 for anything else.
    Doctor(doctor::Doctor),
    /// Wait until this host is online and its clients and imports are ready
    Wait(wait::Wait),
    /// Run and steer the agent, which operates tor
    #[command(subcommand, arg_required_else_help = true)]
    Agent(agent::Agent),
    /// Read and change settings
    #[command(subcommand, arg_required_else_help = true)]
    Config(config::Config),
    /// Look after the store that holds the keys
    #[command(subcommand, arg_required_else_help = true)]
    Secrets(secrets::Secrets),
    /// Print a shell's completions
    Completions(completions::Completions),
    /// Write the man pages to a directory
    #[command(hide = true)]
    Man(man::Man),
}

impl Verb {
    /// Does it.
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Status(verb) => verb.run().await,
            Self::Export(verb) => verb.run().await,
            Self::Client(verb) => verb.run().await,
            Self::Remote(verb) => verb.run().await,
            Self::Import(verb) => verb.run().await,
            Self::Ssh(verb) => verb.run().await,
            Self::Nc(verb) => verb.run().await,
            Self::Ping(verb) => verb.run().await,
            Self::Doctor(verb) => verb.run().await,
            Self::Wait(verb) => verb.run().await,
            Self::Agent(verb) => verb.run().await,
            Self::Config(verb) => verb.run().await,
            Self::Secrets(verb) => verb.run().await,
            Self::Completions(verb) => verb.run(Cli::command()),
            Self::Man(verb) => verb.run(Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} of {} has no help", arg.get_id(), command.get_name());
            }
            // A hidden one is no person's to type.
            command.get_subcommands().filter(|command| !command.is_hide_set()).for_each(check);
        }
        check(&Cli::command());
    }
}
