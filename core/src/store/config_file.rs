//! The configuration file: reads and parses it, replaces it if it is unchanged, and explains why that fails.

use std::io;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::private;
use crate::model::config::{self, Config, InstanceId, TextError};
use crate::model::problem::catalogue::{self, of_config};
use crate::model::problem::{Code, Problem, Subject};

/// The file.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) files: Files,
    /// The instance id that a configuration without one gets, the same for the life of this value.
    pub(super) fresh: InstanceId,
}

impl ConfigFile {
    /// The file's text; none where there is none.
    pub(super) fn read(&self) -> Result<Option<String>, Problem> {
        let text = self.bytes()?.map(String::from_utf8).transpose();
        text.map_err(|_| of_config(Code::ConfigUnreadable, format!("{} is not UTF-8 text", self.shown())))
    }

    /// The file's bytes; none if there is no file. A pipe or a device in its place is not read, because it could block.
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, Problem> {
        let path = &self.path;
        private::check_config(path).map_err(|problem| problem.about(Subject::Configuration))?;
        match private::patiently(|| std::fs::read(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(of_config(Code::ConfigUnreadable, format!("failed to read {}: {error}", path.display())))
            }
        }
    }

    pub(super) fn parse(&self, text: &str) -> Result<Config, ConfigError> {
        config::parse(text, &self.fresh).map_err(|error| ConfigError { path: self.path.clone(), error })
    }

    /// Writes the file if it still has the expected content; false if another program changed it first.
    pub(super) fn write(&self, expected: Option<&[u8]>, text: &str) -> Result<bool, Problem> {
        private::ensure_parent(&self.path)?;
        let (files, path) = (&self.files, &self.path);
        let written = files.replace_if(path, expected, text.as_bytes());
        written.map_err(|error| self.cannot_write(&error))
    }

    /// Saves the file's content in a new file beside it and returns its name. An existing file with the same content is enough.
    pub(super) fn put_aside(&self, found: &[u8]) -> Result<String, Problem> {
        for number in 1u32.. {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".rejected");
            if number > 1 {
                aside.push(format!("-{number}"));
            }
            let path = Path::new(&aside);
            let cannot_write = |error: io::Error| self.cannot_write(&error);
            let is_kept = match std::fs::symlink_metadata(path) {
                Ok(_) => {
                    private::check_config(path).is_ok()
                        && private::patiently(|| std::fs::read(path)).is_ok_and(|kept| kept == found)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.files.replace_if(path, None, found).map_err(cannot_write)?
                }
                // It would be so with any number.
                Err(error) => return Err(cannot_write(error)),
            };
            if is_kept {
                return Ok(aside.display().to_string());
            }
        }
        Err(self.is_busy())
    }

    pub(super) fn is_busy(&self) -> Problem {
        let message = format!("{} is being written by another program", self.shown());
        of_config(Code::ConfigBusy, message).hint("try again when it has finished")
    }

    pub(super) fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    pub(super) fn cannot_write(&self, error: &io::Error) -> Problem {
        let problem = of_config(Code::ConfigUnwritable, format!("failed to write {}: {error}", self.shown()));
        match error.kind() {
            _ if private::is_held(error) => problem.hint(
                "another program holds the file open, or it is read-only: close that program and try again; the old file is intact",
            ),
            io::ErrorKind::ResourceBusy => problem.hint(
                "the file is mounted by itself, so it can't be replaced: mount its directory instead, or edit it by hand",
            ),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                problem.hint("the configuration is read-only here; ORMESH_CONFIG names another file")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                problem.hint("free some space and try again; the old file is intact")
            }
            _ => problem,
        }
    }
}

/// Gives a text the line ends that most lines of another one have.
pub(super) fn with_line_ends_of(model: &str, text: String) -> String {
    let crlf = model.matches("\r\n").count();
    match crlf * 2 > model.matches('\n').count() {
        true => text.replace("\r\n", "\n").replace('\n', "\r\n"),
        false => text,
    }
}

/// A text error in a known file.
pub(super) struct ConfigError {
    path: PathBuf,
    error: TextError,
}

impl From<ConfigError> for Problem {
    fn from(ConfigError { path, error }: ConfigError) -> Self {
        catalogue::config_mistake(&path, &error)
    }
}
