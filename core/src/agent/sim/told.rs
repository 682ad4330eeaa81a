//! What a status may say, by what there is at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use super::model::{Model, gate_name};
use super::tor::short;
use crate::engine::{GateAddr, ServiceSpec};
use crate::model::keys::ClientPublicKey;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Problem, Subject};
use crate::model::status::{AgentState, ClientState, ImportState, RemoteState, Status};
use crate::plan::health::{NETWORK_LIFE, REMOTE_LIFE};

/// How much later than it is a state may be told.
const LATE: Duration = Duration::from_secs(1);

/// What there is.
pub(super) struct There {
    /// What tor has of this host.
    pub(super) published: Vec<ServiceSpec>,
    /// The gates that are open, by what they belong to.
    pub(super) gates: BTreeSet<(OnionAddress, u16)>,
    pub(super) listening: BTreeSet<String>,
    /// How many introduction points of each service stand.
    pub(super) introductions: BTreeMap<OnionAddress, u32>,
    pub(super) now: Duration,
    pub(super) unix: u64,
}

impl There {
    /// Nothing that a status says is more than what is.
    pub(super) fn judge(&self, model: &mut Model, status: &Status) -> Result<(), String> {
        let Self { published, gates, listening, now, .. } = self;
        let now = *now;
        // tor's end is told by an event, which may be on its way.
        let is_steady = model.unready + LATE < now;
        for client in &status.clients {
            let ends = model.paper.client_at(&client.address).and_then(|client| client.ends);
            if client.state == Some(ClientState::Expired)
                && let Some(ends) = ends
            {
                if model.latest.max(self.unix) < ends {
                    return Err(format!("{} is said to be over, and never was", client.name));
                }
                if model.over.insert(client.address, ends).is_none() {
                    model.read = None;
                }
            }
            if client.state == Some(ClientState::Reachable) && is_steady {
                let service = published.iter().find(|service| service.address == client.address);
                let Some(service) = service else {
                    return Err(format!("{} is said to be reachable, and is not published", client.name));
                };
                if service.ports.keys().any(|port| !gates.contains(&(client.address, port.get()))) {
                    return Err(format!("{} is said to be reachable through a closed gate", client.name));
                }
            }
        }
        for import in status.remotes.iter().flat_map(|remote| &remote.imports) {
            let is_open = listening.contains(&import.listen.to_string());
            match &import.state {
                Some(ImportState::Listening | ImportState::Degraded | ImportState::NotExported { .. })
                    if !is_open =>
                {
                    return Err(format!("{} is said to listen, and does not", import.listen));
                }
                Some(ImportState::Blocked { why }) if why.is_empty() => {
                    return Err(format!("{} is blocked without a reason", import.listen));
                }
                _ => {}
            }
        }
        let state = status.agent.as_ref().map(|agent| agent.state.clone());
        if state == Some(AgentState::Online) && !is_steady && model.unready == now {
            return Err("the agent is said to be online, and tor is not ready".to_owned());
        }
        let Some(outage) = model.outage.filter(|outage| now > *outage + NETWORK_LIFE + LATE) else {
            return Ok(());
        };
        let away = (now - outage).as_secs();
        if let Some(agent) = &status.agent
            && agent.state == AgentState::Online
            && agent.unconfirmed.is_none()
        {
            return Err(format!(
                "the network has been away for {away} s, and the agent is said to be online"
            ));
        }
        if now > outage + REMOTE_LIFE + LATE {
            for remote in &status.remotes {
                if matches!(remote.state, Some(RemoteState::Reachable { .. })) && remote.unconfirmed.is_none()
                {
                    return Err(format!(
                        "the network has been away for {away} s, and {} is said to be reachable",
                        remote.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// All is as it is wanted: for when nothing has gone wrong for a while.
    pub(super) fn judge_calm(&self, model: &mut Model, status: &Status) -> Result<(), String> {
        let Self { published, gates, .. } = self;
        self.judge(model, status)?;
        let mut wanted = model.paper.services(self.unix);
        wanted.retain(|address, _| !model.over.contains_key(address));
        let should: BTreeMap<_, _> =
            wanted.iter().map(|(address, service)| (*address, service.clone())).collect();
        let is: BTreeMap<OnionAddress, (ClientPublicKey, BTreeSet<u16>)> = published
            .iter()
            .map(|service| {
                let ports = service.ports.keys().map(|port| port.get()).collect();
                (service.address, (service.client, ports))
            })
            .collect();
        differ("the services", &is, &should)?;
        if let Some((deaf, _)) = self.introductions.iter().find(|(_, number)| **number == 0) {
            return Err(format!("no introduction point of {} stands", short(deaf)));
        }
        for service in published {
            for (port, gate) in &service.ports {
                differ(
                    "the gates that tor was told",
                    gate,
                    &GateAddr::Unix(gate_name(&service.address, port.get()).into()),
                )?;
            }
        }
        let should: BTreeSet<_> = wanted
            .iter()
            .flat_map(|(address, (_, ports))| ports.iter().map(|port| (*address, *port)))
            .collect();
        differ("the gates", gates, &should)?;
        differ("the listeners", &self.listening, &model.paper.listeners())?;
        let states: Vec<_> = status
            .clients
            .iter()
            .filter(|client| wanted.contains_key(&client.address))
            .filter(|client| !matches!(client.state, Some(ClientState::Reachable | ClientState::Connected)))
            .collect();
        if !states.is_empty() {
            return Err(format!("all is calm, and status says {states:?}"));
        }
        let imports = status.remotes.iter().flat_map(|remote| &remote.imports);
        for import in imports {
            let listens = matches!(
                import.state,
                Some(ImportState::Listening | ImportState::Degraded | ImportState::NotExported { .. })
            );
            if !listens {
                return Err(format!("all is calm, and status says {import:?}"));
            }
        }
        for remote in &status.remotes {
            if !matches!(remote.state, Some(RemoteState::Reachable { .. })) {
                return Err(format!("all is calm, and status says of {}: {:?}", remote.name, remote.state));
            }
        }
        // That a backend was not there is no fault of the agent's.
        let is_backends = |problem: &&Problem| matches!(problem.subject, Some(Subject::Export(_)));
        differ(
            "the problems",
            &status.problems.iter().filter(|problem| !is_backends(problem)).collect(),
            &Vec::new(),
        )
    }
}

pub(super) fn differ<T: Debug + PartialEq>(what: &str, is: &T, should: &T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what} are {is:?} and should be {should:?}")) }
}
