//! Chooses the secret store once, at first use: the system's keyring if there is one, files only if there is none. Others record the
//! choice.

use std::path::Path;
use std::time::Duration;

use super::{Secrets, SecretsError, Stores};
use crate::model::store_kind::StoreKind;

/// A store that works, and what to tell its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The store, to be written to the configuration.
    pub kind: StoreKind,
    /// One line for stderr, where the choice is not what one would expect.
    pub notice: Option<String>,
}

/// Chooses among the stores of this system; `dir` is where files would be kept. `preferred` is what the user said (`ORMESH_SECRETS`)
/// and is taken or refused. Each store gets `deadline` to answer.
///
/// A keyring that is there and locked, or silent, is an error: nothing falls back to plain text.
pub async fn choose(
    preferred: Option<StoreKind>,
    stores: &dyn Stores,
    dir: &Path,
    deadline: Duration,
) -> Result<Choice, SecretsError> {
    // The configuration has no instance id yet; the probe's own entry is gone when it returns.
    let open = |kind| stores.open(kind, "first-use").with_deadline(deadline);
    choose_among(preferred, dir, open).await
}

async fn choose_among(
    preferred: Option<StoreKind>,
    dir: &Path,
    open: impl Fn(StoreKind) -> Secrets,
) -> Result<Choice, SecretsError> {
    if let Some(kind) = preferred {
        open(kind).probe().await?;
        return Ok(Choice { kind, notice: None });
    }
    match open(StoreKind::OsKeyring).probe().await {
        Ok(()) => Ok(Choice { kind: StoreKind::OsKeyring, notice: None }),
        Err(SecretsError::Absent(_)) => {
            open(StoreKind::File).probe().await?;
            let shown = dir.display();
            let notice = format!(
                "no system keyring was found: keys are kept in files that only you can read, in {shown}"
            );
            Ok(Choice { kind: StoreKind::File, notice: Some(notice) })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys::Secret;
    use crate::secrets::memory::MemoryStore;
    use crate::secrets::{SecretId, SecretStore};

    /// A keyring that answers every call with one error.
    struct Broken(SecretsError);

    impl SecretStore for Broken {
        fn get(&mut self, _: &SecretId) -> Result<Secret, SecretsError> {
            Err(self.0.clone())
        }
        fn set(&mut self, _: &SecretId, _: &Secret) -> Result<(), SecretsError> {
            Err(self.0.clone())
        }
        fn delete(&mut self, _: &SecretId) -> Result<(), SecretsError> {
            Err(self.0.clone())
        }
        fn probe(&mut self) -> Result<(), SecretsError> {
            Err(self.0.clone())
        }
    }

    async fn chosen(
        preferred: Option<StoreKind>,
        keyring: Option<SecretsError>,
    ) -> Result<Choice, SecretsError> {
        let open = |kind| match (kind, keyring.clone()) {
            (StoreKind::OsKeyring, Some(error)) => {
                Secrets::over(kind, move || Box::new(Broken(error.clone())))
            }
            _ => MemoryStore::new().secrets(kind),
        };
        choose_among(preferred, Path::new("/keys"), open).await
    }

    #[tokio::test]
    async fn the_keyring_is_taken_where_it_works_and_files_only_where_there_is_none() {
        let keyring = Choice { kind: StoreKind::OsKeyring, notice: None };
        assert_eq!(chosen(None, None).await, Ok(keyring.clone()));
        assert_eq!(chosen(Some(StoreKind::OsKeyring), None).await, Ok(keyring));

        let file = chosen(None, Some(SecretsError::Absent("none".into()))).await.unwrap();
        assert_eq!(file.kind, StoreKind::File);
        assert!(file.notice.unwrap().contains("/keys"));
    }

    #[tokio::test]
    async fn nothing_falls_back_to_files_from_a_keyring_in_trouble() {
        for error in [
            SecretsError::Locked("so".into()),
            SecretsError::TimedOut(Duration::from_secs(5)),
            SecretsError::Failed("so".into()),
        ] {
            assert_eq!(chosen(None, Some(error.clone())).await, Err(error.clone()));
            assert_eq!(chosen(Some(StoreKind::OsKeyring), Some(error.clone())).await, Err(error.clone()));
            let file = Choice { kind: StoreKind::File, notice: None };
            assert_eq!(chosen(Some(StoreKind::File), Some(error)).await, Ok(file));
        }
        let absent = SecretsError::Absent("none".into());
        assert_eq!(chosen(Some(StoreKind::OsKeyring), Some(absent.clone())).await, Err(absent));
    }
}
