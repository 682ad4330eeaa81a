//! Owns one tor process: starts it, keeps the last lines of its log, stops it in steps (ask, wait, kill) and reaps it.
//!
//! When to start and what to say on the control connection is left to `supervisor`.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::system;
use super::torrc::TorSettings;

/// Lines of tor's log that are kept, each cut to [`LOG_LINE`].
const LOG_LINES: usize = 50;
/// Bytes of a log line that are kept; tor's own are shorter.
const LOG_LINE: usize = 1000;
/// After tor was asked to end over the control connection, or that connection was closed.
const ASKED: Duration = Duration::from_secs(2);
/// After SIGTERM.
const TERMINATED: Duration = Duration::from_secs(1);
/// For the rest of the log once the process has ended.
const LOG_REST: Duration = Duration::from_millis(200);

/// What tor keeps and can do without: caches that it fetches again and the state whose loss costs it its guards. No key is among them.
const REPLACEABLE: [&str; 9] = [
    "state",
    "cached-certs",
    "cached-consensus",
    "cached-descriptors",
    "cached-descriptors.new",
    "cached-microdesc-consensus",
    "cached-microdescs",
    "cached-microdescs.new",
    "unverified-microdesc-consensus",
];

/// What the program is asked that becomes tor: followed by our process id, tor's binary and its arguments. See [`super::become_tor`].
pub const LAUNCH_VERB: [&str; 2] = ["agent", "become-tor"];

/// A tor that runs. Killed when dropped.
pub(super) struct Process {
    child: Child,
    log: Log,
    readers: Vec<JoinHandle<()>>,
    _leash: system::Leash,
}

impl Process {
    /// Starts tor with this configuration file, in the run directory: gates are named relative to it.
    /// `launcher` is our own program, whose hidden verb becomes tor after it has tied itself to us; without one tor is started directly.
    pub(super) fn spawn(
        binary: &Path,
        torrc: &Path,
        settings: &TorSettings,
        launcher: Option<&Path>,
    ) -> io::Result<Self> {
        let mut command = match launcher {
            Some(launcher) => {
                let mut command = Command::new(launcher);
                command.args(LAUNCH_VERB).arg(std::process::id().to_string()).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.arg("--defaults-torrc").arg(system::defaults_torrc(settings)?);
        command.current_dir(&settings.run_dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        system::configure(&mut command, torrc)?;
        system::clean(&mut command);
        let mut child = command.kill_on_drop(true).spawn()?;
        let leash = system::leash(&child)?;
        let log = Log::default();
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|out| tokio::spawn(read_log(out, log.clone()))));
        readers.extend(child.stderr.take().map(|err| tokio::spawn(read_log(err, log.clone()))));
        Ok(Self { child, log, readers, _leash: leash })
    }

    /// Its process id, until it has been reaped.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it by steps; the caller has asked it over the control connection, or closed that, where there was one.
    pub(super) async fn stop(mut self, was_asked: bool) {
        if was_asked && tokio::time::timeout(ASKED, self.child.wait()).await.is_ok() {
            return;
        }
        system::terminate(&mut self.child);
        if tokio::time::timeout(TERMINATED, self.child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!("tor did not end when asked and was killed");
        // It fails only for a process that has ended.
        let _ = self.child.kill().await;
    }

    /// Ends it at once: it stands still, and hears no signal that asks.
    pub(super) async fn kill(mut self) {
        // It fails only for a process that has ended.
        let _ = self.child.kill().await;
    }

    /// The reason that the log gives: its last error, else its last warning.
    pub(super) async fn reason(&mut self) -> Option<String> {
        // What the process wrote last may still be in the pipe. A child of its own could hold the pipe open.
        let readers = futures_all(&mut self.readers);
        let _ = tokio::time::timeout(LOG_REST, readers).await;
        self.log.reason()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

async fn futures_all(readers: &mut Vec<JoinHandle<()>>) {
    for reader in readers.drain(..) {
        // A reader never panics.
        let _ = reader.await;
    }
}

/// Moves files aside that a damaged disk or a crash may have damaged and that tor can make again. Returns their names.
pub(super) fn quarantine(data_dir: &Path) -> Vec<&'static str> {
    let moved = |name: &&str| {
        let broken = data_dir.join(format!("{name}.broken"));
        // Of an earlier time; only the latest is of use to whoever looks into it.
        let _ = fs::remove_dir_all(&broken);
        fs::rename(data_dir.join(name), broken).is_ok()
    };
    REPLACEABLE.into_iter().filter(moved).collect()
}

/// The end of tor's log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn reason(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = |level: &str| {
            let said = lines.iter().rev().filter_map(|line| line.split_once(level));
            said.map(|(_, text)| text.trim()).find(|text| !is_usual(text)).map(str::to_owned)
        };
        // An error at the very end often only sums up what the one before it told.
        let general = |text: &String| !text.starts_with("Reading config failed");
        last("[err]").filter(general).or_else(|| last("[warn]")).or_else(|| last("[err]"))
    }
}

/// Whether it is a warning that tor gives each time it starts, for what it was told to be.
fn is_usual(text: &str) -> bool {
    const USUAL: [&str; 3] = [
        "You are running Tor as root",
        "You have used DirAuthority or Alternate",
        "TestingTorNetwork is set",
    ];
    USUAL.iter().any(|usual| text.starts_with(usual))
}

async fn read_log(source: impl AsyncRead + Unpin, log: Log) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        let Ok(chunk) = source.fill_buf().await else { return };
        if chunk.is_empty() {
            return;
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        line.extend_from_slice(&part[..part.len().min(LOG_LINE - line.len())]);
        let used = end.map_or(chunk.len(), |end| end + 1);
        source.consume(used);
        if end.is_some() {
            let text: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
            if text.contains("[warn]") || text.contains("[err]") {
                tracing::debug!(target: "ormesh::tor", "{text}");
            }
            log.push(text);
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_log_keeps_its_end_in_bounded_memory() {
        let log = Log::default();
        let mut text = vec![b'x'; 100_000];
        text.push(b'\n');
        for n in 0..1000 {
            text.extend_from_slice(format!("Nov 22 15:00:00.000 [notice] line {n}\n").as_bytes());
        }
        text.extend_from_slice(
            b"Nov 22 15:00:00.000 [warn] It is \xff broken\nNov 22 [err] Reading config failed--see\n",
        );

        read_log(text.as_slice(), log.clone()).await;

        assert_eq!(log.0.lock().unwrap().len(), LOG_LINES);
        assert_eq!(log.reason().as_deref(), Some("It is \u{fffd} broken"));
    }

    #[test]
    fn a_warning_that_tor_always_gives_is_no_reason_for_its_end() {
        let log = Log::default();
        let line = |text: &str| log.push(format!("Nov 22 15:00:00.000 [warn] {text}"));
        line("You are running Tor as root. You don't need to, and you probably shouldn't.");
        line("TestingTorNetwork is set. This will make your node almost unusable in the public Tor network.");
        assert_eq!(log.reason(), None);
        line("Could not bind to 127.0.0.1:9050");
        line("You are running Tor as root. You don't need to, and you probably shouldn't.");
        assert_eq!(log.reason().as_deref(), Some("Could not bind to 127.0.0.1:9050"));
    }

    #[tokio::test]
    async fn an_endless_line_is_cut() {
        let log = Log::default();
        let text = [vec![b'x'; 100_000], b"\n".to_vec()].concat();

        read_log(text.as_slice(), log.clone()).await;

        assert_eq!(log.0.lock().unwrap()[0].len(), LOG_LINE);
    }

    #[test]
    fn only_what_can_be_made_anew_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["state", "cached-certs", "keys", "control_auth_cookie"] {
            fs::write(dir.path().join(name), name).unwrap();
        }

        let moved = quarantine(dir.path());

        assert_eq!(moved, ["state", "cached-certs"]);
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["cached-certs.broken", "control_auth_cookie", "keys", "state.broken"]);
    }
}
