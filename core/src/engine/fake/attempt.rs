//! An attempt to connect without tor, and the connection that it becomes.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;

use super::network::{Link, Network};
use crate::engine::stream::Stream;
use crate::engine::{AwaitReply, DialError, EngineError, GateAddr};
use crate::model::address::Port;
use crate::model::keys::ClientPublicKey;
use crate::model::onion::OnionAddress;

/// Bytes that may be under way in each direction of a connection.
const PIPE: usize = 64 * 1024;
/// How long tor waits for an answer (`SocksTimeout` of tor(1)).
const TOR_WAITS: Duration = Duration::from_secs(120);

/// What goes wrong from now on. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every dial ends like this.
    pub dial: Option<DialError>,
    /// No dial is ever answered.
    pub hang: bool,
    /// Before a dial is answered.
    pub delay: Duration,
    /// No dial is asked for a key.
    pub asks_no_key: bool,
    /// Every command but dials and the run switch is answered like this, and does nothing.
    pub command: Option<EngineError>,
}

pub(super) struct FakeAttempt {
    pub(super) network: Network,
    pub(super) key: Option<ClientPublicKey>,
    pub(super) alive: watch::Receiver<()>,
    pub(super) link: watch::Receiver<Link>,
    pub(super) faults: Faults,
    pub(super) address: OnionAddress,
    pub(super) port: Port,
    pub(super) early: Vec<u8>,
}

#[async_trait]
impl AwaitReply for FakeAttempt {
    async fn send_early(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        self.early.extend_from_slice(bytes);
        Ok(())
    }

    async fn reply(mut self: Box<Self>) -> Result<Stream, DialError> {
        let ended = || DialError::Broken("tor closed it without an answer".to_owned());
        if self.faults.hang {
            // It ends with the engine.
            let _ = self.alive.changed().await;
            return Err(ended());
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(self.faults.delay) => {}
            _ = self.alive.changed() => return Err(ended()),
        }
        if let Some(error) = &self.faults.dial {
            return Err(error.clone());
        }
        let waiting = self.alive.clone();
        until_it_speaks(&mut self.link, waiting.clone(), DialError::TimedOut).await?;
        let (run_dir, gate, up, mut link) = self.find_gate()?;
        until_it_speaks(&mut link, waiting, DialError::Gone).await?;
        let mut gate = self.network.gates.connect(&run_dir, &gate).await.map_err(|_| DialError::Failed)?;
        gate.write_all(&self.early).await.map_err(|_| DialError::Failed)?;
        let (near, far) = tokio::io::duplex(PIPE);
        tokio::spawn(carry(far, gate, up, self.alive, [self.link, link]));
        Ok(Stream::Pipe(near))
    }
}

impl FakeAttempt {
    /// The refusals come in the order in which tor finds out.
    fn find_gate(
        &self,
    ) -> Result<(PathBuf, GateAddr, watch::Receiver<()>, watch::Receiver<Link>), DialError> {
        let services = self.network.services();
        let service = services.get(&self.address).ok_or(DialError::NotPublished)?;
        if !self.faults.asks_no_key {
            let key = self.key.ok_or(DialError::KeyMissing)?;
            if key != service.spec.client {
                return Err(DialError::KeyRefused);
            }
        }
        if service.is_deaf {
            return Err(DialError::Gone);
        }
        let gate = service.spec.ports.get(&self.port).ok_or(DialError::PortNotExported(self.port))?;
        Ok((service.run_dir.clone(), gate.clone(), service.up.subscribe(), service.owner.subscribe()))
    }
}

/// Waits while a link is silent, as long as tor would; fails like this where it is cut.
async fn until_it_speaks(
    link: &mut watch::Receiver<Link>,
    mut alive: watch::Receiver<()>,
    cut: DialError,
) -> Result<(), DialError> {
    tokio::select! {
        biased;
        _ = alive.changed() => Err(DialError::Broken("tor closed it without an answer".to_owned())),
        heard = tokio::time::timeout(TOR_WAITS, link.wait_for(|link| *link != Link::Silent)) => match heard {
            Err(_) => Err(DialError::TimedOut),
            Ok(Ok(link)) if *link == Link::Up => Ok(()),
            Ok(_) => Err(cut),
        },
    }
}

/// A Tor stream ends both ways at once (tor-spec §6.3), and with either engine or the service.
async fn carry(
    far: DuplexStream,
    gate: Stream,
    mut up: watch::Receiver<()>,
    mut alive: watch::Receiver<()>,
    [mut near, mut beyond]: [watch::Receiver<Link>; 2],
) {
    let (mut from_client, mut to_client) = tokio::io::split(far);
    let (mut from_gate, mut to_gate) = tokio::io::split(gate);
    let copied = async {
        tokio::select! {
            biased;
            _ = tokio::io::copy(&mut from_client, &mut to_gate) => {}
            _ = tokio::io::copy(&mut from_gate, &mut to_client) => {}
        }
    };
    tokio::pin!(copied);
    loop {
        let links = [*near.borrow_and_update(), *beyond.borrow_and_update()];
        if links.contains(&Link::Cut) {
            return;
        }
        // Whichever ends first; why it ended makes no difference.
        tokio::select! {
            biased;
            _ = up.changed() => return,
            _ = alive.changed() => return,
            changed = near.changed() => if changed.is_err() { return },
            changed = beyond.changed() => if changed.is_err() { return },
            () = &mut copied, if !links.contains(&Link::Silent) => return,
        }
    }
}
