//! The command line of `cargo xtask`: its words, and how each ends.
//!
//! Leaves everything a command does to that command's module.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::setup::{Install, Prepared, Tools};
use crate::{audit, bench, cross, demo, desktop, dist, mutants, say, sim, soak, test, windows};

/// The project's own commands. Each gets what it needs by itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Plays the README's transcript with the real program, on two hosts over a private Tor network
    Demo(DemoArgs),
    /// Builds the desktop app and opens it; installs the libraries it takes, after saying so
    App(AppArgs),
    /// Checks everything: format, clippy, build, tests, the window, docs. Last line: `N passed, N failed`
    Test(TestArgs),
    /// Plays seeds of the simulation: the whole agent over a world of chance, its time, its faults and its crashes
    Sim(SimArgs),
    /// Tries what must hold on bad days, row by row, and plays faults for minutes or hours: how soon each is said, and mended
    Soak(SoakArgs),
    /// Breaks the core on purpose, one thing after the other, and sees that its tests or the simulation notice. Takes an hour
    Mutants(MutantsArgs),
    /// Shows what the desktop app costs: memory, time to a painted window, idle processor time
    Bench(InstallArgs),
    /// Gets the tools that tests and demo need, and says where they are
    Setup(SetupArgs),
    /// Type-checks everything but the tests for Windows and macOS, by a toolchain that is unpacked from Debian
    Cross(CrossArgs),
    /// Makes the packages, with a tor of their own: deb and rpm of the app, deb and tarball of the command
    Dist(DistArgs),
    /// Checks licences, advisories and sources of the dependencies, by cargo-deny
    Audit,
}

/// The flag that each command with a set-up has.
#[derive(Args, Clone, Copy)]
struct InstallArgs {
    /// Only list what would be installed or unpacked; go on if nothing is missing
    #[arg(long)]
    no_install: bool,
}

impl InstallArgs {
    fn install(self) -> Install {
        if self.no_install { Install::ListOnly } else { Install::Yes }
    }
}

#[derive(Args)]
struct DemoArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Over the public Tor network, which takes longer
    #[arg(long)]
    live: bool,
    /// Stay up before the revocation, and say how to play with it
    #[arg(long)]
    keep: bool,
    /// Build ormesh with optimisations
    #[arg(long)]
    release: bool,
}

#[derive(Args)]
struct AppArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Build it with optimisations
    #[arg(long)]
    release: bool,
}

#[derive(Args)]
struct TestArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Check the desktop app alone: its clippy, its tests, its real window under Xvfb, its views in Chromium
    #[arg(long)]
    desktop: bool,
    /// Make the packages and check them instead: installed into a bare Debian, used, removed. Takes root
    #[arg(long, conflicts_with = "desktop")]
    packages: bool,
    /// Make the programs for Windows and check them instead, under Wine, which is unpacked and needs no screen
    #[arg(long, conflicts_with_all = ["desktop", "packages"])]
    windows: bool,
    /// Use the release of the app as a person does instead, by keys and clicks on a real desktop, which is unpacked and not installed
    #[arg(long, conflicts_with_all = ["desktop", "packages", "windows"])]
    person: bool,
    /// Stop after the set-up
    #[arg(long, hide = true)]
    setup_only: bool,
    /// Passed on to the test binaries: names to filter by, or flags such as --nocapture
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

#[derive(Args)]
struct SimArgs {
    /// Play this seed alone, and print its trace
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Play so many seeds
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "M", default_value_t = 0, conflicts_with = "seed")]
    start: u64,
    /// Print each turn of the world, too
    #[arg(long, requires = "seed")]
    turns: bool,
}

#[derive(Args)]
struct SoakArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Play faults for so long; each that comes in turn at least once. The other rows come before, and take as long as they take
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u64,
    /// Only rows with this in their name; can be given again
    #[arg(long, value_name = "R")]
    row: Vec<String>,
    /// What chance goes by: the same faults come again with the same number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write the table to this file, as docs/reliability.md is
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Args)]
struct MutantsArgs {
    /// Only what has these words in it
    filter: Option<String>,
    /// Break so many things that cargo-mutants draws by chance instead, and say how many are noticed
    #[arg(long, value_name = "N", conflicts_with = "filter")]
    sample: Option<usize>,
    /// What chance goes by: the same mutations come again with the same number
    #[arg(long, value_name = "S", default_value_t = 1, requires = "sample")]
    seed: u64,
}

#[derive(Args)]
struct DistArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Refuse to make packages that nobody answers for: ORMESH_MAINTAINER names who does
    #[arg(long)]
    release: bool,
}

#[derive(Args)]
struct CrossArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Make the programs for Windows instead: command, desktop app and tor
    #[arg(long)]
    windows: bool,
}

#[derive(Args)]
struct SetupArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Unpack the tools again, in the versions that Debian has now
    #[arg(long)]
    refresh: bool,
    /// Also install what building the desktop app and testing its window takes
    #[arg(long)]
    desktop: bool,
}

/// Runs the command that the process was given.
pub(crate) fn run() -> ExitCode {
    let Some(command) = CommandLine::parse().command else {
        // Help is what someone wants who types the bare command; clap's own "missing subcommand" is an error.
        return match CommandLine::command().print_help() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    };
    match dispatch(command) {
        Ok(code) => code,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => {
            let Prepared::Ready(tools) = Tools::prepare(args.install.install())? else {
                return Ok(ExitCode::SUCCESS);
            };
            demo::run(&tools, demo::Options { live: args.live, keep: args.keep, release: args.release })
        }
        Command::App(args) => {
            let Prepared::Ready(tools) = Tools::prepare(args.install.install())? else {
                return Ok(ExitCode::SUCCESS);
            };
            desktop::app(args.install.install(), &tools, args.release)
        }
        Command::Test(args) => {
            let install = args.install.install();
            let libraries_there = match (args.packages, args.windows) {
                (true, _) => crate::setup::packages_libraries(install)?,
                (_, true) => {
                    crate::setup::desktop_libraries(install)? && crate::setup::windows_libraries(install)?
                }
                _ => crate::setup::window_test_libraries(install)?,
            };
            let Prepared::Ready(tools) = Tools::prepare(args.install.install())? else {
                return Ok(ExitCode::SUCCESS);
            };
            if !libraries_there {
                return Ok(ExitCode::SUCCESS);
            }
            if args.setup_only {
                say::note(&format!("tools in {}", tools.bin().display()));
                return Ok(ExitCode::SUCCESS);
            }
            match (args.desktop, args.packages, args.windows, args.person) {
                (true, ..) => test::run_desktop(&tools, &args.filter),
                (_, true, ..) => test::run_packages(&tools, &args.filter),
                (_, _, true, _) => test::run_windows(install, &tools, &args.filter),
                (.., true) => test::run_person(install, &tools, &args.filter),
                _ => test::run(&tools, &args.filter),
            }
        }
        Command::Sim(SimArgs { seed, seeds, start, turns }) => {
            let (start, many) = seed.map_or((start, seeds), |seed| (seed, 1));
            sim::run(&sim::Played { start, many, turns })
        }
        Command::Soak(SoakArgs { install, minutes, row, seed, write }) => {
            let Prepared::Ready(tools) = Tools::prepare(install.install())? else {
                return Ok(ExitCode::SUCCESS);
            };
            soak::run(&tools, &soak::Asked { minutes, rows: row, seed, write })
        }
        Command::Mutants(args) => match args.sample {
            Some(many) => mutants::run_sample(many, args.seed),
            None => mutants::run(args.filter.as_deref()),
        },
        Command::Bench(args) => {
            let libraries_there = crate::setup::window_test_libraries(args.install())?;
            let Prepared::Ready(tools) = Tools::prepare(args.install())? else {
                return Ok(ExitCode::SUCCESS);
            };
            if libraries_there { bench::run(&tools) } else { Ok(ExitCode::SUCCESS) }
        }
        Command::Setup(args) => {
            if args.refresh && !args.install.no_install {
                Tools::forget()?;
            }
            if args.desktop && !crate::setup::window_test_libraries(args.install.install())? {
                return Ok(ExitCode::SUCCESS);
            }
            if let Prepared::Ready(tools) = Tools::prepare(args.install.install())? {
                tools.describe()?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Cross(CrossArgs { install, windows: false }) => cross::run(install.install()),
        Command::Cross(CrossArgs { install, windows: true }) => windows::run(install.install()),
        Command::Dist(DistArgs { install, release }) => dist::run(install.install(), release),
        Command::Audit => audit::run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn what_follows_two_dashes_goes_to_the_test_binaries() {
        let line = CommandLine::parse_from(["cargo xtask", "test", "--", "invite", "--nocapture"]);

        let Some(Command::Test(args)) = line.command else { panic!("expected the test command") };
        assert_eq!(args.filter, ["invite", "--nocapture"]);
    }
}
