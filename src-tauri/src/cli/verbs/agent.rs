//! `ormesh agent`: runs it, and steers the one that runs.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use ormesh_core::agent::{self, RunOptions, log};
use ormesh_core::engine::ctor::become_tor;
use ormesh_core::ipc::Request;
use ormesh_core::model::problem::{Code, Problem, catalogue};
use ormesh_core::store::paths::Paths;
use tracing_subscriber::EnvFilter;

use super::systemd_unit::SystemdUnit;
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

/// How long an agent that was told to stop may take: it drains its sessions first.
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks whether it is gone.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Subcommand)]
pub(crate) enum Agent {
    /// Run tor and carry the connections, in the foreground; changes of the configuration apply at once
    Run(Run),
    /// End the running agent in order, and wait until it is gone
    Stop,
    /// Close all listeners and sessions and stop tor, until `resume` or the agent's end
    Pause,
    /// End a pause
    Resume,
    /// Print a systemd unit that runs the agent
    SystemdUnit(SystemdUnit),
    /// What the agent starts tor by: ties itself to the agent and becomes tor
    #[command(hide = true)]
    BecomeTor(BecomeTor),
}

#[derive(Args)]
pub(crate) struct BecomeTor {
    owner: u32,
    binary: std::path::PathBuf,
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    arguments: Vec<std::ffi::OsString>,
}

#[derive(Args)]
pub(crate) struct Run {
    /// Accept a tor that is too old to be safe, for a private network
    #[arg(long)]
    allow_old_tor: bool,
}

impl Agent {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Run(options) => options.run().await,
            Self::Stop => stop(&Host::from_env()?).await,
            Self::Pause => steer(Request::Pause, "paused").await,
            Self::Resume => steer(Request::Resume, "resumed").await,
            Self::SystemdUnit(verb) => verb.run(),
            Self::BecomeTor(BecomeTor { owner, binary, arguments }) => {
                let error = become_tor(owner, &binary, &arguments);
                let message = format!("failed to start {}: {error}", binary.display());
                Err(Problem::new(Code::TorFailed, message).into())
            }
        }
    }
}

impl Run {
    async fn run(self) -> Outcome {
        let paths = Paths::from_env()?;
        let _flush = log_to_stderr()?;
        // Not our path: an upgrade may have put another program there.
        let launcher = cfg!(target_os = "linux").then(|| "/proc/self/exe".into());
        let options = RunOptions { allow_old_tor: self.allow_old_tor, launcher };
        agent::run(paths, options).await?;
        DONE
    }
}

async fn steer(request: Request, said: &str) -> Outcome {
    let host = Host::from_env()?;
    drop(host.agent().await?);
    host.done(request).await?;
    output::said(said);
    DONE
}

/// Ends an agent of any version.
async fn stop(host: &Host) -> Outcome {
    let running = host.greeted().await?.ok_or_else(|| agent::not_running(host.paths()))?;
    if let Some(command) = running.pid().and_then(service_command) {
        return Err(catalogue::agent_managed(command).into());
    }
    let told = running.stop().await;
    // An agent with nothing to drain may be gone before its answer is.
    if told.is_err() && host.greeted().await?.is_some() {
        told?;
    }
    let gone = async {
        while !matches!(host.greeted().await, Ok(None)) {
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(STOP_DEADLINE, gone).await {
        Ok(()) => {
            output::said("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Err(_) => Err(Problem::new(Code::AgentNotEnding, "the agent was told to stop and still runs")
            .hint("see its log")
            .into()),
    }
}

/// How to stop an agent that is our unit's. A control group is readable by all, and absent where there is no systemd.
fn service_command(pid: u32) -> Option<&'static str> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    stop_command(&groups)
}

/// Reads /proc/PID/cgroup (cgroups(7)): the last part of a path is the unit's name.
fn stop_command(groups: &str) -> Option<&'static str> {
    let ours = groups.lines().find(|line| line.ends_with("/ormesh.service"))?;
    match ours.contains("/user@") {
        true => Some("systemctl --user stop ormesh"),
        false => Some("systemctl stop ormesh"),
    }
}

/// Logs go to standard error; journald puts the time on each line itself, and says so by `JOURNAL_STREAM` (systemd.exec(5)).
fn log_to_stderr() -> Result<log::Flush, Problem> {
    let filter = match std::env::var("ORMESH_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives).map_err(|error| {
            Problem::new(Code::BadEnvironment, format!("ORMESH_LOG can't be {directives:?}: {error}"))
                .hint("as in debug, or ormesh_core=trace")
        })?,
        _ => EnvFilter::new("info"),
    };
    let (lines, flush) = log::start(io::stderr())
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to start the log: {error}")))?;
    let log = tracing_subscriber::fmt()
        .with_writer(move || lines.clone())
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(filter);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => log.without_time().init(),
        None => log.init(),
    }
    Ok(flush)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_unit_is_systemds_to_stop() {
        for (groups, command) in [
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/ormesh.service\n",
                Some("systemctl --user stop ormesh"),
            ),
            ("0::/system.slice/ormesh.service\n", Some("systemctl stop ormesh")),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-ormesh@autostart.service\n",
                None,
            ),
            ("0::/\n", None),
        ] {
            assert_eq!(stop_command(groups), command, "{groups}");
        }
    }
}
