//! What a status says, as tests ask of it, and two hosts brought together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ormesh_core::model::status::{AgentState, ClientState, RemoteState, Status};

use crate::host::Host;
use crate::patience::PATIENCE;

/// Between two looks at the status.
const STATUS_LOOK: Duration = Duration::from_millis(100);

impl Host {
    /// Its status, with or without an agent.
    pub fn status(&self) -> Status {
        serde_json::from_str(&self.good(&["status", "--json"])).unwrap()
    }

    /// Waits until the status is as it should be, and gives it.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{}: not in time: {what}: {status:#?}", self.name());
            std::thread::sleep(STATUS_LOOK);
        }
    }

    /// Starts the agent and waits until tor is connected.
    pub fn start_online(&mut self) {
        self.start();
        self.wait_until("online", is_online);
    }
}

/// Whether the agent is connected to Tor.
pub fn is_online(status: &Status) -> bool {
    status.agent.as_ref().is_some_and(|agent| agent.state == AgentState::Online)
}

/// Whether a client's service is published.
pub fn is_reachable(client: &str) -> impl Fn(&Status) -> bool {
    move |status| {
        let state = |state: &ClientState| matches!(state, ClientState::Reachable | ClientState::Connected);
        status
            .clients
            .iter()
            .any(|known| known.name.as_str() == client && known.state.as_ref().is_some_and(state))
    }
}

/// Whether a remote has been reached.
pub fn is_connected(remote: &str) -> impl Fn(&Status) -> bool {
    move |status| matches!(remote_state(status, remote), Some(RemoteState::Reachable { .. }))
}

/// How it stands with a remote.
pub fn remote_state(status: &Status, remote: &str) -> Option<RemoteState> {
    status.remotes.iter().find(|known| known.name.as_str() == remote)?.state.clone()
}

/// Brings both online, the exporter's client and the importer's remote set up: `export` is at `port` of `exporter`, and what is
/// given back is where `importer` imports it.
pub fn connected(exporter: &mut Host, importer: &mut Host, export: SocketAddr, port: u16) -> SocketAddr {
    exporter.export(export, port);
    importer.add_remote("remote", &exporter.invite("client", &[]));
    let import = importer.import("remote", port);
    exporter.start();
    importer.start();
    exporter.wait_until("the client's service is published", is_reachable("client"));
    importer.wait_until("the remote is reached", is_connected("remote"));
    import
}
