//! Finds the two programs the network is made of; installing them is left to the project's set-up.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

/// The programs the network is made of, of one tor release.
#[derive(Clone, Debug)]
pub struct Tools {
    /// `tor` itself.
    pub tor: PathBuf,
    /// `tor-gencert`, which makes the authorities' certificates.
    pub tor_gencert: PathBuf,
}

impl Tools {
    /// Finds both: `ORMESH_TOR` and `ORMESH_TOR_GENCERT` where set, else the `PATH`.
    ///
    /// # Errors
    ///
    /// When one is in neither place, or the variable names no file.
    pub fn find() -> Result<Self> {
        Ok(Self { tor: find("tor", "ORMESH_TOR")?, tor_gencert: find("tor-gencert", "ORMESH_TOR_GENCERT")? })
    }
}

fn find(program: &str, variable: &str) -> Result<PathBuf> {
    if let Some(named) = env::var_os(variable).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path);
        }
        bail!("failed to find {program}: {variable} names no file: {}", path.display());
    }
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .map(|dir| dir.join(&file))
        .find(|path| path.is_file())
        .ok_or_else(|| anyhow::anyhow!("failed to find {program}: not in PATH and {variable} is not set"))
}
