//! Closes the circuits of a service that was taken down, a while after that.
//!
//! Not at once: tor reads nothing for a circuit that is full, so the ends of its streams may not have been sent, and a circuit that is closed
//! throws them away. The DESTROY that is sent instead can wait at each relay, for minutes, until that has something else to send on the
//! same link (`circuitmux_append_destroy_cell` in tor's source wakes no scheduler where bytes are still being written). Nobody gets in by
//! these circuits meanwhile: tor finds no service for them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::batch::Batch;
use super::commands;
use super::control::Control;
use crate::engine::EngineError;
use crate::model::onion::OnionAddress;

/// How long the ends of streams may take on a slow circuit.
const LINGER: Duration = Duration::from_secs(20);

/// Services whose circuits are still to be closed.
#[derive(Debug, Default)]
pub(super) struct Unclosed(BTreeMap<OnionAddress, AbortHandle>);

impl Unclosed {
    /// Has them closed after a while, and tried again until that has worked.
    pub(super) fn close_later(&mut self, address: OnionAddress, control: Control) {
        let closing = tokio::spawn(async move {
            loop {
                sleep(LINGER).await;
                match close(&control, &address).await {
                    Ok(()) | Err(EngineError::NotRunning) => return,
                    Err(error) => tracing::warn!(%error, "failed to close the circuits of a service"),
                }
            }
        });
        self.put(address, Some(closing.abort_handle()));
    }

    /// Whether some may be open.
    pub(super) fn contains(&self, address: &OnionAddress) -> bool {
        self.0.get(address).is_some_and(|closing| !closing.is_finished())
    }

    /// They were closed.
    pub(super) fn remove(&mut self, address: &OnionAddress) {
        self.put(*address, None);
    }

    /// tor has ended, and with it all circuits.
    pub(super) fn clear(&mut self) {
        std::mem::take(&mut self.0).values().for_each(AbortHandle::abort);
    }

    fn put(&mut self, address: OnionAddress, closing: Option<AbortHandle>) {
        if let Some(before) = self.0.remove(&address) {
            before.abort();
        }
        self.0.retain(|_, closing| !closing.is_finished());
        self.0.extend(closing.map(|closing| (address, closing)));
    }
}

impl Drop for Unclosed {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The commands that close a service's circuits.
///
/// Errors: tor does not tell of them.
pub(super) async fn closing(control: &Control, address: &OnionAddress) -> Result<Batch, EngineError> {
    let status = control.get_info("circuit-status").await?;
    let mut batch = Batch::default();
    for circuit in commands::circuits_of_service(&status, address) {
        batch.push(&commands::close_circuit(circuit));
    }
    Ok(batch)
}

async fn close(control: &Control, address: &OnionAddress) -> Result<(), EngineError> {
    let batch = closing(control, address).await?;
    if batch.commands == 0 {
        return Ok(());
    }
    // One that is gone by now is refused.
    control.ask(batch, "close the circuits of a service").await.map(drop)
}
