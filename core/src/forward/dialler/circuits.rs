//! What the dialler remembers of each remote: which circuits to it were seen to work, and what was reported last.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::DialError;
use crate::model::onion::OnionAddress;

/// What has not changed is reported at most this often.
const NEWS: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Remotes(HashMap<OnionAddress, Remote>);

#[derive(Debug, Default)]
struct Remote {
    /// What was reported last, and when.
    told: Option<(Instant, Result<(), DialError>)>,
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

impl Remote {
    fn is_news(&mut self, outcome: Result<(), DialError>) -> bool {
        let now = Instant::now();
        match &self.told {
            Some((at, told)) if *told == outcome && now - *at < NEWS => false,
            _ => {
                self.told = Some((now, outcome));
                true
            }
        }
    }
}

impl Remotes {
    /// The isolation that the group uses now, and whether its circuit is warm.
    pub(super) fn circuit(&self, remote: &OnionAddress, group: &str, life: Duration) -> (String, bool) {
        match self.0.get(remote).and_then(|remote| remote.groups.get(group)) {
            Some(circuit) => (circuit.isolation(group), circuit.worked.is_some_and(|at| at.elapsed() < life)),
            None => (group.to_owned(), false),
        }
    }

    /// A connection came about; whether that is to be reported.
    pub(super) fn succeeded(&mut self, remote: &OnionAddress, group: &str, isolation: &str) -> bool {
        let remote = self.0.entry(*remote).or_default();
        let circuit = match remote.groups.get_mut(group) {
            Some(circuit) => circuit,
            None => remote.groups.entry(group.to_owned()).or_default(),
        };
        if circuit.isolation(group) == isolation {
            circuit.worked = Some(Instant::now());
        }
        remote.is_news(Ok(()))
    }

    /// An attempt failed because of the remote or its network; whether that is to be reported.
    pub(super) fn failed(&mut self, remote: &OnionAddress, group: &str, error: &DialError) -> bool {
        let remote = self.0.entry(*remote).or_default();
        if let Some(circuit) = remote.groups.get_mut(group) {
            circuit.worked = None;
        }
        remote.is_news(Err(error.clone()))
    }

    /// Gives the group another circuit, unless somebody has already.
    pub(super) fn renew(&mut self, remote: &OnionAddress, group: &str, isolation: &str) {
        let circuit = self.0.entry(*remote).or_default().groups.entry(group.to_owned()).or_default();
        if circuit.isolation(group) == isolation {
            *circuit = Circuit { generation: circuit.generation.wrapping_add(1), worked: None };
        }
    }

    /// tor ended: no circuit is left, and what was reported is known no more.
    pub(super) fn cool(&mut self) {
        for remote in self.0.values_mut() {
            remote.told = None;
            remote.groups.values_mut().for_each(|circuit| circuit.worked = None);
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
