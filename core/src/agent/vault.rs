//! The agent's access to secrets: the configured store, the journal of uncertain entries, and which clients have connected or expired.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::world::World;
use crate::ipc::SecretsStatus;
use crate::model::config::{Client, Config};
use crate::model::day::Day;
use crate::model::expired::Expired;
use crate::model::keys::Secret;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem, Subject, catalogue};
use crate::model::store_kind::StoreKind;
use crate::secrets::journal::Journal;
use crate::secrets::migrate::{self, Leftovers};
use crate::secrets::{SecretId, Secrets, SecretsError, Stores, choose};
use crate::store::files::Files;
use crate::store::history::History;
use crate::store::lock::{self, Lock};
use crate::store::paths::Paths;
use crate::store::{ConfigStore, notes, private};

/// How long a keyring may take when a person may have to unlock it first.
const PROMPT: Duration = Duration::from_secs(60);
/// How long a store's answer holds for other keys, too, when it failed. Shorter than the time after which the loop tries again.
const QUIET: Duration = Duration::from_secs(3);
/// How long one change of keys waits for another one, which may be waiting for a person.
const CHANGE: Duration = Duration::from_secs(65);
const CHANGE_LOOK: Duration = Duration::from_millis(5);
/// What the names of the notes begin with that tell whose access was seen to be over.
const EXPIRED: &str = "expired-";

/// Held while keys are being changed: nobody else settles the journal meanwhile.
pub(super) struct Changing {
    _here: tokio::sync::OwnedMutexGuard<()>,
    _everywhere: Lock,
}

/// See the file's sentence.
pub(super) struct Vault {
    paths: Paths,
    files: Files,
    stores: Arc<dyn Stores>,
    history: Arc<Mutex<History>>,
    /// Held while the history is written, so that the newest is written last. Whether the file lacks something for want of room, say.
    writing: tokio::sync::Mutex<bool>,
    /// Whose access was seen to be over.
    expired: watch::Sender<Expired>,
    /// Held while that is noted on disk. Whether the notes lack something.
    noting: tokio::sync::Mutex<bool>,
    /// Secrets to be erased that the journal could not be told of yet.
    owed: Mutex<BTreeSet<SecretId>>,
    owing: Notify,
    open: Mutex<Option<(StoreKind, String, Secrets)>>,
    /// What the store answered last, when that was a failure, and when.
    failure: watch::Sender<Option<Failure>>,
    changing: std::sync::Arc<tokio::sync::Mutex<()>>,
}

/// What was wrong with the store, and when it answered so.
pub(super) type Failure = (SecretsError, Instant);

impl Vault {
    /// For the agent.
    pub(super) fn new(paths: &Paths, world: &World) -> Self {
        Self::over(paths, world, History::open(&world.files, &paths.state))
    }

    /// For a command with no agent.
    pub(super) fn local(paths: &Paths, world: &World) -> Self {
        Self::over(paths, world, History::read(&paths.state))
    }

    fn over(paths: &Paths, world: &World, history: History) -> Self {
        Self {
            paths: paths.clone(),
            files: world.files.clone(),
            stores: Arc::clone(&world.stores),
            history: Arc::new(Mutex::new(history)),
            writing: Default::default(),
            expired: watch::Sender::new(expired_before(paths)),
            noting: Default::default(),
            owed: Mutex::default(),
            owing: Notify::new(),
            open: Mutex::default(),
            failure: watch::Sender::new(None),
            changing: Default::default(),
        }
    }

    /// How files are worked on.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// The store of that kind; opened once, so that a hanging one is known to hang.
    fn secrets(&self, config: &Config, kind: StoreKind) -> Secrets {
        let mut open = lock_of(&self.open);
        match &*open {
            Some((of, instance, secrets)) if *of == kind && instance == config.instance.as_str() => {
                secrets.clone()
            }
            _ => {
                let instance = config.instance.as_str();
                let secrets = self.stores.open(kind, instance);
                *open = Some((kind, instance.to_owned(), secrets.clone()));
                secrets
            }
        }
    }

    fn current(&self, config: &Config) -> Result<Secrets, SecretsError> {
        let kind = config.agent.secrets.ok_or_else(|| {
            SecretsError::Failed(
                "none was chosen yet, though the configuration names keys (agent.secrets)".into(),
            )
        })?;
        Ok(self.secrets(config, kind))
    }

    /// Begins a change of keys; waits for one that is under way, here or in another process.
    pub(super) async fn change(&self) -> Result<Changing, Problem> {
        let state = self.paths.state.clone();
        self.files.apart(move || private::ensure_dir(&state)).await?;
        let busy = || {
            Problem::new(Code::Busy, "another command is changing keys and does not end")
                .hint("it may be waiting for the keyring to be unlocked")
        };
        let path = self.paths.state.join("keys.lock");
        let taken = async {
            let here = std::sync::Arc::clone(&self.changing).lock_owned().await;
            loop {
                let path = path.clone();
                let shown = path.clone();
                match self.files.apart(move || lock::try_lock(&path)).await {
                    Ok(Some(everywhere)) => return Ok(Changing { _here: here, _everywhere: everywhere }),
                    Ok(None) => tokio::time::sleep(CHANGE_LOOK).await,
                    Err(error) => {
                        return Err(catalogue::cannot_lock(&shown, &error));
                    }
                }
            }
        };
        tokio::time::timeout(CHANGE, taken).await.map_err(|_| busy())?
    }

    /// The store to write to: the one that was chosen, or, at first use, the one that is chosen now, and what to say of it.
    pub(super) async fn choose(&self, config: &Config) -> Result<(StoreKind, Vec<String>), Problem> {
        if let Some(kind) = config.agent.secrets {
            return Ok((kind, Vec::new()));
        }
        let preferred = self.stores.preferred()?;
        let state = self.paths.state.clone();
        self.files.apart(move || private::ensure_dir(&state)).await?;
        let choice = choose::choose(preferred, &*self.stores, &self.paths.secrets(), PROMPT).await;
        let choice = choice.map_err(Problem::from)?;
        Ok((choice.kind, choice.notice.into_iter().collect()))
    }

    /// Notes secrets in the journal before they are written to this store, or erased from it.
    pub(super) async fn begin(&self, ids: &[SecretId], store: Option<StoreKind>) -> Result<(), Problem> {
        let (files, state, ids) = (self.files.clone(), self.paths.state.clone(), ids.to_vec());
        let begin = move || {
            private::ensure_dir(&state)?;
            Ok(journal(&files, &state)?.begin(ids, store)?)
        };
        self.files.apart(begin).await
    }

    /// Notes secrets that are to be erased from this store. Where the journal can't be written, they are kept in mind until it can.
    pub(super) async fn owe(&self, ids: &[SecretId], store: Option<StoreKind>) -> Result<(), Problem> {
        let noted = self.begin(ids, store).await;
        let mut owed = lock_of(&self.owed);
        match &noted {
            Ok(()) => owed.retain(|id| !ids.contains(id)),
            Err(_) => {
                owed.extend(ids);
                self.owing.notify_one();
            }
        }
        noted
    }

    /// Notes secrets of what another hand has taken out of the file. They stay in the store until somebody has them erased.
    pub(super) async fn set_aside(
        &self,
        ids: Vec<SecretId>,
        store: Option<StoreKind>,
    ) -> Result<(), Problem> {
        let (files, state) = (self.files.clone(), self.paths.state.clone());
        self.files.apart(move || Ok(journal(&files, &state)?.set_aside(ids, store)?)).await
    }

    /// A person has what was set aside erased.
    pub(super) async fn give_up_what_is_aside(&self) -> Result<(), Problem> {
        let (files, state) = (self.files.clone(), self.paths.state.clone());
        self.files.apart(move || Ok(journal(&files, &state)?.give_up()?)).await
    }

    /// A person gives up a store that is gone for good. False when nothing is to be erased there.
    pub(super) async fn give_up_store(&self, store: StoreKind) -> Result<bool, Problem> {
        Ok(self.journal().await?.give_up_store(store).await?)
    }

    /// Something could not be settled yet: what keeps settling is to try again.
    pub(super) fn owe_again(&self) {
        self.owing.notify_one();
    }

    /// Waits until something is owed.
    pub(super) async fn owes(&self) {
        self.owing.notified().await;
    }

    async fn journal(&self) -> Result<Journal, SecretsError> {
        let (files, state) = (self.files.clone(), self.paths.state.clone());
        self.files.apart(move || journal(&files, &state)).await
    }

    async fn in_doubt(&self) -> Result<BTreeSet<SecretId>, SecretsError> {
        let (files, state) = (self.files.clone(), self.paths.state.clone());
        let in_doubt = move || match state.exists() {
            true => journal(&files, &state)?.in_doubt(),
            false => Ok(BTreeSet::new()),
        };
        self.files.apart(in_doubt).await
    }

    /// Errors: something is in doubt still, since there is no configuration that says what is needed.
    pub(super) async fn check_settled(&self) -> Result<(), Problem> {
        match self.in_doubt().await?.len() {
            0 => Ok(()),
            count => {
                let message =
                    format!("nothing says whether {count} keys in doubt are needed, so they are kept");
                let hint = format!("put the configuration in its place: {}", self.paths.config.display());
                Err(Problem::new(Code::KeysInDoubt, message).hint(hint))
            }
        }
    }

    /// Writes a secret.
    pub(super) async fn set(
        &self,
        config: &Config,
        kind: StoreKind,
        id: SecretId,
        secret: Secret,
    ) -> Result<(), Problem> {
        let secrets = self.secrets(config, kind).with_deadline(PROMPT);
        Ok(self.noted(secrets.set(id, secret).await)?)
    }

    /// Reads a secret for a person who waits for it.
    pub(super) async fn get(&self, config: &Config, id: SecretId) -> Result<Secret, Problem> {
        let secrets = self.current(config)?.with_deadline(PROMPT);
        Ok(self.noted(secrets.get(id).await)?)
    }

    /// Reads a secret for the loop, which tries again by itself. A store that failed a moment ago is not asked again for the next
    /// key: with a display, each time would be a prompt.
    pub(super) async fn read(&self, config: &Config, id: SecretId) -> Result<Secret, SecretsError> {
        let failure = self.failure.borrow().clone();
        if let Some((error, since)) = failure
            && since.elapsed() < QUIET
        {
            return Err(error);
        }
        let result = match self.current(config) {
            Ok(secrets) => secrets.get(id).await,
            Err(error) => Err(error),
        };
        self.noted(result)
    }

    /// Remembers whether the store works, for `status`.
    fn noted<T>(&self, result: Result<T, SecretsError>) -> Result<T, SecretsError> {
        self.failure.send_replace(match &result {
            Ok(_) | Err(SecretsError::NoEntry(_)) => None,
            Err(error) => Some((error.clone(), Instant::now())),
        });
        result
    }

    /// What is wrong with the store, as it answered last.
    pub(super) fn problem(&self) -> Option<Problem> {
        let failure = self.failure.borrow();
        failure.as_ref().map(|(error, _)| Problem::from(error.clone()).about(Subject::Store))
    }

    /// Wakes when the store has answered.
    pub(super) fn answers(&self) -> watch::Receiver<Option<Failure>> {
        self.failure.subscribe()
    }

    /// Waits until the store is found to fail.
    pub(super) async fn until_failing(&self) {
        // The sender is ours.
        let _ = self.failure.subscribe().wait_for(Option::is_some).await;
    }

    /// Tries a store that was found to fail. One that works is left alone.
    pub(super) async fn is_failing(&self, config: &Config) -> bool {
        if self.failure.borrow().is_none() {
            return false;
        }
        let probed = match self.current(config) {
            Ok(secrets) => secrets.probe().await,
            // What could not be chosen is chosen again by the next command that needs it.
            Err(_) => Ok(()),
        };
        self.noted(probed).is_err()
    }

    /// The secrets that a configuration needs: our services' keys, our keys for remotes, and those of clients that have not connected yet.
    fn needed(&self, config: &Config) -> BTreeSet<SecretId> {
        needed(config, &lock_of(&self.history))
    }

    /// Erases what is in doubt and not needed by the configuration, and counts it; an error when some could not be erased yet.
    pub(super) async fn settle(&self, _changing: &Changing, store: &ConfigStore) -> Result<usize, Problem> {
        let owed: Vec<_> = lock_of(&self.owed).iter().copied().collect();
        if !owed.is_empty() {
            self.owe(&owed, None).await?;
        }
        let reading = store.clone();
        let read = move || if reading.exists() { reading.load().map(Some) } else { Ok(None) };
        self.catch_up().await?;
        if *self.noting.lock().await {
            self.note_expired().await;
        }
        // A file that is not there tells nothing: then everything is kept.
        let Some(config) = &self.files.apart(read).await? else {
            return self.check_settled().await.map(|()| 0);
        };
        let journal = self.journal().await?;
        if migrate::unfinished(&journal).await? {
            let current = self.current(config)?;
            let other = self.other(config, current.kind());
            let needed = self.needed(config);
            migrate::clean_up(|id| needed.contains(id), &current, &other, &journal).await?;
        }
        if self.in_doubt().await?.is_empty() {
            return Ok(0);
        }
        let kind = match config.agent.secrets {
            Some(kind) => kind,
            // The very first change failed before a store was written down; its secrets went to the one that would be chosen.
            None => self.choose(config).await?.0,
        };
        // Nor does one that went, or was spoilt, meanwhile.
        let (reading, history) = (store.clone(), Arc::clone(&self.history));
        let is_needed = move |id: &SecretId| {
            let config = reading.load().ok().filter(|_| reading.exists())?;
            Some(needed(&config, &lock_of(&history)).contains(id))
        };
        let open = |kind| self.stores.open(kind, config.instance.as_str());
        let settled = journal.settle(is_needed, &self.secrets(config, kind), open).await?;
        self.forget(&settled.erased).await;
        match settled.waiting.first() {
            Some((_, at, error)) if *at == kind => {
                self.noted(Err(error.clone()))?;
                Ok(settled.erased.len())
            }
            // Nothing else is kept there any more: that is no trouble of the store in use.
            Some((_, at, error)) => {
                let mut problem = Problem::from(error.clone());
                problem.message = format!("in {at}, which was used before: {}", problem.message);
                Err(problem)
            }
            None => Ok(settled.erased.len()),
        }
    }

    /// Forgets the clients whose services' keys were erased.
    async fn forget(&self, erased: &[SecretId]) {
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

    fn other(&self, config: &Config, kind: StoreKind) -> Secrets {
        let other = match kind {
            StoreKind::OsKeyring => StoreKind::File,
            StoreKind::File => StoreKind::OsKeyring,
        };
        self.stores.open(other, config.instance.as_str())
    }

    /// How the store is.
    pub(super) async fn status(&self, config: &Config) -> Result<SecretsStatus, Problem> {
        let needed = self.needed(config);
        let in_doubt = self.in_doubt().await?.len();
        let (files, state) = (self.files.clone(), self.paths.state.clone());
        let journal = move || state.exists().then(|| journal(&files, &state)).transpose();
        let also_in = match self.files.apart(journal).await? {
            Some(journal) => journal.others(config.agent.secrets).await?.into_iter().next(),
            None => None,
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let Some(kind) = config.agent.secrets else {
            return Ok(SecretsStatus {
                store: None,
                usable: true,
                problem: None,
                needed: count(needed.len()),
                found: 0,
                in_doubt: count(in_doubt),
                also_in,
                place: "chosen when the first key is made".into(),
            });
        };
        let secrets = self.secrets(config, kind);
        let problem = self.noted(secrets.probe().await).map_err(Problem::from).err();
        let mut found = 0;
        // A disk that is full, say, lets keys be read all the same.
        if problem.as_ref().is_none_or(|problem| matches!(problem.code, Code::StoreFull | Code::StoreFailed))
        {
            for id in &needed {
                found += usize::from(secrets.get(*id).await.is_ok());
            }
        }
        let place = match kind {
            StoreKind::File => self.paths.secrets().display().to_string(),
            StoreKind::OsKeyring => format!("entries of the service ormesh, users {}/…", config.instance),
        };
        Ok(SecretsStatus {
            store: Some(kind),
            usable: problem.is_none(),
            problem,
            needed: count(needed.len()),
            found: count(found),
            in_doubt: count(in_doubt),
            also_in,
            place,
        })
    }

    /// Moves all secrets to another store; `flip` writes its name to the configuration.
    pub(super) async fn migrate(
        &self,
        _changing: &Changing,
        config: &Config,
        to: StoreKind,
        flip: impl AsyncFnOnce() -> Result<(), Problem>,
    ) -> Result<Vec<String>, Problem> {
        let no_keys = || vec![format!("there are no keys yet; they will be kept in {to}")];
        let from = match config.agent.secrets {
            Some(from) if from == to => return Ok(vec![format!("the keys are in {to} already")]),
            Some(from) => from,
            None if self.in_doubt().await?.is_empty() => return flip().await.map(|()| no_keys()),
            // What the very first change has left behind is in the store that would be chosen; nobody would look for it there afterwards.
            None => self.choose(config).await?.0,
        };
        if from == to {
            return flip().await.map(|()| no_keys());
        }
        let (from, to) = (
            self.secrets(config, from).with_deadline(PROMPT),
            self.other(config, from).with_deadline(PROMPT),
        );
        let (needed, mut notes) = self.there(config, &from).await?;
        let count = needed.len();
        let moved = migrate::migrate(needed, &from, &to, &self.journal().await?, flip).await;
        match moved {
            Ok(Leftovers::None) => {
                notes.push(moved_keys(count, to.kind()));
                Ok(notes)
            }
            Ok(Leftovers::Some(error)) => {
                let moved = moved_keys(count, to.kind());
                notes.push(format!("{moved}; the old copies will be erased later ({error})"));
                Ok(notes)
            }
            Err(error) => Err(Problem::new(Code::KeysNotMoved, format!("failed to move the keys: {error}"))
                .hint("nothing was changed; the keys are where they were")),
        }
    }

    /// The needed secrets less those of invites that the store does not have, though it has the key of the same client's service: such a
    /// key was erased when the client connected, whatever the history knows of that. And what is to be said of them.
    async fn there(
        &self,
        config: &Config,
        secrets: &Secrets,
    ) -> Result<(BTreeSet<SecretId>, Vec<String>), Problem> {
        let (mut needed, mut notes) = (self.needed(config), Vec::new());
        for (name, client) in &config.clients {
            let id = SecretId::Client(client.key);
            if !client.requested && needed.contains(&id) && self.is_erased(secrets, client).await {
                needed.remove(&id);
                notes.push(format!("the invite of {name} can't be shown again: its key is not in the store"));
            }
        }
        Ok((needed, notes))
    }

    /// Whether the store lacks the key of an invite and is not just locked: it gives the key of the client's service.
    async fn is_erased(&self, secrets: &Secrets, client: &Client) -> bool {
        matches!(secrets.get(SecretId::Client(client.key)).await, Err(SecretsError::NoEntry(_)))
            && secrets.get(SecretId::Service(client.address)).await.is_ok()
    }

    /// Whether the invite of a client can't be shown for want of its key, which is the only one that is missing.
    pub(super) async fn has_lost_invite(&self, config: &Config, client: &Client) -> bool {
        match self.current(config) {
            Ok(secrets) => self.is_erased(&secrets, client).await,
            Err(_) => false,
        }
    }

    /// Whether a client has connected, ever.
    pub(super) fn has_connected(&self, address: &OnionAddress) -> bool {
        self.last_seen(address).is_some()
    }

    /// When a client was last seen, as far as that is known.
    pub(super) fn last_seen(&self, address: &OnionAddress) -> Option<u64> {
        lock_of(&self.history).get(address).map(|seen| seen.last)
    }

    /// Writes down that a client has connected.
    pub(super) async fn saw(&self, address: OnionAddress, now: u64) {
        if lock_of(&self.history).saw(address, now) {
            self.write_history().await;
        }
    }

    /// Keeps in mind when a client was last seen that is known to have connected; it is written down at the end.
    pub(super) fn saw_again(&self, address: OnionAddress, seen: u64) {
        lock_of(&self.history).saw(address, seen);
    }

    /// Writes down when everyone was last seen that is known to have connected. Who first came at the very end is taken for new by the next
    /// agent, which then erases its key: nobody has noted that yet.
    pub(super) async fn save_history(&self, seen: impl Iterator<Item = (OnionAddress, u64)>) {
        for (address, seen) in seen.filter(|(address, _)| self.has_connected(address)) {
            self.saw_again(address, seen);
        }
        if !lock_of(&self.history).is_empty() {
            self.write_history().await;
        }
    }

    /// Why it is not known who has connected, when it is not.
    pub(super) fn history_problem(&self) -> Option<Problem> {
        lock_of(&self.history).problem().cloned()
    }

    /// Whose access was seen to be over: it stays so when the clock is set back.
    pub(super) fn expired(&self) -> watch::Receiver<Expired> {
        self.expired.subscribe()
    }

    /// Whether a client's access is over today, or was seen to be.
    pub(super) fn is_over(&self, client: &Client, today: Day) -> bool {
        self.expired.borrow().is_over(&client.address, client.expires, today)
    }

    /// Sees whose access is over today. True when that is news, which [`Vault::note_expired`] writes down.
    pub(super) fn look_at_days(&self, config: &Config, today: Day) -> bool {
        let news = |expired: &mut Expired| expired.look(config, today);
        self.expired.send_if_modified(news)
    }

    /// A client is given its last day by a hand, be it the one that was over.
    pub(super) async fn begin_anew(&self, address: &OnionAddress) {
        if self.expired.send_if_modified(|expired| expired.forget(address)) {
            self.note_expired().await;
        }
    }

    /// Writes down whose access was seen to be over.
    pub(super) async fn note_expired(&self) {
        let mut is_behind = self.noting.lock().await;
        let (files, state) = (self.files.clone(), self.paths.state.clone());
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
    async fn catch_up(&self) -> Result<(), Problem> {
        if !*self.writing.lock().await {
            return Ok(());
        }
        self.write_history().await;
        match *self.writing.lock().await {
            false => Ok(()),
            true => Err(Problem::new(Code::FileFailed, "the history of clients can't be written")),
        }
    }
}

fn journal(files: &Files, state: &std::path::Path) -> Result<Journal, SecretsError> {
    let (journal, warning) = Journal::open(files, state)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(journal)
}

fn expired_before(paths: &Paths) -> Expired {
    let noted: io::Result<BTreeSet<_>> = notes::read(&paths.state, EXPIRED);
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

fn moved_keys(count: usize, to: StoreKind) -> String {
    let keys = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
    format!("moved {keys} to {}", to.in_words())
}

#[cfg(test)]
mod tests;
