//! Where a host's files are: from the environment, otherwise from the conventions of the system.

use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;
use directories::{BaseDirs, ProjectDirs};
use sha2::{Digest, Sha256};

use super::private;
use crate::model::problem::{Code, Problem};

/// The longest run directory, in bytes: sockets in it must fit `sun_path` with names of up to 20 bytes.
const MAX_RUN: usize = 80;

/// The directories and files of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The configuration file.
    pub config: PathBuf,
    /// The state directory: private, and it must last.
    pub state: PathBuf,
    /// The run directory: private, for sockets; a short path.
    pub run: PathBuf,
}

impl Paths {
    /// From `ORMESH_CONFIG` and `ORMESH_STATE`, else the platform's directories (XDG variables are honoured on Linux).
    ///
    /// Errors: a relative path in the environment, no home directory, one that is not there, or, for root, another user's.
    pub fn from_env() -> Result<Self, Problem> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (config, state) = (var("ORMESH_CONFIG"), var("ORMESH_STATE"));
        let named = (config.is_some(), state.is_some());
        let (config, state) = match (config, state) {
            (Some(config), Some(state)) => (config, state),
            (config, state) => {
                let dirs = ProjectDirs::from("", "", "ormesh").ok_or_else(|| {
                    Problem::new(Code::NoHome, "there is no home directory to keep the configuration in")
                        .hint("set ORMESH_CONFIG (a file) and ORMESH_STATE (a directory)")
                })?;
                let own_state = dirs.state_dir().unwrap_or(dirs.data_local_dir());
                (
                    config.map_or_else(|| at_home(&dirs.config_dir().join("config.toml")), Ok)?,
                    state.map_or_else(|| at_home(own_state), Ok)?,
                )
            }
        };
        let paths = Self::new(config, state)?;
        private::check_place(&paths.config, named.0)?;
        private::check_place(&paths.state, named.1)?;
        Ok(paths)
    }

    /// From a configuration file and a state directory.
    ///
    /// Errors: a relative path.
    pub fn new(config: PathBuf, state: PathBuf) -> Result<Self, Problem> {
        for (name, path) in [("ORMESH_CONFIG", &config), ("ORMESH_STATE", &state)] {
            if !path.is_absolute() {
                let message =
                    format!("{name} must be an absolute path, not {:?}", path.display().to_string());
                let whole = if cfg!(windows) {
                    r"give the whole path, as in C:\Users\me\ormesh"
                } else {
                    "give the path from /"
                };
                return Err(Problem::new(Code::BadEnvironment, message).hint(whole));
            }
        }
        let run = run_dir(&state);
        Ok(Self { config, state, run })
    }

    /// What the agent's socket, or named pipe, is called.
    pub fn socket(&self) -> PathBuf {
        match cfg!(windows) {
            true => PathBuf::from(format!(r"\\.\pipe\ormesh-{}", short_hash(&self.state))),
            false => self.run.join("agent.sock"),
        }
    }

    /// The file whose lock a running agent holds.
    pub fn agent_lock(&self) -> PathBuf {
        self.state.join("agent.lock")
    }

    /// The file in which a running agent writes its process id.
    pub fn agent_pid(&self) -> PathBuf {
        self.state.join("agent.pid")
    }

    /// The file whose lock an edit holds.
    pub fn config_lock(&self) -> PathBuf {
        self.state.join("config.lock")
    }

    /// A copy of the last good configuration. That of one in the state directory, which an agent keeps beside one that it may only read,
    /// is not taken for the other's.
    pub fn last_good(&self) -> PathBuf {
        let is_own = self.config.parent() == Some(&self.state);
        self.state.join(if is_own { "last-good-own.toml" } else { "last-good.toml" })
    }

    /// tor's own directory.
    pub fn tor(&self) -> PathBuf {
        self.state.join("tor")
    }

    /// Where the window's web view may write, best first: the user's runtime directory is memory.
    pub fn web_view(&self) -> Vec<PathBuf> {
        let dirs = ProjectDirs::from("", "", "ormesh");
        let runtime = dirs.as_ref().and_then(ProjectDirs::runtime_dir);
        let in_memory = runtime.map(|dir| dir.join(format!("web-{}", short_hash(&self.state))));
        in_memory.into_iter().chain([self.state.join("web")]).collect()
    }

    /// The file store's directory.
    pub fn secrets(&self) -> PathBuf {
        self.state.join("secrets")
    }
}

/// A path of the platform's conventions.
///
/// Errors: it is in a home directory that is not there, which would be made.
fn at_home(path: &Path) -> Result<PathBuf, Problem> {
    let home = BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()).filter(|home| path.starts_with(home));
    let what = match &home {
        Some(home) if !home.is_absolute() => "is not an absolute path",
        Some(home) if !home.is_dir() => "is not there",
        _ => return Ok(path.to_owned()),
    };
    let shown = home.unwrap_or_default();
    let message = format!("the home directory, {}, {what}", shown.display());
    Err(Problem::new(Code::NoHome, message)
        .hint("set HOME to one that is, or ORMESH_CONFIG (a file) and ORMESH_STATE (a directory)"))
}

/// `<state>/run`, or a short private directory for a state directory with a long path.
fn run_dir(state: &Path) -> PathBuf {
    let run = state.join("run");
    match run.as_os_str().len() <= MAX_RUN || cfg!(windows) {
        true => run,
        false => private::short_dir(&short_hash(state)),
    }
}

fn short_hash(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    BASE32_NOPAD.encode(&hash[..10]).to_ascii_lowercase()
}
