//! Room 3, store: the files of one host. The configuration read and edited under a lock, replaced atomically, watched; and what is remembered.

pub mod atomic;
pub mod history;
pub mod lock;
pub mod paths;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
pub mod private;
#[cfg(test)]
mod tests;
pub mod watch;

use std::io;

use toml_edit::DocumentMut;

use crate::model::config::text::TextError;
use crate::model::config::{Config, InstanceId, text};
use crate::model::problem::{Problem, ProblemKind};
use paths::Paths;

/// The configuration file of one host.
#[derive(Debug, Clone)]
pub struct ConfigStore {
    paths: Paths,
    /// The instance id that a configuration without one gets, the same for the life of this value.
    fresh: InstanceId,
}

/// An edit that was made: the configuration before and after it.
#[derive(Debug, Clone)]
pub struct Edited {
    /// Before.
    pub old: Config,
    /// After; also what the file says now.
    pub new: Config,
}

impl ConfigStore {
    /// The store for these paths.
    ///
    /// Errors: no randomness, which no system has.
    pub fn new(paths: &Paths) -> Result<Self, Problem> {
        let mut bytes = [0; 10];
        getrandom::fill(&mut bytes)
            .map_err(|error| failed(format!("failed to get random bytes: {error}")))?;
        Ok(Self { paths: paths.clone(), fresh: InstanceId::from_random(bytes) })
    }

    /// Where its files are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Reads the configuration; an absent file is an empty one.
    pub fn load(&self) -> Result<Config, Problem> {
        Ok(self.parse(&self.read()?)?)
    }

    /// Changes the configuration under the lock: reads it, lets `change` make a new one, writes it durably.
    ///
    /// When `change` refuses, or anything fails, the file is as it was. Comments and order are kept.
    pub fn edit(&self, change: impl FnOnce(&Config) -> Result<Config, Problem>) -> Result<Edited, Problem> {
        private::ensure_dir(&self.paths.state)?;
        let _lock = lock::wait(&self.paths.config_lock())?;
        let before = self.read()?;
        let old = self.parse(&before).map_err(|error| {
            Problem::from(error)
                .hint(format!("mend the file first ({}), then try again", self.paths.config.display()))
        })?;
        let new = change(&old)?;
        if new == old && !before.is_empty() {
            return Ok(Edited { new, old });
        }
        let mut document: DocumentMut =
            before.parse().map_err(|error| failed(format!("failed to edit the configuration: {error}")))?;
        text::write(&mut document, &new);
        let after = document.to_string();
        // What is written must read as what was meant, whatever form the user gave the file.
        if self.parse(&after).ok().as_ref() != Some(&new) {
            return Err(failed(
                "failed to edit the configuration: its form is too unusual to be changed by a command",
            )
            .hint(format!("make the change by hand in {}", self.paths.config.display())));
        }
        private::ensure_parent(&self.paths.config)?;
        atomic::replace(&self.paths.config, after.as_bytes()).map_err(|error| self.cannot_write(&error))?;
        Ok(Edited { old, new })
    }

    fn read(&self) -> Result<String, Problem> {
        let path = &self.paths.config;
        private::check_config(path)?;
        match std::fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes)
                .map_err(|_| config_problem(format!("{} is not UTF-8 text", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(config_problem(format!("failed to read {}: {error}", path.display()))),
        }
    }

    fn parse(&self, text: &str) -> Result<Config, ConfigError> {
        text::parse(text, &self.fresh)
            .map_err(|error| ConfigError { path: self.paths.config.display().to_string(), error })
    }

    fn cannot_write(&self, error: &io::Error) -> Problem {
        let path = self.paths.config.display();
        let problem = config_problem(format!("failed to write {path}: {error}"));
        match error.kind() {
            io::ErrorKind::ResourceBusy => problem.hint(
                "the file is mounted by itself, so it can't be replaced: mount its directory instead, or edit it by hand",
            ),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                problem.hint("the configuration is read-only here; ORMESH_CONFIG names another file")
            }
            io::ErrorKind::StorageFull => problem.hint("free some space and try again; the old file is intact"),
            _ => problem,
        }
    }
}

/// Reads a host's configuration; an absent file is an empty one.
pub fn load(paths: &Paths) -> Result<Config, Problem> {
    ConfigStore::new(paths)?.load()
}

/// A text error in a known file.
struct ConfigError {
    path: String,
    error: TextError,
}

impl From<ConfigError> for Problem {
    fn from(ConfigError { path, error }: ConfigError) -> Self {
        Self::new(ProblemKind::Usage, format!("{path}, {error}"))
            .about("config")
            .hint("correct that line; nothing was changed")
    }
}

fn failed(message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Failed, message)
}

fn config_problem(message: impl Into<String>) -> Problem {
    failed(message).about("config")
}
