//! The agent's own SOCKS5 front (RFC 1928): reaches the configured remotes by onion address or by name, and nothing else.
//!
//! CONNECT without authentication is all it knows. It resolves nothing but what its table holds.

// It reads what any local program writes: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info};

use super::capacity::{Crowded, Part, Place};
use super::cuts::Cuts;
use super::dialler::{ConnectError, Dialler, Early};
use super::holds::{HOLD_LIMIT, Holds};
use super::import::{Stats, Usage, metered};
use super::lanes::{Lanes, Ride};
use super::listen::{self, Bound, ListenError};
use super::owner::{Owners, TurnedAway};
use super::reach::{By, Reached, reach};
use super::relay::{self, Meter, OnNearEnd};
use super::server::{AtBound, Server};
use super::sockets::{Abort, keep_alive};
use crate::engine::DialError;
use crate::engine::stream::Stream;
use crate::model::address::{ListenAddr, Port};
use crate::model::config::{HalfClose, Users};
use crate::model::name::RemoteName;
use crate::model::onion::OnionAddress;

/// How long the handshake may take, until the request is read.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The remotes that can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteTable(BTreeMap<RemoteName, OnionAddress>);

impl FromIterator<(RemoteName, OnionAddress)> for RemoteTable {
    fn from_iter<I: IntoIterator<Item = (RemoteName, OnionAddress)>>(remotes: I) -> Self {
        Self(remotes.into_iter().collect())
    }
}

impl RemoteTable {
    /// Finds `<56 characters>.onion`, `NAME` or `NAME.ormesh`, as SSH and browsers write host names: in any case, with or without a
    /// final dot. A name that fits two remotes but for its case fits none, unless it is exactly one of them.
    pub fn resolve(&self, host: &str) -> Option<OnionAddress> {
        let host = host.strip_suffix('.').unwrap_or(host);
        if let Ok(address) = host.parse::<OnionAddress>() {
            return self.0.values().any(|known| *known == address).then_some(address);
        }
        let suffix = host.len().checked_sub(SUFFIX.len()).and_then(|at| host.split_at_checked(at));
        let name = match suffix {
            Some((name, suffix)) if suffix.eq_ignore_ascii_case(SUFFIX) => name,
            _ => host,
        };
        let mut like = self.0.iter().filter(|(known, _)| known.as_str().eq_ignore_ascii_case(name));
        let exact = self.0.iter().find(|(known, _)| known.as_str() == name);
        match (exact, like.next(), like.next()) {
            (Some((_, address)), ..) | (None, Some((_, address)), None) => Some(*address),
            _ => None,
        }
    }
}

/// What a name may end in, where a program wants a dot in host names.
const SUFFIX: &str = ".ormesh";

/// The open front. Dropping it closes it, without waiting for that.
#[derive(Debug)]
pub struct SocksFront {
    shared: Arc<Shared>,
    server: Server,
    part: Arc<Part>,
    addr: SocketAddr,
}

struct Shared {
    remotes: watch::Receiver<Arc<RemoteTable>>,
    dialler: Arc<Dialler>,
    usage: Usage,
    holds: Arc<Holds>,
    lanes: Mutex<HashMap<OnionAddress, Arc<Lanes>>>,
    owners: Owners,
    cuts: Cuts,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socks").field("usage", &self.usage).finish_non_exhaustive()
    }
}

impl SocksFront {
    /// Starts to listen.
    pub async fn open(
        addr: SocketAddr,
        users: Users,
        remotes: watch::Receiver<Arc<RemoteTable>>,
        dialler: Arc<Dialler>,
    ) -> Result<Self, ListenError> {
        Ok(Self::on(listen::open(&ListenAddr::Tcp(addr)).await?, addr, users, remotes, dialler))
    }

    /// Serves a socket that listens already, at this address.
    pub fn on(
        bound: Bound,
        addr: SocketAddr,
        users: Users,
        remotes: watch::Receiver<Arc<RemoteTable>>,
        dialler: Arc<Dialler>,
    ) -> Self {
        let addr = bound.tcp_addr().unwrap_or(addr);
        let holds = Holds::new(HOLD_LIMIT);
        let part = Part::alone(&holds);
        let shared = Arc::new(Shared {
            remotes,
            dialler,
            usage: Usage::default(),
            holds,
            lanes: Mutex::default(),
            cuts: Cuts::default(),
            owners: Owners::new(users, addr.to_string()),
        });
        let sessions = Arc::clone(&shared);
        let handle = move |app, place| session(Arc::clone(&sessions), app, place);
        let server = Server::start(bound, Arc::clone(&part), AtBound::Wait, handle);
        Self { shared, server, part, addr }
    }

    /// The address that it listens on, with the port that the system chose if 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How much it was used.
    pub fn stats(&self) -> Stats {
        self.shared.usage.stats()
    }

    /// Whether it has no room for more connections.
    pub fn crowded(&self) -> Option<Crowded> {
        self.part.crowded()
    }

    /// Who was turned away lately, since it is for one user alone.
    pub fn turned_away(&self) -> Option<TurnedAway> {
        self.shared.owners.turned_away()
    }

    /// Takes no more connections; the open ones go on.
    pub fn refuse(&self) {
        self.server.refuse();
    }

    /// Closes the listener and all connections, and waits until they are gone.
    pub async fn close(&self) {
        self.server.close().await;
    }
}

/// Reply codes of RFC 1928 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Reply {
    Succeeded = 0,
    Failure = 1,
    NotAllowed = 2,
    HostUnreachable = 4,
    Refused = 5,
    UnknownCommand = 7,
    UnknownAddressType = 8,
}

impl Reply {
    /// The SOCKS reply to an application for a failed dial.
    fn to(error: &DialError) -> Self {
        match error {
            DialError::PortNotExported(_) | DialError::Failed => Self::Refused,
            DialError::KeyMissing | DialError::KeyRefused => Self::NotAllowed,
            DialError::NotReady | DialError::NotPublished | DialError::Gone | DialError::TimedOut => {
                Self::HostUnreachable
            }
            DialError::Malformed | DialError::Code(_) | DialError::Broken(_) => Self::Failure,
        }
    }

    /// With an address of no meaning, as tor gives.
    fn bytes(self) -> [u8; 10] {
        [5, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

async fn session(shared: Arc<Shared>, mut app: Stream, _place: Place) {
    if !shared.owners.admit(&app).await {
        return app.abort("the address is for another user");
    }
    let _open = shared.usage.begin();
    keep_alive(&app);
    // Boxed, so that what it takes to connect is given back once connected.
    let Some((connected, ride)) = Box::pin(serve(&shared, &mut app)).await else { return };
    let connected = match connected {
        Ok(connected) => connected,
        Err(Uncertain(error)) => return app.abort(&error.to_string()),
    };
    let traffic = Arc::clone(&shared.usage.traffic);
    traffic.count_up(connected.sent_early + connected.unsent.len());
    let Reached { far, unsent, .. } = connected;
    let rule = OnNearEnd::for_application(HalfClose::Hold, &shared.holds, far.is_session());
    let meter = metered(&ride, traffic, &far);
    let ending = relay::run(app, far, unsent, rule, meter).await;
    if ending.is_cut()
        && let Some(others) = shared.cuts.note()
    {
        info!(why = %ending, others, "connection through the SOCKS address cut off");
    }
}

/// The application sent bytes ahead of our reply and they may have left: it must see a failure, not a refusal that invites a retry.
struct Uncertain(ConnectError);

/// Handshake and dial. `None` if the application was refused or is gone.
async fn serve(shared: &Shared, app: &mut Stream) -> Option<(Result<Reached, Uncertain>, Ride)> {
    let request = timeout(HANDSHAKE, handshake(app)).await.ok()?;
    let (host, port) = match request {
        Ok(request) => request,
        Err(Refusal::Reply(reply)) => return refuse(app, reply).await,
        Err(Refusal::Silent) => return None,
    };
    // Until it has been told no, or the far side has said its last.
    app.reset_on_close(true);
    let address = shared.remotes.borrow().resolve(&host);
    let Some(address) = address else {
        // Names of hosts that people look for are nobody's business: at debug only.
        debug!(%host, "not a remote: refused");
        return refuse(app, Reply::NotAllowed).await;
    };
    let ride = shared.lanes(&address).pick();
    let group = ride.group();
    let (by, early, untold) = (By::default(), Early::of(app), watch::Sender::default());
    match reach(&shared.dialler, (&address, port), &group, by, early, &untold).await {
        Ok(reached) => {
            app.write_all(&Reply::Succeeded.bytes()).await.ok()?;
            Some((Ok(reached), ride))
        }
        Err(ConnectError::Dial(error)) => refuse(app, Reply::to(&error)).await,
        Err(error @ ConnectError::Uncertain(_)) => Some((Err(Uncertain(error)), ride)),
        Err(ConnectError::AppGone) => None,
    }
}

impl Shared {
    fn lanes(&self, address: &OnionAddress) -> Arc<Lanes> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(*address).or_insert_with(|| Arc::new(Lanes::new("socks"))))
    }
}

async fn refuse<T>(app: &mut Stream, reply: Reply) -> Option<T> {
    app.reset_on_close(false);
    let _ = timeout(HANDSHAKE, async {
        app.write_all(&reply.bytes()).await?;
        app.shutdown().await
    })
    .await;
    None
}

/// Why a handshake leads nowhere.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// The application is told.
    Reply(Reply),
    /// It is gone, or does not speak SOCKS5.
    Silent,
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Silent
    }
}

/// Reads greeting and request, and not a byte more.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(app: &mut S) -> Result<(String, Port), Refusal> {
    let [version, count] = take(app).await?;
    if version != 5 {
        return Err(Refusal::Silent);
    }
    let mut methods = vec![0; usize::from(count)];
    app.read_exact(&mut methods).await?;
    if !methods.contains(&0) {
        // No acceptable method (§3).
        app.write_all(&[5, 0xff]).await?;
        return Err(Refusal::Silent);
    }
    app.write_all(&[5, 0]).await?;

    let [version, command, reserved, kind] = take(app).await?;
    if version != 5 || reserved != 0 {
        return Err(Refusal::Reply(Reply::Failure));
    }
    // The address is read whole even if it will be refused: bytes left unread would turn our reply into a reset.
    let host = match kind {
        1 => take::<4, _>(app).await.map(|_| None)?,
        4 => take::<16, _>(app).await.map(|_| None)?,
        3 => {
            let [len] = take(app).await?;
            let mut host = vec![0; usize::from(len)];
            app.read_exact(&mut host).await?;
            String::from_utf8(host).ok()
        }
        _ => return Err(Refusal::Reply(Reply::UnknownAddressType)),
    };
    let port = Port::new(u16::from_be_bytes(take(app).await?));
    if command != 1 {
        return Err(Refusal::Reply(Reply::UnknownCommand));
    }
    // An IP address is never a remote; neither is port 0 one of its ports.
    host.zip(port).ok_or(Refusal::Reply(Reply::NotAllowed))
}

async fn take<const N: usize, S: AsyncRead + Unpin>(app: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    app.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
