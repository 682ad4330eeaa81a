//! Moves all keys from one store to another when the user asks: writes all, reads them back, changes the configuration, erases the old
//! ones.
//!
//! A kill at any point loses no key: the configuration names a store that has them all, always. Copies left in the other store are
//! found from the journal and erased by [`clean_up`].

use std::collections::BTreeSet;
use std::fmt;

use subtle::ConstantTimeEq;

use super::journal::{Journal, Move};
use super::{SecretId, Secrets, SecretsError};

/// Why the keys did not move. The configuration and its store are as they were.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError<E: fmt::Debug + fmt::Display> {
    /// Both are the same store.
    #[error("the keys are in that store already")]
    SameStore,
    /// An earlier move left copies behind and the store that has them does not answer.
    #[error("an earlier move is not finished: {0}")]
    Unfinished(SecretsError),
    /// The old store does not give a key.
    #[error("failed to read from the old store: {0}")]
    Read(SecretsError),
    /// The new store does not take a key.
    #[error("failed to write to the new store: {0}")]
    Write(SecretsError),
    /// The new store gave back something else than was written.
    #[error("the new store does not keep {0} as it was written")]
    Differs(SecretId),
    /// The journal could not be written.
    #[error("failed to write the journal: {0}")]
    Journal(SecretsError),
    /// The configuration could not be written.
    #[error("failed to change the configuration: {0}")]
    Flip(E),
}

/// Moves these keys, which are all that the configuration references. `flip` writes the configuration durably with the new store's
/// kind; when it returns an error, the configuration must be as before.
///
/// The copies in the old store are erased at the end; where that fails the move has succeeded all the same, and [`clean_up`] erases
/// them later.
pub async fn migrate<E: fmt::Debug + fmt::Display>(
    ids: impl IntoIterator<Item = SecretId>,
    from: &Secrets,
    to: &Secrets,
    journal: &Journal,
    flip: impl AsyncFnOnce() -> Result<(), E>,
) -> Result<Leftovers, MigrateError<E>> {
    if from.kind() == to.kind() {
        return Err(MigrateError::SameStore);
    }
    let mut ids: BTreeSet<SecretId> = ids.into_iter().collect();
    // What a hand took out goes along, as far as it is there: it may be put back.
    for id in journal.aside().await.map_err(MigrateError::Journal)? {
        match from.get(id).await {
            Ok(_) => drop(ids.insert(id)),
            Err(SecretsError::NoEntry(_)) => {}
            Err(error) => return Err(MigrateError::Read(error)),
        }
    }
    let referenced = |id: &SecretId| ids.contains(id);
    // An earlier move may have left copies in either store: its note must not be overwritten before they are gone.
    match clean_up(referenced, from, to, journal).await {
        Ok(Leftovers::None) => {}
        Ok(Leftovers::Some(error)) => return Err(MigrateError::Unfinished(error)),
        Err(error) => return Err(MigrateError::Journal(error)),
    }
    // What is still to be erased lies in the store that is left, where nobody would look for it afterwards.
    let doubtful = journal.doubtful().await.map_err(MigrateError::Journal)?;
    let moving = Move { from: from.kind(), to: to.kind(), ids: ids.union(&doubtful).copied().collect() };
    journal.set_moving(Some(moving.clone())).await.map_err(MigrateError::Journal)?;
    let copied = copy_all(&ids, from, to).await;
    let flipped = match copied {
        Ok(()) => flip().await.map_err(MigrateError::Flip),
        Err(error) => Err(error),
    };
    let (current, other) = if flipped.is_ok() { (to, from) } else { (from, to) };
    let cleaned = clean_up(referenced, current, other, journal).await;
    flipped?;
    // The keys have moved: a journal that can't be written now is one more thing to finish later.
    Ok(cleaned.unwrap_or_else(Leftovers::Some))
}

/// Whether copies of keys are left in the store that is no longer used.
#[derive(Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// No.
    None,
    /// Yes, and why they could not be erased: call [`clean_up`] later.
    Some(SecretsError),
}

/// Finishes a move that was interrupted: erases the copies in `other`, the store that the configuration does not name. No copy is
/// erased that the configuration references and `current` does not have. Call it at each start where [`unfinished`] says so.
pub async fn clean_up(
    referenced: impl Fn(&SecretId) -> bool,
    current: &Secrets,
    other: &Secrets,
    journal: &Journal,
) -> Result<Leftovers, SecretsError> {
    let Some(mut moving) = journal.moving().await? else { return Ok(Leftovers::None) };
    if current.kind() == other.kind() {
        return Err(SecretsError::Failed("both are the same store".into()));
    }
    let mut first_error = None;
    for id in moving.ids.clone() {
        match erase_copy(id, referenced(&id), current, other).await {
            Ok(()) => {
                moving.ids.remove(&id);
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        None => journal.moved(other.kind()).await.map(|()| Leftovers::None),
        Some(error) => journal.set_moving(Some(moving)).await.map(|()| Leftovers::Some(error)),
    }
}

/// Whether a move was interrupted and [`clean_up`] has something to do.
pub async fn unfinished(journal: &Journal) -> Result<bool, SecretsError> {
    Ok(journal.moving().await?.is_some())
}

async fn copy_all<E: fmt::Debug + fmt::Display>(
    ids: &BTreeSet<SecretId>,
    from: &Secrets,
    to: &Secrets,
) -> Result<(), MigrateError<E>> {
    for id in ids {
        let secret = from.get(*id).await.map_err(MigrateError::Read)?;
        to.set(*id, secret).await.map_err(MigrateError::Write)?;
    }
    // Read back when all are written: a store that keeps only so many would pass one by one.
    for id in ids {
        let original = from.get(*id).await.map_err(MigrateError::Read)?;
        let copy = to.get(*id).await.map_err(MigrateError::Write)?;
        if !bool::from(original.expose().ct_eq(copy.expose())) {
            return Err(MigrateError::Differs(*id));
        }
    }
    Ok(())
}

/// Erases the copy of one key; never the last copy of one that is still in use.
async fn erase_copy(
    id: SecretId,
    referenced: bool,
    current: &Secrets,
    other: &Secrets,
) -> Result<(), SecretsError> {
    if referenced {
        current.get(id).await?;
    }
    other.delete(id).await
}

#[cfg(test)]
mod tests;
