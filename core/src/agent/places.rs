//! Where to look for tor, according to the environment and the configuration.

use std::path::PathBuf;

use crate::engine::ctor::Finder;
use crate::model::config::Config;

/// The places that are searched for tor.
pub(super) fn finder(config: &Config, allow_old: bool) -> Finder {
    Finder {
        env: var("ORMESH_TOR"),
        config: config.agent.tor_path.clone(),
        beside: std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_path_buf())),
        path: std::env::var_os("PATH"),
        allow_old,
    }
}

/// A variable of the environment that names a path; none where it is empty.
pub(super) fn var(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
