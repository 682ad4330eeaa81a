//! One network for a whole test run, or at least for a process: joined where the environment names one, else started.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use crate::claim::{Claim, is_owned};
use crate::network::Network;
use crate::tools::Tools;
use crate::tornet::Tornet;

/// The environment variable that names the directory of a running network which [`shared`] joins.
pub const TORNET_VARIABLE: &str = "ORMESH_TORNET";

static SHARED: OnceLock<Shared> = OnceLock::new();

enum Shared {
    Joined(Network),
    // In a static, so never dropped: the nodes end because the process does.
    Owned(Tornet),
}

/// The network all tests of this process use: the one named by [`TORNET_VARIABLE`], or one of its own, started by the first
/// call and ended by the process's end.
///
/// # Panics
///
/// When it can be neither joined nor started: no test that asks for it can go on.
pub fn shared() -> &'static Network {
    let shared = SHARED.get_or_init(|| match join_or_start() {
        Ok(shared) => shared,
        Err(error) => panic!("no private Tor network for the tests: {error:#}"),
    });
    match shared {
        Shared::Joined(network) => network,
        Shared::Owned(tornet) => tornet.network(),
    }
}

/// Where keys and networks without a directory of their own are kept: `tornet` in `ORMESH_CACHE`, or `target/tornet-cache`
/// in the workspace.
pub fn cache_dir() -> PathBuf {
    match env::var_os("ORMESH_CACHE").filter(|value| !value.is_empty()) {
        Some(cache) => PathBuf::from(cache).join("tornet"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tornet-cache"),
    }
}

fn join_or_start() -> Result<Shared> {
    if let Some(dir) = env::var_os(TORNET_VARIABLE).filter(|value| !value.is_empty()) {
        let network =
            Network::join(Path::new(&dir)).with_context(|| format!("failed to join {TORNET_VARIABLE}"))?;
        return Ok(Shared::Joined(network));
    }
    let tools = Tools::find()?;
    let claim = claim_run_dir(&cache_dir().join("runs"))?;
    Ok(Shared::Owned(Tornet::up_claimed(claim, &tools, &cache_dir())?))
}

/// Clears away what ended processes left in `runs` and claims a directory of this process's own there.
fn claim_run_dir(runs: &Path) -> Result<Claim> {
    fs::create_dir_all(runs).with_context(|| format!("failed to create {}", runs.display()))?;
    // A directory not yet claimed looks like one left behind, so nobody clears while another claims.
    let turn = File::create(runs.with_extension("lock")).context("failed to create the lock of the runs")?;
    turn.lock().context("failed to lock the runs")?;
    for entry in fs::read_dir(runs)?.flatten() {
        if is_owned(&entry.path()).is_ok_and(|owned| !owned) {
            // What cannot be removed now is tried again by the next run.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Claim::take(&runs.join(std::process::id().to_string()))
}
