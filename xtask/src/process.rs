//! Processes that xtask starts and owns: none outlives it, and each is ended by its own id.
//!
//! Leaves to its callers what a process is for.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use support::{family, is_running};

use crate::interrupt;

/// How often a wait looks again.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// A child that is ended when this value is dropped.
///
/// Invariant: it also ends when xtask dies, by the kernel's parent-death signal where `setpriv` is there to set it.
pub(crate) struct Owned {
    name: String,
    child: Child,
}

impl Owned {
    /// Starts `command`, of a process group of its own: Ctrl-C is xtask's to answer.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Owned> {
        let child = command.process_group(0).spawn().with_context(|| format!("failed to start: {name}"))?;
        Ok(Owned { name: name.to_owned(), child })
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("failed to ask after: {}", self.name))
    }

    /// Ends it and all that it started, by steps: ask it, wait, kill. Ending what has ended does nothing.
    pub(crate) fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Known only as long as it runs: what it started passes to another parent when it ends.
        let family = family(self.child.id());
        send(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) || family.iter().any(|id| is_running(*id)) {
            if Instant::now() >= deadline {
                family.iter().filter(|id| is_running(**id)).for_each(|id| send(*id, Signal::KILL));
                // It fails only if it has been waited for, which is what is wanted.
                let _ = self.child.wait();
                return;
            }
            thread::sleep(POLL);
        }
    }
}

/// Sends a signal; that fails only if the process has ended in between.
fn send(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.end();
    }
}

/// A command for `program` whose process gets SIGTERM if xtask dies.
///
/// The kernel sends the signal when the *thread* that started the process ends, so start it from the main thread.
pub(crate) fn dying_with_us(program: impl AsRef<OsStr>) -> Command {
    match find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Where `PATH` has `program`; a path is taken as it is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    find_in(program, &std::env::var_os("PATH")?)
}

fn find_in(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

/// Whether `file` is a regular file that someone may execute.
pub(crate) fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs `command` to its end and gives its standard output; its errors are part of the failure.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to run: {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("failed to run: {} ({})\n{}", shown(command), output.status, last_lines(&output.stderr, 12));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    if program.ends_with("setpriv") && words.first().is_some_and(|word| word == "--pdeathsig") {
        // How it is started is not what it is.
        words.drain(..3);
        return words.join(" ");
    }
    words.insert(0, program.file_name().unwrap_or(program.as_os_str()).to_string_lossy());
    words.join(" ")
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Waits until `ready` gives a value; fails at the deadline, on Ctrl-C, or as `ready` does.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        interrupt::check()?;
        if start.elapsed() >= limit {
            bail!("failed to wait for {what}: not there after {} s", limit.as_secs());
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_process_ends_with_its_owner() {
        let mut sleeper = Owned::start("sleep", dying_with_us("sleep").arg("600")).expect("sleep starts");
        let proc = PathBuf::from(format!("/proc/{}", sleeper.id()));
        assert!(sleeper.ended().expect("it can be asked after").is_none());

        drop(sleeper);

        assert!(!proc.exists());
    }

    #[test]
    fn a_failing_command_tells_what_it_said() {
        let error =
            output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).expect_err("it exits 3");

        assert!(error.to_string().contains("broken"), "{error}");
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let result = wait_for("nothing", Duration::ZERO, || Ok(None::<()>));

        assert_eq!(
            result.expect_err("it never comes").to_string(),
            "failed to wait for nothing: not there after 0 s"
        );
    }
}
