//! A host with the app on it: directories of its own, a display, and a driver for the window.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ormesh_core::store::paths::Paths;
use serde_json::Value;
use tempfile::TempDir;

use crate::again::has_web_view;
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
    /// What `ormesh` finds beyond its own directories.
    surroundings: Vec<(&'static str, OsString)>,
}

impl Host {
    /// One without a session bus, on which nothing is set up.
    pub(crate) fn new() -> Self {
        Self::with_bus(NO_BUS)
    }

    /// One on this session bus, with its keys in files and no tor to be found.
    pub(crate) fn with_bus(bus: &str) -> Self {
        Self::among(bus, [("ORMESH_SECRETS", "file".into()), ("ORMESH_TOR", "/nonexistent/tor".into())])
    }

    /// One whose keys are in the keyring on this bus, if it is to have one; no tor is to be found.
    pub(crate) fn with_keyring(bus: &str) -> Self {
        Self::among(bus, [("ORMESH_TOR", "/nonexistent/tor".into())])
    }

    /// The same with real tor, on the private network.
    pub(crate) fn on_the_network(bus: &str) -> Self {
        let tor = tornet::Tools::find().unwrap().tor;
        let network = tornet::shared().client_torrc();
        Self::among(bus, [("ORMESH_TOR", tor.into()), ("ORMESH_TOR_NETWORK", network.into())])
    }

    fn among(bus: &str, surroundings: impl Into<Vec<(&'static str, OsString)>>) -> Self {
        let host = Self {
            // Short, since sockets are in it.
            home: tempfile::Builder::new().prefix("od-").tempdir_in("/tmp").unwrap(),
            screen: Screen::start(),
            bus: bus.to_owned(),
            surroundings: surroundings.into(),
        };
        // So that hosts can run side by side.
        host.ormesh(&["config", "set", "agent.socks-addr", "off"]);
        host
    }

    /// A program that runs on this host.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("PATH", "/nonexistent").env("HOME", self.home.path());
        command
            .env("ORMESH_CONFIG", self.home.path().join("config.toml"))
            .env("ORMESH_STATE", self.home.path().join("state"))
            .envs(self.surroundings.iter().map(|(name, value)| (name, value)))
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

    /// Its display.
    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
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

    /// Where its agent answers.
    pub(crate) fn socket(&self) -> PathBuf {
        Paths::new(self.home.path().join("config.toml"), self.home.path().join("state")).unwrap().socket()
    }

    /// Where its windows may write: the one directory in its runtime directory that is named so.
    pub(crate) fn scratch(&self) -> PathBuf {
        let all = std::fs::read_dir(self.home.path().join("ormesh")).unwrap();
        let is_web = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"web-"))
        };
        all.map(|entry| entry.unwrap().path()).find(is_web).expect("the app has made it")
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

    /// Whether it has a window.
    pub(crate) fn has_web_view(&self) -> bool {
        has_web_view(self.id())
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

/// Kills a process, as a crash would end it.
pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
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

impl Window {
    /// Keeps a picture under this name, in the directory that `ORMESH_PICTURES` names, if it names one.
    pub(crate) fn keep(&self, name: &str) {
        if let Some(directory) = std::env::var_os("ORMESH_PICTURES") {
            let file = Path::new(&directory).join(format!("real-{name}.png"));
            std::fs::write(file, self.session.picture()).unwrap();
        }
    }
}

/// A test that failed leaves a picture of its window.
impl Drop for Window {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let test = std::thread::current().name().unwrap_or("window").replace("::", "-");
            // The failure itself is what counts.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.keep(&format!("failed-{test}"))
            }));
        }
    }
}

impl std::ops::Deref for Window {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}
