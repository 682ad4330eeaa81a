//! The responder, on virtual port 1 of each client's service: a few lines of JSON with which two agents talk about a tunnel, not through it.
//!
//! ```text
//! → {"ormesh":1,"ask":"info"}
//! ← {"ormesh":1,"ports":[{"port":22,"open":true}],"expires":"2026-12-31","sessions":1}
//! → {"ormesh":1,"ask":"echo","data":"x"}
//! ← {"ormesh":1,"echo":"x","ports":[22],"sessions":1}
//! → {"ormesh":1,"ask":"session"}        (what follows, both ways, are a session's frames: `crate::session`)
//! ```
//!
//! Fields that are not known are ignored; a question that is not known is answered with `error`. Both ends take the other for hostile:
//! lines, their number and the time they take are bounded. Using it does not count as a client's first connection.

// It reads what another host writes: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

mod prober;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::capacity::{Crowded, Member, Part, Place};
use super::gate::{self, ClientSessions, GateContext, TorProcess};
use super::listen::{Bound, ListenError, SocketPath};
use super::server::{AtBound, Renewer, Server};
use super::sessions::pool;
use super::sessions::served::Served;
use super::sockets::keep_short;
use super::system;
use crate::engine::GateAddr;
use crate::engine::stream::Stream;
use crate::model::address::{Port, Target};
use crate::model::day::Day;
use crate::model::onion::OnionAddress;
use crate::session::words::Farewell;
pub use prober::Prober;

/// The version of this protocol.
pub const VERSION: u32 = 1;

/// The longest question, in bytes.
const ASK_LIMIT: usize = 4 * 1024;

/// The longest answer, in bytes: a thousand ports fit.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Ports that an answer may list.
const PORTS_LIMIT: usize = 1024;

/// Questions on one connection.
const ASKS: usize = 32;

/// How long a line may take, in either direction.
const LINE_TIME: Duration = Duration::from_secs(10);

/// How long asking may take in all: the other end probes its backends first.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Connections that one client may have to it.
const SESSIONS: u64 = 16;

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    ormesh: u32,
    #[serde(flatten)]
    ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
enum Ask {
    Info,
    Echo {
        data: String,
    },
    /// What follows are a session's frames. Not answered.
    Session,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Serialize, Deserialize)]
struct EchoAnswer {
    ormesh: u32,
    echo: String,
    /// The ports granted. Unlike with `info`, no backend is tried for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ports: Option<BTreeSet<Port>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
}

/// What an echo tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// From question to answer.
    pub took: Duration,
    /// The version of sessions that the other agent offers, if it does.
    pub sessions: Option<u32>,
    /// The ports granted; none where the other agent is of a version that does not tell.
    pub ports: Option<BTreeSet<Port>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ErrorAnswer {
    ormesh: u32,
    error: String,
}

/// What a host tells one of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The protocol's version: [`VERSION`].
    ormesh: u32,
    /// The ports granted, in order.
    pub ports: Vec<PortInfo>,
    /// The last day of access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Day>,
    /// The version of sessions that it offers, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
}

/// One port granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortInfo {
    /// The virtual port.
    pub port: Port,
    /// Whether its backend accepts connections now.
    pub open: bool,
    /// While the host turns connections to it away for want of room: how many are open, and how many there can be of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<(u64, u64)>,
}

impl Info {
    /// The ports that have no room: open sessions, and how many there can be of all.
    pub fn full(&self) -> impl Iterator<Item = (Port, (u64, u64))> {
        self.ports.iter().filter_map(|info| Some((info.port, info.full?)))
    }

    /// The answer about a port; `None` if it is not granted.
    pub fn port(&self, port: Port) -> Option<PortInfo> {
        self.ports.iter().find(|info| info.port == port).copied()
    }
}

/// What a client was granted: what its responder tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Port → backend.
    pub ports: BTreeMap<Port, Target>,
    /// The last day of access.
    pub expires: Option<Day>,
    /// Whether sessions are offered.
    pub sessions: bool,
}

impl Grants {
    fn sessions(&self) -> Option<u32> {
        self.sessions.then_some(pool::VERSION)
    }
}

/// The open responder of one client's service. Dropping it closes it, without waiting for that.
#[derive(Debug)]
pub struct Responder {
    addr: GateAddr,
    renewer: Renewer,
    server: Server,
    served: Arc<Served>,
}

#[derive(Debug)]
struct Shared {
    served: Arc<Served>,
    grants: watch::Receiver<Arc<Grants>>,
    sessions: Arc<ClientSessions>,
    prober: Arc<Prober>,
    tor: TorProcess,
}

impl Responder {
    /// Opens it. It answers with the grants as they are when asked, and with what the client's sessions lack.
    pub async fn open(
        context: &GateContext,
        address: &OnionAddress,
        grants: watch::Receiver<Arc<Grants>>,
        sessions: Arc<ClientSessions>,
        prober: Arc<Prober>,
    ) -> Result<Self, ListenError> {
        let (bound, addr) = gate::open_socket(context, address, Port::RESPONDER).await?;
        Ok(Self::on(bound, addr, context, grants, sessions, prober))
    }

    /// Serves a socket that was made for it already, and is called so by tor.
    pub fn on(
        bound: Bound,
        addr: GateAddr,
        context: &GateContext,
        grants: watch::Receiver<Arc<Grants>>,
        sessions: Arc<ClientSessions>,
        prober: Arc<Prober>,
    ) -> Self {
        let served = Served::new(Arc::clone(&sessions));
        let tor = context.tor.clone();
        let shared = Arc::new(Shared { served: Arc::clone(&served), grants, sessions, prober, tor });
        let part = Part::of(&Member::control(SESSIONS));
        let handle = move |tor, place| session(Arc::clone(&shared), tor, place);
        let (renewer, renewable) = Renewer::of(bound);
        let server = Server::start(renewable, part, AtBound::Refuse, handle);
        Self { addr, renewer, server, served }
    }

    /// Listens on this socket from now on, where the other one was removed; conversations go on.
    pub fn renew(&mut self, bound: Bound, addr: GateAddr) {
        self.renewer.renew(bound);
        self.addr = addr;
    }

    /// Where its socket is, if it is one in the file system.
    pub fn socket(&self) -> Option<&SocketPath> {
        self.renewer.socket()
    }

    /// The target of [`Port::RESPONDER`] for tor.
    pub fn addr(&self) -> &GateAddr {
        &self.addr
    }

    /// Ends the client's sessions in order, since the agent ends, and takes no more.
    pub async fn leave(&self) {
        self.served.close(Farewell::Leaving).await;
    }

    /// Closes it, its connections and the client's sessions, and waits until they are gone.
    pub async fn close_all(&self) {
        self.served.close(Farewell::Revoked).await;
        self.server.close().await;
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.served.end(Farewell::Revoked);
    }
}

async fn session(shared: Arc<Shared>, tor: Stream, place: Place) {
    if !system::admit(&tor, shared.tor.get()).await {
        return;
    }
    // Whatever ends it, the connection is closed; there is nobody to tell.
    if let Ok(Some(link)) = answer_all(&shared, tor).await {
        // Links have places of their own.
        drop(place);
        let heard = link.buffer().to_vec();
        let stream = link.into_inner();
        keep_short(&stream);
        shared.served.serve(stream, heard, shared.offers()).await;
    }
}

/// Answers until there are no more questions, or the connection is to be a session's.
async fn answer_all<S>(shared: &Shared, stream: S) -> Result<Option<BufReader<S>>, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    for _ in 0..ASKS {
        let line = timed(LINE_TIME, read_line(&mut stream, ASK_LIMIT)).await?;
        let answer = match serde_json::from_slice(&line) {
            Ok(Question { ask: Ask::Info, .. }) => to_line(&shared.info().await),
            Ok(Question { ask: Ask::Echo { data }, .. }) => {
                let grants = Arc::clone(&shared.grants.borrow());
                let ports = grants.ports.keys().copied().collect();
                let sessions = grants.sessions();
                to_line(&EchoAnswer { ormesh: VERSION, echo: data, ports: Some(ports), sessions })
            }
            // A session that is open goes on, switched off or not.
            Ok(Question { ask: Ask::Session, .. }) if shared.offers() || !shared.served.is_empty() => {
                return Ok(Some(stream));
            }
            Ok(Question { ask: Ask::Session, .. }) => {
                send(&mut stream, &to_line(&error("no sessions"))).await?;
                return Ok(None);
            }
            Ok(Question { ask: Ask::Unknown, .. }) => to_line(&error("unknown question")),
            Err(_) => {
                send(&mut stream, &to_line(&error("not a question"))).await?;
                return Ok(None);
            }
        };
        send(&mut stream, &answer).await?;
    }
    Ok(None)
}

fn error(text: &str) -> ErrorAnswer {
    ErrorAnswer { ormesh: VERSION, error: text.to_owned() }
}

impl Shared {
    /// Whether sessions are offered.
    fn offers(&self) -> bool {
        self.grants.borrow().sessions
    }

    async fn info(&self) -> Info {
        let grants = Arc::clone(&self.grants.borrow());
        let open = self.prober.accept(grants.ports.values().cloned().collect()).await;
        let crowded: BTreeMap<Port, Crowded> = self.sessions.crowded().into_iter().collect();
        let info = |(port, target): (&Port, &Target)| PortInfo {
            port: *port,
            open: open.get(target).copied().unwrap_or(false),
            full: crowded.get(port).map(|crowded| (crowded.held, crowded.of)),
        };
        let ports = grants.ports.iter().map(info);
        let (ports, expires, sessions) = (ports.collect(), grants.expires, grants.sessions());
        Info { ormesh: VERSION, ports, expires, sessions }
    }
}

/// Why a responder did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection ended or broke.
    #[error("the connection to the other agent ended: {0}")]
    Ended(io::Error),
    /// Too slow.
    #[error("the other agent did not answer in time")]
    TimedOut,
    /// A line longer than allowed.
    #[error("the other agent's line is too long")]
    TooLong,
    /// Not what the protocol wants.
    #[error("the other agent's answer makes no sense")]
    Nonsense,
    /// It speaks another version.
    #[error("the other agent speaks version {0} of the protocol, this one speaks {VERSION}")]
    Version(u32),
}

/// Asks what is granted, over a connection to [`Port::RESPONDER`].
pub async fn ask_info<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<Info, AskError> {
    let line = ask(stream, &Question { ormesh: VERSION, ask: Ask::Info }).await?;
    let info: Info = parse(&line)?;
    let mut ports: Vec<Port> = info.ports.iter().map(|info| info.port).collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.len() != info.ports.len() || ports.len() > PORTS_LIMIT {
        return Err(AskError::Nonsense);
    }
    Ok(info)
}

/// Asks for an echo, over a connection to [`Port::RESPONDER`].
pub async fn ask_echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<Echo, AskError> {
    let began = Instant::now();
    let data = "ormesh".to_owned();
    let line = ask(stream, &Question { ormesh: VERSION, ask: Ask::Echo { data: data.clone() } }).await?;
    let answer: EchoAnswer = parse(&line)?;
    match answer.echo == data && answer.ports.as_ref().is_none_or(|ports| ports.len() <= PORTS_LIMIT) {
        true => Ok(Echo { took: began.elapsed(), ports: answer.ports, sessions: answer.sessions }),
        false => Err(AskError::Nonsense),
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: S, question: &Question) -> Result<Vec<u8>, AskError> {
    let mut stream = BufReader::new(stream);
    timed(ANSWER_TIME, async {
        send(&mut stream, &to_line(question)).await?;
        read_line(&mut stream, ANSWER_LIMIT).await
    })
    .await
}

fn parse<T: for<'a> Deserialize<'a>>(line: &[u8]) -> Result<T, AskError> {
    #[derive(Deserialize)]
    struct Version {
        ormesh: u32,
    }
    match serde_json::from_slice(line) {
        Ok(Version { ormesh: VERSION }) => serde_json::from_slice(line).map_err(|_| AskError::Nonsense),
        Ok(Version { ormesh }) => Err(AskError::Version(ormesh)),
        Err(_) => Err(AskError::Nonsense),
    }
}

async fn timed<T>(limit: Duration, work: impl Future<Output = Result<T, AskError>>) -> Result<T, AskError> {
    timeout(limit, work).await.map_err(|_| AskError::TimedOut)?
}

async fn read_line<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    limit: usize,
) -> Result<Vec<u8>, AskError> {
    let mut line = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    (&mut *stream).take(most).read_until(b'\n', &mut line).await.map_err(AskError::Ended)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() + 1 == limit => Err(AskError::TooLong),
        _ => Err(AskError::Ended(io::ErrorKind::UnexpectedEof.into())),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, line: &[u8]) -> Result<(), AskError> {
    timed(LINE_TIME, async {
        stream.write_all(line).await.map_err(AskError::Ended)?;
        stream.flush().await.map_err(AskError::Ended)
    })
    .await
}

fn to_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("structures of texts and numbers have a JSON form");
    line.push(b'\n');
    line
}

#[cfg(all(test, unix))]
mod tests;
