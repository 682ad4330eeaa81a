//! Plays the stranger: dials each service of ours once without its key, and has it taken down should it let us in.

use std::sync::Arc;
use std::time::Duration;

use super::reconcile::Reconciler;
use crate::engine::DialError;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

/// How often our own service is tried before the check gives up on finding its descriptor.
const CHECK_TRIES: u32 = 6;

/// What a dial of our own service without its key gave.
pub(super) enum Checked {
    /// Refused, as it must be.
    Closed,
    /// It let us in.
    Open,
    /// Nothing was learnt.
    Unknown,
}

impl Reconciler {
    /// tor fails open: a service without client authorisation is public. So each is dialled once without its key, which must fail.
    pub(super) fn check_closed(&self, address: OnionAddress) {
        // A host that imports from itself holds the key, so the dial would tell nothing.
        if self.observed.keys.contains_key(&address) {
            return;
        }
        let (engine, checked) = (Arc::clone(&self.engine), self.outputs.checked.clone());
        tokio::spawn(async move {
            let mut verdict = Checked::Unknown;
            for attempt in 1..=CHECK_TRIES {
                let isolation = format!("check-{attempt}");
                let reply = async { engine.dial(&address, Port::RESPONDER, &isolation).await?.reply().await };
                match tokio::time::timeout(Duration::from_secs(30), reply).await {
                    Ok(Err(DialError::KeyMissing | DialError::KeyRefused)) => {
                        verdict = Checked::Closed;
                        break;
                    }
                    Ok(Ok(_) | Err(DialError::PortNotExported(_))) => {
                        verdict = Checked::Open;
                        break;
                    }
                    // Not found yet, most likely.
                    _ => tokio::time::sleep(Duration::from_secs(5) * attempt).await,
                }
            }
            let _ = checked.send((address, verdict));
        });
    }

    pub(super) fn take_check(&mut self, address: OnionAddress, checked: Checked) {
        match checked {
            Checked::Closed => tracing::debug!(%address, "closed to strangers"),
            Checked::Unknown => tracing::debug!(%address, "could not be checked"),
            // Ours could have become a remote of ours meanwhile.
            Checked::Open if self.observed.keys.contains_key(&address) => {}
            Checked::Open => {
                tracing::error!(%address, "the service let a stranger in; it is taken down");
                self.condemned.insert(address);
            }
        }
    }
}
