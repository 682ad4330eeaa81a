//! A host: directories of its own, the command run in them, and its agent as a child process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;
use tornet::{Network, Tools};

use crate::patience::until;
use crate::ports::{free_address, free_port};
use crate::processes::{self, Signal, children, is_running, send};
use crate::programs::ormesh;
use crate::tor_places::{TorPlaces, tor_places};

/// Lines of an agent's log that a failed test shows.
const LOG_TAIL: usize = 150;

/// The help of OpenBSD's nc, as far as it matters.
const NC: &str =
    "#!/bin/sh\necho 'usage: nc [-X proxy_protocol] [-x proxy_address[:port]] [destination] [port]' >&2\n";

/// One host. Dropped, its agent and its tor are killed, and its directories are gone.
pub struct Host {
    name: &'static str,
    home: TempDir,
    environment: BTreeMap<OsString, OsString>,
    socks: SocketAddr,
    agent: Option<Child>,
    _place: Option<TorPlaces>,
}

/// Hosts with nothing set up, by their names in messages. Their places are taken at once, so that two tests never wait for each
/// other.
pub fn hosts<const N: usize>(names: [&'static str; N]) -> [Host; N] {
    hosts_beside(names, 0).0
}

/// The same, on another network than that which all tests share.
pub fn hosts_on<const N: usize>(network: &Network, names: [&'static str; N]) -> [Host; N] {
    let mut places = tor_places(N);
    names.map(|name| Host::on_a_network(name, places.split_off(), network))
}

/// The same, with places for so many other tors.
pub fn hosts_beside<const N: usize>(names: [&'static str; N], others: usize) -> ([Host; N], TorPlaces) {
    let mut places = tor_places(N + others);
    (names.map(|name| Host::on_a_network(name, places.split_off(), tornet::shared())), places)
}

impl Host {
    #[expect(clippy::new_without_default, reason = "it makes directories")]
    /// One with nothing set up, of no network, whose keys are in files; its `nc` is OpenBSD's by its help.
    pub fn new() -> Self {
        // Short, since sockets are in it.
        let home = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("nc"), NC).unwrap();
        fs::set_permissions(bin.join("nc"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut host = Self::at("host", home);
        let path = host.environment[OsStr::new("PATH")].clone();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
        host.set("PATH", path);
        host
    }

    /// One on a private network, with the tools of this machine and a SOCKS address of its own.
    fn on_a_network(name: &'static str, place: TorPlaces, network: &Network) -> Self {
        let home = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
        let mut host = Self::at(name, home);
        host._place = Some(place);
        host.set("ORMESH_TOR", Tools::find().unwrap().tor);
        host.set("ORMESH_TOR_NETWORK", network.client_torrc());
        host.set("ORMESH_LOG", "debug");
        host.good(&["config", "set", "agent.socks-addr", &host.socks.to_string()]);
        host
    }

    /// One whose home is this directory.
    pub fn at(name: &'static str, home: TempDir) -> Self {
        let socks = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut host = Self { name, home, environment: BTreeMap::new(), socks, agent: None, _place: None };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = Path::new(ormesh()).parent().unwrap().to_owned();
        let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&path))).unwrap();
        host.set("PATH", path);
        host.set("HOME", host.home().to_owned());
        host.set("ORMESH_CONFIG", host.config());
        host.set("ORMESH_STATE", host.state());
        host.set("ORMESH_SECRETS", "file");
        host
    }

    /// Sets a variable of the environment of everything that runs here.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.insert(name.into(), value.into());
    }

    /// Takes one away.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(OsStr::new(name));
    }

    /// What everything that runs here has in its environment, and nothing else.
    pub fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.environment
    }

    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The directory all of it is in.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.home.path().join("config.toml")
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The file store's directory.
    pub fn secrets(&self) -> PathBuf {
        self.state().join("secrets")
    }

    /// Where its SOCKS front listens; a host of no network has the usual address until it is told this one.
    pub fn socks(&self) -> SocketAddr {
        self.socks
    }

    /// A program as it runs on this host; `ormesh` and the tests' tools are in its `PATH`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.bring(&mut command);
        command
    }

    /// Has a command run on this host.
    pub fn bring(&self, command: &mut Command) {
        command.env_clear().envs(&self.environment).current_dir(self.home()).stdin(Stdio::null());
    }

    /// Runs `ormesh` with these arguments.
    pub fn ormesh(&self, args: &[&str]) -> Ran {
        let mut command = self.command(ormesh());
        command.args(args).env_remove("ORMESH_LOG").output().unwrap().into()
    }

    /// Runs `ormesh` with something on its standard input.
    pub fn ormesh_reading(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(ormesh());
        command.args(args).env_remove("ORMESH_LOG");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Runs a line by the shell.
    pub fn shell(&self, line: &str) -> Ran {
        self.command("sh").env_remove("ORMESH_LOG").args(["-c", line]).output().unwrap().into()
    }

    /// Runs `ormesh`, which must succeed, and gives what it printed.
    #[track_caller]
    pub fn good(&self, args: &[&str]) -> String {
        let ran = self.ormesh(args);
        assert_eq!(ran.code, 0, "{}: {args:?}: {}", self.name, ran.stderr);
        ran.stdout
    }

    /// Its status as it is written, with or without an agent.
    pub fn json_status(&self) -> Value {
        serde_json::from_str(&self.good(&["status", "--json"])).unwrap()
    }

    /// Every byte that is kept: the configuration and the secrets.
    pub fn kept(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut kept = BTreeMap::new();
        if let Ok(bytes) = fs::read(self.config()) {
            kept.insert(self.config(), bytes);
        }
        collect(&self.secrets(), &mut kept);
        kept
    }

    /// Starts the agent and waits until it answers.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same, with more in its environment.
    pub fn start_with(&mut self, environment: &[(&str, &str)]) {
        self.start_under(&[], environment);
    }

    /// The same, by another program that runs it in its own place.
    pub fn start_under(&mut self, program: &[String], environment: &[(&str, &str)]) {
        self.spawn_agent_under(program, environment);
        until("the agent answers", || {
            let ended = self.agent.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{}: the agent ended: {ended:?}\n{}", self.name, self.log_tail());
            // Without an agent, a configuration that is lost is refused.
            let status: Option<Value> = serde_json::from_str(&self.ormesh(&["status", "--json"]).stdout).ok();
            status.is_some_and(|status| status["agent"].is_object())
        });
    }

    /// Starts the agent and waits for nothing.
    pub fn spawn_agent(&mut self, environment: &[(&str, &str)]) {
        self.spawn_agent_under(&[], environment);
    }

    fn spawn_agent_under(&mut self, program: &[String], environment: &[(&str, &str)]) {
        assert!(self.agent.is_none(), "{}: an agent runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let run: Vec<&str> = program.iter().map(String::as_str).chain([ormesh(), "agent", "run"]).collect();
        let mut command = self.command(run[0]);
        command.args(&run[1..]).envs(environment.iter().copied());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
    }

    /// The agent's process.
    pub fn agent_pid(&self) -> u32 {
        self.agent.as_ref().expect("an agent was started").id()
    }

    /// The process of the agent's tor, once it has started one.
    pub fn tor_pid(&self) -> u32 {
        until("the agent has a tor", || self.find_tor())
    }

    fn find_tor(&self) -> Option<u32> {
        let agent = self.agent.as_ref()?.id();
        children(agent).into_iter().find(|pid| processes::program(*pid).as_deref() == Some("tor"))
    }

    /// Kills tor (SIGKILL), and waits until it is gone.
    pub fn kill_tor(&self) {
        let tor = self.tor_pid();
        send(tor, Signal::KILL);
        until("tor is gone", || !is_running(tor));
    }

    /// Kills the agent (SIGKILL), and waits until it and its tor are gone.
    pub fn kill_agent(&mut self) {
        let tor = self.find_tor();
        let mut agent = self.agent.take().expect("an agent was started");
        agent.kill().unwrap();
        agent.wait().unwrap();
        until("tor ends with its agent", || tor.is_none_or(|tor| !is_running(tor)));
    }

    /// Ends the agent by `agent stop`.
    pub fn stop(&mut self) {
        self.good(&["agent", "stop"]);
        assert!(self.ended().success(), "{}: the agent did not end well\n{}", self.name, self.log_tail());
    }

    /// Waits until the agent has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().expect("an agent was started");
        until("the agent ends", || agent.try_wait().unwrap())
    }

    /// Makes a client here and gives its invite.
    pub fn invite(&self, client: &str, more: &[&str]) -> String {
        self.good(&[&["client", "add", client], more].concat()).trim().to_owned()
    }

    /// Takes an invite in, under a remote's name.
    pub fn add_remote(&self, remote: &str, invite: &str) {
        let ran = self.ormesh_reading(&["remote", "add", remote, "-"], invite);
        assert_eq!(ran.code, 0, "{}: {}", self.name, ran.stderr);
    }

    /// Exports what listens at an address, under a port.
    pub fn export(&self, target: impl ToString, port: u16) {
        self.good(&["export", "add", &target.to_string(), &port.to_string()]);
    }

    /// Imports a remote's port at a free address.
    pub fn import(&self, remote: &str, port: u16) -> SocketAddr {
        let listen = free_address();
        self.good(&["import", "add", remote, &port.to_string(), &listen.to_string()]);
        listen
    }

    /// What the agent has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// The last of it.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.home().join("agent.log")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() && self.log_file().exists() {
            println!("---- agent of {} ----\n{}", self.name, self.log_tail());
        }
        let tor = self.find_tor();
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        // It ends by itself, unless a test has stopped it.
        tor.into_iter().for_each(|tor| send(tor, Signal::KILL));
    }
}

fn collect(directory: &Path, kept: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => collect(&path, kept),
            false => {
                kept.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}
