//! The command `tornet`: the private network by hand, and held for a test run. What it does is in the library.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use tornet::{Network, Role, TORNET_VARIABLE, Tools, Tornet, cache_dir};

/// From the request to the end of every node.
const DOWN_PATIENCE: Duration = Duration::from_secs(20);

/// What a holder prints once the network is ready.
const READY: &str = "ready";

/// A private Tor network on loopback: three authorities and three relays.
///
/// Nothing in it leaves 127.0.0.1. It needs the programs tor and tor-gencert, in the PATH or named by ORMESH_TOR and
/// ORMESH_TOR_GENCERT. Keys are made once and kept in ORMESH_CACHE, or in target/tornet-cache.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start the network, wait until it is ready and say how to use it
    Up(Up),
    /// End the network
    Down(Where),
    /// Show the nodes and what each knows; exit 0 when all is well
    Status(Where),
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    place: Where,
    /// Stay, and end the network when this command ends, in whatever way it does
    #[arg(long)]
    foreground: bool,
}

#[derive(Args)]
struct Where {
    /// The network's directory [default: one in the cache]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Where {
    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| cache_dir().join("network"))
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tornet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.verb {
        Verb::Up(Up { place, foreground: true }) => hold(&place.dir()),
        Verb::Up(Up { place, foreground: false }) => up(&place.dir()),
        Verb::Down(place) => down(&place.dir()),
        Verb::Status(place) => status(&place.dir()),
    }
}

/// Starts a holder that outlives this command.
fn up(dir: &Path) -> Result<ExitCode> {
    let start = Instant::now();
    fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    // A file, since whatever this command holds open ends before the holder does.
    let log = dir.join("holder.log");
    let mut command = Command::new(std::env::current_exe().context("failed to find this program")?);
    command.args(["up", "--foreground", "--dir"]).arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(File::create(&log).with_context(|| format!("failed to create {}", log.display()))?);
    // So that a Ctrl-C in this terminal is not the network's end.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut holder = command.spawn().context("failed to start the network's holder")?;
    let mut first = String::new();
    BufReader::new(holder.stdout.take().expect("stdout is piped")).read_line(&mut first)?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    if first.trim_end() != READY {
        holder.wait()?;
        bail!("{}", said.trim_start_matches("tornet: ").trim_end());
    }
    eprint!("{said}");
    let network = Network::join(dir)?;
    println!("the private Tor network is up ({:.1} s)", start.elapsed().as_secs_f64());
    print!("{}", explanation(&network));
    Ok(ExitCode::SUCCESS)
}

fn hold(dir: &Path) -> Result<ExitCode> {
    let tornet = Tornet::up(dir, &Tools::find()?)?;
    // In one write: whoever waits for the first line may close the pipe after it.
    let text = format!("{READY}\n{}", explanation(tornet.network()));
    std::io::stdout().write_all(text.as_bytes()).context("failed to say that the network is ready")?;
    tornet.hold()?;
    Ok(ExitCode::SUCCESS)
}

fn explanation(network: &Network) -> String {
    let (dir, client_torrc) = (network.dir().display(), network.client_torrc());
    format!(
        "  for a host:   export ORMESH_TOR_NETWORK={}\n\
         \x20 for tests:    export {TORNET_VARIABLE}={dir}\n\
         \x20 to end it:    tornet down --dir {dir}\n",
        client_torrc.display()
    )
}

fn down(dir: &Path) -> Result<ExitCode> {
    match tornet::ask_to_stop(dir, DOWN_PATIENCE)? {
        true => println!("the private Tor network is down"),
        false => println!("no private Tor network runs in {}", dir.display()),
    }
    Ok(ExitCode::SUCCESS)
}

fn status(dir: &Path) -> Result<ExitCode> {
    let network = match Network::join(dir) {
        Ok(network) => network,
        Err(error) => {
            println!("{error:#}");
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("{}, owned by process {}", network.dir().display(), network.owner());
    println!(
        "{:<4}  {:<9}  {:>8}  {:>5}  {:>5}  {:>7}  consensus",
        "node", "role", "process", "or", "dir", "control"
    );
    let mut well = true;
    for node in network.nodes() {
        let role = match node.role {
            Role::Authority => "authority",
            Role::Relay => "relay",
        };
        let state = match network.node_state(node) {
            Ok(state) => {
                well &= state.is_full();
                state.to_string()
            }
            Err(error) => {
                well = false;
                format!("{error:#}")
            }
        };
        println!(
            "{:<4}  {role:<9}  {:>8}  {:>5}  {:>5}  {:>7}  {state}",
            node.name, node.pid, node.or_port, node.dir_port, node.control_port
        );
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
