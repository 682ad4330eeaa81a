//! Plays the stranger: dials each service of ours once without its key, and has it taken down should it let us in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use super::reconcile::Reconciler;
use crate::engine::DialError;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

/// After so many tries in vain it is said in the log.
const TRIES_IN_SILENCE: u32 = 6;
/// How long a try may take.
const TRY: Duration = Duration::from_secs(30);
/// The pause grows by this with each try, up to the longest: mostly the descriptor is not found yet.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What a dial of our own service without its key gave.
pub(super) enum Checked {
    /// Refused, as it must be.
    Closed,
    /// It let us in.
    Open,
}

/// The checks that are under way, and when each service was last seen to refuse a stranger.
#[derive(Default)]
pub(super) struct Checks {
    under_way: BTreeMap<OnionAddress, AbortHandle>,
    /// In seconds since 1970-01-01 UTC.
    closed: BTreeMap<OnionAddress, u64>,
}

impl Checks {
    /// When each service was last seen to refuse a stranger, in seconds since 1970-01-01 UTC.
    pub(super) fn closed(&self) -> BTreeMap<OnionAddress, u64> {
        self.closed.clone()
    }

    /// A service is gone: nothing is known of it any more.
    pub(super) fn forget(&mut self, address: &OnionAddress) {
        self.closed.remove(address);
        if let Some(task) = self.under_way.remove(address) {
            task.abort();
        }
    }

    /// All services are gone.
    pub(super) fn forget_all(&mut self) {
        self.closed.clear();
        std::mem::take(&mut self.under_way).into_values().for_each(|task| task.abort());
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.forget_all();
    }
}

impl Reconciler {
    /// tor fails open: a service without client authorisation is public. So each is dialled without its key until that has failed.
    pub(super) fn check_closed(&mut self, address: OnionAddress) {
        self.checks.forget(&address);
        // A host that imports from itself holds the key, so the dial would tell nothing.
        if self.observed.keys.contains_key(&address) {
            return;
        }
        let (engine, checked) = (Arc::clone(&self.engine), self.outputs.checked.clone());
        let task = tokio::spawn(async move {
            for attempt in 1_u32.. {
                let isolation = format!("check-{attempt}");
                let reply = async { engine.dial(&address, Port::RESPONDER, &isolation).await?.reply().await };
                let verdict = match tokio::time::timeout(TRY, reply).await {
                    Ok(Err(DialError::KeyMissing | DialError::KeyRefused)) => Some(Checked::Closed),
                    Ok(Ok(_) | Err(DialError::PortNotExported(_))) => Some(Checked::Open),
                    // Nothing was learnt.
                    _ => None,
                };
                if let Some(verdict) = verdict {
                    let _ = checked.send((address, verdict));
                    return;
                }
                if attempt == TRIES_IN_SILENCE {
                    tracing::warn!(%address, "that strangers are refused could not be checked yet; it is tried again");
                }
                tokio::time::sleep(PAUSE.saturating_mul(attempt).min(LONGEST_PAUSE)).await;
            }
        });
        self.checks.under_way.insert(address, task.abort_handle());
    }

    pub(super) fn take_check(&mut self, address: OnionAddress, checked: Checked) {
        if self.checks.under_way.remove(&address).is_none() {
            return;
        }
        match checked {
            Checked::Closed => {
                tracing::debug!(%address, "closed to strangers");
                self.checks.closed.insert(address, self.about.calendar.now());
            }
            // Ours could have become a remote of ours meanwhile.
            Checked::Open if self.observed.keys.contains_key(&address) => {}
            Checked::Open => {
                tracing::error!(%address, "the service let a stranger in; it is taken down");
                self.condemned.insert(address);
            }
        }
    }
}
