//! The store `file`: one small file for each secret in a private directory, like those of ssh and tor.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::{SecretId, SecretStore, SecretsError};
use crate::model::keys::Secret;
use crate::store::private::Dir;

/// Secrets as files: a line of base64 each, named by their id.
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// Keeps secrets in this directory, which is created at first use. Nothing is touched before.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Opened for each call: so modes are checked each time, and a replaced directory is noticed.
    fn dir(&self) -> Result<Dir, SecretsError> {
        Ok(Dir::private(&self.path)?)
    }
}

impl SecretStore for FileStore {
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError> {
        let line = self.dir()?.read(id.to_string())?.ok_or(SecretsError::NoEntry(*id))?;
        let damaged =
            || SecretsError::Failed(format!("the file of {id} in {} is damaged", self.path.display()));
        BASE64
            .decode(line.trim_ascii())
            .ok()
            .filter(|bytes| !bytes.is_empty())
            .map(Secret::new)
            .ok_or_else(damaged)
    }

    fn set(&mut self, id: &SecretId, secret: &Secret) -> Result<(), SecretsError> {
        let size = BASE64.encode_len(secret.expose().len());
        let mut line = Zeroizing::new(vec![b'\n'; size + 1]);
        BASE64.encode_mut(secret.expose(), &mut line[..size]);
        Ok(self.dir()?.write(id.to_string(), &line)?)
    }

    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError> {
        Ok(self.dir()?.remove(id.to_string())?)
    }

    fn probe(&mut self) -> Result<(), SecretsError> {
        let (dir, name) = (self.dir()?, format!("canary-{}", std::process::id()));
        dir.write(&name, b"canary\n")?;
        let read = dir.read(&name)?;
        dir.remove(&name)?;
        match read {
            Some(bytes) if **bytes == *b"canary\n" => Ok(()),
            _ => Err(SecretsError::Failed(format!("{} does not keep what is written", self.path.display()))),
        }
    }
}
