//! Room 3, store: the files of one host. The configuration is read and edited under a lock, replaced atomically and watched.

pub mod apart;
pub mod atomic;
mod config_file;
mod dir_error;
pub mod files;
pub mod history;
mod in_force;
pub mod lock;
mod moment;
pub mod notes;
pub mod paths;
#[cfg(any(windows, test))]
mod patience;
mod places;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
pub mod private;
#[cfg(test)]
mod tests;
pub mod watch;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch::{Receiver, Sender};
use toml_edit::DocumentMut;

use crate::model::config::{self, Client, Config, InstanceId};
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::model::problem::catalogue::{self, of_config};
use crate::model::problem::{Code, Problem, ProblemKind};
use crate::plan::adopt::{self, Found, Loss, Things};
use config_file::ConfigFile;
use files::Files;
use lock::Lock;
use paths::Paths;

pub use dir_error::DirError;
pub use in_force::InForce;

/// How often an edit is repeated because another program changes the file at the same moment.
const TRIES: usize = 10;
/// How long a change by hand waits for a command that makes another one.
const LOCK_AT_MOST: Duration = Duration::from_secs(1);
/// What the names of the notes begin with that tell who was revoked while the configuration file could not be changed.
const REVOKED: &str = "revoked-";

/// The configuration file of one host, and what of it is in force. Clones share both. Whatever touches a file may wait for a disk, or for
/// another process: in the agent such calls are made [`apart`] from its one thread.
#[derive(Debug, Clone)]
pub struct ConfigStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    paths: Paths,
    file: ConfigFile,
    /// Held while the file is read or written and what came of it is put in force: the last one on disk is the last one in force.
    disk: Mutex<Remembered>,
    in_force: Sender<InForce>,
    by_hand: UnboundedSender<Edited>,
    /// Until the agent takes it.
    hand: Mutex<Option<UnboundedReceiver<Edited>>>,
    /// Whether another program has the file open and is not done.
    is_being_written: AtomicBool,
}

/// The last good configuration, as far as it was looked for.
#[derive(Debug, Default)]
struct Remembered {
    is_looked_for: bool,
    good: Option<Good>,
    /// Whether an agent uses it: only that keeps revoked clients out, so only that may change what is noted of them.
    is_agents: bool,
}

#[derive(Debug)]
struct Good {
    text: String,
    config: Config,
}

/// An edit that was made: the configuration before and after it.
#[derive(Debug, Clone)]
pub struct Edited {
    /// Before.
    pub old: Config,
    /// After; also what the file says now.
    pub new: Config,
}

/// Why the file can't be used.
enum Obstacle {
    /// It can't be read, or makes no sense.
    Bad(Problem),
    /// It would take things away that nobody asked to take away.
    Lost(Loss),
}

impl ConfigStore {
    /// The store for these paths. Nothing is touched before the first call.
    ///
    /// Errors: no randomness, which no system has.
    pub fn new(paths: &Paths) -> Result<Self, Problem> {
        let mut bytes = [0; 10];
        getrandom::fill(&mut bytes).map_err(|error| catalogue::no_randomness(&error))?;
        Ok(Self::over(paths, Files::default(), InstanceId::from_random(bytes)))
    }

    /// The same over files that are worked on in another way; a configuration without an instance id gets this one.
    pub fn over(paths: &Paths, files: Files, fresh: InstanceId) -> Self {
        let in_force = Sender::new(InForce::none(Config::new(fresh.clone())));
        let (by_hand, hand) = unbounded_channel();
        let inner = Inner {
            paths: paths.clone(),
            file: ConfigFile { path: paths.config.clone(), files, fresh },
            disk: Mutex::default(),
            in_force,
            by_hand,
            hand: Mutex::new(Some(hand)),
            is_being_written: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Where its files are.
    pub fn paths(&self) -> &Paths {
        &self.inner.paths
    }

    /// Does some work on the files apart from the caller's thread (see [`Files::apart`]).
    pub async fn apart<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let store = self.clone();
        self.inner.file.files.apart(move || work(&store)).await
    }

    /// The configuration in force, and each change of it.
    pub fn in_force(&self) -> Receiver<InForce> {
        self.inner.in_force.subscribe()
    }

    /// What another hand than a command's has changed, each time that an agent takes it in or a command comes upon it; none but the first
    /// time that this is asked.
    pub fn by_hand(&self) -> Option<UnboundedReceiver<Edited>> {
        self.inner.hand.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was changed by hand since the file last came into force; none if nothing was.
    pub fn edited_by_hand(&self) -> Result<Option<Edited>, Problem> {
        let mut disk = self.disk();
        let (_, new) = self.look(&mut disk).map_err(|obstacle| self.problem(obstacle))?;
        let good = self.good(&mut disk).filter(|good| good.config != new);
        Ok(good.map(|good| Edited { old: good.config.clone(), new }))
    }

    /// Tells what the file says now, and no command has written.
    fn tell_by_hand(&self, disk: &mut Remembered, found: &Config) {
        if let Some(good) = self.good(disk).filter(|good| good.config != *found) {
            // Nobody takes it in tests of the store alone.
            let _ = self.inner.by_hand.send(Edited { old: good.config.clone(), new: found.clone() });
        }
    }

    /// Reads the configuration; an absent file is an empty one, unless something was there (see [`adopt`]).
    pub fn load(&self) -> Result<Config, Problem> {
        self.look(&mut self.disk()).map(|(_, config)| config).map_err(|obstacle| self.problem(obstacle))
    }

    /// Reads the configuration as it is, whatever an earlier one had, and its text; none where there is no file. For one that is another
    /// program's to write.
    pub fn load_given(&self) -> Result<Option<(String, Config)>, Problem> {
        let Some(text) = self.inner.file.read()? else { return Ok(None) };
        let config = self.inner.file.parse(&text)?;
        Ok(Some((text, config)))
    }

    /// Whether there is a file at all.
    pub fn exists(&self) -> bool {
        std::fs::symlink_metadata(&self.paths().config).is_ok()
    }

    /// Puts in force what the file says, at an agent's start. Where it is lost, the last good configuration is put in force, with that as
    /// its problem.
    ///
    /// Clients that an earlier agent has revoked, and could not take out of the file, are kept out.
    ///
    /// Errors: the file can't be read, or is invalid: starting the agent fails.
    pub fn start(&self) -> Result<(), Problem> {
        let _lock = self.lock_shortly();
        let mut disk = self.disk();
        let noted = self.noted()?;
        let good = self.good(&mut disk).map(|good| good.config.clone());
        self.inner.in_force.send_modify(|in_force| in_force.keep_out(noted, good.as_ref()));
        disk.is_agents = true;
        match self.look(&mut disk) {
            Ok((text, config)) => {
                self.tell_by_hand(&mut disk, &config);
                self.put_in_force(&mut disk, text, config);
            }
            Err(Obstacle::Bad(problem)) => return Err(problem),
            Err(obstacle @ Obstacle::Lost(_)) => {
                if let Some(config) = good {
                    self.inner.in_force.send_if_modified(|in_force| in_force.adopt(config, false));
                }
                self.refuse(self.problem(obstacle));
            }
        }
        Ok(())
    }

    /// What an agent would put in force that started now: what the file says, less the clients that an earlier one has revoked.
    pub fn at_rest(&self) -> Result<InForce, Problem> {
        let config = self.load()?;
        let mut in_force = InForce::none(Config::new(self.inner.file.fresh.clone()));
        in_force.keep_out(self.noted()?, None);
        in_force.adopt(config, true);
        Ok(in_force)
    }

    /// The services of clients that are kept out whatever the file says: by this agent, or by the next one where none runs.
    pub fn kept_out(&self) -> Result<BTreeSet<OnionAddress>, Problem> {
        match self.disk().is_agents {
            true => Ok(self.inner.in_force.borrow().out()),
            false => self.noted(),
        }
    }

    fn noted(&self) -> Result<BTreeSet<OnionAddress>, Problem> {
        let state = &self.paths().state;
        notes::read(state, REVOKED).map_err(|error| {
            Problem::new(
                Code::FileFailed,
                format!("failed to read who was revoked in {}: {error}", state.display()),
            )
        })
    }

    /// Reads the file again and puts it in force, if it may come into force; else the last good one stays. Gives the generation in force.
    ///
    /// A file that another program is writing is not read: its watch reads it when that is done.
    pub fn reload(&self) -> u64 {
        let _lock = self.lock_shortly();
        let mut disk = self.disk();
        if self.is_being_written() {
            return self.inner.in_force.borrow().generation;
        }
        match self.look(&mut disk) {
            Ok((text, config)) => {
                self.tell_by_hand(&mut disk, &config);
                self.put_in_force(&mut disk, text, config);
            }
            Err(obstacle) => self.refuse(self.problem(obstacle)),
        }
        self.inner.in_force.borrow().generation
    }

    /// Changes the configuration under the lock: reads it, lets `change` make a new one, writes it durably and puts it in force.
    ///
    /// When `change` refuses, or anything fails, the file is as it was. Comments and order are kept.
    ///
    /// `change` is asked again when another program has changed the file meanwhile.
    pub fn edit(&self, change: impl Fn(&Config) -> Result<Config, Problem>) -> Result<Edited, Problem> {
        private::ensure_dir(&self.paths().state)?;
        let _lock = lock::wait(&self.paths().config_lock())?;
        let mut disk = self.disk();
        for _ in 0..TRIES {
            if let Some(edited) = self.try_edit(&mut disk, &change)? {
                return Ok(edited);
            }
        }
        Err(self.inner.file.is_busy())
    }

    /// None when another program has changed the file meanwhile.
    fn try_edit(
        &self,
        disk: &mut Remembered,
        change: impl Fn(&Config) -> Result<Config, Problem>,
    ) -> Result<Option<Edited>, Problem> {
        if self.is_being_written() {
            return Err(self.inner.file.is_busy());
        }
        let (before, old) = self.look(disk).map_err(|obstacle| match obstacle {
            Obstacle::Bad(problem) if problem.kind == ProblemKind::Usage => {
                problem.hint(format!("mend the file first ({}), then try again", self.inner.file.shown()))
            }
            obstacle => self.problem(obstacle),
        })?;
        self.tell_by_hand(disk, &old);
        let new = change(&old)?;
        if new == old && !before.is_empty() {
            self.put_in_force(disk, before, old.clone());
            return Ok(Some(Edited { new, old }));
        }
        let mut document: DocumentMut = before.parse().map_err(|error| {
            of_config(Code::ConfigForm, format!("failed to edit the configuration: {error}"))
        })?;
        config::write(&mut document, &new);
        let after = config_file::with_line_ends_of(&before, document.to_string());
        // What is written must read as what was meant, whatever form the user gave the file.
        if self.inner.file.parse(&after).ok().as_ref() != Some(&new) {
            return Err(of_config(
                Code::ConfigForm,
                "failed to edit the configuration: its form is too unusual to be changed by a command",
            )
            .hint(format!("make the change by hand in {}", self.inner.file.shown())));
        }
        // Where a link leads counts, not that it is there.
        let is_there = !before.is_empty() || std::fs::metadata(&self.paths().config).is_ok();
        let expected = Some(before.as_bytes()).filter(|_| is_there);
        if !self.inner.file.write(expected, &after)? {
            return Ok(None);
        }
        self.put_in_force(disk, after, new.clone());
        if !disk.is_agents {
            self.forget_revoked(&old, &new);
        }
        Ok(Some(Edited { old, new }))
    }

    /// Puts the file in force as it is, whatever is missing in it: a person wants that. It goes on to name the secret store, in which the
    /// keys of what is gone are until they are pruned.
    ///
    /// Errors: a file that can't be read, makes no sense, or is being written.
    pub fn accept(&self) -> Result<(), Problem> {
        private::ensure_dir(&self.paths().state)?;
        let _lock = lock::wait(&self.paths().config_lock())?;
        let mut disk = self.disk();
        if self.is_being_written() {
            // Half a file would be put in force as if a person had seen it.
            return Err(self.inner.file.is_busy());
        }
        let found = self.inner.file.read()?;
        let (mut text, mut config) =
            (found.clone().unwrap_or_default(), self.inner.file.parse(found.as_deref().unwrap_or_default())?);
        self.tell_by_hand(&mut disk, &config);
        let good = self.good(&mut disk).map(|good| &good.config);
        if let Some(named) = good.and_then(|good| self.with_store_of(good, &text, &config)) {
            match self.inner.file.write(found.as_deref().map(str::as_bytes), &named.0) {
                Ok(true) => (text, config) = named,
                Ok(false) => return Err(self.inner.file.is_busy()),
                Err(problem) => tracing::warn!(%problem, "the configuration names no secret store any more"),
            }
        }
        self.put_in_force(&mut disk, text, config);
        Ok(())
    }

    /// A configuration that names the secret store of another one, where it names none and has no keys in one; with its text.
    fn with_store_of(&self, good: &Config, text: &str, config: &Config) -> Option<(String, Config)> {
        let is_nameless = config.agent.secrets.is_none() && config.instance == self.inner.file.fresh;
        let store = good.agent.secrets.filter(|_| is_nameless)?;
        let mut named = config.clone();
        named.agent.secrets = Some(store);
        named.instance = good.instance.clone();
        let mut document: DocumentMut = text.parse().ok()?;
        config::write(&mut document, &named);
        let text = config_file::with_line_ends_of(text, document.to_string());
        (self.inner.file.parse(&text).ok()? == named).then_some((text, named))
    }

    /// Writes the last good configuration back. What the file held instead is kept beside it; its name is given.
    ///
    /// Errors: none is known; it can't be written, or another program is writing it.
    pub fn restore(&self) -> Result<Option<String>, Problem> {
        private::ensure_dir(&self.paths().state)?;
        let _lock = lock::wait(&self.paths().config_lock())?;
        let mut disk = self.disk();
        let Some(Good { text, config }) = self.good(&mut disk) else {
            return Err(of_config(
                Code::NoGoodConfig,
                "no good configuration is known that could be written back",
            )
            .hint(format!("write {} anew, or take a copy of your own", self.inner.file.shown())));
        };
        let (text, config) = (text.clone(), config.clone());
        if self.is_being_written() {
            // What its writer has still to write would be lost.
            return Err(self.inner.file.is_busy());
        }
        for _ in 0..TRIES {
            let found = self.inner.file.bytes()?;
            let is_of_use = |found: &&Vec<u8>| !found.trim_ascii().is_empty() && *found != text.as_bytes();
            let kept =
                found.as_ref().filter(is_of_use).map(|found| self.inner.file.put_aside(found)).transpose()?;
            if self.inner.file.write(found.as_deref(), &text)? {
                self.put_in_force(&mut disk, text, config);
                return Ok(kept);
            }
        }
        Err(self.inner.file.is_busy())
    }

    /// Takes a client out of what is in force, whatever the file says, until the file agrees. Waits for nothing.
    /// Gives the generation in which it is out.
    pub fn revoke(&self, name: &ClientName, client: &Client) -> u64 {
        self.inner.in_force.send_modify(|in_force| in_force.revoke(name, client));
        self.inner.in_force.borrow().generation
    }

    /// Notes who is out and in the file still, so that the next agent keeps them out. Whether that was possible is in what is in force.
    pub fn keep_revoked(&self) {
        self.note_revoked(&self.disk());
    }

    fn note_revoked(&self, disk: &Remembered) {
        if !disk.is_agents {
            return;
        }
        let out = self.inner.in_force.borrow().out();
        // Compared with what is there, not with what was meant to be: an earlier try may have failed halfway.
        let written = notes::write(&self.inner.file.files, &self.paths().state, REVOKED, &out);
        let are_noted = written.is_ok();
        if let Err(error) = written {
            tracing::warn!(%error, "failed to note who was revoked");
        }
        self.inner
            .in_force
            .send_if_modified(|in_force| std::mem::replace(&mut in_force.are_noted, are_noted) != are_noted);
    }

    /// Forgets the notes of those who were taken out of the file by this edit, with no agent to do so.
    fn forget_revoked(&self, old: &Config, new: &Config) {
        for client in old.clients.values().filter(|client| new.client_at(&client.address).is_none()) {
            let (files, state) = (&self.inner.file.files, &self.paths().state);
            if let Err(error) = notes::forget(files, state, REVOKED, &client.address) {
                tracing::warn!(%error, "failed to forget who was revoked");
            }
        }
    }

    /// Whether another program has the file open and is not done with it, as far as its watch knows.
    pub fn is_being_written(&self) -> bool {
        self.inner.is_being_written.load(Ordering::SeqCst)
    }

    /// Tells whether another program has the file open and is not done with it: no edit is made meanwhile.
    fn set_being_written(&self, is_being_written: bool) {
        self.inner.is_being_written.store(is_being_written, Ordering::SeqCst);
    }

    /// Tells what is wrong with a configuration that is given besides, and merged into this one at an agent's start.
    pub fn set_given(&self, problem: Option<Problem>) {
        self.inner.in_force.send_modify(|in_force| in_force.given = problem);
    }

    /// Sets why changes by hand are noticed late, or that they are noticed at once.
    fn set_unwatched(&self, problem: Option<Problem>) {
        self.inner.in_force.send_if_modified(|in_force| {
            let changed = in_force.unwatched != problem;
            in_force.unwatched = problem;
            changed
        });
    }

    /// The lock under which the copy of what comes into force is written, so that no older one takes the place of a newer one. Somebody who
    /// holds it for long must not keep out a change of the file, which may take access away.
    fn lock_shortly(&self) -> Option<Lock> {
        lock::wait_at_most(&self.paths().config_lock(), LOCK_AT_MOST).ok().flatten()
    }

    fn disk(&self) -> MutexGuard<'_, Remembered> {
        self.inner.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's text and configuration, if it may be used.
    fn look(&self, disk: &mut Remembered) -> Result<(String, Config), Obstacle> {
        let text = self.inner.file.read().map_err(Obstacle::Bad)?;
        let is_absent = text.is_none();
        let text = text.unwrap_or_default();
        if let Some(good) = disk.good.as_ref().filter(|good| good.text == text) {
            return Ok((text, good.config.clone()));
        }
        let config = self.inner.file.parse(&text).map_err(|error| Obstacle::Bad(error.into()))?;
        let is_ended = text.ends_with('\n');
        if is_ended && !Things::of(&config).is_none() {
            // Nothing that could be lost: so the last good one need not be read.
            return Ok((text, config));
        }
        if let Some(good) = self.good(disk) {
            let found = match () {
                () if is_absent => Found::Absent,
                () if text.trim().is_empty() => Found::Empty,
                () => Found::Config { config: &config, is_cut: !is_ended && good.text.ends_with('\n') },
            };
            adopt::judge(&good.config, found).map_err(Obstacle::Lost)?;
        }
        Ok((text, config))
    }

    /// The last good configuration: of this process, else as an earlier one has left it in the state directory.
    fn good<'a>(&self, disk: &'a mut Remembered) -> Option<&'a Good> {
        if !disk.is_looked_for {
            disk.is_looked_for = true;
            let text = private::patiently(|| std::fs::read_to_string(self.paths().last_good())).ok();
            disk.good = text.and_then(|text| Some(Good { config: self.inner.file.parse(&text).ok()?, text }));
        }
        disk.good.as_ref()
    }

    fn put_in_force(&self, disk: &mut Remembered, text: String, config: Config) {
        if self.good(disk).is_none_or(|good| good.text != text) {
            self.remember(&text);
            disk.good = Some(Good { text, config: config.clone() });
        }
        // No file, or an empty one, says nothing of who is out.
        let is_said = disk.good.as_ref().is_some_and(|good| !good.text.trim().is_empty());
        self.inner.in_force.send_if_modified(|in_force| in_force.adopt(config, is_said));
        self.note_revoked(disk);
    }

    /// Keeps a copy of a good configuration. Where that is not possible, none is better than an old one.
    fn remember(&self, text: &str) {
        let copy = self.paths().last_good();
        if let Err(error) = self.inner.file.files.replace(&copy, text.as_bytes()) {
            tracing::warn!(path = %copy.display(), %error, "failed to keep a copy of the configuration");
            let _ = self.inner.file.files.remove(&copy);
        }
    }

    /// Leaves the last good configuration in force.
    fn refuse(&self, problem: Problem) {
        self.inner.in_force.send_if_modified(|in_force| {
            if in_force.problem.as_ref() == Some(&problem) {
                return false;
            }
            tracing::warn!("{problem}; the last good configuration stays in force");
            in_force.problem = Some(problem);
            true
        });
    }

    fn problem(&self, obstacle: Obstacle) -> Problem {
        match obstacle {
            Obstacle::Bad(problem) => problem,
            Obstacle::Lost(loss @ Loss::Cut(_)) => catalogue::config_cut(&self.paths().config, &loss),
            Obstacle::Lost(loss) => catalogue::config_lost(&self.paths().config, &loss),
        }
    }
}

/// Reads a host's configuration; an absent file is an empty one.
pub fn load(paths: &Paths) -> Result<Config, Problem> {
    ConfigStore::new(paths)?.load()
}
