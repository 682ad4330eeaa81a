//! A host: directories of its own, the command run in them, and its agent as a child process on the private network.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ormesh_core::model::status::{AgentState, ClientState, RemoteState, Status};
use serde_json::Value;
use tempfile::TempDir;
use tornet::Tools;

use super::room::Places;
use super::{PATIENCE, Signal, children, free_port, is_running, processes, send, until, until_some};

/// The command under test.
pub(crate) const ORMESH: &str = env!("CARGO_BIN_EXE_ormesh");

/// Between two looks at the status.
const STATUS_LOOK: Duration = Duration::from_millis(100);

/// Lines of an agent's log that a failed test shows.
const LOG_TAIL: usize = 150;

/// One host. Dropped, its agent and its tor are killed, and its directories are gone.
pub(crate) struct Host {
    name: &'static str,
    home: TempDir,
    socks: SocketAddr,
    agent: Option<Child>,
    _place: Places,
}

impl Host {
    pub(super) fn new(name: &'static str, place: Places) -> Self {
        // Short, since sockets are in it.
        let home = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
        let socks = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let host = Self { name, home, socks, agent: None, _place: place };
        host.good(&["config", "set", "agent.socks-addr", &socks.to_string()]);
        host
    }

    /// The directory all of it is in.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("config.toml")
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The file store's directory.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.state().join("secrets")
    }

    /// Where its SOCKS front listens.
    pub(crate) fn socks(&self) -> SocketAddr {
        self.socks
    }

    /// A program as it runs on this host; `ormesh` and the tests' tools are in its `PATH`.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = [Path::new(ORMESH).parent().unwrap().to_owned()];
        let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).env("HOME", self.home());
        command
            .env("ORMESH_CONFIG", self.config())
            .env("ORMESH_STATE", self.state())
            .env("ORMESH_SECRETS", "file")
            .env("ORMESH_TOR", Tools::find().unwrap().tor)
            .env("ORMESH_TOR_NETWORK", tornet::shared().client_torrc())
            .env("ORMESH_LOG", "debug");
        command.current_dir(self.home()).stdin(Stdio::null());
        command
    }

    /// Runs `ormesh` with these arguments.
    pub(crate) fn ormesh(&self, args: &[&str]) -> Ran {
        let mut command = self.command(ORMESH);
        command.args(args).env_remove("ORMESH_LOG").output().unwrap().into()
    }

    /// Runs `ormesh` with something on its standard input.
    pub(crate) fn ormesh_reading(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(ORMESH);
        command.args(args).env_remove("ORMESH_LOG");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Runs `ormesh`, which must succeed, and gives what it printed.
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let ran = self.ormesh(args);
        assert_eq!(ran.code, 0, "{}: {args:?}: {}", self.name, ran.stderr);
        ran.stdout
    }

    /// Its status, with or without an agent.
    pub(crate) fn status(&self) -> Status {
        serde_json::from_str(&self.good(&["status", "--json"])).unwrap()
    }

    /// The same as it is written.
    pub(crate) fn json_status(&self) -> Value {
        serde_json::from_str(&self.good(&["status", "--json"])).unwrap()
    }

    /// Waits until the status is as it should be, and gives it.
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{}: not in time: {what}: {status:#?}", self.name);
            thread::sleep(STATUS_LOOK);
        }
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(&mut self, environment: &[(&str, &str)]) {
        self.start_under(&[], environment);
    }

    /// The same, by another program that runs it in its own place.
    pub(crate) fn start_under(&mut self, program: &[String], environment: &[(&str, &str)]) {
        self.spawn_agent_under(program, environment);
        until_some("the agent answers", || {
            let ended = self.agent.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{}: the agent ended: {ended:?}\n{}", self.name, self.log_tail());
            // Without an agent, a configuration that is lost is refused.
            let ran = self.ormesh(&["status", "--json"]);
            let status: Option<Status> = serde_json::from_str(&ran.stdout).ok();
            status.and_then(|status| status.agent)
        });
    }

    /// Starts the agent and waits until tor is connected.
    pub(crate) fn start_online(&mut self) {
        self.start();
        self.wait_until("online", is_online);
    }

    /// Starts the agent and waits for nothing.
    pub(crate) fn spawn_agent(&mut self, environment: &[(&str, &str)]) {
        self.spawn_agent_under(&[], environment);
    }

    fn spawn_agent_under(&mut self, program: &[String], environment: &[(&str, &str)]) {
        assert!(self.agent.is_none(), "{}: an agent runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let run: Vec<&str> = program.iter().map(String::as_str).chain([ORMESH, "agent", "run"]).collect();
        let mut command = self.command(run[0]);
        command.args(&run[1..]).envs(environment.iter().copied());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
    }

    /// The agent's process.
    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().expect("an agent was started").id()
    }

    /// The process of the agent's tor, once it has started one.
    pub(crate) fn tor_pid(&self) -> u32 {
        until_some("the agent has a tor", || self.find_tor())
    }

    fn find_tor(&self) -> Option<u32> {
        let agent = self.agent.as_ref()?.id();
        children(agent).into_iter().find(|pid| processes::program(*pid).as_deref() == Some("tor"))
    }

    /// Kills tor (SIGKILL), and waits until it is gone.
    pub(crate) fn kill_tor(&self) {
        let tor = self.tor_pid();
        send(tor, Signal::KILL);
        until("tor is gone", || !is_running(tor));
    }

    /// Kills the agent (SIGKILL), and waits until it and its tor are gone.
    pub(crate) fn kill_agent(&mut self) {
        let tor = self.find_tor();
        let mut agent = self.agent.take().expect("an agent was started");
        agent.kill().unwrap();
        agent.wait().unwrap();
        until("tor ends with its agent", || tor.is_none_or(|tor| !is_running(tor)));
    }

    /// Ends the agent by `agent stop`.
    pub(crate) fn stop(&mut self) {
        self.good(&["agent", "stop"]);
        assert!(self.ended().success(), "{}: the agent did not end well\n{}", self.name, self.log_tail());
    }

    /// Waits until the agent has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().expect("an agent was started");
        until_some("the agent ends", || agent.try_wait().unwrap())
    }

    /// Makes a client here and gives its invite.
    pub(crate) fn invite(&self, client: &str, more: &[&str]) -> String {
        self.good(&[&["client", "add", client], more].concat()).trim().to_owned()
    }

    /// Takes an invite in, under a remote's name.
    pub(crate) fn add_remote(&self, remote: &str, invite: &str) {
        let ran = self.ormesh_reading(&["remote", "add", remote, "-"], invite);
        assert_eq!(ran.code, 0, "{}: {}", self.name, ran.stderr);
    }

    /// Exports what listens at an address, under a port.
    pub(crate) fn export(&self, target: impl ToString, port: u16) {
        self.good(&["export", "add", &target.to_string(), &port.to_string()]);
    }

    /// Imports a remote's port at a free address.
    pub(crate) fn import(&self, remote: &str, port: u16) -> SocketAddr {
        let listen = super::free_address();
        self.good(&["import", "add", remote, &port.to_string(), &listen.to_string()]);
        listen
    }

    /// What the agent has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// The last of it.
    pub(crate) fn log_tail(&self) -> String {
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
        if thread::panicking() {
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

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
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

/// Whether the agent is connected to Tor.
pub(crate) fn is_online(status: &Status) -> bool {
    status.agent.as_ref().is_some_and(|agent| agent.state == AgentState::Online)
}

/// Whether a client's service is published.
pub(crate) fn is_reachable(client: &str) -> impl Fn(&Status) -> bool {
    move |status| {
        let state = |state: &ClientState| matches!(state, ClientState::Reachable | ClientState::Connected);
        status
            .clients
            .iter()
            .any(|known| known.name.as_str() == client && known.state.as_ref().is_some_and(state))
    }
}

/// Whether a remote has been reached.
pub(crate) fn is_connected(remote: &str) -> impl Fn(&Status) -> bool {
    move |status| matches!(remote_state(status, remote), Some(RemoteState::Reachable { .. }))
}

/// How it stands with a remote.
pub(crate) fn remote_state(status: &Status, remote: &str) -> Option<RemoteState> {
    status.remotes.iter().find(|known| known.name.as_str() == remote)?.state.clone()
}

/// Brings both online, the exporter's client and the importer's remote set up: `export` is at `port` of `exporter`, and what is
/// given back is where `importer` imports it.
pub(crate) fn connected(
    exporter: &mut Host,
    importer: &mut Host,
    export: SocketAddr,
    port: u16,
) -> SocketAddr {
    exporter.export(export, port);
    importer.add_remote("remote", &exporter.invite("client", &[]));
    let import = importer.import("remote", port);
    exporter.start();
    importer.start();
    exporter.wait_until("the client's service is published", is_reachable("client"));
    importer.wait_until("the remote is reached", is_connected("remote"));
    import
}
