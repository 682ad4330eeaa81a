//! A running network as everyone but its owner sees it: who its nodes are, how a host gets onto it, what each node knows.
//!
//! Its directory holds `network.json` for those who join and `client.torrc` for hosts, the latter only once the network is
//! ready. Starting and ending it is `tornet`'s matter.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::claim::is_owned;
use crate::control::Control;
use crate::keys::NODES;
use crate::process;

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
    /// The network this process has just started, described to others from now on, but not ready.
    pub(crate) fn describe(dir: &Path, nodes: Vec<Node>, torrc_lines: Vec<String>) -> Result<Self> {
        let network = Self { owner: std::process::id(), nodes, torrc_lines, dir: dir.to_owned() };
        write_whole(&description(dir), &serde_json::to_vec_pretty(&network)?)?;
        Ok(network)
    }

    /// Tells the others that it is ready.
    pub(crate) fn announce(&self) -> Result<()> {
        write_whole(&self.client_torrc(), (self.torrc_lines.join("\n") + "\n").as_bytes())
    }

    /// Takes back what [`Network::announce`] and [`Network::describe`] said, also of an earlier network there.
    pub(crate) fn withdraw(dir: &Path) {
        let _ = fs::remove_file(client_torrc(dir));
        let _ = fs::remove_file(description(dir));
    }

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

    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("failed to find {}", dir.display()))?;
        let file = description(&dir);
        let text = fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let network =
            serde_json::from_slice(&text).with_context(|| format!("failed to read {}", file.display()))?;
        Ok(Self { dir, ..network })
    }
}

pub(crate) fn read_state(control: &mut Control) -> Result<NodeState> {
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

fn description(dir: &Path) -> PathBuf {
    dir.join("network.json")
}

fn client_torrc(dir: &Path) -> PathBuf {
    dir.join("client.torrc")
}
