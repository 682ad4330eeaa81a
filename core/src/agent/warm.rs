//! Keeps remotes warm: fetches descriptors and builds circuits before they are needed. The results also tell `status` which remotes can be
//! reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::forward::dialler::Dialler;
use crate::forward::warm::{Peer, warm};
use crate::model::onion::OnionAddress;
use crate::model::pauses::Pauses;

/// The first and the longest pause after a failure. An attempt itself goes on for up to a minute.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// One task for each remote that tor has the key of. Dropping it ends them.
#[derive(Default)]
pub(super) struct Warmers(BTreeMap<OnionAddress, Warmer>);

struct Warmer {
    task: AbortHandle,
    /// Cuts its pause short.
    hurry: Arc<Notify>,
}

impl Warmers {
    /// Warms a remote from now on until it was reached once; an attempt under way is given up for this one.
    pub(super) fn start(
        &mut self,
        dialler: &Arc<Dialler>,
        remote: OnionAddress,
        groups: Vec<String>,
        peer: Peer,
    ) {
        let dialler = Arc::clone(dialler);
        let hurry = Arc::new(Notify::new());
        let hurried = Arc::clone(&hurry);
        let task = tokio::spawn(async move {
            // Without an import there is no circuit to warm, but the remote's state is still worth knowing.
            let groups = if groups.is_empty() { vec!["state".to_owned()] } else { groups };
            let mut pauses = Pauses::new(RETRY);
            for group in groups {
                while let Err(error) = warm(&dialler, &remote, &group, peer).await {
                    tracing::debug!(%remote, %error, "not warm yet");
                    let _ = tokio::time::timeout(pauses.after_failure(), hurried.notified()).await;
                }
            }
        });
        if let Some(old) = self.0.insert(remote, Warmer { task: task.abort_handle(), hurry }) {
            old.task.abort();
        }
    }

    /// Has a remote that is being warmed tried again without a pause.
    pub(super) fn hurry(&self, remote: &OnionAddress) {
        if let Some(warmer) = self.0.get(remote) {
            warmer.hurry.notify_waiters();
        }
    }

    /// Whether a remote is being warmed now.
    pub(super) fn is_busy(&self, remote: &OnionAddress) -> bool {
        self.0.get(remote).is_some_and(|warmer| !warmer.task.is_finished())
    }

    /// Gives a remote up.
    pub(super) fn stop(&mut self, remote: &OnionAddress) {
        if let Some(warmer) = self.0.remove(remote) {
            warmer.task.abort();
        }
    }

    /// Gives all up.
    pub(super) fn stop_all(&mut self) {
        std::mem::take(&mut self.0).into_values().for_each(|warmer| warmer.task.abort());
    }
}

impl Drop for Warmers {
    fn drop(&mut self) {
        self.stop_all();
    }
}
