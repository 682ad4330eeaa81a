//! Keys in doubt: the journal of them. What it could not be told of is kept in mind until it can.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::problem::{Code, Problem};
use crate::model::store_kind::StoreKind;
use crate::secrets::journal::Journal;
use crate::secrets::{SecretId, SecretsError};
use crate::store::files::Files;
use crate::store::paths::Paths;
use crate::store::private;

/// See the file's sentence.
pub(in crate::agent) struct Doubts {
    files: Files,
    state: PathBuf,
    config: PathBuf,
    /// Secrets to be erased that the journal could not be told of yet.
    owed: Mutex<BTreeSet<SecretId>>,
    owing: Arc<Notify>,
}

impl Doubts {
    pub(super) fn new(paths: &Paths, files: &Files, owing: Arc<Notify>) -> Self {
        let (state, config) = (paths.state.clone(), paths.config.clone());
        Self { files: files.clone(), state, config, owed: Mutex::default(), owing }
    }

    /// Notes secrets in the journal before they are written to this store, or erased from it.
    pub(in crate::agent) async fn begin(
        &self,
        ids: &[SecretId],
        store: Option<StoreKind>,
    ) -> Result<(), Problem> {
        let (files, state, ids) = (self.files.clone(), self.state.clone(), ids.to_vec());
        let begin = move || {
            private::ensure_dir(&state)?;
            Ok(journal(&files, &state)?.begin(ids, store)?)
        };
        self.files.apart(begin).await
    }

    /// Notes secrets that are to be erased from this store. Where the journal can't be written, they are kept in mind until it can.
    pub(in crate::agent) async fn owe(
        &self,
        ids: &[SecretId],
        store: Option<StoreKind>,
    ) -> Result<(), Problem> {
        let noted = self.begin(ids, store).await;
        let mut owed = self.owed();
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
    pub(in crate::agent) async fn set_aside(
        &self,
        ids: Vec<SecretId>,
        store: Option<StoreKind>,
    ) -> Result<(), Problem> {
        let (files, state) = (self.files.clone(), self.state.clone());
        self.files.apart(move || Ok(journal(&files, &state)?.set_aside(ids, store)?)).await
    }

    /// A person has what was set aside erased.
    pub(in crate::agent) async fn give_up_what_is_aside(&self) -> Result<(), Problem> {
        let (files, state) = (self.files.clone(), self.state.clone());
        self.files.apart(move || Ok(journal(&files, &state)?.give_up()?)).await
    }

    /// A person gives up a store that is gone for good. False when nothing is to be erased there.
    pub(in crate::agent) async fn give_up_store(&self, store: StoreKind) -> Result<bool, Problem> {
        Ok(self.journal().await?.give_up_store(store).await?)
    }

    /// Something could not be settled yet: what keeps settling is to try again.
    pub(in crate::agent) fn owe_again(&self) {
        self.owing.notify_one();
    }

    /// Waits until something is owed.
    pub(in crate::agent) async fn owes(&self) {
        self.owing.notified().await;
    }

    pub(super) async fn journal(&self) -> Result<Journal, SecretsError> {
        let (files, state) = (self.files.clone(), self.state.clone());
        self.files.apart(move || journal(&files, &state)).await
    }

    /// Whether some keys are to be erased.
    pub(in crate::agent) async fn are_left(&self) -> Result<bool, Problem> {
        Ok(!self.in_doubt().await?.is_empty())
    }

    pub(super) async fn in_doubt(&self) -> Result<BTreeSet<SecretId>, SecretsError> {
        let (files, state) = (self.files.clone(), self.state.clone());
        let in_doubt = move || match state.exists() {
            true => journal(&files, &state)?.in_doubt(),
            false => Ok(BTreeSet::new()),
        };
        self.files.apart(in_doubt).await
    }

    /// Errors: something is in doubt still, since there is no configuration that says what is needed.
    pub(in crate::agent) async fn check_settled(&self) -> Result<(), Problem> {
        match self.in_doubt().await?.len() {
            0 => Ok(()),
            count => {
                let message =
                    format!("nothing says whether {count} keys in doubt are needed, so they are kept");
                let hint = format!("put the configuration in its place: {}", self.config.display());
                Err(Problem::new(Code::KeysInDoubt, message).hint(hint))
            }
        }
    }

    /// Another store than this one in which keys are left to be erased.
    pub(super) async fn elsewhere(&self, store: Option<StoreKind>) -> Result<Option<StoreKind>, Problem> {
        let (files, state) = (self.files.clone(), self.state.clone());
        let journal = move || state.exists().then(|| journal(&files, &state)).transpose();
        match self.files.apart(journal).await? {
            Some(journal) => Ok(journal.others(store).await?.into_iter().next()),
            None => Ok(None),
        }
    }

    /// Tells the journal what it could not be told of.
    pub(super) async fn owe_what_is_owed(&self) -> Result<(), Problem> {
        let owed: Vec<_> = self.owed().iter().copied().collect();
        if owed.is_empty() { Ok(()) } else { self.owe(&owed, None).await }
    }

    pub(super) fn owed(&self) -> MutexGuard<'_, BTreeSet<SecretId>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn journal(files: &Files, state: &Path) -> Result<Journal, SecretsError> {
    let (journal, warning) = Journal::open(files, state)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(journal)
}
