//! Checks which backends accept connections, for all clients together: one check at a time for each backend, and at most every few seconds.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::forward::ports::{Ports, SystemPorts};
use crate::model::address::Target;

/// How long a backend may take to accept when it is probed.
const PROBE_TIME: Duration = Duration::from_secs(2);

/// How long a probe's result is kept.
const PROBE_LIFE: Duration = Duration::from_secs(5);

/// Backends probed at a time.
const PROBES: usize = 32;

/// Asks backends. One for an agent; dropping it ends what it is asking.
#[derive(Debug)]
pub struct Prober {
    known: Mutex<HashMap<Target, watch::Receiver<Option<Known>>>>,
    probes: Mutex<JoinSet<()>>,
    turns: Arc<Semaphore>,
    ports: Arc<dyn Ports>,
}

/// A probe's result.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: Instant,
    open: bool,
}

impl Default for Prober {
    fn default() -> Self {
        Self::over(Arc::new(SystemPorts))
    }
}

impl Prober {
    /// One that reaches backends in this way.
    pub fn over(ports: Arc<dyn Ports>) -> Self {
        Self {
            known: Mutex::default(),
            probes: Mutex::default(),
            turns: Arc::new(Semaphore::new(PROBES)),
            ports,
        }
    }

    /// Which of these accept connections now, or did within the last few seconds.
    pub async fn accept(&self, targets: BTreeSet<Target>) -> HashMap<Target, bool> {
        let asked: Vec<_> = targets.into_iter().map(|target| (self.ask(&target), target)).collect();
        let mut found = HashMap::new();
        for (mut answer, target) in asked {
            // A probe that was given up tells nothing good.
            let open =
                answer.wait_for(Option::is_some).await.is_ok_and(|known| known.is_some_and(|k| k.open));
            found.insert(target, open);
        }
        found
    }

    /// The probe of a backend that is under way or was made lately; else a new one.
    fn ask(&self, target: &Target) -> watch::Receiver<Option<Known>> {
        let mut known = lock(&self.known);
        let is_fresh = |answer: &watch::Receiver<Option<Known>>| match *answer.borrow() {
            Some(Known { at, .. }) => at.elapsed() < PROBE_LIFE,
            None => answer.has_changed().is_ok(),
        };
        known.retain(|_, answer| is_fresh(answer));
        if let Some(answer) = known.get(target) {
            return answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        known.insert(target.clone(), answer.clone());
        let (target, turns, ports) = (target.clone(), Arc::clone(&self.turns), Arc::clone(&self.ports));
        let mut probes = lock(&self.probes);
        while probes.try_join_next().is_some() {}
        probes.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let open = timeout(PROBE_TIME, ports.connect(&target)).await.is_ok_and(|backend| backend.is_ok());
            tell.send_replace(Some(Known { at: Instant::now(), open }));
        });
        answer
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
