//! A host with the app on it: directories of its own, a display, and a driver for the window.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::driver::{Session, until};
use crate::screen::{Screen, end};

const ORMESH: &str = env!("CARGO_BIN_EXE_ormesh");
const APP: &str = env!("CARGO_BIN_EXE_ormesh-desktop");

/// Where there is no bus: the app must do without.
const NO_BUS: &str = "unix:path=/nonexistent/bus";

/// A host's home, removed at the end, and the agent in it stopped.
pub(crate) struct Host {
    home: TempDir,
    screen: Screen,
    bus: String,
}

impl Host {
    /// One without a session bus, on which nothing is set up.
    pub(crate) fn new() -> Self {
        Self::with_bus(NO_BUS)
    }

    /// One on this session bus.
    pub(crate) fn with_bus(bus: &str) -> Self {
        let host = Self { home: tempfile::tempdir().unwrap(), screen: Screen::start(), bus: bus.to_owned() };
        // So that hosts can run side by side.
        host.ormesh(&["config", "set", "agent.socks-addr", "off"]);
        host
    }

    /// A program that runs on this host and finds no tor.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("PATH", "/nonexistent").env("HOME", self.home.path());
        command
            .env("ORMESH_CONFIG", self.home.path().join("config.toml"))
            .env("ORMESH_STATE", self.home.path().join("state"))
            .env("ORMESH_SECRETS", "file")
            .env("ORMESH_TOR", "/nonexistent/tor")
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .env("DISPLAY", self.screen.name())
            // The X server paints by itself; there is no graphics card to ask.
            .env("LIBGL_ALWAYS_SOFTWARE", "1");
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs `ormesh`, which must succeed, and gives what it printed.
    pub(crate) fn ormesh(&self, args: &[&str]) -> String {
        let output = self.command(ORMESH).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its home directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The whole state, as the command sees it.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ormesh(&["status", "--json"])).unwrap()
    }

    /// The process of the agent that runs. One that ends while it is asked runs no more.
    pub(crate) fn agent_pid(&self) -> Option<u32> {
        let output = self.command(ORMESH).args(["status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        status["agent"]["pid"].as_u64()?.try_into().ok()
    }

    /// Starts an agent that is not the app's.
    pub(crate) fn agent(&self) -> Running {
        let child = self.command(ORMESH).args(["agent", "run"]).stderr(Stdio::null()).spawn().unwrap();
        let agent = Running(child);
        until("the agent answers", || self.status()["agent"].is_object().then_some(()));
        agent
    }

    /// Starts the app by itself, as a person does.
    pub(crate) fn app(&self, args: &[&str]) -> Running {
        Running(self.command(APP).args(args).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Starts the app and its window under a driver.
    pub(crate) fn window(&self) -> Window {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let driver = self
            .command("/usr/bin/WebKitWebDriver")
            .args([&format!("--port={port}"), "--host=127.0.0.1"])
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .spawn()
            .expect("WebKitWebDriver is installed: cargo xtask setup --desktop");
        let driver = Running(driver);
        let session = Session::start(port, &PathBuf::from(APP));
        Window { session, _driver: driver }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // There may be none.
        let _ =
            self.command(ORMESH).args(["agent", "stop"]).stderr(Stdio::null()).stdout(Stdio::null()).status();
    }
}

/// A child that is ended with this value.
pub(crate) struct Running(Child);

impl Running {
    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has ended by itself, and says whether it was content.
    pub(crate) fn ended(&mut self) -> bool {
        until("it ends", || self.0.try_wait().unwrap()).success()
    }

    /// Whether it has a window: the web view is a process of its own.
    pub(crate) fn has_web_view(&self) -> bool {
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.id())).unwrap_or_default();
        let mut names = children
            .split_whitespace()
            .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
        names.any(|name| name.starts_with("WebKitWebProces"))
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        end(&mut self.0);
    }

    /// Asks it to end, as a session's end does.
    pub(crate) fn terminate(&self) {
        terminate(self.id());
    }
}

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// The app's window and what drives it; both end with this value, the session first.
pub(crate) struct Window {
    session: Session,
    _driver: Running,
}

/// A test that failed leaves a picture of its window, in the directory that `ORMESH_PICTURES` names.
impl Drop for Window {
    fn drop(&mut self) {
        if let (true, Some(directory)) = (std::thread::panicking(), std::env::var_os("ORMESH_PICTURES")) {
            let test = std::thread::current().name().unwrap_or("window").replace("::", "-");
            // The failure itself is what counts.
            let _ = std::fs::write(Path::new(&directory).join(format!("{test}.png")), self.session.picture());
        }
    }
}

impl std::ops::Deref for Window {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}
