//! An import: a local address whose connections lead to a remote's port. The listener stays; each connection is dialled and relayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tracing::info;

use super::capacity::{Crowded, Part, Place};
use super::cuts::Cuts;
use super::dialler::{ConnectError, Dialler, Early};
use super::holds::{HOLD_LIMIT, Holds};
use super::lanes::{Lanes, Ride};
use super::listen::{self, Bound, ListenError, SocketPath};
use super::owner::{Owners, TurnedAway};
use super::reach::{By, Far, Reached, reach};
use super::relay::{self, Meter, OnNearEnd, Traffic};
use super::server::{AtBound, Renewer, Server};
use super::sessions::pool::SessionStanding;
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
    /// Whether it uses sessions, and how long they are held.
    pub by: By,
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
    /// Connections that are streams of a session.
    riding: Usage,
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
        let (usage, riding, cuts) = (Usage::default(), Usage::default(), Cuts::default());
        let shared = Arc::new(Shared { spec, dialler, usage, holds, lanes, owners, cuts, riding });
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

    /// How it stands with its connections that are streams of a session, and how many there are.
    pub fn session(&self) -> Option<(u64, SessionStanding)> {
        let By::Session(hold) = self.shared.spec.by else { return None };
        let riding = self.shared.riding.stats().sessions_open;
        let standing = self.shared.dialler.sessions().standing(&self.shared.spec.address, hold)?;
        (riding > 0).then_some((riding, standing))
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
    let reached = {
        let (group, untold) = (ride.group(), watch::Sender::default());
        let (to, early) = ((&spec.address, spec.port), Early::of(&mut app));
        Box::pin(reach(dialler, to, &group, spec.by, early, &untold)).await
    };
    let Reached { far, unsent, sent_early } = match reached {
        Ok(reached) => reached,
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
    let rule = OnNearEnd::for_application(spec.half_close, &shared.holds, far.is_session());
    let _riding = far.is_session().then(|| shared.riding.begin());
    let meter = metered(&ride, traffic, &far);
    let ending = Box::pin(relay::run(app, far, unsent, rule, meter)).await;
    if ending.is_cut()
        && let Some(others) = shared.cuts.note()
    {
        info!(import = %spec.listen, remote = %spec.remote, why = %ending, others, "connection cut off");
    }
}

/// Counts bytes of a connection: for its lane, too, where it has a circuit of its own.
pub(super) fn metered(ride: &Ride, traffic: Arc<Traffic>, far: &Far) -> Arc<dyn Meter + Send + Sync> {
    match far {
        Far::Session(_) => traffic,
        Far::Plain(_) | Far::Refused(_) => Arc::new(ride.meter(traffic)),
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
