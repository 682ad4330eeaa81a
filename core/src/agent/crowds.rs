//! Learns whether a remote turns our connections away for want of room: its agent is asked when it ended a connection without a word, and
//! again until there is room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::forward::dialler::{Dialler, Early};
use crate::forward::responder;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

/// Between two questions to one remote.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a question may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Its circuits are shared with what keeps a remote's state known.
const GROUP: &str = "state";

/// The ports that are full: open sessions, and how many there can be of all.
pub(super) type Full = BTreeMap<Port, (u64, u64)>;

/// What is known, and who is being asked. Dropping it ends that.
#[derive(Default)]
pub(super) struct Crowds {
    known: Arc<Mutex<BTreeMap<OnionAddress, Full>>>,
    asking: BTreeMap<OnionAddress, AbortHandle>,
}

impl Crowds {
    /// Asks a remote, unless it is being asked already; again and again while it is full.
    pub(super) fn ask(&mut self, dialler: &Arc<Dialler>, remote: OnionAddress) {
        self.asking.retain(|_, task| !task.is_finished());
        if self.asking.contains_key(&remote) {
            return;
        }
        let (dialler, known) = (Arc::clone(dialler), Arc::clone(&self.known));
        let task = tokio::spawn(async move {
            loop {
                // No answer is no news: what was known is forgotten.
                let full =
                    timeout(LIMIT, question(&dialler, &remote)).await.ok().flatten().unwrap_or_default();
                let is_full = !full.is_empty();
                let before = match is_full {
                    true => lock(&known).insert(remote, full.clone()).unwrap_or_default(),
                    false => lock(&known).remove(&remote).unwrap_or_default(),
                };
                if before != full {
                    tracing::info!(%remote, ?full, "ports without room");
                    dialler.tell();
                }
                tokio::time::sleep(PAUSE).await;
                if !is_full {
                    return;
                }
            }
        });
        self.asking.insert(remote, task.abort_handle());
    }

    /// The ports of a remote that are full.
    pub(super) fn full(&self, remote: &OnionAddress) -> Full {
        lock(&self.known).get(remote).cloned().unwrap_or_default()
    }

    /// Gives a remote up.
    pub(super) fn forget(&mut self, remote: &OnionAddress) {
        self.asking.remove(remote).into_iter().for_each(|task| task.abort());
        lock(&self.known).remove(remote);
    }
}

impl Drop for Crowds {
    fn drop(&mut self) {
        self.asking.values().for_each(AbortHandle::abort);
    }
}

async fn question(dialler: &Dialler, remote: &OnionAddress) -> Option<Full> {
    let connected = dialler.connect(remote, Port::RESPONDER, GROUP, Early::none()).await.ok()?;
    let info = responder::ask_info(connected.stream).await.ok()?;
    Some(info.ports.iter().filter_map(|info| Some((info.port, info.full?))).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
