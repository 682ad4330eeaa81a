//! Asks the agent of a remote that was found to be full again and again, until it has room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::forward::dialler::Dialler;
use crate::model::onion::OnionAddress;
use crate::plan::health::{Full, Report};

/// Between two questions to one remote.
const PAUSE: Duration = Duration::from_secs(10);

/// Who is being asked. Dropping it ends that.
#[derive(Default)]
pub(super) struct Crowds(BTreeMap<OnionAddress, AbortHandle>);

impl Crowds {
    /// Asks a remote, unless it is being asked already; again and again while it is full.
    pub(super) fn ask(&mut self, dialler: &Arc<Dialler>, remote: OnionAddress) {
        self.0.retain(|_, task| !task.is_finished());
        if self.0.contains_key(&remote) {
            return;
        }
        let dialler = Arc::clone(dialler);
        let task = tokio::spawn(async move {
            loop {
                let full = dialler.info(&remote).await.map(|info| -> Full { info.full().collect() });
                let is_full = full.as_ref().is_some_and(|full| !full.is_empty());
                if is_full {
                    tracing::debug!(%remote, ?full, "ports without room");
                }
                dialler.reports().tell(Report::Full(remote, full));
                tokio::time::sleep(PAUSE).await;
                if !is_full {
                    return;
                }
            }
        });
        self.0.insert(remote, task.abort_handle());
    }

    /// Gives a remote up.
    pub(super) fn forget(&mut self, remote: &OnionAddress) {
        self.0.remove(remote).into_iter().for_each(|task| task.abort());
    }
}

impl Drop for Crowds {
    fn drop(&mut self) {
        self.0.values().for_each(AbortHandle::abort);
    }
}
