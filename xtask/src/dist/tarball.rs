//! The tarball of the command: one directory that runs from wherever it is unpacked. The same commit gives the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::made::{Edition, Made};
use super::tree::{Layout, Tree};
use crate::process;

/// Makes it in `work`, and gives its path.
pub(super) fn make(made: &Made, work: &Path) -> Result<PathBuf> {
    let name = format!("ormesh-{}-linux-{}", made.version, std::env::consts::ARCH);
    let tree = Tree::lay(work.join(&name), Edition::Command, Layout::Tarball, made)?;
    tree.settle(made.epoch)?;
    let file = work.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"])
        .arg(format!("--mtime=@{}", made.epoch))
        .args(["--use-compress-program=gzip --best --no-name", "--create", "--file"])
        .arg(&file)
        .arg("--directory")
        .arg(work)
        .arg(&name);
    process::output(&mut tar)?;
    std::fs::remove_dir_all(tree.root())?;
    Ok(file)
}
