//! The engine that runs the real tor, as a process of its own.
//!
//! Here: what the contract's commands do. `find`, `transports`, `torrc`, `process` and `supervisor` keep tor running, `shared` is what both sides know; `control`, `long_reply`, `auth`,
//! `commands` and `events` talk with it; `socks` dials, and `ends` tells how what was dialled ended; `circuits` closes those of a service that was taken down; `survey` asks how tor stands, `pulse` does so by itself; `unix` and `windows` hold what differs. Invariant: tor's configuration is never changed while
//! it runs, and no service is ever published without a client.

mod auth;
mod backoff;
mod batch;
mod circuits;
mod commands;
mod control;
mod ends;
mod events;
mod find;
mod long_reply;
mod moves;
mod process;
mod progress;
mod pulse;
mod reply;
mod sentences;
mod shared;
mod socks;
mod supervisor;
mod survey;
#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;
mod torrc;
mod transports;
mod uploads;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

pub use find::{Finder, MINIMUM, NotFound, Version};
pub use process::LAUNCH_VERB;
pub use system::become_tor;
pub use torrc::{MAX_RUN_DIR, TorSettings};
pub use transports::check as check_transports;

use self::batch::Batch;
use self::reply::Reply;
use self::shared::{Shared, lock};
use self::supervisor::Want;
use super::{Attempt, DialError, EngineError, EngineEvent, EngineState, OnionEngine, ServiceSpec, Survey};
use crate::model::address::Port;
use crate::model::bridge::Bridge;
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::status::TorStatus;
use crate::plan::vigil::Vigil;

/// Runs tor. Nothing happens before [`OnionEngine::run`]; dropping it ends tor in order.
pub struct CTor {
    shared: Arc<Shared>,
    want: watch::Sender<Want>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<EngineEvent>>>,
}

impl CTor {
    /// An engine with these directories that looks for tor in these places.
    pub fn new(settings: TorSettings, finder: Finder) -> Arc<Self> {
        let (events, receiver) = mpsc::unbounded_channel();
        let shared = Shared::new(settings, finder, events);
        let want = watch::Sender::new(Want::default());
        Arc::new(Self { shared: Arc::new(shared), want, receiver: Mutex::new(Some(receiver)) })
    }

    /// Looks elsewhere for tor from the next start on; say `run(true)` again to have it looked for at once when none was found.
    pub fn set_finder(&self, finder: Finder) {
        *lock(&self.shared.finder) = finder;
    }

    /// Looks for tor as the next start would, and starts none.
    pub async fn look(&self) -> Result<TorStatus, NotFound> {
        self.shared.finder().find().await
    }

    /// Takes in what is known by now of the tor that runs.
    pub fn know(&self, tor: TorStatus) {
        self.shared.set_info(tor);
    }

    /// Enters the network by these bridges, or by its public relays when there are none, from the next start on.
    pub fn set_bridges(&self, bridges: Vec<Bridge>) {
        *lock(&self.shared.bridges) = bridges;
    }

    /// Starts tor through this program, which must call [`become_tor`] when asked by [`LAUNCH_VERB`]: then tor dies with us, whatever
    /// happens. (tor's own ways, the control connection and the owner's process id, were seen to end in a tor that hangs in its exit.)
    pub fn set_launcher(&self, program: PathBuf) {
        *lock(&self.shared.launcher) = Some(program);
    }

    /// Sends a command to the tor that runs and gives what became of it while that same tor ran.
    async fn ask(&self, batch: Batch, action: &'static str) -> Result<Vec<Reply>, EngineError> {
        let link = self.shared.link().ok_or(EngineError::NotRunning)?;
        let replies = link.control.ask(batch, action).await?;
        // Lost was told meanwhile: then nothing is up, whatever tor has answered.
        if self.shared.link().is_none_or(|now| !now.control.is_same(&link.control)) {
            return Err(EngineError::NotRunning);
        }
        Ok(replies)
    }

    /// Sends one command that must succeed.
    async fn tell(&self, command: &str, action: &'static str) -> Result<(), EngineError> {
        let replies = self.ask(Batch::one(command), action).await?;
        replies.iter().find(|reply| !reply.is_ok()).map_or(Ok(()), |reply| Err(reply.refused(action)))
    }

    /// What closes a service's circuits and takes it down.
    ///
    /// Errors: tor does not tell of the circuits. The service is taken down then, and its circuits are closed before it is published again.
    async fn taking_down(&self, address: &OnionAddress) -> Result<Batch, EngineError> {
        let link = self.shared.link().ok_or(EngineError::NotRunning)?;
        // In one write, so that no circuit is made in between.
        let closing = circuits::closing(&link.control, address).await;
        let del_onion = commands::del_onion(address);
        match closing {
            Ok(mut batch) => {
                batch.push(&del_onion);
                Ok(batch)
            }
            Err(error) => {
                tracing::warn!(%error, "the circuits of a service are not known; it is taken down without closing them");
                lock(&self.shared.unclosed).close_later(*address, link.control);
                self.ask(Batch::one(&del_onion), "take the service down").await?;
                Err(EngineError::CircuitsUnknown)
            }
        }
    }

    /// Publishes, after whatever else is in the batch, whose replies don't matter.
    async fn add_service(
        &self,
        mut batch: Batch,
        service: &ServiceSpec,
        key: &ServiceKey,
        action: &'static str,
    ) -> Result<(), EngineError> {
        if lock(&self.shared.unclosed).contains(&service.address) {
            batch = self.taking_down(&service.address).await?;
        }
        batch.push(&commands::add_onion(service, key, &self.shared.settings.run_dir)?);
        // Before the answer: the first upload may be told right after it.
        lock(&self.shared.uploads).add(service.address);
        let replies = self.ask(batch, action).await?;
        lock(&self.shared.unclosed).remove(&service.address);
        self.shared.forget_introductions(&service.address);
        self.shared.stir(|vigil, now| vigil.services(true, now));
        let reply = replies.last().ok_or(EngineError::NotRunning)?;
        if !reply.is_ok() {
            return Err(reply.refused(action));
        }
        // tor repeats for whom it publishes. Should it ever not, the service may be open to all.
        let client = format!("ClientAuthV3={}", service.client);
        if !reply.lines.contains(&client) {
            tracing::error!("tor did not confirm the client of a service; it is taken down");
            let refused = reply.refused(action);
            self.tell(&commands::del_onion(&service.address), "take the service down").await?;
            return Err(refused);
        }
        Ok(())
    }
}

#[async_trait]
impl OnionEngine for CTor {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.shared.state.subscribe()
    }

    fn clock_warning(&self) -> watch::Receiver<Option<String>> {
        self.shared.clock_warning.subscribe()
    }

    fn info(&self) -> Option<TorStatus> {
        lock(&self.shared.info).clone()
    }

    async fn survey(&self) -> Survey {
        let Some(link) = self.shared.link() else { return Survey::default() };
        let services = lock(&self.shared.uploads).survey();
        survey::survey(&link.control, services).await
    }

    fn process(&self) -> Option<u32> {
        *lock(&self.shared.process)
    }

    fn events(&self) -> Option<mpsc::UnboundedReceiver<EngineEvent>> {
        lock(&self.receiver).take()
    }

    async fn run(&self, on: bool) {
        let mut is_first = false;
        self.want.send_modify(|want| {
            is_first = want.times == 0;
            *want = Want { on, times: want.times + 1 };
        });
        if is_first {
            // It ends with the sender that this engine holds.
            tokio::spawn(supervisor::supervise(Arc::clone(&self.shared), self.want.subscribe()));
        }
        if !on {
            // The sender lives as long as we do.
            let _ = self.shared.idle.subscribe().wait_for(|is_idle| *is_idle).await;
        }
    }

    async fn publish(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError> {
        const ACTION: &str = "publish the service";
        match self.add_service(Batch::default(), service, key, ACTION).await {
            // One that nobody here knows of any more, and which may be for another client: it goes, with its circuits.
            Err(EngineError::Refused { code: commands::COLLISION, .. }) => {
                tracing::warn!(address = %service.address, "tor has this service already; it is replaced");
                let batch = self.taking_down(&service.address).await?;
                self.add_service(batch, service, key, ACTION).await
            }
            result => result,
        }
    }

    async fn replace(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError> {
        // In one write, since a stream that arrives between the two would end its circuit's sessions.
        let batch = Batch::one(&commands::del_onion(&service.address));
        self.add_service(batch, service, key, "change the service's ports").await
    }

    async fn withdraw(&self, address: &OnionAddress) -> Result<(), EngineError> {
        const ACTION: &str = "take the service down";
        let link = self.shared.link().ok_or(EngineError::NotRunning)?;
        let replies = self.ask(Batch::one(&commands::del_onion(address)), ACTION).await?;
        // Later, since a circuit that is closed may take what it has not sent with it: that its streams have ended.
        lock(&self.shared.unclosed).close_later(*address, link.control);
        let any = {
            let mut uploads = lock(&self.shared.uploads);
            uploads.remove(address);
            !uploads.addresses().is_empty()
        };
        self.shared.forget_introductions(address);
        self.shared.stir(|vigil, now| vigil.services(any, now));
        match replies.last() {
            Some(reply) if reply.is_ok() || reply.code == commands::UNKNOWN_SERVICE => Ok(()),
            Some(reply) => Err(reply.refused(ACTION)),
            None => Err(EngineError::NotRunning),
        }
    }

    async fn add_client_key(&self, address: &OnionAddress, key: &ClientKey) -> Result<(), EngineError> {
        self.tell(&commands::client_auth_add(address, key), "take the client key").await
    }

    async fn remove_client_key(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.tell(&commands::client_auth_remove(address), "forget the client key").await
    }

    async fn has_client_key(&self, address: &OnionAddress) -> Result<bool, EngineError> {
        const ACTION: &str = "tell of the client key";
        let replies = self.ask(Batch::one(&commands::client_auth_view(address)), ACTION).await?;
        let reply = replies.last().ok_or(EngineError::NotRunning)?;
        if !reply.is_ok() {
            return Err(reply.refused(ACTION));
        }
        Ok(reply.lines.iter().any(|line| line.starts_with("CLIENT ")))
    }

    async fn fetch_descriptor(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.tell(&commands::hs_fetch(address), "fetch the descriptor").await
    }

    fn watched(&self) {
        self.shared.stir(Vigil::watched);
    }

    async fn dial(&self, address: &OnionAddress, port: Port, isolation: &str) -> Result<Attempt, DialError> {
        self.shared.stir(Vigil::used);
        let link = self.shared.link().filter(|link| link.was_ready).ok_or(DialError::NotReady)?;
        let stream = system::connect_socks(&link.socks).await.map_err(|error| {
            // The listener is there for as long as tor is. A socket that was removed (cleaners of /tmp do that) tor makes only at its start.
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
                link.control.give_up("its SOCKS socket was removed or replaced");
            }
            DialError::NotReady
        })?;
        socks::dial(stream, address, port, isolation, self.shared.ends.expect()).await
    }
}

impl std::fmt::Debug for CTor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let run_dir: &PathBuf = &self.shared.settings.run_dir;
        f.debug_struct("CTor").field("run_dir", run_dir).finish_non_exhaustive()
    }
}
