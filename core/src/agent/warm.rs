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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::bench::{Host, address, until};
    use super::super::wires::AskAgain;
    use super::*;
    use crate::forward::reports::Reports;

    #[tokio::test]
    async fn a_remote_is_warmed_until_it_is_given_up_warmed_anew_or_all_are() {
        let asks = Arc::new(AskAgain(mpsc::unbounded_channel().0));
        let dialler = Dialler::new(Host::new().engine() as _, asks, Reports::nowhere());
        let alone = Arc::strong_count(&dialler);
        // Each warmer holds the dialler. Its engine is not running, so they go on trying.
        let under_way = || Arc::strong_count(&dialler) - alone;
        let mut warmers = Warmers::default();
        let start = |warmers: &mut Warmers, number| {
            warmers.start(&dialler, address(number), Vec::new(), Peer::Ormesh);
        };
        start(&mut warmers, 1);
        start(&mut warmers, 2);
        start(&mut warmers, 2);
        until(|| under_way() == 2).await;
        assert!(warmers.is_busy(&address(1)) && !warmers.is_busy(&address(3)));

        warmers.stop(&address(1));
        until(|| under_way() == 1).await;
        assert!(!warmers.is_busy(&address(1)));
        warmers.stop_all();
        until(|| under_way() == 0).await;
        start(&mut warmers, 1);
        drop(warmers);
        until(|| under_way() == 0).await;
    }
}
