//! The loop's ends of its channels to all other parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::keys_in_use::Fetched;
use super::known::Question;
use super::vault::Failure;
use crate::engine::{EngineEvent, EngineState};
use crate::forward::calendar::Calendar;
use crate::forward::dialler::Rekey;
use crate::forward::gate::GateEvent;
use crate::forward::reports::Reported;
use crate::model::expired::Expired;
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::status::Status;
use crate::plan::Subject;
use crate::plan::derive::Process;
use crate::store::InForce;

/// How far the loop has come: what waits for an edit to have taken effect waits for this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// The generation that was planned and executed.
    pub(super) generation: u64,
    /// Whether that was while paused.
    pub(super) paused: bool,
    /// The services of which tor or a gate still holds something.
    pub(super) up: BTreeSet<OnionAddress>,
    /// What failed, by subject.
    pub(super) failures: BTreeMap<Subject, Problem>,
    /// The generations that wait for a socket still.
    pub(super) opening: BTreeSet<u64>,
}

impl Applied {
    /// Whether all is done that the configuration of this generation asks for, as far as it is done at once.
    pub(super) fn has(&self, generation: u64) -> bool {
        self.generation >= generation && self.opening.range(generation..).next().is_none()
    }
}

/// A demand of tor's key for a remote: it has forgotten it.
pub(super) struct Forgotten {
    pub(super) address: OnionAddress,
    pub(super) done: oneshot::Sender<bool>,
}

/// Asks the loop for it. See [`Rekey`].
pub(super) struct AskAgain(pub(super) mpsc::UnboundedSender<Forgotten>);

#[async_trait]
impl Rekey for AskAgain {
    async fn rekey(&self, address: &OnionAddress) -> bool {
        let (done, told) = oneshot::channel();
        self.0.send(Forgotten { address: *address, done }).is_ok() && told.await.unwrap_or(false)
    }
}

/// The inputs of the loop.
pub(super) struct Inputs {
    pub(super) config: watch::Receiver<InForce>,
    pub(super) paused: watch::Receiver<bool>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) engine_state: watch::Receiver<EngineState>,
    pub(super) clock_warning: watch::Receiver<Option<String>>,
    pub(super) engine_events: mpsc::UnboundedReceiver<EngineEvent>,
    pub(super) gate_events: mpsc::UnboundedReceiver<GateEvent>,
    pub(super) fetched: mpsc::UnboundedReceiver<Fetched>,
    pub(super) forgotten: mpsc::UnboundedReceiver<Forgotten>,
    pub(super) store_answers: watch::Receiver<Option<Failure>>,
    /// Whose access was seen to be over.
    pub(super) expired: watch::Receiver<Expired>,
    pub(super) reported: Reported,
    pub(super) questions: mpsc::UnboundedReceiver<Question>,
}

/// The outputs of the loop.
pub(super) struct Outputs {
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) applied: watch::Sender<Applied>,
    /// A client has connected for the first time: its private key is to be erased.
    pub(super) first_stream: mpsc::UnboundedSender<OnionAddress>,
}

/// What never changes while the agent runs.
pub(super) struct About {
    pub(super) started: Instant,
    pub(super) calendar: Calendar,
    pub(super) process: Process,
}
