//! Room 5, engine: what publishes onion services and dials them. The trait; `ctor` runs the real tor, `fake` stands beside it in tests.
//!
//! An engine keeps *nothing* across a restart: whoever drives it hears of the loss by [`EngineEvent::Lost`] and says again what it wants.

pub mod ctor;
pub mod fake;
pub mod stream;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::model::address::{MAX_SOCKET_PATH, Port};
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::status::TorStatus;
use stream::Stream;

pub use crate::model::tor::{DialError, EngineState, ServiceSurvey, Survey};

/// Facts that an engine tells by itself, in order. Whoever reads them must drain them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// Everything that was published and every client key is gone: tor ended, or it dropped them.
    Lost,
    /// The descriptor of one of our services was uploaded to a directory: it can be found from now on.
    Uploaded(OnionAddress),
    /// No directory took the descriptor of one of our services; the reason in tor's word (`HS_DESC FAILED REASON`).
    UploadFailed(OnionAddress, String),
    /// How many introduction points stand, of each service that tor has.
    Introductions(BTreeMap<OnionAddress, u32>),
    /// The introduction points of our services lead nowhere, though tor holds their circuits.
    IntroductionsDeserted,
    /// The network was shown to be there.
    NetworkProven,
    /// The descriptor of a remote was fetched; says nothing about whether its key fits.
    Received(OnionAddress),
    /// The descriptor of a remote could not be fetched; the reason in tor's word.
    FetchFailed(OnionAddress, String),
}

/// A virtual port's other end on this host: a socket that the agent listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateAddr {
    /// A Unix socket, relative to the run directory (tor's working directory: ADD_ONION takes no absolute path with a space).
    Unix(PathBuf),
    /// A loopback TCP port, on Windows.
    Tcp(u16),
}

/// One onion service for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The address; the key handed over beside it must fit.
    pub address: OnionAddress,
    /// The only client that can read the descriptor. Not optional: a service without one would be public.
    pub client: ClientPublicKey,
    /// Virtual port → gate. Never empty.
    pub ports: BTreeMap<Port, GateAddr>,
}

impl ServiceSpec {
    /// Sees that it can be published with this key by an engine with this run directory. The same for every engine.
    pub fn check(&self, key: &ServiceKey, run_dir: &Path) -> Result<(), EngineError> {
        if key.address() != self.address {
            return Err(EngineError::WrongKey(self.address));
        }
        if self.ports.is_empty() {
            return Err(EngineError::BadService("it has no port".to_owned()));
        }
        for gate in self.ports.values() {
            if let GateAddr::Unix(path) = gate
                && let Some(fault) = gate_fault(path, run_dir)
            {
                return Err(EngineError::BadService(format!("its gate {path:?} {fault}")));
            }
        }
        Ok(())
    }
}

/// Why tor could not take a path for a gate, or not reach it. It takes no quoting there, splits at spaces and commas, and answers an
/// over-long path with success.
fn gate_fault(path: &Path, run_dir: &Path) -> Option<&'static str> {
    let Some(name) = path.to_str() else { return Some("is not UTF-8") };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Some("holds other characters than letters, digits, - _ . and /");
    }
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Some("is not within the run directory");
    }
    (run_dir.as_os_str().len() + 1 + name.len() > MAX_SOCKET_PATH).then_some("is too long for a Unix socket")
}

/// Why an engine could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// tor is not connected; it will say [`EngineEvent::Lost`] and be started again.
    #[error("tor is not running")]
    NotRunning,
    /// tor answered with an error: code and text of the control reply, never holding a key.
    #[error("tor refused to {action} (answer {code} {text:?})")]
    Refused {
        /// What was asked, as a fragment: `publish the service`.
        action: &'static str,
        /// The reply's code (control-spec §4).
        code: u16,
        /// The reply's text.
        text: String,
    },
    /// tor did not answer in time.
    #[error("tor did not answer within {0:?} when asked to {1}")]
    TimedOut(Duration, &'static str),
    /// The service is down, but circuits of it may be open, since tor did not tell of them. Another try closes them.
    #[error("the service was taken down, but tor does not tell which of its circuits are open")]
    CircuitsUnknown,
    /// The key handed over is not that of the address. A bug or a damaged store; nothing was sent.
    #[error("the key in the secret store is not that of {0}")]
    WrongKey(OnionAddress),
    /// The service, as it was described, can't be one: no port, or a gate that tor could not reach. A bug; nothing was sent.
    #[error("failed to publish the service: {0}")]
    BadService(String),
}

/// Runs onion services and reaches those of others.
///
/// Contract (the suite in `core/tests/engine_contract` holds the fake and the real one to it):
/// - while tor does not run, commands answer [`EngineError::NotRunning`]; they work before [`EngineState::Ready`], dials don't;
/// - when `Lost` is told the state is another than `Ready` already;
/// - `publish` of an address that is up takes that one down first, with its sessions;
/// - `withdraw` and `remove_client_key` of what is not there are fine;
/// - after an error other than `NotRunning`, of `publish`, `replace` or `withdraw`, the service may be up or down; another try mends it;
/// - a published service can be reached by its one client only;
/// - after `Lost` nothing is published and no key is held.
#[async_trait]
pub trait OnionEngine: Send + Sync + 'static {
    /// What the engine is doing, now and later.
    fn state(&self) -> watch::Receiver<EngineState>;

    /// What it warns of although it works, in a sentence: a wrong clock. None while there is nothing to say, and by default.
    fn clock_warning(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }

    /// Which tor runs, once one was found.
    fn info(&self) -> Option<TorStatus>;

    /// Somebody looks at how it stands: for some seconds it has it proven whether the network is there. By default nothing happens.
    fn watched(&self) {}

    /// Its state at this moment; by default nothing is known.
    async fn survey(&self) -> Survey {
        Survey::default()
    }

    /// The process that connects to the gates, while one runs; none where the engine is no process of its own.
    fn process(&self) -> Option<u32> {
        None
    }

    /// The facts it tells; there is one reader, so this gives the receiver once.
    fn events(&self) -> Option<mpsc::UnboundedReceiver<EngineEvent>>;

    /// Switches it on or off. Off ends tor in order; on starts it. Waits until off is off, never for ready.
    async fn run(&self, on: bool);

    /// Publishes a service, in place of one of this address that may be up. Returns when tor has taken it; [`EngineEvent::Uploaded`] follows.
    async fn publish(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError>;

    /// Gives a published service another list of ports, in one go; sessions that are open keep on.
    async fn replace(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError>;

    /// Takes a service down. Nobody reaches it when it returns; the circuits of its clients are closed within half a minute, or when it is
    /// published again.
    ///
    /// Relays may take minutes to tell the clients of that (measured), so whoever wants them to be told at once closes the gates' sockets
    /// before, and waits until tor has closed its side of them.
    async fn withdraw(&self, address: &OnionAddress) -> Result<(), EngineError>;

    /// Hands over the key with which a remote's descriptor is read.
    async fn add_client_key(&self, address: &OnionAddress, key: &ClientKey) -> Result<(), EngineError>;

    /// Forgets the key for a remote.
    async fn remove_client_key(&self, address: &OnionAddress) -> Result<(), EngineError>;

    /// Whether the engine holds a client key for a remote (tor drops them on some signals).
    async fn has_client_key(&self, address: &OnionAddress) -> Result<bool, EngineError>;

    /// Fetches a remote's descriptor ahead of use; [`EngineEvent::Received`] or `FetchFailed` follows.
    async fn fetch_descriptor(&self, address: &OnionAddress) -> Result<(), EngineError>;

    /// Starts one attempt to reach a remote's port. Resolves when the request is written, not when it is answered.
    ///
    /// `isolation` chooses the circuit: equal strings share one, another string gets another (SOCKS user name, IsolateSOCKSAuth).
    async fn dial(&self, address: &OnionAddress, port: Port, isolation: &str) -> Result<Attempt, DialError>;
}

/// One attempt under way: request sent, reply awaited. Dropping it gives it up.
#[async_trait]
pub trait AwaitReply: Send {
    /// Sends bytes ahead of the reply ("optimistic data"). They may reach the service: see [`DialError::left_nothing`].
    async fn send_early(&mut self, bytes: &[u8]) -> Result<(), DialError>;

    /// Waits for the reply; no deadline of its own.
    async fn reply(self: Box<Self>) -> Result<Stream, DialError>;
}

/// See [`AwaitReply`].
pub type Attempt = Box<dyn AwaitReply>;
