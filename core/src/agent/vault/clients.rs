//! What is known of clients beside the configuration: which have connected, and whose access was over. It is on disk, too.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::model::config::{Client, Config};
use crate::model::day::Day;
use crate::model::expired::Expired;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem};
use crate::secrets::SecretId;
use crate::store::files::Files;
use crate::store::history::History;
use crate::store::notes;

/// What the names of the notes begin with that tell whose access was seen to be over.
const EXPIRED: &str = "expired-";

/// See the file's sentence.
pub(in crate::agent) struct Clients {
    files: Files,
    state: PathBuf,
    history: Arc<Mutex<History>>,
    /// Held while the history is written, so that the newest is written last. Whether the file lacks something for want of room, say.
    writing: tokio::sync::Mutex<bool>,
    /// Whose access was seen to be over.
    expired: watch::Sender<Expired>,
    /// Held while that is noted on disk. Whether the notes lack something.
    noting: tokio::sync::Mutex<bool>,
    owing: Arc<Notify>,
}

impl Clients {
    pub(super) fn new(state: &Path, files: &Files, history: History, owing: Arc<Notify>) -> Self {
        Self {
            files: files.clone(),
            state: state.to_owned(),
            history: Arc::new(Mutex::new(history)),
            writing: Default::default(),
            expired: watch::Sender::new(expired_before(state)),
            noting: Default::default(),
            owing,
        }
    }

    /// Whether a client has connected, ever.
    pub(in crate::agent) fn has_connected(&self, address: &OnionAddress) -> bool {
        self.last_seen(address).is_some()
    }

    /// When a client was last seen, as far as that is known.
    pub(in crate::agent) fn last_seen(&self, address: &OnionAddress) -> Option<u64> {
        lock_of(&self.history).get(address).map(|seen| seen.last)
    }

    /// Writes down that a client has connected.
    pub(in crate::agent) async fn saw(&self, address: OnionAddress, now: u64) {
        if lock_of(&self.history).saw(address, now) {
            self.write_history().await;
        }
    }

    /// Keeps in mind when a client was last seen that is known to have connected; it is written down at the end.
    pub(in crate::agent) fn saw_again(&self, address: OnionAddress, seen: u64) {
        lock_of(&self.history).saw(address, seen);
    }

    /// Writes down when everyone was last seen that is known to have connected. Who first came at the very end is taken for new by the next
    /// agent, which then erases its key: nobody has noted that yet.
    pub(in crate::agent) async fn save_history(&self, seen: impl Iterator<Item = (OnionAddress, u64)>) {
        for (address, seen) in seen.filter(|(address, _)| self.has_connected(address)) {
            self.saw_again(address, seen);
        }
        if !lock_of(&self.history).is_empty() {
            self.write_history().await;
        }
    }

    /// Why it is not known who has connected, when it is not.
    pub(in crate::agent) fn history_problem(&self) -> Option<Problem> {
        lock_of(&self.history).problem().cloned()
    }

    /// Whose access was seen to be over: it stays so when the clock is set back.
    pub(in crate::agent) fn expired(&self) -> watch::Receiver<Expired> {
        self.expired.subscribe()
    }

    /// Whether a client's access is over today, or was seen to be.
    pub(in crate::agent) fn is_over(&self, client: &Client, today: Day) -> bool {
        self.expired.borrow().is_over(&client.address, client.expires, today)
    }

    /// Sees whose access is over today. True when that is news, which [`Clients::note_expired`] writes down.
    pub(in crate::agent) fn look_at_days(&self, config: &Config, today: Day) -> bool {
        let news = |expired: &mut Expired| expired.look(config, today);
        self.expired.send_if_modified(news)
    }

    /// A client is given its last day by a hand, be it the one that was over.
    pub(in crate::agent) async fn begin_anew(&self, address: &OnionAddress) {
        if self.expired.send_if_modified(|expired| expired.forget(address)) {
            self.note_expired().await;
        }
    }

    /// Writes down whose access was seen to be over.
    pub(in crate::agent) async fn note_expired(&self) {
        let mut is_behind = self.noting.lock().await;
        let (files, state) = (self.files.clone(), self.state.clone());
        let seen = self.expired.borrow().all().clone();
        let noted = self.files.apart(move || notes::write(&files, &state, EXPIRED, &seen)).await;
        let was_behind = std::mem::replace(&mut *is_behind, noted.is_err());
        if let Err(error) = noted {
            // It is tried again every few seconds.
            if !was_behind {
                tracing::warn!(%error, "failed to note whose access is over");
            }
            self.owing.notify_one();
        }
    }

    /// The secrets that a configuration needs: our services' keys, our keys for remotes, and those of clients that have not connected yet.
    pub(super) fn needed(&self, config: &Config) -> BTreeSet<SecretId> {
        needed(config, &lock_of(&self.history))
    }

    /// Forgets the clients whose services' keys were erased.
    pub(super) async fn forget(&self, erased: &[SecretId]) {
        let forget = |id: &SecretId| match id {
            SecretId::Service(address) => lock_of(&self.history).forget(address),
            SecretId::Client(_) => false,
        };
        for id in erased {
            if let SecretId::Service(address) = id {
                self.begin_anew(address).await;
            }
        }
        // Each one, not just the first.
        if erased.iter().filter(|id| forget(id)).count() > 0 {
            self.write_history().await;
        }
    }

    async fn write_history(&self) {
        let mut is_behind = self.writing.lock().await;
        let page = lock_of(&self.history).page();
        let written = match page {
            Ok(page) => {
                let files = self.files.clone();
                self.files.apart(move || page.write(&files)).await
            }
            Err(error) => Err(error),
        };
        *is_behind = written.is_err();
        if let Err(error) = written {
            tracing::warn!(%error, "failed to write the history");
            self.owing.notify_one();
        }
    }

    /// Writes the history again where that failed.
    pub(super) async fn catch_up(&self) -> Result<(), Problem> {
        if !*self.writing.lock().await {
            return Ok(());
        }
        self.write_history().await;
        match *self.writing.lock().await {
            false => Ok(()),
            true => Err(Problem::new(Code::FileFailed, "the history of clients can't be written")),
        }
    }

    /// Whether a configuration needs a secret, by what is known at the time of the question.
    pub(super) fn needs(&self) -> impl Fn(&Config, &SecretId) -> bool + Clone + Send + 'static {
        let history = Arc::clone(&self.history);
        move |config, id| needed(config, &lock_of(&history)).contains(id)
    }

    /// Writes what could not be written before.
    pub(super) async fn write_what_is_behind(&self) -> Result<(), Problem> {
        self.catch_up().await?;
        if *self.noting.lock().await {
            self.note_expired().await;
        }
        Ok(())
    }
}

fn expired_before(state: &Path) -> Expired {
    let noted: io::Result<BTreeSet<_>> = notes::read(state, EXPIRED);
    // Who was revoked is read there, too, and no agent starts where that fails.
    Expired::new(noted.unwrap_or_default())
}

fn needed(config: &Config, history: &History) -> BTreeSet<SecretId> {
    let services = config.clients.values().map(|client| SecretId::Service(client.address));
    let remotes = config.remotes.values().map(|remote| SecretId::Client(remote.key));
    let requests = config.requests.values().map(|key| SecretId::Client(*key));
    let invited =
        config.clients.values().filter(|client| !client.requested && history.get(&client.address).is_none());
    let invited = invited.map(|client| SecretId::Client(client.key));
    services.chain(remotes).chain(requests).chain(invited).collect()
}

fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
