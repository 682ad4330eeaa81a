//! Where the workspace is and where cargo puts what it builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The workspace as cargo sees it.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    version: Option<String>,
}

impl Workspace {
    /// Asks `cargo metadata`, which knows `CARGO_TARGET_DIR` and every config file.
    pub(crate) fn find() -> Result<Workspace> {
        // `cargo run` sets the variable, so that a binary built in another checkout still works on this one.
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package).parent().context("xtask is not in a workspace")?;
        let mut ask = cargo(root);
        let answer = process::output(ask.args(["metadata", "--format-version=1", "--no-deps"]))?;
        let answer: Value = serde_json::from_str(&answer).context("failed to read: cargo metadata")?;
        let at = |key: &str| -> Result<PathBuf> {
            let path = answer[key].as_str().with_context(|| format!("cargo metadata names no {key}"))?;
            Ok(PathBuf::from(path))
        };
        let packages = answer["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let app = packages.iter().find(|package| package["name"] == "ormesh-app");
        let version = app.and_then(|package| package["version"].as_str()).map(str::to_owned);
        Ok(Workspace { root: at("workspace_root")?, target: at("target_directory")?, version })
    }

    /// Its directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The version of ormesh.
    pub(crate) fn version(&self) -> Result<String> {
        self.version.clone().context("cargo metadata names no version of ormesh-app")
    }

    /// A program of the workspace, built in the `dev` profile.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// A program of the workspace, built in the `release` profile.
    pub(crate) fn released(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// The cargo that started xtask, in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo(&self.root);
        if std::env::var_os("CI").is_some() {
            // A machine that builds once pays for incremental files and never reads them.
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}
