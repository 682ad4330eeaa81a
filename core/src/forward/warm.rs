//! Warming: fetches a remote's descriptor and builds a circuit before they are needed. The agent decides when.

use super::dialler::{ConnectError, Dialler, Early};
use super::responder::{self, AskError, Echo};
use crate::engine::EngineError;
use crate::model::address::Port;
use crate::model::onion::OnionAddress;
use crate::plan::health::Report;

/// What is known of the remote's other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An ormesh agent: its responder is asked.
    Ormesh,
    /// tor with some other program, or nobody knows: nothing is sent to it.
    PlainTor,
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

/// Warms a remote for one isolation group. What it learns of the remote is reported.
pub async fn warm(
    dialler: &Dialler,
    remote: &OnionAddress,
    group: &str,
    peer: Peer,
) -> Result<(), WarmError> {
    if peer == Peer::PlainTor {
        dialler.engine().fetch_descriptor(remote).await?;
        return Ok(());
    }
    if !dialler.is_reached(remote) {
        // It may be there with other introduction points. Where it was just reached, tor has its descriptor, and another copy would have tor
        // close the introduction circuits that are being built, and shun a point for two minutes once that was so five times. The dial
        // fetches it, too, so a failure here is not one.
        let _ = dialler.engine().fetch_descriptor(remote).await;
    }
    let connected = dialler.connect(remote, Port::RESPONDER, group, Early::none()).await?;
    let Echo { took, ports, sessions } = responder::ask_echo(connected.stream).await?;
    dialler.sessions().announced(remote, sessions);
    dialler.reports().tell(Report::Answered { remote: *remote, took, ports });
    Ok(())
}

#[cfg(test)]
mod tests;
