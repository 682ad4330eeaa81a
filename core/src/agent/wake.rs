//! Waits for the next event of the loop: one select over all its inputs.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::execute::Executor;
use super::keys_in_use::Fetched;
use super::known::Question;
use super::vault::Vault;
use super::wires::{Forgotten, Inputs};
use crate::engine::EngineEvent;
use crate::forward::dialler::Dialler;
use crate::forward::gate::GateEvent;
use crate::model::onion::OnionAddress;
use crate::plan::Socket;
use crate::plan::health::Report;

/// What the loop was woken by.
pub(super) enum Wake {
    Config,
    Paused,
    Stop,
    EngineState,
    Engine(EngineEvent),
    Gate(GateEvent),
    Fetched(Fetched),
    Forgotten(Forgotten),
    /// A report about tor, a service, a remote or the secret store.
    Reported(Instant, Report),
    /// A socket that was being made is ready, or failed.
    Opened(Socket),
    /// Sockets were removed or replaced by another program.
    Gone(BTreeSet<Socket>),
    /// A port of a remote was found to be full.
    Full(OnionAddress),
    /// A client's access was seen to be over, or was given another end.
    Expired,
    Asked(Question),
    Timer,
}

/// Waits for what comes first, at most until this moment. Cancel-safe.
pub(super) async fn next(
    inputs: &mut Inputs,
    executor: &mut Executor,
    dialler: &Dialler,
    vault: &Vault,
    until: Option<Instant>,
) -> Wake {
    let timer = async {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    let Executor { sockets, openings, .. } = executor;
    tokio::select! {
        biased;
        Ok(()) = inputs.stop.changed() => Wake::Stop,
        Ok(()) = inputs.config.changed() => Wake::Config,
        Ok(()) = inputs.paused.changed() => Wake::Paused,
        Some(event) = inputs.engine_events.recv() => Wake::Engine(event),
        Ok(()) = inputs.engine_state.changed() => Wake::EngineState,
        Ok(()) = inputs.clock_warning.changed() => {
            Wake::Reported(Instant::now(), Report::Clock(inputs.clock_warning.borrow().clone()))
        }
        Ok(()) = inputs.store_answers.changed() => {
            Wake::Reported(Instant::now(), Report::Store(vault.store.problem()))
        }
        Ok(()) = inputs.expired.changed() => Wake::Expired,
        Some(forgotten) = inputs.forgotten.recv() => Wake::Forgotten(forgotten),
        Some(event) = inputs.gate_events.recv() => Wake::Gate(event),
        Some(fetched) = inputs.fetched.recv() => Wake::Fetched(fetched),
        Some((at, report)) = inputs.reported.recv() => Wake::Reported(at, report),
        Some(question) = inputs.questions.recv() => Wake::Asked(question),
        socket = openings.news() => Wake::Opened(socket),
        gone = sockets.gone() => Wake::Gone(gone),
        address = dialler.next_full() => Wake::Full(address),
        () = timer => Wake::Timer,
    }
}
