//! The agent as the app's child: found, started, its log kept, ended by steps. When to do so is `keeper`'s to say.
//!
//! Invariant: the child outlives a crash of the app. It has a process group and a log file of its own, and no pipe to us.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ormesh_core::agent;
use ormesh_core::ipc::Request;
use ormesh_core::model::problem::{Code, Problem, Subject};
use ormesh_core::store::paths::Paths;
use ormesh_core::store::private;
use tokio::process::{Child, Command};

/// How long an agent may take to end in order before it is killed. It drains connections for two seconds, and waits for tor.
const GRACE: Duration = Duration::from_secs(20);

/// A running agent that the app started.
pub(super) struct AgentChild {
    process: Child,
    started: Instant,
}

impl AgentChild {
    /// Starts `ormesh agent run`.
    pub(super) fn start(paths: &Paths) -> Result<Self, Problem> {
        let program = find_program()?;
        let log = open_log(paths);
        let failed = |error: std::io::Error| {
            Problem::new(Code::AgentFailed, format!("failed to start {}: {error}", program.display()))
                .about(Subject::Agent)
        };
        let mut command = Command::new(&program);
        command.args(["agent", "run"]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log.map_or_else(Stdio::null, Stdio::from));
        // Ctrl-C at the app's terminal is the app's to answer.
        #[cfg(unix)]
        command.process_group(0);
        let process = command.spawn().map_err(failed)?;
        Ok(Self { process, started: Instant::now() })
    }

    /// How long it has been running.
    pub(super) fn lived(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for its end. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        self.process.wait().await.ok()
    }

    /// Ends it by steps: ask it, wait, kill.
    pub(super) async fn end(mut self, paths: &Paths) {
        if let Ok(Some(client)) = agent::connect(paths).await {
            // It may end before it has answered.
            let _ = client.ask(&Request::Stop).await;
        } else {
            super::older::terminate(self.process.id());
        }
        if tokio::time::timeout(GRACE, self.process.wait()).await.is_err() {
            tracing::warn!("the agent did not end in {} s; killing it", GRACE.as_secs());
            // It fails only if it has ended, which is what is wanted.
            let _ = self.process.kill().await;
        }
    }
}

/// The command `ormesh`: beside this program, where a package has both, else in `PATH`.
fn find_program() -> Result<PathBuf, Problem> {
    let name = format!("ormesh{}", std::env::consts::EXE_SUFFIX);
    let here = std::env::current_exe().and_then(dunce::canonicalize).ok();
    let beside = here.and_then(|path| Some(path.parent()?.join(&name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(&name));
    beside.into_iter().chain(in_path).find(|file| file.is_file()).ok_or_else(|| {
        Problem::new(Code::CommandMissing, "the command ormesh is not installed")
            .about(Subject::Agent)
            .hint("install it beside this app, or in a directory of PATH")
    })
}

/// Where its log is.
pub(super) fn log_path(paths: &Paths) -> PathBuf {
    paths.state.join("agent.log")
}

/// A new log; that of the agent before is kept beside it. None where it can't be made (a full disk): the agent is wanted all the same.
fn open_log(paths: &Paths) -> Option<File> {
    let path = log_path(paths);
    // There is none at the first start.
    let _ = std::fs::rename(&path, path.with_extension("log.old"));
    let made = private::ensure_dir(&paths.state).map_err(|problem| problem.to_string()).and_then(|()| {
        OpenOptions::new().create(true).append(true).open(&path).map_err(|error| error.to_string())
    });
    made.inspect_err(|why| tracing::warn!(path = %path.display(), why, "the agent's log can't be kept")).ok()
}

/// Why an agent ended: what it said last, or how the system says that it ended.
pub(super) fn why(paths: &Paths, status: Option<ExitStatus>) -> Problem {
    let log = log_path(paths);
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    said_by_log(&said).unwrap_or_else(|| ended_by(status, &log)).about(Subject::Agent)
}

/// The command's last complaint: a line `ormesh: …`, and the `hint:` line after it.
fn said_by_log(log: &str) -> Option<Problem> {
    let lines: Vec<&str> = log.lines().collect();
    let at = lines.iter().rposition(|line| line.starts_with("ormesh: "))?;
    let message = lines[at].trim_start_matches("ormesh: ");
    let hint = lines[at..].iter().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default();
    Some(Problem::new(Code::AgentFailed, message).hint(hint))
}

fn ended_by(status: Option<ExitStatus>, log: &Path) -> Problem {
    let how = status.map_or_else(|| "unexpectedly".to_owned(), |status| format!("with {status}"));
    Problem::new(Code::AgentFailed, format!("the agent ended {how}"))
        .hint(format!("its log is {}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_said_last_is_why_it_ended() {
        let log = "12:00 INFO starting\normesh: tor was not found\nhint: install it\n";

        let problem = said_by_log(log).expect("it said why");

        assert_eq!((problem.message.as_str(), problem.hint.as_str()), ("tor was not found", "install it"));
    }

    #[test]
    fn an_agent_whose_log_can_not_be_kept_is_started_without() {
        let state = std::env::temp_dir().join(format!("ormesh-log-{}", std::process::id()));
        let paths = Paths { config: state.join("config.toml"), run: state.join("run"), state: state.clone() };
        private::ensure_dir(&state).unwrap();
        assert!(open_log(&paths).is_some());
        // Neither can be moved nor opened, as on a disk that is full.
        std::fs::remove_file(log_path(&paths)).unwrap();
        std::fs::create_dir(log_path(&paths)).unwrap();
        std::fs::create_dir_all(state.join("agent.log.old/x")).unwrap();
        assert!(open_log(&paths).is_none());
        std::fs::remove_dir_all(&state).unwrap();
    }

    #[test]
    fn a_name_inside_a_line_is_not_a_last_word() {
        assert!(said_by_log("12:00 WARN of ormesh: refused\n").is_none());
        assert!(said_by_log("").is_none());
    }
}
