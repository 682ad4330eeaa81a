//! What the dialler remembers of each remote: which circuits to it were seen to work, and what was reported last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::engine::DialError;
use crate::model::onion::OnionAddress;

/// What has not changed is reported at most this often.
const NEWS: Duration = Duration::from_secs(5);

/// An attempt is late after so many of the remote's own round trips and half a second, within these bounds; the longer one where none is
/// known. First over a circuit that is there, then where one is built.
const LATE: [(u32, Duration, Duration); 2] = [
    (8, Duration::from_millis(1500), Duration::from_secs(4)),
    (3, Duration::from_secs(2), Duration::from_secs(5)),
];

/// The pauses between fetches of a descriptor, the last one again and again. tor asks each of a descriptor's six directories once in 15
/// minutes (`REND_HID_SERV_DIR_REQUERY_PERIOD`), so the first hour of an outage must not use them all up at once. A tor that was killed
/// publishes again within 8 s, a host whose connections died in silence within 22.
const FETCHES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(6),
    Duration::from_secs(14),
    Duration::from_secs(20),
    Duration::from_secs(300),
];

/// How many attempts to one remote there may be beside others. One that works helps all of its group, so that few are enough.
const BESIDE: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Remotes(HashMap<OnionAddress, Remote>);

#[derive(Debug, Default)]
struct Remote {
    /// What was reported last, and when.
    told: Option<(Instant, Result<(), DialError>)>,
    groups: HashMap<String, Circuit>,
    /// How long the last connection over a circuit that was there took, and the last one for which a circuit was built.
    warm: Option<Duration>,
    cold: Option<Duration>,
    /// When its descriptor was last fetched again, and which of [`FETCHES`] is the pause until the next time.
    fetched: Option<(Instant, usize)>,
    /// Room for attempts beside others; made for the first of them.
    beside: Option<Arc<Semaphore>>,
}

/// The present circuit of one isolation group.
#[derive(Debug, Default)]
struct Circuit {
    generation: u32,
    /// The last one that was given out.
    newest: u32,
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

    /// Why the remote was not met at the last attempt, if it was not.
    pub(super) fn lost(&self, remote: &OnionAddress) -> Option<DialError> {
        let (_, told) = self.0.get(remote)?.told.as_ref()?;
        told.as_ref().err().filter(|error| !error.has_met()).cloned()
    }

    /// Whether the remote was met at the last attempt.
    pub(super) fn is_reached(&self, remote: &OnionAddress) -> bool {
        self.0.get(remote).is_some_and(|remote| matches!(remote.told, Some((_, Ok(())))))
    }

    /// After which time an attempt is late.
    pub(super) fn late(&self, remote: &OnionAddress, warm: bool) -> Duration {
        let known = self.0.get(remote).and_then(|remote| if warm { remote.warm } else { remote.cold });
        let (times, least, most) = LATE[usize::from(!warm)];
        known.map_or(most, |took| (took * times + Duration::from_millis(500)).clamp(least, most))
    }

    /// Room for attempts to this remote beside others.
    pub(super) fn beside(&mut self, remote: &OnionAddress) -> Arc<Semaphore> {
        let beside = &mut self.0.entry(*remote).or_default().beside;
        Arc::clone(beside.get_or_insert_with(|| Arc::new(Semaphore::new(BESIDE))))
    }

    /// Whether the remote's descriptor may be fetched again now; if so, it counts as fetched.
    pub(super) fn may_fetch(&mut self, remote: &OnionAddress) -> bool {
        let fetched = &mut self.0.entry(*remote).or_default().fetched;
        let pause = match *fetched {
            Some((at, pause)) if FETCHES.get(pause).is_some_and(|pause| at.elapsed() < *pause) => {
                return false;
            }
            Some((_, pause)) => (pause + 1).min(FETCHES.len() - 1),
            None => 0,
        };
        *fetched = Some((Instant::now(), pause));
        true
    }

    /// A connection came about, in this time; whether that is to be reported. The group goes on with its circuit, unless it has another that
    /// was seen to work.
    pub(super) fn succeeded(
        &mut self,
        remote: &OnionAddress,
        group: &str,
        isolation: &str,
        took: Duration,
        warm: bool,
    ) -> bool {
        let remote = self.0.entry(*remote).or_default();
        remote.fetched = None;
        *(if warm { &mut remote.warm } else { &mut remote.cold }) = Some(took);
        let circuit = match remote.groups.get_mut(group) {
            Some(circuit) => circuit,
            None => remote.groups.entry(group.to_owned()).or_default(),
        };
        if circuit.isolation(group) != isolation
            && circuit.worked.is_none()
            && let Some(generation) = generation_of(group, isolation)
        {
            circuit.generation = generation;
        }
        if circuit.isolation(group) == isolation {
            circuit.worked = Some(Instant::now());
        }
        remote.is_news(Ok(()))
    }

    /// An attempt failed because of the remote or its network; whether that is to be reported, where it `counts`.
    pub(super) fn failed(
        &mut self,
        remote: &OnionAddress,
        group: &str,
        error: &DialError,
        counts: bool,
    ) -> bool {
        let remote = self.0.entry(*remote).or_default();
        if let Some(circuit) = remote.groups.get_mut(group) {
            circuit.worked = None;
        }
        counts && remote.is_news(Err(error.clone()))
    }

    /// Gives the group another circuit, unless somebody has already.
    pub(super) fn renew(&mut self, remote: &OnionAddress, group: &str, isolation: &str) {
        let circuit = self.0.entry(*remote).or_default().groups.entry(group.to_owned()).or_default();
        if circuit.isolation(group) == isolation {
            let newest = circuit.newest.wrapping_add(1);
            *circuit = Circuit { generation: newest, newest, worked: None };
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

/// Which of the group's circuits this is.
fn generation_of(group: &str, isolation: &str) -> Option<u32> {
    match isolation.strip_prefix(group)? {
        "" => Some(0),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}
