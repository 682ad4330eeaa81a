//! The agent's access to secrets: changes of keys that end whole, and moves from one store to another.

mod clients;
mod doubts;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clients::Clients;
use doubts::Doubts;
pub(super) use store::Failure;
use store::{PROMPT, Store};
use tokio::sync::Notify;

use super::world::World;
use crate::ipc::SecretsStatus;
use crate::model::config::{Client, Config};
use crate::model::problem::{Code, Problem, catalogue};
use crate::model::store_kind::StoreKind;
use crate::secrets::migrate::{self, Leftovers};
use crate::secrets::{SecretId, Secrets, SecretsError, choose};
use crate::store::files::Files;
use crate::store::history::History;
use crate::store::lock::{self, Lock};
use crate::store::paths::Paths;
use crate::store::{ConfigStore, private};

/// How long one change of keys waits for another one, which may be waiting for a person.
const CHANGE: Duration = Duration::from_secs(65);
const CHANGE_LOOK: Duration = Duration::from_millis(5);

/// Held while keys are being changed: nobody else settles the journal meanwhile.
pub(super) struct Changing {
    _here: tokio::sync::OwnedMutexGuard<()>,
    _everywhere: Lock,
}

/// See the file's sentence.
pub(super) struct Vault {
    paths: Paths,
    files: Files,
    pub(super) store: Store,
    pub(super) doubts: Doubts,
    pub(super) clients: Clients,
    changing: Arc<tokio::sync::Mutex<()>>,
}

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
        let (files, owing) = (world.files.clone(), Arc::new(Notify::new()));
        Self {
            paths: paths.clone(),
            store: Store::new(Arc::clone(&world.stores)),
            doubts: Doubts::new(paths, &files, Arc::clone(&owing)),
            clients: Clients::new(&paths.state, &files, history, owing),
            files,
            changing: Default::default(),
        }
    }

    /// How files are worked on.
    pub(super) fn files(&self) -> &Files {
        &self.files
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
            let here = Arc::clone(&self.changing).lock_owned().await;
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
        let stores = self.store.all();
        let preferred = stores.preferred()?;
        let state = self.paths.state.clone();
        self.files.apart(move || private::ensure_dir(&state)).await?;
        let choice = choose::choose(preferred, stores, &self.paths.secrets(), PROMPT).await;
        let choice = choice.map_err(Problem::from)?;
        Ok((choice.kind, choice.notice.into_iter().collect()))
    }

    /// Erases what is in doubt and not needed by the configuration, and counts it; an error when some could not be erased yet.
    pub(super) async fn settle(&self, _changing: &Changing, store: &ConfigStore) -> Result<usize, Problem> {
        self.doubts.owe_what_is_owed().await?;
        let reading = store.clone();
        let read = move || if reading.exists() { reading.load().map(Some) } else { Ok(None) };
        self.clients.write_what_is_behind().await?;
        // A file that is not there tells nothing: then everything is kept.
        let Some(config) = &self.files.apart(read).await? else {
            return self.doubts.check_settled().await.map(|()| 0);
        };
        let journal = self.doubts.journal().await?;
        if migrate::unfinished(&journal).await? {
            let current = self.store.current(config)?;
            let other = self.store.other(config, current.kind());
            let needed = self.clients.needed(config);
            migrate::clean_up(|id| needed.contains(id), &current, &other, &journal).await?;
        }
        if self.doubts.in_doubt().await?.is_empty() {
            return Ok(0);
        }
        let kind = match config.agent.secrets {
            Some(kind) => kind,
            // The very first change failed before a store was written down; its secrets went to the one that would be chosen.
            None => self.choose(config).await?.0,
        };
        // Nor does one that went, or was spoilt, meanwhile.
        let (reading, needs) = (store.clone(), self.clients.needs());
        let is_needed = move |id: &SecretId| {
            let config = reading.load().ok().filter(|_| reading.exists())?;
            Some(needs(&config, id))
        };
        let open = |kind| self.store.open_another(config, kind);
        let settled = journal.settle(is_needed, &self.store.secrets(config, kind), open).await?;
        self.clients.forget(&settled.erased).await;
        match settled.waiting.first() {
            Some((_, at, error)) if *at == kind => {
                self.store.noted(Err(error.clone()))?;
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

    /// How the store is.
    pub(super) async fn status(&self, config: &Config) -> Result<SecretsStatus, Problem> {
        let needed = self.clients.needed(config);
        let in_doubt = self.doubts.in_doubt().await?.len();
        let also_in = self.doubts.elsewhere(config.agent.secrets).await?;
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
        let secrets = self.store.secrets(config, kind);
        let problem = self.store.noted(secrets.probe().await).map_err(Problem::from).err();
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
            None if self.doubts.in_doubt().await?.is_empty() => return flip().await.map(|()| no_keys()),
            // What the very first change has left behind is in the store that would be chosen; nobody would look for it there afterwards.
            None => self.choose(config).await?.0,
        };
        if from == to {
            return flip().await.map(|()| no_keys());
        }
        let (from, to) = (
            self.store.secrets(config, from).with_deadline(PROMPT),
            self.store.other(config, from).with_deadline(PROMPT),
        );
        let (needed, mut notes) = self.there(config, &from).await?;
        let count = needed.len();
        let moved = migrate::migrate(needed, &from, &to, &self.doubts.journal().await?, flip).await;
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
        let (mut needed, mut notes) = (self.clients.needed(config), Vec::new());
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
        match self.store.current(config) {
            Ok(secrets) => self.is_erased(&secrets, client).await,
            Err(_) => false,
        }
    }
}

fn moved_keys(count: usize, to: StoreKind) -> String {
    let keys = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
    format!("moved {keys} to {}", to.in_words())
}

#[cfg(test)]
mod tests;
