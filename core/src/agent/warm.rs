//! Keeps remotes warm: descriptor and circuit ready before they are needed, which also tells `status` whether each can be reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::forward::dialler::Dialler;
use crate::forward::warm::{Peer, warm};
use crate::model::onion::OnionAddress;
use crate::model::pauses::Pauses;

/// The first and the longest pause after a failure. An attempt itself goes on for up to a minute.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// One task for each remote that tor has the key of. Dropping it ends them.
#[derive(Default)]
pub(super) struct Warmers(BTreeMap<OnionAddress, AbortHandle>);

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
        let task = tokio::spawn(async move {
            // Without an import there is no circuit to warm, but the remote's state is still worth knowing.
            let groups = if groups.is_empty() { vec!["state".to_owned()] } else { groups };
            let mut pauses = Pauses::new(RETRY);
            for group in groups {
                while let Err(error) = warm(&dialler, &remote, &group, peer).await {
                    tracing::debug!(%remote, %error, "not warm yet");
                    tokio::time::sleep(pauses.after_failure()).await;
                }
            }
        });
        if let Some(old) = self.0.insert(remote, task.abort_handle()) {
            old.abort();
        }
    }

    /// Whether a remote is being warmed now.
    pub(super) fn is_busy(&self, remote: &OnionAddress) -> bool {
        self.0.get(remote).is_some_and(|task| !task.is_finished())
    }

    /// Gives a remote up.
    pub(super) fn stop(&mut self, remote: &OnionAddress) {
        if let Some(task) = self.0.remove(remote) {
            task.abort();
        }
    }

    /// Gives all up.
    pub(super) fn stop_all(&mut self) {
        std::mem::take(&mut self.0).into_values().for_each(|task| task.abort());
    }
}

impl Drop for Warmers {
    fn drop(&mut self) {
        self.stop_all();
    }
}
