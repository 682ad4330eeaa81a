//! An import: a local address whose connections lead to a remote's port. The listener stays; each connection is dialled and relayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::info;

use super::capacity::{Crowded, Part, Place};
use super::cuts::Cuts;
use super::dialler::{ConnectError, Connected, Dialler, Early};
use super::holds::{HOLD_LIMIT, Holds};
use super::lanes::Lanes;
use super::listen::{self, Bound, ListenError, SocketPath};
use super::owner::{Owners, TurnedAway};
use super::relay::{self, Meter, OnNearEnd, Traffic};
use super::server::{AtBound, Renewer, Server};
use super::silence::asking;
use super::sockets::{Abort, keep_alive};
use crate::engine::stream::Stream;
use crate::model::address::{ListenAddr, Port};
use crate::model::config::{HalfClose, Users};
use crate::model::name::RemoteName;
use crate::model::onion::OnionAddress;

/// What an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSpec {
    /// Where it listens.
    pub listen: ListenAddr,
    /// The remote, for the log.
    pub remote: RemoteName,
    /// The remote's onion address.
    pub address: OnionAddress,
    /// The remote's port.
    pub port: Port,
    /// What becomes of an application's end of file.
    pub half_close: HalfClose,
    /// Who may connect.
    pub users: Users,
}

/// How much an import was used since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Connections open now, those still being made included.
    pub sessions_open: u64,
    /// Bytes from the remote to applications.
    pub bytes_in: u64,
    /// Bytes from applications to the remote.
    pub bytes_out: u64,
}

/// An open import. Dropping it closes it, without waiting for that.
#[derive(Debug)]
pub struct ImportListener {
    shared: Arc<Shared>,
    renewer: Renewer,
    server: Server,
    part: Arc<Part>,
    listening: Option<std::net::SocketAddr>,
}

struct Shared {
    spec: ImportSpec,
    dialler: Arc<Dialler>,
    usage: Usage,
    holds: Arc<Holds>,
    lanes: Arc<Lanes>,
    owners: Owners,
    cuts: Cuts,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("spec", &self.spec).field("usage", &self.usage).finish_non_exhaustive()
    }
}

impl ImportListener {
    /// Starts to listen.
    pub async fn open(spec: ImportSpec, dialler: Arc<Dialler>) -> Result<Self, ListenError> {
        Ok(Self::on(listen::open(&spec.listen).await?, spec, dialler))
    }

    /// Serves a socket that listens already, at the address that the specification names.
    pub fn on(bound: Bound, spec: ImportSpec, dialler: Arc<Dialler>) -> Self {
        let listening = bound.tcp_addr();
        let lanes = Arc::new(Lanes::new(group_name(&spec.listen)));
        let holds = Holds::new(HOLD_LIMIT);
        let part = Part::alone(&holds);
        let owners = Owners::new(spec.users, spec.listen.to_string());
        let (usage, cuts) = (Usage::default(), Cuts::default());
        let shared = Arc::new(Shared { spec, dialler, usage, holds, lanes, owners, cuts });
        let sessions = Arc::clone(&shared);
        let handle = move |app, place| session(Arc::clone(&sessions), app, place);
        let (renewer, renewable) = Renewer::of(bound);
        let server = Server::start(renewable, Arc::clone(&part), AtBound::Wait, handle);
        Self { shared, renewer, server, part, listening }
    }

    /// Listens on this socket from now on, where the other one was removed; connections go on.
    pub fn renew(&mut self, bound: Bound) {
        self.listening = bound.tcp_addr();
        self.renewer.renew(bound);
    }

    /// Where its socket is, if it is one in the file system.
    pub fn socket(&self) -> Option<&SocketPath> {
        self.renewer.socket()
    }

    /// What it is.
    pub fn spec(&self) -> &ImportSpec {
        &self.shared.spec
    }

    /// The TCP address that it listens on, with the port that the system chose where the specification has 0.
    pub fn tcp_addr(&self) -> Option<std::net::SocketAddr> {
        self.listening
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

    /// The isolation groups whose circuits it uses: to be kept warm.
    pub fn groups(&self) -> Vec<String> {
        self.shared.lanes.groups()
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

impl Drop for Shared {
    fn drop(&mut self) {
        for group in self.lanes.groups() {
            self.dialler.forget_group(&self.spec.address, &group);
        }
    }
}

/// A name for an import's circuits that fits into a SOCKS user name: two imports never share a listening address.
fn group_name(listen: &ListenAddr) -> String {
    listen.to_string()
}

async fn session(shared: Arc<Shared>, mut app: Stream, _place: Place) {
    if !shared.owners.admit(&app).await {
        return app.abort("the address is for another user");
    }
    let _open = shared.usage.begin();
    // Until the far side has said its last.
    app.reset_on_close(true);
    keep_alive(&app);
    let ride = shared.lanes.pick();
    let Shared { spec, dialler, .. } = &*shared;
    // Boxed, so that what it takes to connect is given back once connected.
    let group = ride.group();
    let connected = Box::pin(dialler.connect(&spec.address, spec.port, &group, Early::of(&mut app))).await;
    drop(group);
    let Connected { stream, unsent, sent_early, .. } = match connected {
        Ok(connected) => connected,
        Err(error) => {
            if error != ConnectError::AppGone
                && let Some(others) = shared.cuts.note()
            {
                info!(import = %spec.listen, remote = %spec.remote, why = %error, others, "connection given up");
            }
            return app.abort(&error.to_string());
        }
    };
    let traffic = Arc::clone(&shared.usage.traffic);
    traffic.count_up(sent_early + unsent.len());
    let rule = OnNearEnd::for_application(spec.half_close, &shared.holds);
    let far = asking(dialler, spec.address, spec.port, stream);
    let ending = relay::run(app, far, unsent, rule, ride.meter(traffic)).await;
    if ending.is_cut()
        && let Some(others) = shared.cuts.note()
    {
        info!(import = %spec.listen, remote = %spec.remote, why = %ending, others, "connection cut off");
    }
}

/// Counts the sessions and bytes of a listener.
#[derive(Debug, Default)]
pub(super) struct Usage {
    open: Arc<AtomicU64>,
    pub(super) traffic: Arc<Traffic>,
}

impl Usage {
    /// Counts a session until it is dropped.
    pub(super) fn begin(&self) -> OpenSession {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenSession(Arc::clone(&self.open))
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            sessions_open: self.open.load(Ordering::Relaxed),
            bytes_in: self.traffic.down(),
            bytes_out: self.traffic.up(),
        }
    }
}

#[derive(Debug)]
pub(super) struct OpenSession(Arc<AtomicU64>);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
