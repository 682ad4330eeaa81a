//! Owns a network: starts the nodes, waits until each holds the full consensus, and ends them.
//!
//! What one node is configured to do is `torrc`'s matter; that it dies with its owner, `process`'s.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::claim::Claim;
use crate::control::Control;
use crate::keys::{self, NODES};
use crate::network::{Network, Node, Role, read_state};
use crate::ports;
use crate::process::{POLL, Process};
use crate::tools::Tools;
use crate::torrc::{self, NodeSpec, Schedule};

/// Each attempt in turn: seconds to the first consensus, and between votes until then. A machine too slow for the first is
/// given more time by the next, since a node that comes late for the vote waits for the next full hour.
const ATTEMPTS: [(u64, u64); 3] = [(7, 5), (10, 10), (25, 30)];

/// Start of the processes, up to their control connections.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// From there to the full consensus on every node.
const READY_DEADLINE: Duration = Duration::from_secs(90);

/// Between two reloads of a relay that has not fetched the consensus.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// A running network, owned: it ends when this is dropped, or the process ends in any way at all.
#[derive(Debug)]
pub struct Tornet {
    network: Network,
    running: Vec<Running>,
    claim: Claim,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    role: Role,
    lines: Vec<String>,
    process: Process,
    control: Control,
}

impl Tornet {
    /// Starts a network in `dir`, which is made if need be and is the network's alone, and waits until every node holds the
    /// full consensus. Keys come from the cache, [`crate::cache_dir`].
    ///
    /// Seven to nine seconds, and a few more when there are no keys yet. Each of up to three attempts has its own ports.
    ///
    /// # Errors
    ///
    /// When a network runs in `dir` already, the programs or the directory are unusable, or a node fails thrice: the error
    /// quotes its log.
    pub fn up(dir: &Path, tools: &Tools) -> Result<Self> {
        Self::up_with_cache(dir, tools, &crate::cache_dir())
    }

    /// As [`Tornet::up`], with another key cache.
    ///
    /// # Errors
    ///
    /// As [`Tornet::up`].
    pub fn up_with_cache(dir: &Path, tools: &Tools, cache: &Path) -> Result<Self> {
        Self::up_claimed(Claim::take(dir)?, tools, cache)
    }

    pub(crate) fn up_claimed(claim: Claim, tools: &Tools, cache: &Path) -> Result<Self> {
        for (number, (lead, interval)) in (1..).zip(ATTEMPTS) {
            let error = match start(&claim, tools, cache, lead, interval) {
                Ok((network, running)) => return Ok(Self { network, running, claim }),
                Err(error) => error,
            };
            if number == ATTEMPTS.len() || claim.stop_requested() {
                return Err(
                    error.context(format!("failed to start the private Tor network, attempt {number}"))
                );
            }
            eprintln!("tornet: attempt {number} failed, starting over: {error:#}");
        }
        unreachable!("the last attempt returns")
    }

    /// What others see of it.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// As [`Network::torrc_lines`].
    pub fn torrc_lines(&self) -> &[String] {
        self.network.torrc_lines()
    }

    /// As [`Network::client_torrc`].
    pub fn client_torrc(&self) -> PathBuf {
        self.network.client_torrc()
    }

    /// Holds the network until someone asks for its end ([`crate::ask_to_stop`]).
    ///
    /// # Errors
    ///
    /// When a node ends by itself; the error quotes its log.
    pub fn hold(mut self) -> Result<()> {
        while !self.claim.stop_requested() {
            for node in &mut self.running {
                node.process.check_alive().with_context(|| format!("node {} failed", node.name))?;
            }
            thread::sleep(POLL);
        }
        self.down();
        Ok(())
    }

    /// Kills every node, as an outage of the whole network. They keep what is on their disks; what directories were told of services
    /// is not there.
    pub fn stop_nodes(&mut self) {
        self.running.iter_mut().for_each(|node| node.process.kill());
    }

    /// Kills one relay that is no authority: the nth, counted round.
    pub fn kill_relay(&mut self, nth: usize) {
        let is_relay = |node: &&mut Running| node.role == Role::Relay;
        let mut relays: Vec<_> = self.running.iter_mut().filter(is_relay).collect();
        let at = nth % relays.len();
        relays[at].process.kill();
    }

    /// Starts those that were killed again, with the same keys and ports, and returns when each answers its control connection.
    ///
    /// # Errors
    ///
    /// When one does not start; the error quotes its log.
    pub fn start_nodes(&mut self, tools: &Tools) -> Result<()> {
        let dir = self.network.dir().to_owned();
        let mut killed: Vec<_> = self
            .running
            .iter_mut()
            .filter_map(|node| node.process.check_alive().is_err().then_some(node))
            .collect();
        for node in &mut killed {
            node.process = Process::spawn(tools, &dir.join(node.name), &node.lines)?;
        }
        let deadline = Instant::now() + START_DEADLINE;
        for node in &mut killed {
            let owned = node.process.own(deadline);
            (_, node.control) = owned.with_context(|| format!("node {} failed", node.name))?;
        }
        Ok(())
    }

    /// Ends the network, as dropping it does.
    pub fn down(self) {}
}

impl Drop for Tornet {
    fn drop(&mut self) {
        // The description first: nobody should join what is ending.
        Network::withdraw(self.network.dir());
        self.running.clear();
    }
}

/// One attempt, on fresh ports and with nothing left of an earlier one but the keys: old state names old ports.
fn start(
    claim: &Claim,
    tools: &Tools,
    cache: &Path,
    lead: u64,
    interval: u64,
) -> Result<(Network, Vec<Running>)> {
    let dir = claim.dir();
    Network::withdraw(dir);
    for (name, _) in NODES {
        keys::remove_dir(&dir.join(name))?;
    }
    let identities = keys::install(cache, tools, dir, unix_now())?;
    let ports = ports::free(2 * NODES.len())?;
    let specs: Vec<_> = NODES
        .iter()
        .zip(identities)
        .zip(ports.chunks_exact(2))
        .map(|((&(name, role), identity), ports)| NodeSpec {
            name: name.to_owned(),
            role,
            or_port: ports[0],
            dir_port: ports[1],
            fingerprint: identity.fingerprint,
            v3_identity: identity.v3_identity,
        })
        .collect();

    let common = torrc::common(&specs);
    let now = unix_now();
    let bandwidths = dir.join("bandwidths");
    fs::write(&bandwidths, torrc::bandwidths(&specs, now)).context("failed to write the bandwidth file")?;
    let schedule = Schedule::first_consensus(now, lead, interval);
    let mut processes = Vec::new();
    for (spec, (name, role)) in specs.iter().zip(NODES) {
        let lines = [common.clone(), torrc::node(spec, schedule, &bandwidths)].concat();
        processes.push((name, role, Process::spawn(tools, &dir.join(name), &lines)?, lines));
    }

    let deadline = Instant::now() + START_DEADLINE;
    let mut nodes = Vec::new();
    let mut running = Vec::new();
    for ((name, role, mut process, lines), spec) in processes.into_iter().zip(specs) {
        let (control_port, control) = process.own(deadline).with_context(|| format!("node {name} failed"))?;
        let NodeSpec { name: nickname, role: _, or_port, dir_port, fingerprint: _, v3_identity: _ } = spec;
        nodes.push(Node { name: nickname, role, pid: process.pid(), or_port, dir_port, control_port });
        running.push(Running { name, role, lines, process, control });
    }
    let network = Network::describe(dir, nodes, common)?;
    wait_ready(claim, &mut running)?;
    network.announce()?;
    Ok((network, running))
}

fn wait_ready(claim: &Claim, nodes: &mut [Running]) -> Result<()> {
    let deadline = Instant::now() + READY_DEADLINE;
    let mut reloaded = None;
    loop {
        let mut states = Vec::new();
        for node in nodes.iter_mut() {
            node.process.check_alive().with_context(|| format!("node {} failed", node.name))?;
            let state = read_state(&mut node.control).map_err(|error| {
                anyhow!("node {} failed: {error:#}\n{}", node.name, node.process.quote_log())
            })?;
            // The next consensus comes at the full hour.
            if state.listed > 0 && state.usable < NODES.len() {
                bail!(
                    "node {} got a consensus that lacks nodes: {state}\n{}",
                    node.name,
                    node.process.quote_log()
                );
            }
            states.push(state);
        }
        if states.iter().all(|state| state.is_full()) {
            return Ok(());
        }
        if claim.stop_requested() {
            bail!("stopped while starting");
        }
        if Instant::now() > deadline {
            let mut report = "no full consensus on every node in time".to_owned();
            for (node, state) in nodes.iter().zip(&states).filter(|(_, state)| !state.is_full()) {
                write!(report, "\nnode {}: {state}\n{}", node.name, node.process.quote_log())?;
            }
            bail!(report);
        }
        let authorities_agree =
            nodes.iter().zip(&states).all(|(node, state)| node.role == Role::Relay || state.listed > 0);
        if authorities_agree && reloaded.is_none_or(|at: Instant| at.elapsed() > RELOAD_EVERY) {
            // A relay that asked too early would only ask again after a minute.
            for (node, state) in nodes.iter_mut().zip(&states) {
                if node.role == Role::Relay && !state.is_full() {
                    node.control.command("SIGNAL RELOAD")?;
                }
            }
            reloaded = Some(Instant::now());
        }
        thread::sleep(POLL);
    }
}

/// Seconds since 1970.
///
/// # Panics
///
/// When the clock is before 1970.
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the clock is past 1970, or no certificate is valid")
        .as_secs()
}
