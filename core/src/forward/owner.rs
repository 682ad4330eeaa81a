//! Restricts a TCP listener to the agent's own user and root, by the owner of the connecting socket.
//!
//! Whose owner can't be found out is turned away: a connection from another machine, one that has ended already, or any where the
//! system doesn't tell.

#[cfg_attr(target_os = "linux", path = "owner/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "owner/process.rs")]
mod ask;
mod user;

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::cuts::Cuts;
use crate::engine::stream::Stream;
use crate::model::config::Users;
use user::User;

/// Whether the program at the other end of a TCP connection is known to have closed it, not only its own side.
pub(super) fn has_closed(stream: &TcpStream) -> bool {
    matches!((stream.peer_addr(), stream.local_addr()), (Ok(peer), Ok(local)) if ask::has_closed(peer, local))
}

/// How long a refusal is reported after the last one.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// A listener's rule, and whom it has turned away.
#[derive(Debug)]
pub(super) struct Owners {
    users: Users,
    /// The listener, for the log.
    listener: String,
    last: Mutex<Option<(TurnedAway, Instant)>>,
    /// Lines in the log of them.
    told: Cuts,
    /// When a connection that was closed too soon was last logged.
    ended: Mutex<Option<Instant>>,
}

/// Connections that were turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway {
    /// Whose the last one was: `user 1001`, or why nobody knows.
    pub who: String,
    /// How many there were, until none came for ten minutes.
    pub times: u64,
}

impl Owners {
    pub(super) fn new(users: Users, listener: String) -> Self {
        Self { users, listener, last: Mutex::default(), told: Cuts::default(), ended: Mutex::default() }
    }

    /// Whether a connection may pass.
    pub(super) async fn admit(&self, stream: &Stream) -> bool {
        // A Unix socket's mode has kept others out.
        let (Users::Me, Stream::Tcp(stream)) = (self.users, stream) else { return true };
        self.admit_by(stream, ask::owner).await
    }

    async fn admit_by(
        &self,
        stream: &TcpStream,
        ask: impl AsyncFnOnce(SocketAddr, SocketAddr) -> Result<User, String>,
    ) -> bool {
        let ends = || stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?)));
        let Ok((peer, local)) = ends() else { return self.note_ended() };
        let owner = ask(peer, local).await;
        // Once it is reset, its port is free for another program, of which the answer may tell.
        if ends().is_err() {
            return self.note_ended();
        }
        match owner {
            Ok(User::Me | User::Root) => return true,
            Ok(User::Other(name)) => self.note(name),
            // Nobody is there any more who could miss something.
            Err(_) if has_closed(stream) => return self.note_ended(),
            Err(why) => self.note(format!("somebody unknown ({why})")),
        }
        false
    }

    /// A connection was closed before it was known whose it was: whoever only tries whether somebody listens does that.
    fn note_ended(&self) -> bool {
        let mut told = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TOLD_FOR) {
            *told = Some(Instant::now());
            info!(listener = %self.listener, "a connection was closed before it was known whose it was: what it sent is dropped");
        }
        false
    }

    fn note(&self, who: String) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.take().filter(|(_, at)| at.elapsed() < TOLD_FOR).map(|(refusal, _)| refusal);
        // Whoever knocks without end is not to fill the log.
        if before.as_ref().is_none_or(|before| before.who != who)
            && let Some(others) = self.told.note()
        {
            warn!(listener = %self.listener, %who, others, "a connection was refused: the address is for this user alone");
        } else {
            debug!(listener = %self.listener, %who, "a connection was refused");
        }
        let times = before.map_or(0, |before| before.times) + 1;
        *last = Some((TurnedAway { who, times }, Instant::now()));
    }

    /// Who was turned away in the last ten minutes.
    pub(super) fn turned_away(&self) -> Option<TurnedAway> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(_, at)| at.elapsed() < TOLD_FOR).map(|(refusal, _)| refusal.clone())
    }
}

#[cfg(all(test, unix))]
mod tests;
