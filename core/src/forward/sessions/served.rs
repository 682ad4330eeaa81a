//! The sessions that one client has here. They are looked up at that client's own responder and nowhere else, and end with it.
//!
//! Nothing is kept for a link before its hello is whole, and few links may be without one. A session grants nothing: each stream is given to
//! the gate of its port, if that client has one, as if it had come through that gate's own socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::channel::Channel;
use super::driven::{Driven, Task};
use crate::forward::capacity::{Member, Part};
use crate::forward::gate::ClientSessions;
use crate::session::codec::Hello;
use crate::session::door::{self, LONGEST_HELLO};
use crate::session::limits::{LINKS_SERVED, Limits, SESSIONS_SERVED};
use crate::session::words::{Farewell, LinkId, SessionId, TurnedAway};

/// How long a link may take to say whose it is.
const HELLO: Duration = Duration::from_secs(10);

/// How long links may take to say goodbye, and be heard.
const GOODBYE: Duration = Duration::from_millis(500);

/// How long they may take to hand it to tor, where access has ended: other gates are still to be closed.
const FLUSH: Duration = Duration::from_millis(20);

/// See the file's sentence.
#[derive(Debug)]
pub struct Served {
    clients: Arc<ClientSessions>,
    links: Arc<Part>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    is_closed: bool,
    sessions: BTreeMap<SessionId, Arc<Driven>>,
}

impl Served {
    /// Those of this client: none yet.
    pub fn new(clients: Arc<ClientSessions>) -> Arc<Self> {
        let links = Part::of(&Member::control((SESSIONS_SERVED * LINKS_SERVED) as u64));
        Arc::new(Self { clients, links, known: Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client has none.
    pub fn is_empty(&self) -> bool {
        self.known().sessions.is_empty()
    }

    /// Serves a link until it is over. `heard` has come over it already. Where sessions are not `offered`, those that are open go on.
    pub async fn serve<S>(self: &Arc<Self>, mut stream: S, heard: Vec<u8>, offered: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Ok(_place) = self.links.take() else { return turn_away(stream, TurnedAway::Full).await };
        let (hello, rest) = match timeout(HELLO, knock(&mut stream, heard)).await {
            Ok(Some(Ok(said))) => said,
            Ok(Some(Err(why))) => return turn_away(stream, why).await,
            // It is gone, or says nothing.
            Ok(None) | Err(_) => return,
        };
        let (driven, link) = match self.join(&hello, offered) {
            Ok(joined) => joined,
            Err(why) => {
                debug!(client = %self.clients.name(), ?why, "a link was turned away");
                return turn_away(stream, why).await;
            }
        };
        drop(hello);
        tokio::select! {
            () = driven.carry(link, &mut stream, &rest, Vec::new()) => {}
            () = async { driven.over().await; sleep(GOODBYE).await } => {}
        }
    }

    /// Finds the session of a link, or makes it.
    fn join(self: &Arc<Self>, hello: &Hello, offered: bool) -> Result<(Arc<Driven>, LinkId), TurnedAway> {
        let mut known = self.known();
        if known.is_closed {
            return Err(TurnedAway::Other);
        }
        if let Some(driven) = known.sessions.get(&hello.session) {
            return Ok((Arc::clone(driven), driven.join(hello)?));
        }
        let driven = Driven::exporter(hello, Limits::default())?;
        if !offered {
            return Err(TurnedAway::NotOffered);
        }
        // The one that is without a link for longest gives way: an importer that crashed leaves one behind.
        if known.sessions.len() >= SESSIONS_SERVED {
            let held = |(id, driven): (&SessionId, &Arc<Driven>)| Some((driven.holding_since()?, *id));
            let (_, longest) = known.sessions.iter().filter_map(held).min().ok_or(TurnedAway::Full)?;
            if let Some(driven) = known.sessions.remove(&longest) {
                driven.close(Farewell::Other);
            }
        }
        let link = driven.join(hello)?;
        // It ends with the session.
        tokio::spawn(keep(Arc::downgrade(self), hello.session, Arc::clone(&driven)));
        known.sessions.insert(hello.session, Arc::clone(&driven));
        Ok((driven, link))
    }

    /// Ends all sessions, at once, and takes no more.
    pub fn end(&self, why: Farewell) {
        self.ended(why);
    }

    fn ended(&self, why: Farewell) -> Vec<Arc<Driven>> {
        let all: Vec<Arc<Driven>> = {
            let mut known = self.known();
            known.is_closed = true;
            std::mem::take(&mut known.sessions).into_values().collect()
        };
        all.iter().for_each(|driven| driven.close(why));
        all
    }

    /// The same, and waits until the other ends have heard it where the agent leaves, else until it is on its way, but not long.
    pub async fn close(&self, why: Farewell) {
        let all = self.ended(why);
        let gone = async {
            while all.iter().any(|driven| !driven.has_no_links()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = if why == Farewell::Leaving { GOODBYE } else { FLUSH };
        let _ = timeout(patience, gone).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.ended(Farewell::Revoked);
    }
}

/// Does what is to be done for a session, until it is over.
async fn keep(served: Weak<Served>, id: SessionId, driven: Arc<Driven>) {
    loop {
        match driven.next().await {
            // Only importers dial.
            Task::Dial(_) => {}
            Task::Opened(stream, port) => {
                let channel = Channel::wanted(Arc::clone(&driven), stream);
                if let Some(served) = served.upgrade() {
                    served.clients.want(port, channel);
                }
            }
            Task::Ended(why, violation) => {
                let Some(served) = served.upgrade() else { return };
                debug!(client = %served.clients.name(), ?why, ?violation, "a session has ended");
                let mut known = served.known();
                if known.sessions.get(&id).is_some_and(|known| Arc::ptr_eq(known, &driven)) {
                    known.sessions.remove(&id);
                }
                return;
            }
        }
    }
}

/// Reads a link's hello. None where it ends before.
async fn knock<S>(stream: &mut S, mut heard: Vec<u8>) -> Option<Result<(Hello, Vec<u8>), TurnedAway>>
where
    S: AsyncRead + Unpin,
{
    loop {
        match door::knock(&heard) {
            Ok(Some((hello, length))) => {
                heard.drain(..length);
                return Some(Ok((hello, heard)));
            }
            Ok(None) if heard.len() >= LONGEST_HELLO => return Some(Err(TurnedAway::Other)),
            Ok(None) => {}
            Err(why) => return Some(Err(why)),
        }
        let mut more = [0; LONGEST_HELLO];
        match stream.read(&mut more).await {
            Ok(read) if read > 0 => heard.extend_from_slice(more.get(..read)?),
            _ => return None,
        }
    }
}

/// Tells a link why, and ends it.
async fn turn_away<S: AsyncWrite + Unpin>(mut stream: S, why: TurnedAway) {
    let said = async {
        stream.write_all(&door::no(why)).await?;
        stream.shutdown().await
    };
    let _ = timeout(GOODBYE, said).await;
}
