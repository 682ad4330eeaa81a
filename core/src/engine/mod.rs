//! Room 5, engine: what publishes onion services and dials them. The trait; `ctor` runs the real tor, `fake` stands beside it in tests.
//!
//! An engine keeps *nothing* across a restart: whoever drives it hears of the loss by [`EngineEvent::Lost`] and says again what it wants.

pub mod ctor;
pub mod fake;
pub mod stream;
pub mod survey;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::model::address::{MAX_SOCKET_PATH, Port};
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::onion::OnionAddress;
use stream::Stream;
use survey::Survey;

/// What an engine is doing. *Fact*, told by a `watch`; nobody acts on it but the planner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum EngineState {
    /// Not asked to run, or asked to stop.
    Stopped,
    /// tor was started; its control connection is not there yet.
    Starting,
    /// tor connects to the network.
    Bootstrapping {
        /// 0 to 100.
        percent: u8,
        /// What it is doing, in tor's words (`BOOTSTRAP SUMMARY`).
        doing: String,
        /// Why it does not get on, in a sentence, once tor has warned.
        trouble: Option<String>,
    },
    /// Services can be published and dialled.
    Ready,
    /// It ended or could not start; it is started again by itself.
    Failed {
        /// Why, in a sentence.
        why: String,
        /// What to do.
        hint: String,
        /// Whether there is no tor that could be started.
        is_missing: bool,
        /// After this time, counted from when it failed, it is tried again; where no tor is found, a `run(true)` has it tried at once.
        retry_in: Option<Duration>,
    },
}

impl EngineState {
    /// Whether services can be published and dialled.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// Facts that an engine tells by itself, in order. Whoever reads them must drain them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// Everything that was published and every client key is gone: tor ended, or it dropped them.
    Lost,
    /// The descriptor of one of our services was uploaded to a directory: it can be found from now on.
    Uploaded(OnionAddress),
    /// No directory took the descriptor of one of our services; the reason in tor's word (`HS_DESC FAILED REASON`).
    UploadFailed(OnionAddress, String),
    /// The descriptor of a remote was fetched; says nothing about whether its key fits.
    Received(OnionAddress),
    /// The descriptor of a remote could not be fetched; the reason in tor's word.
    FetchFailed(OnionAddress, String),
}

/// Which tor runs, and why that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// As `tor --version` says: `0.4.9.11`.
    pub version: String,
    /// The binary.
    pub path: PathBuf,
    /// Where it was found (`ORMESH_TOR`, `agent.tor-path`, `beside ormesh`, `PATH`), and what was wrong with places before that.
    pub found: String,
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

/// Why an engine could not do what it was told.
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
    fn trouble(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }

    /// Which tor runs, once one was found.
    fn info(&self) -> Option<EngineInfo>;

    /// How it stands at this moment; by default nothing is told.
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

    /// Closes the circuits of a service's clients, then takes the service down.
    ///
    /// Our end of each session is closed when it returns. Relays take up to half a minute to pass that on (measured), so whoever wants
    /// the clients to be told at once closes the gates' sockets before.
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

/// Why a remote's port was not reached. The codes are tor's (SOCKS5 of RFC 1928, and proposal 304's F0 to F7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// tor is not connected to the network, or does not run.
    #[error("tor is not connected")]
    NotReady,
    /// F0, F1: no descriptor: not published, host offline, or revoked.
    #[error("its service is not published: the host is offline, or it has ended your access")]
    NotPublished,
    /// F2, F3: the descriptor is there, the service is not.
    #[error("its service is gone: the host went offline a short while ago")]
    Gone,
    /// F4: tor holds no client key for it.
    #[error("the key for it is missing in tor")]
    KeyMissing,
    /// F5: the key does not open the descriptor.
    #[error("the host refused the key: it was rotated or revoked")]
    KeyRefused,
    /// F6: malformed address. The configuration cannot hold one.
    #[error("tor calls the onion address malformed")]
    Malformed,
    /// 05: the service does not export this port to us.
    #[error("the host does not export port {0} to you")]
    PortNotExported(Port),
    /// 01: the other end closed at once.
    #[error("the connection was refused at the other end")]
    Failed,
    /// F7, 06: tor's own time ran out.
    #[error("the host did not answer in time")]
    TimedOut,
    /// Any other reply code.
    #[error("tor answered with code {0:#04x}")]
    Code(u8),
    /// What came back is not SOCKS, or the connection to tor broke.
    #[error("the connection to tor broke: {0}")]
    Broken(String),
}

impl DialError {
    /// Whether a further attempt may succeed where this one failed.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::KeyRefused | Self::Malformed | Self::PortNotExported(_))
    }

    /// Whether it proves that no early byte reached the service, so that the request may be sent again.
    ///
    /// F0, F2, F4, F5 and F6 end the attempt before a circuit to the service exists.
    pub fn left_nothing(&self) -> bool {
        matches!(
            self,
            Self::NotPublished
                | Self::Gone
                | Self::KeyMissing
                | Self::KeyRefused
                | Self::Malformed
                | Self::NotReady
        )
    }
}
