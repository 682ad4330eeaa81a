//! Dials each of our services once without its key, as a stranger would, and reports whether it was let in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::engine::{DialError, OnionEngine};
use crate::forward::reports::Reports;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;
use crate::plan::health::Report;

/// After this many failed tries the log says so.
const TRIES_IN_SILENCE: u32 = 6;
/// How long a try may take.
const TRY: Duration = Duration::from_secs(30);
/// The pause grows by this with each try, up to the longest: mostly the descriptor is not found yet.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The checks that are under way. Dropping it ends them.
#[derive(Default)]
pub(super) struct Checks(BTreeMap<OnionAddress, AbortHandle>);

impl Checks {
    /// tor fails open: a service without client authorisation is public. So each is dialled without its key until that has failed.
    pub(super) fn begin(&mut self, engine: &Arc<dyn OnionEngine>, reports: &Reports, address: OnionAddress) {
        let (engine, reports) = (Arc::clone(engine), reports.clone());
        let task = tokio::spawn(async move {
            for attempt in 1_u32.. {
                let isolation = format!("check-{attempt}");
                let reply = async { engine.dial(&address, Port::RESPONDER, &isolation).await?.reply().await };
                let verdict = match tokio::time::timeout(TRY, reply).await {
                    Ok(Err(DialError::KeyMissing | DialError::KeyRefused)) => {
                        Some(Report::StrangerRefused(address))
                    }
                    Ok(Ok(_) | Err(DialError::PortNotExported(_))) => Some(Report::StrangerLetIn(address)),
                    // Nothing was learnt.
                    _ => None,
                };
                if let Some(verdict) = verdict {
                    return reports.tell(verdict);
                }
                if attempt == TRIES_IN_SILENCE {
                    tracing::warn!(%address, "that strangers are refused could not be checked yet; it is tried again");
                }
                tokio::time::sleep(PAUSE.saturating_mul(attempt).min(LONGEST_PAUSE)).await;
            }
        });
        if let Some(old) = self.0.insert(address, task.abort_handle()) {
            old.abort();
        }
    }

    /// A check has ended; false if it was given up before.
    pub(super) fn ended(&mut self, address: &OnionAddress) -> bool {
        self.0.remove(address).is_some()
    }

    /// A service is gone, or is not to be checked.
    pub(super) fn forget(&mut self, address: &OnionAddress) {
        self.0.remove(address).into_iter().for_each(|task| task.abort());
    }

    /// All services are gone.
    pub(super) fn forget_all(&mut self) {
        std::mem::take(&mut self.0).into_values().for_each(|task| task.abort());
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.forget_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Host, address, until};
    use super::*;

    #[tokio::test]
    async fn a_check_ends_when_it_is_forgotten_begun_anew_or_dropped() {
        let engine: Arc<dyn OnionEngine> = Host::new().engine();
        let reports = Reports::nowhere();
        let mut checks = Checks::default();
        // Each check holds the engine. It is not running, so they go on trying.
        let under_way = || Arc::strong_count(&engine) - 1;

        checks.begin(&engine, &reports, address(1));
        checks.begin(&engine, &reports, address(2));
        assert_eq!(under_way(), 2);
        checks.begin(&engine, &reports, address(2));
        until(|| under_way() == 2).await;
        checks.forget(&address(2));
        until(|| under_way() == 1).await;
        assert!(!checks.ended(&address(2)) && checks.ended(&address(1)));

        checks.begin(&engine, &reports, address(2));
        checks.begin(&engine, &reports, address(3));
        checks.forget_all();
        until(|| under_way() == 1).await;
        checks.begin(&engine, &reports, address(3));
        drop(checks);
        until(|| under_way() == 1).await;
    }
}
