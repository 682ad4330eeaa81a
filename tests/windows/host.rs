//! A host on Windows: directories on its drive `C:`, the command run in them, and its agent.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use ormesh_core::model::status::Status;
use serde_json::Value;
use support::{Ran, Signal, TorPlaces, free_address, free_port, is_running, send, tor_places, until};
use tempfile::TempDir;

use crate::named;

/// One host. Dropped, its agent is killed, and its directories are gone.
pub(crate) struct Windows {
    name: &'static str,
    home: TempDir,
    socks: SocketAddr,
    agent: Option<Child>,
    network: bool,
    _place: Option<TorPlaces>,
}

impl Windows {
    /// One with nothing set up, of no network. A space and letters that no single code page has are in its paths.
    pub(crate) fn new(name: &'static str) -> Self {
        let drive = Path::new(&named("WINEPREFIX")).join("drive_c");
        let home = tempfile::Builder::new().prefix("Jürgen Żółć ").tempdir_in(drive).unwrap();
        let socks = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self { name, home, socks, agent: None, network: false, _place: None }
    }

    /// One on the private network.
    pub(crate) fn on_the_network(name: &'static str) -> Self {
        let mut host = Self::new(name);
        host.network = true;
        host._place = Some(tor_places(1));
        host.good(&["config", "set", "agent.socks-addr", &host.socks.to_string()]);
        host
    }

    /// Where a file of it is, for Linux.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The same for Windows.
    pub(crate) fn windows_path(&self, name: &str) -> String {
        let home = self.home.path().file_name().unwrap().to_str().unwrap();
        format!(r"C:\{home}\{}", name.replace('/', r"\"))
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// A program of Windows' as it runs on this host.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = wine(program);
        command.env("ORMESH_CONFIG", self.windows_path("config.toml"));
        command.env("ORMESH_STATE", self.windows_path("state"));
        command.env("ORMESH_SECRETS", "file").env_remove("ORMESH_TOR").env_remove("ORMESH_LOG");
        if self.network {
            let torrc = Path::new(&named("ORMESH_TORNET")).join("client.torrc");
            command.env("ORMESH_TOR_NETWORK", format!("Z:{}", torrc.display()).replace('/', r"\"));
        }
        command.current_dir(self.home.path());
        command
    }

    /// Runs `ormesh` with these arguments.
    pub(crate) fn ormesh(&self, args: &[&str]) -> Ran {
        self.command(program("ormesh.exe")).args(args).output().unwrap().into()
    }

    /// Runs `ormesh` with something on its standard input.
    pub(crate) fn ormesh_reading(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(program("ormesh.exe"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Runs `ormesh`, which must succeed, and gives what it printed.
    #[track_caller]
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let ran = self.ormesh(args);
        assert_eq!(ran.code, 0, "{}: {args:?}: {}", self.name, ran.stderr);
        ran.stdout
    }

    /// Waits until its status is so; each answer must be one.
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Status) -> bool) -> Status {
        until(what, || Some(self.status()).filter(|status| is_so(status)))
    }

    fn status(&self) -> Status {
        let asked = self.ormesh(&["status", "--json"]);
        serde_json::from_str(&asked.stdout).unwrap_or_else(|error| {
            panic!("{}: status gave {}: {error}\n{}", self.name, asked.code, asked.stderr)
        })
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(&mut self, environment: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.path("agent.log")).unwrap();
        let mut command = self.command(program("ormesh.exe"));
        command.args(["agent", "run"]).env("ORMESH_LOG", "debug").envs(environment.iter().copied());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
        until("the agent answers", || {
            let ended = self.agent.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{}: the agent ended: {ended:?}\n{}", self.name, self.log());
            let status: Option<Value> = serde_json::from_str(&self.ormesh(&["status", "--json"]).stdout).ok();
            status.is_some_and(|status| status["agent"].is_object())
        });
    }

    /// Waits until the agent has ended by itself; gives its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        let mut agent = self.agent.take().expect("an agent was started");
        until("the agent ends", || agent.try_wait().unwrap()).code().unwrap_or(-1)
    }

    /// The process of the agent's tor, as Linux numbers it: the one whose working directory is this host's.
    pub(crate) fn tor_pid(&self) -> Option<u32> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.find(|id| {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            let place = fs::read_link(format!("/proc/{id}/cwd")).unwrap_or_default();
            name.trim() == "ormesh-tor.exe" && place.starts_with(self.home.path())
        })
    }

    /// Kills the agent, as the task manager does, and gives the id of its tor.
    pub(crate) fn kill_agent(&mut self) -> u32 {
        let tor = until("the agent has a tor", || self.tor_pid());
        let mut agent = self.agent.take().expect("an agent was started");
        send(agent.id(), Signal::KILL);
        agent.wait().unwrap();
        tor
    }

    /// Makes a client here and gives its invite.
    pub(crate) fn invite(&self, client: &str) -> String {
        self.good(&["client", "add", client]).trim().to_owned()
    }

    /// Takes an invite in, under a remote's name.
    pub(crate) fn add_remote(&self, remote: &str, invite: &str) {
        let ran = self.ormesh_reading(&["remote", "add", remote, "-"], invite.as_bytes());
        assert_eq!(ran.code, 0, "{}: {}", self.name, ran.stderr);
    }

    /// Exports what listens at an address, under a port.
    pub(crate) fn export(&self, target: SocketAddr, port: u16) {
        self.good(&["export", "add", &target.to_string(), &port.to_string()]);
    }

    /// Imports a remote's port at a free address.
    pub(crate) fn import(&self, remote: &str, port: u16) -> SocketAddr {
        let listen = free_address();
        self.good(&["import", "add", remote, &port.to_string(), &listen.to_string()]);
        listen
    }

    /// What the agent has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("agent.log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("---- agent of {} ----\n{}", self.name, self.log());
        }
        let tor = self.tor_pid();
        if let Some(mut agent) = self.agent.take() {
            send(agent.id(), Signal::KILL);
            let _ = agent.wait();
        }
        tor.into_iter().filter(|tor| is_running(*tor)).for_each(|tor| send(tor, Signal::KILL));
    }
}

/// A program that was made for Windows.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new(&named("ORMESH_WINDOWS")).join(name)
}

/// A program run by Wine, in the prefix of this run.
pub(crate) fn wine(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(named("ORMESH_WINE"));
    command.arg(program).stdin(Stdio::null());
    command
}

/// Waits until a process is gone.
pub(crate) fn gone(what: &str, process: u32) {
    until(what, || !is_running(process));
}
