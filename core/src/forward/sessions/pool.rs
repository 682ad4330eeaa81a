//! An importer's sessions: one for each remote and time to hold. They are dialled when they are first needed, and end when nothing has
//! needed them for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use super::channel::Channel;
use super::driven::{Driven, Task};
use crate::engine::{DialError, EngineState};
use crate::model::address::Port;
use crate::model::onion::OnionAddress;
use crate::session::limits::{Limits, SESSIONS_SERVED};
use crate::session::words::{Farewell, LinkId};

/// The version of the frames that we speak. A responder announces its own.
pub const VERSION: u32 = 1;

/// What is said first over a link, to the responder.
pub const ASKS: &[u8] = b"{\"ormesh\":1,\"ask\":\"session\"}\n";

/// Bytes that may follow it before the link is known to stand.
const FIRST: usize = 8 * 1024;

/// How long links may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// How long a session without streams is kept: about as long as a circuit counts as warm.
const IDLE: Duration = Duration::from_secs(9 * 60);
const LOOK: Duration = Duration::from_secs(60);

/// Numbers circuits of links, so that each gets its own.
static CIRCUITS: AtomicU64 = AtomicU64::new(0);

/// A link as it was dialled.
pub trait Link: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Link for S {}

/// Dials links.
#[async_trait]
pub trait DialLink: Send + Sync {
    /// Reaches a remote's responder over the circuit of a group. `first` goes ahead where that costs nothing, if `speaks` lets it,
    /// which is asked right before; what of it did not is given back.
    ///
    /// Errors: why the last attempt failed.
    async fn dial_link(
        &self,
        remote: &OnionAddress,
        group: &str,
        first: Vec<u8>,
        speaks: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(Box<dyn Link>, Vec<u8>), DialError>;

    /// A group is not used any more.
    fn forget(&self, remote: &OnionAddress, group: &str);

    /// How it stands with tor.
    fn state(&self) -> watch::Receiver<EngineState>;
}

/// See the file's sentence.
pub struct Pool {
    dial: Box<dyn Fn() -> Option<Arc<dyn DialLink>> + Send + Sync>,
    is_off: AtomicBool,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// Remotes whose agents speak it, as far as known.
    speak: BTreeSet<OnionAddress>,
    sessions: BTreeMap<(OnionAddress, Duration), Arc<Driven>>,
    /// The only remotes that may be reached; none before they were told.
    wanted: Option<BTreeSet<OnionAddress>>,
}

impl Known {
    fn speaks_no_more(&mut self, remote: &OnionAddress) {
        if self.speak.remove(remote) {
            info!(%remote, "it does not offer sessions: new connections are plain ones");
        }
    }
}

fn locked(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How it stands with a session, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionStanding {
    /// Circuits that it uses.
    pub circuits: usize,
    /// Since when it waits for one.
    pub holding_since: Option<Instant>,
}

impl Pool {
    /// Dials by this, if it is still there.
    pub fn new(dial: impl Fn() -> Option<Arc<dyn DialLink>> + Send + Sync + 'static) -> Self {
        Self { dial: Box::new(dial), is_off: AtomicBool::new(false), known: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }

    /// Whether new connections may use sessions at all. Those that are open go on.
    pub fn allow(&self, on: bool) {
        self.is_off.store(!on, Ordering::Relaxed);
    }

    /// What a remote's agent has announced.
    pub fn announced(&self, remote: &OnionAddress, version: Option<u32>) {
        let mut known = self.known();
        match version {
            Some(VERSION) => _ = known.speak.insert(*remote),
            _ => known.speaks_no_more(remote),
        }
    }

    /// Whether connections to a remote may use sessions.
    pub fn may(&self, remote: &OnionAddress) -> bool {
        !self.is_off.load(Ordering::Relaxed) && self.known().speak.contains(remote)
    }

    /// Opens a stream to a remote's port. None where the remote is not known to speak it, or there is no room: a plain connection is made.
    ///
    /// A session's first link uses the circuit of `group`, which may be warm.
    pub fn open(&self, remote: &OnionAddress, port: Port, hold: Duration, group: &str) -> Option<Channel> {
        let mut known = self.known();
        let is_wanted = known.wanted.as_ref().is_none_or(|wanted| wanted.contains(remote));
        if self.is_off.load(Ordering::Relaxed) || !is_wanted || !known.speak.contains(remote) {
            return None;
        }
        known.sessions.retain(|_, driven| !driven.has_ended());
        let driven = match known.sessions.get(&(*remote, hold)) {
            Some(driven) => Arc::clone(driven),
            // The far side has no place for more.
            None if known.sessions.keys().filter(|(other, _)| other == remote).count() >= SESSIONS_SERVED => {
                return None;
            }
            None => {
                let driven = self.begin(remote, hold, group)?;
                known.sessions.insert((*remote, hold), Arc::clone(&driven));
                driven
            }
        };
        drop(known);
        if driven.standing().links == 0 {
            // Somebody waits: no pause between dials is worth it.
            driven.probe();
        }
        let stream = driven.open(port.get())?;
        Some(Channel::opened(driven, stream))
    }

    fn begin(&self, remote: &OnionAddress, hold: Duration, group: &str) -> Option<Arc<Driven>> {
        let dial = (self.dial)()?;
        let driven = Driven::importer(Limits { hold, ..Limits::default() }).ok()?;
        let known = Arc::downgrade(&self.known);
        let kept =
            Kept { driven: Arc::clone(&driven), dial, known, remote: *remote, group: group.to_owned() };
        tokio::spawn(kept.keep());
        Some(driven)
    }

    /// How it stands with the session that connections of this kind use.
    pub fn standing(&self, remote: &OnionAddress, hold: Duration) -> Option<SessionStanding> {
        let driven = self.known().sessions.get(&(*remote, hold)).map(Arc::clone)?;
        let standing = driven.standing();
        let holding_since = driven.holding_since().filter(|_| standing.streams > 0);
        (!driven.has_ended()).then_some(SessionStanding { circuits: standing.links, holding_since })
    }

    /// These are all remotes that there are: sessions with others end, and all that they carry.
    pub fn keep(&self, wanted: BTreeSet<OnionAddress>) {
        self.end_where(|remote| !wanted.contains(remote));
        self.known().wanted = Some(wanted);
    }

    /// A remote was deleted, or has another key.
    pub fn forget(&self, remote: &OnionAddress) {
        self.known().speak.remove(remote);
        self.end_where(|other| other == remote);
    }

    fn end_where(&self, is_it: impl Fn(&OnionAddress) -> bool) {
        let mut ended = Vec::new();
        self.known().sessions.retain(|(remote, _), driven| {
            let ends = is_it(remote);
            if ends {
                ended.push(Arc::clone(driven));
            }
            !ends
        });
        // Nothing that has come may be read any more either.
        ended.iter().for_each(|driven| driven.close(Farewell::Deleted));
    }

    /// The agent ends: every session says goodbye. Waits for that, but not long.
    pub async fn leave(&self) {
        self.allow(false);
        let all: Vec<Arc<Driven>> = std::mem::take(&mut self.known().sessions).into_values().collect();
        all.iter().for_each(|driven| driven.close(Farewell::Leaving));
        let gone = async {
            while all.iter().any(|driven| !driven.has_no_links()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(GOODBYE, gone).await;
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A session and what it takes to keep it.
struct Kept {
    driven: Arc<Driven>,
    dial: Arc<dyn DialLink>,
    known: Weak<Mutex<Known>>,
    remote: OnionAddress,
    /// The group of its first link.
    group: String,
}

impl Kept {
    async fn keep(self) {
        let (mut links, mut state) = (JoinSet::new(), self.dial.state());
        let mut used = Instant::now();
        loop {
            tokio::select! {
                task = self.driven.next() => match task {
                    Task::Dial(link) => _ = links.spawn(self.link(link)),
                    // Only importers open streams.
                    Task::Opened(..) => {}
                    Task::Ended(why, violation) => {
                        debug!(remote = %self.remote, ?why, ?violation, "a session has ended");
                        if why == Farewell::NotOffered
                            && let Some(known) = self.known.upgrade()
                        {
                            locked(&known).speaks_no_more(&self.remote);
                        }
                        break;
                    }
                },
                Some(_) = links.join_next() => {}
                Ok(()) = state.changed() => {
                    if state.borrow_and_update().is_ready() {
                        self.driven.probe();
                    }
                }
                () = sleep(LOOK) => {}
            }
            if self.driven.standing().streams > 0 {
                used = Instant::now();
            } else if used.elapsed() >= IDLE {
                self.driven.close(Farewell::Leaving);
            }
        }
        let goodbyes = async { while links.join_next().await.is_some() {} };
        let _ = timeout(GOODBYE, goodbyes).await;
    }

    /// Dials a link and carries it until it is over.
    fn link(&self, link: LinkId) -> impl Future<Output = ()> + Send + use<> {
        let (driven, dial, remote) = (Arc::clone(&self.driven), Arc::clone(&self.dial), self.remote);
        let (group, is_own) = match link {
            LinkId(0) => (self.group.clone(), false),
            _ => (format!("session-{}", CIRCUITS.fetch_add(1, Ordering::Relaxed)), true),
        };
        async move {
            let first = [ASKS, &driven.greet(link, FIRST)].concat();
            let speaks = || driven.speaks(link);
            let dialled = tokio::select! {
                dialled = dial.dial_link(&remote, &group, first, &speaks) => dialled,
                // It takes too long, or is not needed any more.
                () = driven.closed(link) => Err(DialError::TimedOut),
            };
            match dialled {
                Ok((mut stream, rest)) if speaks() => {
                    debug!(%remote, ?link, "a link stands");
                    driven.carry(link, &mut stream, &[], rest).await;
                    debug!(%remote, ?link, "a link is over");
                }
                Ok(_) => driven.lost(link),
                Err(error) => {
                    debug!(%remote, ?link, %error, "a link could not be dialled");
                    driven.lost(link);
                    if !error.is_retryable() {
                        // Our access has ended, so nothing is worth holding.
                        driven.close(Farewell::Revoked);
                    }
                }
            }
            if is_own {
                dial.forget(&remote, &group);
            }
        }
    }
}
