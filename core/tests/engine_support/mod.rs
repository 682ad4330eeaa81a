//! What the engine's tests share: a host with a real tor, keys, and waiting on conditions with a deadline.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ormesh_core::engine::ctor::{CTor, Finder, TorSettings};
use ormesh_core::engine::{EngineEvent, EngineState, GateAddr, OnionEngine, ServiceSpec};
use ormesh_core::model::address::Port;
use ormesh_core::model::keys::{ClientKey, ServiceKey};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::UnboundedReceiver;
use zeroize::Zeroizing;

/// For anything that must happen; a loaded machine with a private network takes its time.
pub(crate) const GENEROUS: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks in `ORMESH_TOR` and `PATH`. Without tor the engine fails, and so does the test.
pub(crate) fn tor_finder() -> Finder {
    Finder {
        env: std::env::var_os("ORMESH_TOR").filter(|value| !value.is_empty()).map(PathBuf::from),
        path: std::env::var_os("PATH"),
        ..Finder::default()
    }
}

/// A tor's directories below `root`; without a network when none is given.
pub(crate) fn settings(root: &Path, network_lines: Option<String>) -> TorSettings {
    let disable_network = network_lines.is_none();
    TorSettings { data_dir: root.join("tor"), run_dir: root.join("run"), network_lines, disable_network }
}

/// An engine whose tor is connected with us, not with a network.
pub(crate) struct Host {
    pub(crate) engine: Arc<CTor>,
    pub(crate) settings: TorSettings,
    pub(crate) dir: tempfile::TempDir,
}

impl Host {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        Self::start_in(dir, &root).await
    }

    pub(crate) async fn start_in(dir: tempfile::TempDir, root: &Path) -> Self {
        let settings = settings(root, None);
        let engine = CTor::new(settings.clone(), tor_finder());
        engine.run(true).await;
        let host = Self { engine, settings, dir };
        host.wait_connected().await;
        host
    }

    pub(crate) async fn wait_connected(&self) {
        state_where(&*self.engine, |state| matches!(state, EngineState::Bootstrapping { .. })).await;
    }

    pub(crate) fn pid(&self) -> i32 {
        pid_of(&self.settings).expect("tor runs")
    }

    pub(crate) fn kill(&self, pid: i32) {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    pub(crate) fn freeze(&self, pid: i32) {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    }

    pub(crate) async fn stop(self) {
        self.engine.run(false).await;
        assert_eq!(pid_of(&self.settings), None);
    }
}

/// The state, once it is like this.
pub(crate) async fn state_where(
    engine: &dyn OnionEngine,
    like: impl FnMut(&EngineState) -> bool,
) -> EngineState {
    let mut state = engine.state();
    match tokio::time::timeout(GENEROUS, state.wait_for(like)).await {
        Ok(state) => state.expect("the engine lives").clone(),
        Err(_) => panic!("the engine is still {:?}", *engine.state().borrow()),
    }
}

/// All events up to and with the first like this.
pub(crate) async fn events_until(
    events: &mut UnboundedReceiver<EngineEvent>,
    mut like: impl FnMut(&EngineEvent) -> bool,
) -> Vec<EngineEvent> {
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(GENEROUS, events.recv()).await {
            Ok(event) => seen.push(event.expect("the engine lives")),
            Err(_) => panic!("only these events came: {seen:?}"),
        }
        if seen.last().is_some_and(&mut like) {
            return seen;
        }
    }
}

pub(crate) async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + GENEROUS;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A service's key and its client's.
pub(crate) fn key_pair(seed: u8) -> (ServiceKey, ClientKey) {
    (ServiceKey::from_seed(&Zeroizing::new([seed; 32])), ClientKey::from_bytes(&[seed; 32]).unwrap())
}

pub(crate) fn service(key: &ServiceKey, client: &ClientKey, gates: &[(u16, &str)]) -> ServiceSpec {
    let gates = gates.iter().map(|(port, gate)| (Port::new(*port).unwrap(), GateAddr::Unix(gate.into())));
    ServiceSpec { address: key.address(), client: client.public(), ports: gates.collect::<BTreeMap<_, _>>() }
}

/// Whether a process runs (one that ended and was not reaped does not).
pub(crate) fn is_alive(pid: i32) -> bool {
    support::is_running(pid.try_into().unwrap())
}

/// The tor that runs with these directories, as /proc tells.
pub(crate) fn pid_of(settings: &TorSettings) -> Option<i32> {
    let torrc = settings.data_dir.join("torrc");
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == torrc.as_os_str().as_encoded_bytes())
            && is_alive(*pid)
    })
}
