//! The network: starts the nodes, waits until each holds the full consensus, and describes what runs to whoever joins.
//!
//! Its directory holds a lock that the owner keeps for as long as the network lives, `network.json` for those who join, and
//! `client.torrc` for hosts. What one node is configured to do is `torrc`'s matter; keeping it alive, `process`'s.

use std::fmt::{self, Write as _};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::keys::{self, NODES};
use crate::ports;
use crate::process::{self, POLL, Process};
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

/// How long the lock of a network is asked for; a passing look at it ([`Network::join`]) is over well before.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Votes on the consensus; relays too.
    Authority,
    /// Relays only.
    Relay,
}

/// A running node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Nickname (`a0` to `a2`, `r0` to `r2`) and the name of its directory in the network's.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its process.
    pub pid: u32,
    /// TCP port on 127.0.0.1 of its onion routing connections.
    pub or_port: u16,
    /// TCP port on 127.0.0.1 of its directory.
    pub dir_port: u16,
    /// TCP port on 127.0.0.1 of its control connections.
    pub control_port: u16,
}

/// What one node knows of the network at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Nodes its consensus lists; 0 before the first.
    pub listed: usize,
    /// Those among them with every flag a path can need.
    pub usable: usize,
    /// Whether it has what it takes to build paths (`status/enough-dir-info`).
    pub enough: bool,
}

impl NodeState {
    /// Whether the consensus is full: every node, each fit for every position.
    pub fn is_full(self) -> bool {
        self.usable == NODES.len() && self.enough
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listed, usable, enough } = self;
        let paths = if *enough { "" } else { ", too little for paths yet" };
        match listed {
            0 => write!(f, "no consensus"),
            _ => write!(f, "{usable} of {} nodes usable{paths}", NODES.len()),
        }
    }
}

/// A running network as everyone but its owner sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Network {
    owner: u32,
    nodes: Vec<Node>,
    torrc_lines: Vec<String>,
    #[serde(skip)]
    dir: PathBuf,
}

impl Network {
    /// Joins the running network in `dir`.
    ///
    /// # Errors
    ///
    /// When none runs there, or it is not ready yet.
    pub fn join(dir: &Path) -> Result<Self> {
        ensure!(is_owned(dir)?, "no private Tor network runs in {}", dir.display());
        let network = Self::read(dir)?;
        ensure!(
            client_torrc(&network.dir).is_file(),
            "the private Tor network is still starting: {}",
            dir.display()
        );
        Ok(network)
    }

    /// The network's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process that owns it.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Its nodes, authorities first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The torrc lines that put a tor on this network and on no other.
    pub fn torrc_lines(&self) -> &[String] {
        &self.torrc_lines
    }

    /// A file of [`Network::torrc_lines`], for `ORMESH_TOR_NETWORK`.
    pub fn client_torrc(&self) -> PathBuf {
        client_torrc(&self.dir)
    }

    /// Asks one node what it knows.
    ///
    /// # Errors
    ///
    /// When the node does not answer.
    pub fn node_state(&self, node: &Node) -> Result<NodeState> {
        let mut control = process::connect(&self.dir.join(&node.name), node.control_port)?;
        read_state(&mut control)
    }

    fn read(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("failed to find {}", dir.display()))?;
        let file = description(&dir);
        let text = fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let network =
            serde_json::from_slice(&text).with_context(|| format!("failed to read {}", file.display()))?;
        Ok(Self { dir, ..network })
    }
}

/// A directory in which only this process may run a network, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Claim {
    dir: PathBuf,
    _lock: File,
}

impl Claim {
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let lock =
            File::create(lock_file(&dir)).with_context(|| format!("failed to lock {}", dir.display()))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    bail!("a private Tor network runs there already: {}", dir.display())
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).context("failed to lock the network's directory");
                }
            }
        }
        let _ = fs::remove_file(stop_request(&dir));
        Ok(Self { dir, _lock: lock })
    }
}

/// A running network, owned: it ends when this is dropped, or the process ends in any way at all.
#[derive(Debug)]
pub struct Tornet {
    network: Network,
    running: Vec<Running>,
    _claim: Claim,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    role: Role,
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
        let dir = &claim.dir;
        for (number, (lead, interval)) in (1..).zip(ATTEMPTS) {
            let error = match start(dir, tools, cache, lead, interval) {
                Ok((network, running)) => return Ok(Self { network, running, _claim: claim }),
                Err(error) => error,
            };
            if number == ATTEMPTS.len() || stop_requested(dir) {
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

    /// Holds the network until someone asks for its end ([`ask_to_stop`]).
    ///
    /// # Errors
    ///
    /// When a node ends by itself; the error quotes its log.
    pub fn hold(mut self) -> Result<()> {
        while !stop_requested(&self.network.dir) {
            for node in &mut self.running {
                node.process.check_alive().with_context(|| format!("node {} failed", node.name))?;
            }
            thread::sleep(POLL);
        }
        self.down();
        Ok(())
    }

    /// Ends the network, as dropping it does.
    pub fn down(self) {}
}

impl Drop for Tornet {
    fn drop(&mut self) {
        // The description first: nobody should join what is ending.
        let _ = fs::remove_file(client_torrc(&self.network.dir));
        let _ = fs::remove_file(description(&self.network.dir));
        self.running.clear();
    }
}

/// Asks whoever holds the network in `dir` ([`Tornet::hold`]) to end it, and waits until that is done. No process is
/// signalled, so none can be mistaken for it.
///
/// Returns `false` when none was running.
///
/// # Errors
///
/// When the owner does not heed it within `patience`: a test's own network ends with the test.
pub fn ask_to_stop(dir: &Path, patience: Duration) -> Result<bool> {
    if !is_owned(dir)? {
        return Ok(false);
    }
    let request = stop_request(dir);
    fs::write(&request, "").with_context(|| format!("failed to write {}", request.display()))?;
    let deadline = Instant::now() + patience;
    while is_owned(dir)? {
        if Instant::now() > deadline {
            let _ = fs::remove_file(&request);
            let owner = Network::read(dir).map_or("unknown".to_owned(), |network| network.owner.to_string());
            bail!("the network's owner (process {owner}) did not end it: {}", dir.display());
        }
        thread::sleep(POLL);
    }
    let _ = fs::remove_file(&request);
    Ok(true)
}

/// Whether a live process owns a network in `dir`, ready or not. The kernel releases the lock when the owner dies.
pub(crate) fn is_owned(dir: &Path) -> Result<bool> {
    let file = match File::open(lock_file(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to look at {}", lock_file(dir).display()));
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("failed to look at the network's lock"),
    }
}

/// One attempt, on fresh ports and with nothing left of an earlier one but the keys: old state names old ports.
fn start(
    dir: &Path,
    tools: &Tools,
    cache: &Path,
    lead: u64,
    interval: u64,
) -> Result<(Network, Vec<Running>)> {
    let _ = fs::remove_file(client_torrc(dir));
    let _ = fs::remove_file(description(dir));
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
        processes.push((name, role, Process::spawn(tools, &dir.join(name), &lines)?));
    }

    let deadline = Instant::now() + START_DEADLINE;
    let mut nodes = Vec::new();
    let mut running = Vec::new();
    for ((name, role, mut process), spec) in processes.into_iter().zip(specs) {
        let (control_port, control) = process.own(deadline).with_context(|| format!("node {name} failed"))?;
        let NodeSpec { name: nickname, role: _, or_port, dir_port, fingerprint: _, v3_identity: _ } = spec;
        nodes.push(Node { name: nickname, role, pid: process.pid(), or_port, dir_port, control_port });
        running.push(Running { name, role, process, control });
    }
    let network = Network { owner: std::process::id(), nodes, torrc_lines: common, dir: dir.to_owned() };
    write_whole(&description(dir), &serde_json::to_vec_pretty(&network)?)?;
    wait_ready(dir, &mut running)?;
    // Last: whoever finds it finds a network that is ready.
    write_whole(&client_torrc(dir), (network.torrc_lines.join("\n") + "\n").as_bytes())?;
    Ok((network, running))
}

fn wait_ready(dir: &Path, nodes: &mut [Running]) -> Result<()> {
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
        if stop_requested(dir) {
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

fn read_state(control: &mut Control) -> Result<NodeState> {
    let entries = control.get_info("ns/all")?;
    let enough = control.get_info("status/enough-dir-info")? == "1";
    Ok(NodeState {
        listed: entries.lines().filter(|line| line.starts_with("r ")).count(),
        usable: entries
            .lines()
            .filter_map(|line| line.strip_prefix("s "))
            .filter(|flags| is_usable(flags))
            .count(),
        enough,
    })
}

/// Whether a consensus entry's flags (dir-spec, the "s" line) let its node stand in every position.
fn is_usable(flags: &str) -> bool {
    ["Fast", "Guard", "HSDir", "Running", "Stable", "V2Dir", "Valid"]
        .iter()
        .all(|wanted| flags.split(' ').any(|flag| flag == *wanted))
}

/// Writes a file so that a reader finds all of it or nothing.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let half = path.with_extension("new");
    fs::write(&half, content)
        .and_then(|()| fs::rename(&half, path))
        .with_context(|| format!("failed to write {}", path.display()))
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the clock is past 1970, or no certificate is valid")
        .as_secs()
}

fn lock_file(dir: &Path) -> PathBuf {
    dir.join("owner.lock")
}

fn description(dir: &Path) -> PathBuf {
    dir.join("network.json")
}

fn client_torrc(dir: &Path) -> PathBuf {
    dir.join("client.torrc")
}

fn stop_request(dir: &Path) -> PathBuf {
    dir.join("stop")
}

fn stop_requested(dir: &Path) -> bool {
    stop_request(dir).exists()
}
