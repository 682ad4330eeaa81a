//! What the dialler remembers of each remote: how it does, and which circuits to it were seen to work.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::DialError;
use crate::model::onion::OnionAddress;

/// A reachable remote's new round trip is told at most this often.
const NEWS: Duration = Duration::from_secs(5);

/// A connection that came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Success {
    /// When.
    pub at: Instant,
    /// From the CONNECT to its reply.
    pub round_trip: Duration,
    /// Over a circuit that was there; else the round trip includes its building.
    pub warm: bool,
}

/// An attempt that failed because of the remote or its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// Why.
    pub error: DialError,
}

/// How a remote does, as far as it was tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteHealth {
    /// The last success.
    pub success: Option<Success>,
    /// The last failure; it may be older than the success.
    pub failure: Option<Failure>,
}

impl RemoteHealth {
    /// `Some(true)` if the last attempt reached the host, `None` if there was none.
    ///
    /// A port that is not exported and a connection refused there are answers of a host that was reached.
    pub fn is_reachable(&self) -> Option<bool> {
        let reached =
            |failure: &Failure| matches!(failure.error, DialError::PortNotExported(_) | DialError::Failed);
        match (&self.success, &self.failure) {
            (None, None) => None,
            (Some(_), None) => Some(true),
            (None, Some(failure)) => Some(reached(failure)),
            (Some(success), Some(failure)) => Some(success.at >= failure.at || reached(failure)),
        }
    }

    /// The reason, if the last attempt did not reach the host.
    pub fn trouble(&self) -> Option<&DialError> {
        let failure = self.failure.as_ref()?;
        (self.is_reachable() == Some(false)).then_some(&failure.error)
    }
}

#[derive(Debug, Default)]
pub(super) struct Remotes(HashMap<OnionAddress, Remote>);

#[derive(Debug, Default)]
struct Remote {
    health: RemoteHealth,
    told: Option<Instant>,
    groups: HashMap<String, Circuit>,
}

/// The present circuit of one isolation group.
#[derive(Debug, Default)]
struct Circuit {
    generation: u32,
    /// When it was last seen to work.
    worked: Option<Instant>,
}

impl Circuit {
    fn isolation(&self, group: &str) -> String {
        match self.generation {
            0 => group.to_owned(),
            n => format!("{group}~{n}"),
        }
    }
}

impl Remotes {
    pub(super) fn health(&self, remote: &OnionAddress) -> RemoteHealth {
        self.0.get(remote).map(|remote| remote.health.clone()).unwrap_or_default()
    }

    pub(super) fn healths(&self) -> BTreeMap<OnionAddress, RemoteHealth> {
        self.0.iter().map(|(address, remote)| (*address, remote.health.clone())).collect()
    }

    /// The isolation that the group uses now, and whether its circuit is warm.
    pub(super) fn circuit(&self, remote: &OnionAddress, group: &str, life: Duration) -> (String, bool) {
        match self.0.get(remote).and_then(|remote| remote.groups.get(group)) {
            Some(circuit) => (circuit.isolation(group), circuit.worked.is_some_and(|at| at.elapsed() < life)),
            None => (group.to_owned(), false),
        }
    }

    /// Returns whether it is news.
    pub(super) fn succeeded(
        &mut self,
        remote: &OnionAddress,
        group: &str,
        isolation: &str,
        success: Success,
    ) -> bool {
        let remote = self.0.entry(*remote).or_default();
        let circuit = match remote.groups.get_mut(group) {
            Some(circuit) => circuit,
            None => remote.groups.entry(group.to_owned()).or_default(),
        };
        if circuit.isolation(group) == isolation {
            circuit.worked = Some(success.at);
        }
        let was = remote.health.is_reachable();
        remote.health.success = Some(success);
        let news = was != Some(true) || remote.told.is_none_or(|at| at.elapsed() >= NEWS);
        if news {
            remote.told = Some(success.at);
        }
        news
    }

    /// Returns whether it is news.
    pub(super) fn failed(&mut self, remote: &OnionAddress, group: &str, error: DialError) -> bool {
        let remote = self.0.entry(*remote).or_default();
        if let Some(circuit) = remote.groups.get_mut(group) {
            circuit.worked = None;
        }
        let (was, why) = (remote.health.is_reachable(), remote.health.trouble().cloned());
        remote.health.failure = Some(Failure { at: Instant::now(), error });
        was != remote.health.is_reachable() || why.as_ref() != remote.health.trouble()
    }

    /// Gives the group another circuit, unless somebody has already.
    pub(super) fn renew(&mut self, remote: &OnionAddress, group: &str, isolation: &str) {
        let circuit = self.0.entry(*remote).or_default().groups.entry(group.to_owned()).or_default();
        if circuit.isolation(group) == isolation {
            *circuit = Circuit { generation: circuit.generation.wrapping_add(1), worked: None };
        }
    }

    /// tor ended: no circuit is left.
    pub(super) fn cool(&mut self) {
        for circuit in self.0.values_mut().flat_map(|remote| remote.groups.values_mut()) {
            circuit.worked = None;
        }
    }

    pub(super) fn forget(&mut self, remote: &OnionAddress) {
        self.0.remove(remote);
    }

    pub(super) fn forget_group(&mut self, remote: &OnionAddress, group: &str) {
        if let Some(remote) = self.0.get_mut(remote) {
            remote.groups.remove(group);
        }
    }
}
