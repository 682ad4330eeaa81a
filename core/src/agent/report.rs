//! Reports: puts together, from what the loop knows, the status that shells are told.

use super::fresh;
use super::reconcile::Reconciler;
use crate::engine::EngineState;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Problem, catalogue};
use crate::model::status::{AgentState, AgentStatus, RemoteState, Status, TorStatus};
use crate::plan::Desired;
use crate::plan::derive::{self, View};
use crate::plan::standing;

impl Reconciler {
    /// Finds out which problems stand, and notes when those that are new began.
    pub(super) fn take_stock(&mut self) {
        self.standing = standing::after(&self.standing, self.problems(), self.about.calendar.now());
    }

    /// What is wrong, causes first. What keeps many Steps from being done (a locked store) may be in it many times.
    fn problems(&self) -> Vec<Problem> {
        let in_force = self.inputs.config.borrow().clone();
        let paused = *self.inputs.paused.borrow();
        let engine = self.inputs.engine_state.borrow().clone();
        let mut problems: Vec<Problem> = in_force.problems().collect();
        problems.extend(engine_problem(&engine, paused));
        let trouble = self.inputs.engine_trouble.borrow().clone().filter(|_| !paused);
        problems.extend(trouble.map(catalogue::clock_wrong));
        problems.extend(self.vault.trouble());
        problems.extend(self.vault.history_problem());
        problems.extend(
            self.condemned
                .iter()
                .map(|address| catalogue::service_open(self.client(address), &self.client_name(address))),
        );
        problems.extend(self.executor.trouble(&in_force.config));
        problems.extend(in_force.config.remotes.iter().flat_map(|(name, remote)| {
            self.crowds
                .full(&remote.address)
                .into_iter()
                .map(|(port, full)| catalogue::full_there(name, port, full))
        }));
        problems.extend(self.observed.failures.values().map(|backoff| backoff.problem.clone()));
        problems
    }

    /// The whole state, as it is now.
    pub(super) fn status(&mut self) -> Status {
        self.take_stock();
        let in_force = self.inputs.config.borrow().clone();
        let paused = *self.inputs.paused.borrow();
        let today = fresh::today(&self.about.calendar);
        let desired = Desired::from_config(&in_force.config, today, paused);
        let engine = self.inputs.engine_state.borrow().clone();
        derive::status(View {
            config: &in_force.config,
            today,
            desired: &desired,
            observed: &self.observed,
            agent: AgentStatus {
                version: env!("CARGO_PKG_VERSION").into(),
                pid: std::process::id(),
                uptime: self.about.started.elapsed().as_secs(),
                state: agent_state(&engine, paused),
                tor: self.engine.info().map(|info| TorStatus {
                    version: info.version,
                    path: info.path,
                    found: info.found,
                }),
                socks: self.observed.socks.map(|socks| socks.addr),
                socks_users: self.observed.socks.map(|socks| socks.users),
                socks_note: None,
                network: self.about.network.clone(),
                secrets: in_force.config.agent.secrets.map(|kind| kind.to_string()),
                bridges: u32::try_from(in_force.config.agent.bridges.len()).ok().filter(|number| *number > 0),
            },
            clients: self.executor.client_traffic(),
            imports: self.executor.import_traffic(),
            remotes: in_force
                .config
                .remotes
                .values()
                .map(|remote| (remote.address, self.remote_state(&remote.address)))
                .collect(),
            problems: self.standing.clone(),
        })
    }

    fn remote_state(&self, address: &OnionAddress) -> RemoteState {
        let health = self.dialler.health(address);
        match health.is_reachable() {
            None => RemoteState::Unknown,
            Some(true) => {
                let round_trip = health.success.map_or(0, |success| success.round_trip.as_millis());
                RemoteState::Reachable { round_trip: u64::try_from(round_trip).unwrap_or(u64::MAX) }
            }
            Some(false) => {
                let why = health.trouble().map(ToString::to_string).unwrap_or_default();
                RemoteState::Unreachable { why }
            }
        }
    }
}

fn agent_state(engine: &EngineState, paused: bool) -> AgentState {
    match engine {
        _ if paused => AgentState::Paused,
        EngineState::Stopped | EngineState::Starting => AgentState::Starting,
        EngineState::Bootstrapping { percent, doing, .. } => {
            AgentState::Connecting { percent: *percent, doing: doing.clone() }
        }
        EngineState::Ready => AgentState::Online,
        EngineState::Failed { why, .. } => AgentState::Offline { why: why.clone() },
    }
}

fn engine_problem(engine: &EngineState, paused: bool) -> Option<Problem> {
    match engine {
        _ if paused => None,
        EngineState::Failed { why, hint, is_missing, .. } => Some(match is_missing {
            true => catalogue::tor_missing(why, hint),
            false => catalogue::tor_failed(why, hint),
        }),
        EngineState::Bootstrapping { trouble: Some(trouble), .. } => Some(catalogue::tor_stuck(trouble)),
        _ => None,
    }
}
