//! The journal: which secrets are in doubt, written down before anything is written or erased, so that a kill at any point leaves
//! neither a key without its entry in the configuration for ever, nor an entry without its key.
//!
//! - add: [`Journal::begin`], write the secret, write the configuration, [`Journal::settle`];
//! - delete, rotate, first use: [`Journal::begin`], write the configuration without it, [`Journal::settle`].
//!
//! Whatever was interrupted is settled at the next start: what the configuration references is kept, the rest erased. Nothing is ever
//! erased for being in the store: only for being in the journal. What another hand takes out of the configuration is noted beside that
//! ([`Journal::set_aside`]), and is in doubt only when somebody asks for it ([`Journal::give_up`]). Calls touch a small file and sync it, so they take a disk's time:
//! those that are not async want to be made apart.
//! Each change of the file is made under a lock of its own, held for that long only: a revocation never waits for a keyring that another
//! command waits for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{SecretId, Secrets, SecretsError};
use crate::model::store_kind::StoreKind;
use crate::store::files::{Change, Files};
use crate::store::lock::{self, Lock};
use crate::store::private::Dir;

/// The journal's name in the state directory.
pub const FILE: &str = "journal.json";
/// What a journal that can't be read is renamed to.
pub const DAMAGED: &str = "journal.json.damaged";
/// The file whose lock a change of the journal holds.
const LOCK: &str = "journal.lock";
const VERSION: u32 = 1;

/// The journal of one configuration. It keeps nothing in memory: each call reads the file.
#[derive(Debug, Clone)]
pub struct Journal {
    files: Files,
    state_dir: PathBuf,
}

/// A move of all keys from one store to another that is under way (see [`super::migrate`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    pub(super) from: StoreKind,
    pub(super) to: StoreKind,
    pub(super) ids: BTreeSet<SecretId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// Secrets that are about to be written, or erased.
    in_doubt: BTreeSet<SecretId>,
    /// Secrets of entries that were removed from the configuration by hand.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    set_aside: BTreeSet<SecretId>,
    /// The stores that these may be in: another hand may name another one in the configuration before they are erased.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    stores: BTreeSet<StoreKind>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    moving: Option<Move>,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            version: VERSION,
            in_doubt: BTreeSet::new(),
            set_aside: BTreeSet::new(),
            stores: BTreeSet::new(),
            moving: None,
        }
    }
}

impl Content {
    /// Notes which store they are in; whether that is new.
    fn are_in(&mut self, store: Option<StoreKind>) -> bool {
        store.is_some_and(|store| self.stores.insert(store))
    }
}

/// What [`Journal::settle`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Referenced by the configuration: no longer in doubt.
    pub kept: Vec<SecretId>,
    /// Erased from the store.
    pub erased: Vec<SecretId>,
    /// Still to be erased, the store that refused, and why: call again later.
    pub waiting: Vec<(SecretId, StoreKind, SecretsError)>,
}

impl Journal {
    /// The journal in this directory, which is created where it is missing. A journal that can't be read is put aside, with a
    /// sentence to say so; nothing is erased on its account.
    pub fn open(files: &Files, state_dir: &Path) -> Result<(Self, Option<String>), SecretsError> {
        let journal = Self { files: files.clone(), state_dir: state_dir.to_owned() };
        let (_, warning) = journal.load()?;
        Ok((journal, warning))
    }

    /// Notes secrets before they are written to this store, or erased from it; returns when that would survive a crash.
    pub fn begin(
        &self,
        ids: impl IntoIterator<Item = SecretId>,
        store: Option<StoreKind>,
    ) -> Result<(), SecretsError> {
        self.change(|content| {
            let before = content.in_doubt.len();
            content.in_doubt.extend(ids);
            content.are_in(store) || content.in_doubt.len() != before
        })
    }

    /// Notes secrets that the configuration names no more, and that are kept all the same.
    pub fn set_aside(
        &self,
        ids: impl IntoIterator<Item = SecretId>,
        store: Option<StoreKind>,
    ) -> Result<(), SecretsError> {
        self.change(|content| {
            let before = content.set_aside.len();
            content.set_aside.extend(ids);
            content.are_in(store) || content.set_aside.len() != before
        })
    }

    /// What was set aside is in doubt from now on.
    pub fn give_up(&self) -> Result<(), SecretsError> {
        self.change(|content| {
            let ids = std::mem::take(&mut content.set_aside);
            let are_some = !ids.is_empty();
            content.in_doubt.extend(ids);
            are_some
        })
    }

    /// The secrets that are set aside; some may be named again meanwhile.
    pub(super) async fn aside(&self) -> Result<BTreeSet<SecretId>, SecretsError> {
        let journal = self.clone();
        self.files.apart(move || Ok(journal.load()?.0.set_aside)).await
    }

    /// The secrets in doubt.
    pub fn in_doubt(&self) -> Result<BTreeSet<SecretId>, SecretsError> {
        Ok(self.load()?.0.in_doubt)
    }

    /// Ends all doubt: keeps what the configuration references, and erases the rest. A store that refuses leaves its ids in the journal.
    ///
    /// `referenced` answers for the configuration as it is on disk at that moment, so it may take a disk's time and is asked apart. It is
    /// asked again before an id is let go: a deletion that came in between must find its id still noted. Where it can't tell, the id stays.
    /// `secrets` is the store that the configuration names; `open` gives another one that an id may be in.
    pub async fn settle(
        &self,
        referenced: impl Fn(&SecretId) -> Option<bool> + Clone + Send + Sync + 'static,
        secrets: &Secrets,
        open: impl Fn(StoreKind) -> Secrets,
    ) -> Result<Settled, SecretsError> {
        let mut settled = Settled::default();
        let (in_doubt, noted) = self.doubtful_and_where().await?;
        let others = noted.into_iter().filter(|kind| *kind != secrets.kind()).map(open);
        let stores: Vec<Secrets> = std::iter::once(secrets.clone()).chain(others).collect();
        for id in in_doubt {
            let is_referenced = referenced.clone();
            match self.files.apart(move || is_referenced(&id)).await {
                Some(true) => {
                    settled.kept.push(id);
                    continue;
                }
                Some(false) => {}
                None => continue,
            }
            let mut is_erased = true;
            for store in &stores {
                if let Err(error) = store.delete(id).await {
                    settled.waiting.push((id, store.kind(), error));
                    is_erased = false;
                }
            }
            if is_erased {
                settled.erased.push(id);
            }
        }
        if !settled.kept.is_empty() || !settled.erased.is_empty() {
            // Others may have noted more while the store was at work.
            let (journal, erased, kept) = (self.clone(), settled.erased.clone(), settled.kept.clone());
            let let_go = move || {
                journal.change(|content| {
                    let over = |id: &SecretId| {
                        erased.contains(id) || kept.contains(id) && referenced(id) == Some(true)
                    };
                    content.in_doubt.retain(|id| !over(id));
                    if content.in_doubt.is_empty() && content.set_aside.is_empty() {
                        content.stores.clear();
                    }
                    true
                })
            };
            self.files.apart(let_go).await?;
        }
        Ok(settled)
    }

    /// [`Journal::in_doubt`], apart.
    pub(super) async fn doubtful(&self) -> Result<BTreeSet<SecretId>, SecretsError> {
        let journal = self.clone();
        self.files.apart(move || journal.in_doubt()).await
    }

    async fn doubtful_and_where(&self) -> Result<(BTreeSet<SecretId>, BTreeSet<StoreKind>), SecretsError> {
        let journal = self.clone();
        let read = move || {
            let (content, _) = journal.load()?;
            Ok((content.in_doubt, content.stores))
        };
        self.files.apart(read).await
    }

    /// The stores, other than this one, that something may be left in which is to be erased.
    pub(crate) async fn others(&self, than: Option<StoreKind>) -> Result<BTreeSet<StoreKind>, SecretsError> {
        let journal = self.clone();
        let (content, _) = self.files.apart(move || journal.load()).await?;
        let moved = content.moving.iter().flat_map(|moving| [moving.from, moving.to]);
        Ok(content.stores.iter().copied().chain(moved).filter(|kind| Some(*kind) != than).collect())
    }

    /// Gives up a store that is gone for good: what is left in it stays there. False when nothing says that anything is.
    pub(crate) async fn give_up_store(&self, gone: StoreKind) -> Result<bool, SecretsError> {
        let journal = self.clone();
        let give_up = move || {
            let mut is_known = false;
            journal.change(|content| {
                is_known = content.stores.remove(&gone);
                let is_moved = content.moving.as_ref().is_some_and(|m| m.from == gone || m.to == gone);
                if let Some(moving) = content.moving.take_if(|_| is_moved) {
                    // Of these the store in use may have copies that nothing needs.
                    content.in_doubt.extend(moving.ids);
                    is_known = true;
                }
                is_known
            })?;
            Ok(is_known)
        };
        self.files.apart(give_up).await
    }

    /// A move is over, and nothing is left in this store.
    pub(super) async fn moved(&self, left: StoreKind) -> Result<(), SecretsError> {
        let journal = self.clone();
        let end = move || {
            journal.change(|content| {
                content.stores.remove(&left);
                content.moving = None;
                true
            })
        };
        self.files.apart(end).await
    }

    pub(super) async fn moving(&self) -> Result<Option<Move>, SecretsError> {
        let journal = self.clone();
        self.files.apart(move || Ok(journal.load()?.0.moving)).await
    }

    pub(super) async fn set_moving(&self, moving: Option<Move>) -> Result<(), SecretsError> {
        let journal = self.clone();
        let set = move || {
            journal.change(|content| {
                content.moving = moving;
                true
            })
        };
        self.files.apart(set).await
    }

    /// Changes the file under its lock; `change` says whether there is anything to write.
    fn change(&self, change: impl FnOnce(&mut Content) -> bool) -> Result<(), SecretsError> {
        let _lock = self.lock()?;
        let (mut content, _) = self.load_or_put_aside()?;
        if change(&mut content) { self.save(&content) } else { Ok(()) }
    }

    fn lock(&self) -> Result<Lock, SecretsError> {
        lock::wait(&self.state_dir.join(LOCK)).map_err(|problem| SecretsError::Failed(problem.to_string()))
    }

    fn load(&self) -> Result<(Content, Option<String>), SecretsError> {
        if let Some(content) = self.read()? {
            return Ok((content, None));
        }
        // Another process may have put it aside by now, and what is there may be its new one.
        let _lock = self.lock()?;
        self.load_or_put_aside()
    }

    /// What the file says; none where it can't be read. To be called with the lock only where what follows changes the file.
    fn read(&self) -> Result<Option<Content>, SecretsError> {
        let Some(bytes) = Dir::private(&self.state_dir)?.read(FILE)? else {
            return Ok(Some(Content::default()));
        };
        Ok(serde_json::from_slice(&bytes).ok().filter(|content: &Content| content.version == VERSION))
    }

    /// With the lock held: what the file says, or nothing where it can't be read and is put aside.
    fn load_or_put_aside(&self) -> Result<(Content, Option<String>), SecretsError> {
        if let Some(content) = self.read()? {
            return Ok((content, None));
        }
        let names = (1..).map(|number: u32| match number {
            1 => DAMAGED.to_owned(),
            _ => format!("{DAMAGED}-{number}"),
        });
        let is_free = |name: &String| std::fs::symlink_metadata(self.state_dir.join(name)).is_err();
        let aside = names.into_iter().find(is_free).unwrap_or_else(|| DAMAGED.to_owned());
        self.before(Change::Remove)?;
        Dir::private(&self.state_dir)?.rename(FILE, &aside)?;
        let shown = self.state_dir.join(aside);
        let warning = format!(
            "the journal of the secret store could not be read and is now {}; nothing was erased",
            shown.display()
        );
        tracing::warn!(path = %shown.display(), "put a journal aside that could not be read");
        Ok((Content::default(), Some(warning)))
    }

    fn before(&self, change: Change) -> Result<(), SecretsError> {
        self.files.before(&self.state_dir.join(FILE), change).map_err(|error| {
            SecretsError::from_io(error.kind(), format!("failed to write the journal: {error}"))
        })
    }

    fn save(&self, content: &Content) -> Result<(), SecretsError> {
        let mut bytes = serde_json::to_vec(content).expect("a journal's fields all have a JSON form");
        bytes.push(b'\n');
        self.before(Change::Write)?;
        Ok(Dir::private(&self.state_dir)?.write(FILE, &bytes)?)
    }
}

#[cfg(test)]
mod tests;
