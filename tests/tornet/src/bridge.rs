//! A bridge: a relay that is in no list, by which a host that is told of it enters the network. Started on demand, since few tests need one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::control::Control;
use crate::keys::create_private_dir;
use crate::network::Network;
use crate::ports;
use crate::process::{POLL, Process, data_dir};
use crate::tools::Tools;
use crate::torrc;

/// From start to bootstrapped.
const READY_DEADLINE: Duration = Duration::from_secs(90);

/// A running bridge; ends when dropped, or with the process.
#[derive(Debug)]
pub struct Bridge {
    _process: Process,
    /// tor ends with it.
    _control: Control,
    address: SocketAddr,
    line: String,
}

impl Bridge {
    /// Starts one in `dir`, its own, and waits until it can be used.
    ///
    /// # Errors
    ///
    /// When tor ends or is not ready in time; the error quotes its log.
    pub fn start(network: &Network, dir: &Path, tools: &Tools) -> Result<Self> {
        start(network, dir, tools, None)
    }

    /// The same, reached through the transport obfs4 only, which this program does.
    ///
    /// # Errors
    ///
    /// As [`Bridge::start`].
    pub fn start_obfs4(network: &Network, dir: &Path, tools: &Tools, program: &Path) -> Result<Self> {
        start(network, dir, tools, Some(program))
    }

    /// The line by which a host is told of it: `[obfs4 ]127.0.0.1:PORT FINGERPRINT[ cert=… iat-mode=0]`.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Where hosts connect to it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn start(network: &Network, dir: &Path, tools: &Tools, obfs4: Option<&Path>) -> Result<Bridge> {
    fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    let dir = dir.canonicalize()?;
    create_private_dir(&data_dir(&dir))?;
    let ports = ports::free(2)?;
    let (or_port, pt_port) = (ports[0], ports[1]);
    let lines = [network.torrc_lines().to_vec(), torrc::bridge(or_port, obfs4.map(|path| (path, pt_port)))];

    let deadline = Instant::now() + READY_DEADLINE;
    let mut process = Process::spawn(tools, &dir, &lines.concat())?;
    let (_, mut control) = process.own(deadline)?;
    let arguments = loop {
        let is_connected = control.get_info("status/bootstrap-phase")?.contains("PROGRESS=100 ");
        let arguments = match obfs4 {
            None => Some(String::new()),
            Some(_) => read_arguments(&data_dir(&dir)),
        };
        if let (true, Some(arguments)) = (is_connected, arguments) {
            break arguments;
        }
        process.check_alive()?;
        if Instant::now() > deadline {
            bail!("the bridge was not ready in time\n{}", process.quote_log());
        }
        thread::sleep(POLL);
    };
    let fingerprint = control.get_info("fingerprint")?;
    let fingerprint = fingerprint.trim();
    let (transport, port) = if obfs4.is_some() { ("obfs4 ", pt_port) } else { ("", or_port) };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let line = format!("{transport}{address} {fingerprint}{arguments}");
    Ok(Bridge { _process: process, _control: control, address, line })
}

/// The arguments in the line that obfs4proxy writes for its bridge's clients, each after a space; `None` until it is there.
fn read_arguments(data_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(data_dir.join("pt_state/obfs4_bridgeline.txt")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Bridge obfs4 "))?;
    let arguments = line.split_whitespace().filter(|word| word.contains('='));
    Some(arguments.map(|argument| format!(" {argument}")).collect())
}
