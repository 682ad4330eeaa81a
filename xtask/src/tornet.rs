//! The private Tor network on loopback, as a process of its own that ends with xtask.
//!
//! What such a network is made of is the `tornet` package's; this file starts it once, waits for it and ends it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::process::{self, Owned};
use crate::setup::Tools;
use crate::workspace::Workspace;

/// A cold start makes keys, which takes 5–8 s on two cores, and reaches a consensus in 7–9 s.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// A running network; ended and its directory removed when this value is dropped.
pub(crate) struct Tornet {
    // Ended before its directory goes: fields are dropped in order.
    process: Owned,
    dir: TempDir,
}

impl Tornet {
    /// Starts a network and waits until clients can use it.
    ///
    /// # Errors
    ///
    /// When the `tornet` program is not built, ends, or is not ready in two minutes; with the end of its log.
    pub(crate) fn start(workspace: &Workspace, tools: &Tools) -> Result<Tornet> {
        let program = workspace.program("tornet");
        if !program.exists() {
            bail!("failed to start the private Tor network: not built: {}", program.display());
        }
        // Directly under /tmp, whatever TMPDIR is: paths of Unix sockets must stay under 108 bytes.
        let dir = tempfile::Builder::new().prefix("ormesh-net-").tempdir_in("/tmp")?;
        let log = dir.path().join("tornet.log");
        let file = std::fs::File::create(&log)?;
        let mut up = process::dying_with_us(&program);
        up.args(["up", "--foreground", "--dir"])
            .arg(dir.path())
            .envs(tools.environment())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut network = Tornet { process: Owned::start("tornet", &mut up)?, dir };
        let ready = process::wait_for("the private Tor network", READY_LIMIT, || {
            if let Some(status) = network.process.ended()? {
                bail!("failed to start the private Tor network: it ended ({status})");
            }
            Ok(is_ready(&program, network.dir.path(), tools)?.then_some(()))
        });
        if let Err(error) = ready {
            let log = std::fs::read(&log).unwrap_or_default();
            return Err(error.context(format!("the end of its log:\n{}", process::last_lines(&log, 20))));
        }
        Ok(network)
    }

    /// Its directory, the value of `ORMESH_TORNET`.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The torrc lines by which a tor joins it, the value of `ORMESH_TOR_NETWORK`.
    pub(crate) fn client_torrc(&self) -> PathBuf {
        self.dir.path().join("client.torrc")
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it and waits until it has ended.
    pub(crate) fn end(mut self) {
        self.process.end();
    }
}

fn is_ready(program: &Path, dir: &Path, tools: &Tools) -> Result<bool> {
    let mut ask = Command::new(program);
    ask.args(["status", "--dir"]).arg(dir).envs(tools.environment());
    Ok(ask.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}
