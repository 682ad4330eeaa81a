//! A host with the app on it: directories of its own, a display, and a driver for the window.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use ormesh_core::store::paths::Paths;
use serde_json::Value;
use support::{PATIENCE, Running, Uplink, free_port, kill_all, processes, until};
use tornet::Network;

use crate::driver::Session;
use crate::screen::Screen;

const ORMESH: &str = env!("CARGO_BIN_EXE_ormesh");
const APP: &str = env!("CARGO_BIN_EXE_ormesh-desktop");

/// Where there is no bus: the app must do without.
const NO_BUS: &str = "unix:path=/nonexistent/bus";

/// A host's home, removed at the end, and the agent in it stopped.
pub(crate) struct Host {
    host: support::Host,
    screen: Screen,
}

impl Host {
    /// One without a session bus, on which nothing is set up.
    pub(crate) fn new() -> Self {
        Self::with_bus(NO_BUS)
    }

    /// One on this session bus, with its keys in files and no tor to be found.
    pub(crate) fn with_bus(bus: &str) -> Self {
        Self::among(bus, &[("ORMESH_TOR", Path::new("/nonexistent/tor"))])
    }

    /// One whose keys are in the keyring on this bus, if it is to have one; no tor is to be found.
    pub(crate) fn with_keyring(bus: &str) -> Self {
        Self::among(bus, &[("ORMESH_TOR", Path::new("/nonexistent/tor")), ("ORMESH_SECRETS", Path::new(""))])
    }

    /// The same with real tor, on the private network.
    pub(crate) fn on_the_network(bus: &str) -> Self {
        let tor = tornet::Tools::find().unwrap().tor;
        let network = tornet::shared().client_torrc();
        let surroundings =
            [("ORMESH_TOR", &*tor), ("ORMESH_TOR_NETWORK", &network), ("ORMESH_SECRETS", Path::new(""))];
        Self::among(bus, &surroundings)
    }

    /// One with its keys in files and real tor, which reaches this network by a way of its own.
    pub(crate) fn behind_an_uplink(network: &Network) -> (Self, Uplink) {
        let tor = tornet::Tools::find().unwrap().tor;
        let mut host = Self::among(NO_BUS, &[("ORMESH_TOR", &*tor)]);
        let uplink = Uplink::of(&mut host.host, network);
        (host, uplink)
    }

    fn among(bus: &str, surroundings: &[(&str, &Path)]) -> Self {
        let screen = Screen::start();
        let mut host = support::Host::new();
        // Nothing of this machine is to be found.
        host.set("PATH", "/nonexistent");
        host.set("XDG_RUNTIME_DIR", host.home().to_owned());
        host.set("DBUS_SESSION_BUS_ADDRESS", bus);
        host.set("DISPLAY", screen.name());
        // The X server paints by itself; there is no graphics card to ask.
        host.set("LIBGL_ALWAYS_SOFTWARE", "1");
        for (name, value) in surroundings {
            host.set(name, *value);
        }
        // So that hosts can run side by side.
        host.good(&["config", "set", "agent.socks-addr", "off"]);
        Self { host, screen }
    }

    /// A program that runs on this host.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.host.command(program.as_ref())
    }

    /// Runs `ormesh`, which must succeed, and gives what it printed.
    pub(crate) fn ormesh(&self, args: &[&str]) -> String {
        self.host.good(args)
    }

    /// Has files opened by a program that notes their paths, and gives where.
    pub(crate) fn note_what_is_opened(&mut self) -> PathBuf {
        let (bin, noted) = (self.home().join("bin"), self.home().join("opened"));
        std::fs::create_dir_all(&bin).unwrap();
        let opener = bin.join("xdg-open");
        std::fs::write(&opener, format!("#!/bin/sh\necho \"$1\" >> '{}'\n", noted.display())).unwrap();
        std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.host.set("PATH", bin);
        noted
    }

    /// Its display.
    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Its home directory.
    pub(crate) fn home(&self) -> &Path {
        self.host.home()
    }

    /// The whole state, as the command sees it.
    pub(crate) fn status(&self) -> Value {
        self.host.json_status()
    }

    /// The process of the agent that runs. One that ends while it is asked runs no more.
    pub(crate) fn agent_pid(&self) -> Option<u32> {
        let status: Value = serde_json::from_str(&self.host.ormesh(&["status", "--json"]).stdout).ok()?;
        status["agent"]["pid"].as_u64()?.try_into().ok()
    }

    /// Where its agent answers.
    pub(crate) fn socket(&self) -> PathBuf {
        Paths::new(self.host.config(), self.host.state()).unwrap().socket()
    }

    /// Where its windows may write: the one directory in its runtime directory that is named so.
    pub(crate) fn scratch(&self) -> PathBuf {
        let all = std::fs::read_dir(self.host.home().join("ormesh")).unwrap();
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

    /// Starts the app where this is the display, and waits until it has ended.
    pub(crate) fn app_on(&self, display: &str) -> Output {
        self.command(APP).env("DISPLAY", display).env_remove("WAYLAND_DISPLAY").output().unwrap()
    }

    /// The same by copies of both programs, as a package has them, with the app's file, which an upgrade would replace.
    pub(crate) fn installed_app(&self, args: &[&str]) -> (Running, PathBuf) {
        let file = self.home().join("ormesh-desktop");
        std::fs::copy(APP, &file).unwrap();
        std::fs::copy(ORMESH, self.home().join("ormesh")).unwrap();
        let app = self.command(file.to_str().unwrap()).args(args).stderr(Stdio::null()).spawn().unwrap();
        (Running(app), file)
    }

    /// Starts the app and its window under a driver.
    pub(crate) fn window(&self) -> Window {
        // One that ends before it has begun, its port taken by another test, say, is followed by another.
        until("a driver starts the app", || {
            end_driven(self.home());
            let port = free_port();
            let driver = self
                .command("/usr/bin/WebKitWebDriver")
                .args([&format!("--port={port}"), "--host=127.0.0.1"])
                .env("TAURI_WEBVIEW_AUTOMATION", "true")
                .spawn()
                .expect("WebKitWebDriver is installed: cargo xtask setup --desktop");
            let driver = Running(driver);
            let session = Some(Session::start(port, &PathBuf::from(APP))?);
            Some(Window { session, home: self.home().to_owned(), _driver: driver })
        })
    }
}

/// Ends all that runs on this host. There may be no agent, or one that the app has only just started, which no command hears yet.
impl Drop for Host {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let is_agent = |command: &[u8], _: &str| command.ends_with(b"agent\0run\0");
        loop {
            self.host.ormesh(&["agent", "stop"]);
            if processes(self.home(), is_agent).is_empty() || Instant::now() > deadline {
                break;
            }
        }
        // The web view's processes end a moment after the app, and write into its home until then: what they write after the home was
        // removed would stay for ever.
        kill_all(|| processes(self.home(), |_, _| true));
    }
}

/// Ends the apps that a driver has started on the host with this home, and waits until they are gone. A driver ends its app when it ends a
/// session: after it has answered, and not at all if it is ended before that, or before it has a session.
fn end_driven(home: &Path) {
    let is_driven = |command: &[u8], environment: &str| {
        command.strip_suffix(b"\0") == Some(APP.as_bytes())
            && environment.contains("TAURI_WEBVIEW_AUTOMATION=")
    };
    kill_all(|| processes(home, is_driven));
}

/// The app's window and what drives it; all end with this value, the session first.
pub(crate) struct Window {
    session: Option<Session>,
    home: PathBuf,
    _driver: Running,
}

impl Window {
    /// Keeps a picture under this name, in the directory that `ORMESH_PICTURES` names, if it names one.
    pub(crate) fn keep(&self, name: &str) {
        if let Some(directory) = std::env::var_os("ORMESH_PICTURES") {
            let file = Path::new(&directory).join(format!("real-{name}.png"));
            std::fs::write(file, self.picture()).unwrap();
        }
    }
}

/// A test that failed leaves a picture of its window. The app is gone when this is, whatever its driver does.
impl Drop for Window {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let test = std::thread::current().name().unwrap_or("window").replace("::", "-");
            // The failure itself is what counts.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.keep(&format!("failed-{test}"))
            }));
        }
        drop(self.session.take());
        end_driven(&self.home);
    }
}

impl std::ops::Deref for Window {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session.as_ref().expect("it is taken by the end alone")
    }
}
