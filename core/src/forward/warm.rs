//! Warming: has a remote's descriptor and circuit ready before anyone needs them. When to warm is the agent's decision.

use std::time::Duration;

use super::dialler::{ConnectError, Dialler, Early};
use super::responder::{self, AskError};
use crate::engine::EngineError;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

/// What is known of the remote's other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An ormesh agent: its responder is asked.
    Ormesh,
    /// tor with some other program, or nobody knows: nothing is sent to it.
    PlainTor,
}

/// What was made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warmed {
    /// A circuit that answers.
    Circuit {
        /// From question to answer, over that circuit.
        round_trip: Duration,
    },
    /// The descriptor was asked for; the engine tells of it by an event.
    Descriptor,
}

/// Why a remote could not be warmed.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// tor did not take the request.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The remote was not reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The other agent did not answer as it should.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// Warms a remote for one isolation group. What it learns of the remote's health, the dialler keeps.
pub async fn warm(
    dialler: &Dialler,
    remote: &OnionAddress,
    group: &str,
    peer: Peer,
) -> Result<Warmed, WarmError> {
    if peer == Peer::PlainTor {
        dialler.engine().fetch_descriptor(remote).await?;
        return Ok(Warmed::Descriptor);
    }
    if !dialler.is_warm(remote, group) {
        // Ahead of the dial it saves a little time; the dial fetches it, too, so a failure here is not one.
        let _ = dialler.engine().fetch_descriptor(remote).await;
    }
    let connected = dialler.connect(remote, Port::RESPONDER, group, Early::none()).await?;
    let round_trip = responder::ask_echo(connected.stream).await?;
    Ok(Warmed::Circuit { round_trip })
}

#[cfg(test)]
mod tests;
