//! One `tor` process that lives no longer than its owner: started, owned over its control connection, killed on drop.
//!
//! Three ties hold it. A guard kills it as soon as the owner is gone, however the owner went. Where there is no guard, tor exits
//! when the connection that said TAKEOWNERSHIP drops; and `__OwningControllerProcess`, which tor polls every 15 s, covers the
//! moment before either stands. The guard is needed since tor's own exit can hang: up to 0.4.9.11 at least, a worker thread
//! that is busy when the exit is signalled never learns of it, and the process waits for it for ever.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::control::Control;
use crate::system::Guard;
use crate::tools::Tools;
use crate::torrc::quote;

/// How often conditions are looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// Bytes of a control cookie (control-spec, "AUTHENTICATE").
const COOKIE_LENGTH: u64 = 32;

/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 15;

/// A running tor and the directory it lives in; killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guard: Option<Guard>,
    dir: PathBuf,
}

impl Process {
    /// Starts tor in `dir`, with `lines` as its torrc beside what every process here gets: its data directory (`data`, which
    /// may hold keys already), a control port with a cookie, the owner's pid and its log (`log`).
    pub(crate) fn spawn(tools: &Tools, dir: &Path, lines: &[String]) -> Result<Self> {
        let data = data_dir(dir);
        fs::create_dir_all(&data).with_context(|| format!("failed to create {}", data.display()))?;
        // What an earlier run left would be taken for this one's.
        let _ = fs::remove_file(control_port_file(dir));
        let _ = fs::remove_file(cookie_file(dir));
        let mut torrc = vec![
            format!("DataDirectory {}", quote(&data)),
            // TCP, since a control socket's path may hold no space and at most 107 bytes.
            "ControlPort 127.0.0.1:auto".to_owned(),
            format!("ControlPortWriteToFile {}", quote(&control_port_file(dir))),
            "CookieAuthentication 1".to_owned(),
            format!("__OwningControllerProcess {}", std::process::id()),
            "Log notice stdout".to_owned(),
        ];
        torrc.extend_from_slice(lines);
        let file = dir.join("torrc");
        fs::write(&file, torrc.join("\n") + "\n")
            .with_context(|| format!("failed to write {}", file.display()))?;
        let log = File::create(log_file(dir)).context("failed to create tor's log")?;
        let child = Command::new(&tools.tor)
            .args(["--defaults-torrc", "/dev/null", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}", tools.tor.display()))?;
        let mut process = Self { child, guard: None, dir: dir.to_owned() };
        process.guard = Some(Guard::watch(process.pid()).context("failed to start the guard of tor")?);
        Ok(process)
    }

    /// Waits for the control port and ties tor's life to the returned connection.
    pub(crate) fn own(&mut self, deadline: Instant) -> Result<(u16, Control)> {
        let port = loop {
            // tor writes the port some milliseconds before the cookie.
            if let Some(port) = read_control_port(&self.dir)
                && fs::metadata(cookie_file(&self.dir)).is_ok_and(|cookie| cookie.len() == COOKIE_LENGTH)
            {
                break port;
            }
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!("tor opened no control port in time\n{}", self.quote_log());
            }
            thread::sleep(POLL);
        };
        let owned = connect(&self.dir, port).and_then(|mut control| {
            control.command("TAKEOWNERSHIP")?;
            Ok((port, control))
        });
        owned.map_err(|error| anyhow!("failed to own tor: {error:#}\n{}", self.quote_log()))
    }

    /// Errs, quoting the log, when tor has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                // Its number may be another's from here on.
                self.guard = None;
                bail!("tor ended ({status})\n{}", self.quote_log())
            }
        }
    }

    /// Kills it, and waits until it is gone. Fails only when it has ended already.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.guard = None;
        let _ = self.child.wait();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of the log, for an error.
    pub(crate) fn quote_log(&self) -> String {
        let path = log_file(&self.dir);
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(QUOTED_LINES)..];
        format!("-- the end of {}:\n{}", path.display(), tail.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Connects to the tor that lives in `dir` and listens on control port `port`.
pub(crate) fn connect(dir: &Path, port: u16) -> Result<Control> {
    Control::connect(port, &cookie_file(dir))
}

/// The data directory of the tor that lives in `dir`.
pub(crate) fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("log")
}

fn cookie_file(dir: &Path) -> PathBuf {
    data_dir(dir).join("control_auth_cookie")
}

fn control_port_file(dir: &Path) -> PathBuf {
    dir.join("control-port")
}

/// Reads what `ControlPortWriteToFile` wrote, `PORT=127.0.0.1:N`; `None` until it is there.
fn read_control_port(dir: &Path) -> Option<u16> {
    let text = fs::read_to_string(control_port_file(dir)).ok()?;
    text.strip_prefix("PORT=127.0.0.1:")?.trim_end().parse().ok()
}
