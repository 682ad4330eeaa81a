//! A host of the demo: directories, an agent and a SOCKS address of its own, and the command `ormesh` as typed there.
//!
//! Leaves to `play` which commands are given, and when.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use support::{Ran, Typed, family};

use super::screen;
use crate::process::{self, Owned};
use crate::say::Colour;
use crate::setup::Tools;

/// One of the two hosts.
pub(super) struct Host {
    host: support::Host,
    colour: Colour,
    ormesh: PathBuf,
    agent: Option<Owned>,
    /// The ids of the agent and its tor, when the agent was stopped by a command.
    ended: Vec<u32>,
}

impl Host {
    /// Lays out its directories.
    pub(super) fn new(
        name: &'static str,
        colour: Colour,
        ormesh: &Path,
        tools: &Tools,
        torrc: Option<&Path>,
    ) -> Result<Host> {
        // Directly under /tmp, whatever TMPDIR is: paths of Unix sockets must stay under 108 bytes.
        let home = tempfile::Builder::new().prefix("ormesh-demo-").tempdir_in("/tmp")?;
        let mut host = support::Host::at(name, home);
        for (name, value) in tools.environment() {
            host.set(name, value);
        }
        let path = host.environment()[OsStr::new("PATH")].clone();
        let own = ormesh.parent().map(Path::to_owned);
        host.set("PATH", std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path)))?);
        host.set("XDG_RUNTIME_DIR", host.home().to_owned());
        if let Some(torrc) = torrc {
            host.set("ORMESH_TOR_NETWORK", torrc);
        }
        Ok(Host { host, colour, ormesh: ormesh.to_owned(), agent: None, ended: Vec::new() })
    }

    /// Its name, as in the prompt.
    pub(super) fn name(&self) -> &'static str {
        self.host.name()
    }

    /// The directory of its own.
    pub(super) fn dir(&self) -> &Path {
        self.host.home()
    }

    /// The address of its agent's SOCKS front: each host has another, since both are on one machine.
    pub(super) fn socks_address(&self) -> String {
        self.host.socks().to_string()
    }

    /// `program` with this host's environment.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = process::dying_with_us(program);
        self.host.bring(&mut command);
        command
    }

    /// Types a line of a page, and shows what comes of it.
    pub(super) fn typed(&self, typed: Typed<'_>) -> Result<Ran> {
        self.prompt(typed.shown);
        let mut shell = self.command("sh");
        let ran: Ran = shell.args(["-c", typed.line]).output().context("failed to start: sh")?.into();
        screen::output(&ran.stdout);
        screen::output(&ran.stderr);
        crate::interrupt::check()?;
        Ok(ran)
    }

    /// Types `ormesh WORDS`, shows its output as it comes, and gives its standard output.
    ///
    /// # Errors
    ///
    /// When it does not exit 0.
    pub(super) fn ormesh(&self, words: &[&str]) -> Result<String> {
        self.prompt(&format!("ormesh {}", words.join(" ")));
        self.show(self.command(&self.ormesh).args(words))
    }

    /// Types any other `command`, shown as `typed`.
    pub(super) fn other(&self, typed: &str, command: &mut Command) -> Result<String> {
        self.prompt(typed);
        self.show(command)
    }

    /// Shows a line as if typed at this host's prompt.
    pub(super) fn prompt(&self, typed: &str) {
        screen::prompt(self.name(), self.colour, typed);
    }

    fn show(&self, command: &mut Command) -> Result<String> {
        let shown = process::shown(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start: {shown}"))?;
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
            bail!("failed on {}: {shown} ({status})", self.name());
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
            self.ended.extend(family(id));
        }
        self.ormesh(&["agent", "stop"])?;
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        let status =
            process::wait_for("the agent to end", std::time::Duration::from_secs(30), || agent.ended())?;
        if !status.success() {
            bail!("failed to stop {}'s agent cleanly: {status}", self.name());
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
        let Some(agent) = &mut self.agent else { bail!("{}'s agent was not started", self.name()) };
        match agent.ended()? {
            Some(status) => bail!("{}'s agent has ended: {status}", self.name()),
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
        let line = |(name, value): (&OsString, &OsString)| {
            format!("export {}='{}'", name.display(), value.display())
        };
        self.host.environment().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The last lines of the agent's log.
    pub(super) fn log_tail(&self, lines: usize) -> String {
        match std::fs::read(self.log()) {
            Ok(text) => process::last_lines(&text, lines),
            Err(_) => "(the agent was not started)".to_owned(),
        }
    }

    fn log(&self) -> PathBuf {
        self.dir().join("agent.log")
    }
}
