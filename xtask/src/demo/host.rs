//! A host of the demo: directories, an agent and a SOCKS address of its own, and the command `ormesh` as typed there.
//!
//! Leaves to `play` which commands are given, and when.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{backend, screen};
use crate::process::{self, Owned};
use crate::procfs;
use crate::say::Colour;
use crate::setup::Tools;

/// One of the two hosts.
pub(super) struct Host {
    name: &'static str,
    colour: Colour,
    dir: PathBuf,
    ormesh: PathBuf,
    tools: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    socks_port: u16,
    agent: Option<Owned>,
    /// The ids of the agent and its tor, when the agent was stopped by a command.
    ended: Vec<u32>,
}

impl Host {
    /// Lays out the directories under `dir`.
    pub(super) fn new(
        name: &'static str,
        colour: Colour,
        dir: &Path,
        ormesh: &Path,
        tools: &Tools,
        torrc: Option<&Path>,
    ) -> Result<Host> {
        for part in ["", "run", "state"] {
            let dir = dir.join(part);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.with_context(|| format!("failed to create: {}", dir.display()))?;
        }
        let mut environment = tools.environment();
        environment.extend([
            ("ORMESH_CONFIG", dir.join("config.toml").into()),
            ("ORMESH_STATE", dir.join("state").into()),
            ("ORMESH_SECRETS", "file".into()),
            ("XDG_RUNTIME_DIR", dir.join("run").into()),
        ]);
        if let Some(torrc) = torrc {
            environment.push(("ORMESH_TOR_NETWORK", torrc.into()));
        }
        Ok(Host {
            name,
            colour,
            dir: dir.to_owned(),
            ormesh: ormesh.to_owned(),
            tools: tools.bin().to_owned(),
            environment,
            socks_port: backend::free_port()?,
            agent: None,
            ended: Vec::new(),
        })
    }

    /// Its name, as in the prompt.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The directory of its own.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The address of its agent's SOCKS front: each host has another, since both are on one machine.
    pub(super) fn socks_address(&self) -> String {
        format!("127.0.0.1:{}", self.socks_port)
    }

    /// `program` with this host's environment.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = process::dying_with_us(program);
        for name in ["ORMESH_EXPORTS", "ORMESH_CLIENTS", "ORMESH_LOG", "ORMESH_TOR_NETWORK"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).current_dir(&self.dir);
        command
    }

    /// Types `ormesh WORDS`, shows its output as it comes, and gives its standard output.
    ///
    /// # Errors
    ///
    /// When it does not exit 0.
    pub(super) fn ormesh(&self, words: &[&str]) -> Result<String> {
        self.prompt(&format!("ormesh {}", words.join(" ")));
        self.show(self.command(&self.ormesh).args(words), None)
    }

    /// The same, with `input` on its standard input and a remark about it.
    pub(super) fn ormesh_reading(&self, words: &[&str], input: &str, remark: &str) -> Result<String> {
        self.prompt(&format!("ormesh {}   # {remark}", words.join(" ")));
        self.show(self.command(&self.ormesh).args(words), Some(input))
    }

    /// Types any other `command`, shown as `typed`.
    pub(super) fn other(&self, typed: &str, command: &mut Command) -> Result<String> {
        self.prompt(typed);
        self.show(command, None)
    }

    /// Shows a line as if typed at this host's prompt.
    pub(super) fn prompt(&self, typed: &str) {
        screen::prompt(self.name, self.colour, typed);
    }

    fn show(&self, command: &mut Command, input: Option<&str>) -> Result<String> {
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let shown = process::shown(command);
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start: {shown}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read it says why by its exit.
            let _ = writeln!(stdin, "{}", input.unwrap_or_default());
        }
        let mut text = String::new();
        let mut lines = BufReader::new(child.stdout.take().context("the output was piped")?);
        screen::ticking(|| -> Result<()> {
            let mut line = String::new();
            while lines.read_line(&mut line).with_context(|| format!("failed to read from: {shown}"))? > 0 {
                screen::output(&line);
                text += &line;
                line.clear();
            }
            Ok(())
        })?;
        let status = child.wait().with_context(|| format!("failed to wait for: {shown}"))?;
        crate::interrupt::check()?;
        if !status.success() {
            bail!("failed on {}: {shown} ({status})", self.name);
        }
        Ok(text)
    }

    /// Types `ormesh agent run &`; the log goes to a file.
    pub(super) fn start_agent(&mut self) -> Result<()> {
        self.prompt("ormesh agent run &");
        let log = self.log();
        let file = File::create(&log).with_context(|| format!("failed to create: {}", log.display()))?;
        let mut run = self.command(&self.ormesh);
        run.args(["agent", "run"]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        self.agent = Some(Owned::start("ormesh agent run", &mut run)?);
        Ok(())
    }

    /// Types `ormesh agent stop`, and waits until the agent has ended.
    pub(super) fn stop_agent(&mut self) -> Result<()> {
        if let Some(id) = self.agent_id() {
            self.ended.extend(procfs::family(id));
        }
        self.ormesh(&["agent", "stop"])?;
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        let status =
            process::wait_for("the agent to end", std::time::Duration::from_secs(30), || agent.ended())?;
        if !status.success() {
            bail!("failed to stop {}'s agent cleanly: {status}", self.name);
        }
        Ok(())
    }

    /// Ends the agent if it still runs.
    pub(super) fn end(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.end();
        }
    }

    /// Fails if the agent has ended by itself.
    pub(super) fn check_agent(&mut self) -> Result<()> {
        let Some(agent) = &mut self.agent else { bail!("{}'s agent was not started", self.name) };
        match agent.ended()? {
            Some(status) => bail!("{}'s agent has ended: {status}", self.name),
            None => Ok(()),
        }
    }

    /// The id of the agent's process, while it runs.
    pub(super) fn agent_id(&self) -> Option<u32> {
        self.agent.as_ref().map(Owned::id)
    }

    /// The ids of processes that were stopped by a command.
    pub(super) fn ended_ids(&self) -> Vec<u32> {
        self.ended.clone()
    }

    /// What a shell exports to be on this host.
    pub(super) fn exports(&self) -> String {
        let line = |(name, value): &(&str, OsString)| match *name {
            "PATH" => {
                let ormesh = self.ormesh.parent().unwrap_or(&self.ormesh);
                format!("export PATH='{}:{}':\"$PATH\"", ormesh.display(), self.tools.display())
            }
            name => format!("export {name}='{}'", value.display()),
        };
        self.environment.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The last lines of the agent's log.
    pub(super) fn log_tail(&self, lines: usize) -> String {
        match fs::read(self.log()) {
            Ok(text) => process::last_lines(&text, lines),
            Err(_) => "(the agent was not started)".to_owned(),
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.join("agent.log")
    }
}
