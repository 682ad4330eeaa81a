//! `cargo xtask test --packages`: makes the packages and has them installed, used and removed in a bare Debian.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use super::stage::{self, Stages};
use crate::setup::{self, Tools};
use crate::tornet::Tornet;
use crate::workspace::Workspace;
use crate::{dist, interrupt, process};

/// Makes the packages and runs their tests; `filter` goes to the test binary.
///
/// # Errors
///
/// When this is not root: only root may install, mount and change its root directory.
pub(crate) fn run(tools: &Tools, filter: &[String]) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "failed to test the packages: installing them into a bare Debian takes root\n\
             hint: run it as root, or in a privileged container"
        );
    }
    interrupt::listen()?;
    let start = Instant::now();
    let workspace = Workspace::find()?;
    let mut stages = Stages::new();

    let dist = stages.run("packages", || dist::make(&workspace));
    let clippy = ["clippy", "--features", "packages", "--test", "packages", "--", "-D", "warnings"];
    stages.command("clippy", workspace.cargo().args(clippy));
    stages.command("build", workspace.cargo().args(["build", "--package", "tornet"]));
    let bare = stages.run("bare Debian", setup::bare_root);
    let network = stages.run("private Tor network", || Tornet::start(&workspace, tools));
    if let (Some(dist), Some(bare), Some(network)) = (dist, bare, &network) {
        stages.tests("tests", |count| {
            // A namespace for processes and one for mounts: when its first process ends, nothing of them is left, whatever
            // became of the tests.
            let mut inside = process::dying_with_us("unshare");
            inside.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
            let mut cargo = workspace.cargo();
            cargo.args(["test", "--features", "packages", "--no-fail-fast", "--test", "packages", "--"]);
            inside.arg(cargo.get_program()).args(cargo.get_args()).args(filter).current_dir(workspace.root());
            inside.envs(tools.environment()).env("ORMESH_TORNET", network.dir());
            inside.env("ORMESH_DIST", &dist).env("ORMESH_BARE_DEBIAN", &bare);
            stage::stream(&mut inside, |line| count.read(line))
        });
    }
    if let Some(network) = network {
        network.end();
    }
    Ok(super::finish(&stages, start))
}
