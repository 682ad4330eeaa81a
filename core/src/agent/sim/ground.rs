//! The base of a simulated host: its time, its trace, how reliable its environment is, and the count of effects at which it may crash.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::chance::Dice;
use crate::store::files::{Change, Ways};

/// More of one thing within a minute is a storm. What fails is tried every four seconds at most; people and faults add some, and three moves of
/// all keys from store to store some ninety.
const STORM: usize = 140;
const MINUTE: Duration = Duration::from_secs(60);
/// The day on which every simulation begins, in seconds since 1970: 2026-03-01, noon, UTC.
const FIRST_DAY: i64 = 1_772_366_400;

tokio::task_local! {
    /// Who does something, where that matters for its turn.
    pub(super) static WHO: &'static str;
}

/// How one thing of the world behaves at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// As it should.
    Fine,
    /// It refuses about every other time, without having done it.
    Refuses,
    /// It does not answer in time; what it was told may be done all the same.
    Hangs,
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) tor: Mood,
    pub(super) store: Mood,
    /// Whether no file can be made longer.
    pub(super) disk_full: bool,
}

impl Weather {
    pub(super) const FINE: Self = Self { tor: Mood::Fine, store: Mood::Fine, disk_full: false };
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct Ground {
    seed: u64,
    /// Whether the trace has each turn, too.
    says_turns: bool,
    /// The directory that all files are in.
    pub(super) root: PathBuf,
    inner: Mutex<Inner>,
    crashed: Notify,
    queued: Notify,
    /// Told of each effect.
    pub(super) stepped: Notify,
}

#[derive(Debug)]
struct Inner {
    trace: Vec<String>,
    failure: Option<String>,
    draws: BTreeMap<String, u64>,
    /// The time that earlier lives took.
    before: Duration,
    began: Option<Instant>,
    /// What waits for its turn: when it is ready, what it is, and how to let it go on.
    queue: BTreeMap<(u64, String, u64), oneshot::Sender<()>>,
    /// What the calendar is ahead of the first day's noon and the time that has passed.
    ahead: i64,
    effects: u64,
    /// How often a file was changed.
    changes: u64,
    /// How often the disk had no room for a change.
    refusals: u64,
    crash_at: Option<u64>,
    is_crashed: bool,
    weather: Weather,
    tallies: BTreeMap<String, VecDeque<Duration>>,
}

impl Ground {
    pub(super) fn new(seed: u64, root: &Path) -> Arc<Self> {
        let inner = Inner {
            trace: Vec::new(),
            failure: None,
            draws: BTreeMap::new(),
            before: Duration::ZERO,
            began: None,
            queue: BTreeMap::new(),
            ahead: 0,
            effects: 0,
            changes: 0,
            refusals: 0,
            crash_at: None,
            is_crashed: false,
            weather: Weather::FINE,
            tallies: BTreeMap::new(),
        };
        Arc::new(Self {
            seed,
            says_turns: std::env::var_os("ORMESH_SIM_TURNS").is_some(),
            root: root.to_owned(),
            inner: Mutex::new(inner),
            crashed: Notify::new(),
            queued: Notify::new(),
            stepped: Notify::new(),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins, on a runtime of its own; it ends by a crash at this effect, if at all.
    pub(super) fn begin(self: &Arc<Self>, crash_after: Option<u64>) {
        let turns = Arc::clone(self);
        tokio::spawn(async move { turns.give_turns().await });
        let mut inner = self.inner();
        inner.queue.clear();
        inner.began = Some(Instant::now());
        inner.is_crashed = false;
        inner.crash_at = crash_after.map(|after| inner.effects + after);
        inner.tallies.clear();
    }

    /// A life is over.
    pub(super) fn end(&self) {
        let mut inner = self.inner();
        let lasted = inner.began.take().map_or(Duration::ZERO, |began| began.elapsed());
        inner.before += lasted;
    }

    /// Time since the simulation began.
    pub(super) fn now(&self) -> Duration {
        let inner = self.inner();
        inner.before + inner.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Waits for a time, and then for a turn. Everything that touches the world has one: one thing a millisecond, in an order that
    /// hangs on names and times alone. (tokio wakes those who wait for one thing by chance, and no seed can be given to that.)
    pub(super) async fn turn(&self, what: &str, after: Duration) {
        let (go, told) = oneshot::channel();
        let what = WHO.try_with(|who| format!("{who} {what}")).unwrap_or_else(|_| what.to_owned());
        let ready = self.millis() + u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        {
            let mut inner = self.inner();
            let number = (0..).find(|number| !inner.queue.contains_key(&(ready, what.clone(), *number)));
            inner.queue.insert((ready, what, number.unwrap_or_default()), go);
        }
        self.queued.notify_one();
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn millis(&self) -> u64 {
        let began = self.inner().began.map_or(Duration::ZERO, |began| began.elapsed());
        u64::try_from(began.as_millis()).unwrap_or(u64::MAX)
    }

    /// Gives turns: to what was ready before this millisecond, so that what comes in it by chance is not in question.
    async fn give_turns(&self) {
        loop {
            let now = self.millis();
            let first = self.inner().queue.keys().next().map(|(ready, ..)| *ready);
            match first {
                Some(ready) if ready < now => {
                    let next = self.inner().queue.pop_first();
                    if let Some(((ready, what, _), go)) = next {
                        if self.says_turns {
                            self.say(&format!("    turn: {what}, ready since {ready} ms of this life"));
                        }
                        // Whoever waited may have gone.
                        let _ = go.send(());
                    }
                    sleep(Duration::from_millis(1)).await;
                }
                Some(ready) => {
                    let at =
                        self.inner().began.unwrap_or_else(Instant::now) + Duration::from_millis(ready + 1);
                    tokio::select! {
                        biased;
                        () = sleep_until(at) => {}
                        () = self.queued.notified() => {}
                    }
                }
                None => self.queued.notified().await,
            }
        }
    }

    /// The time of day, in seconds since 1970 UTC.
    pub(super) fn unix(&self) -> u64 {
        let passed = i64::try_from(self.now().as_secs()).expect("a simulation takes less than an age");
        u64::try_from(FIRST_DAY + self.inner().ahead + passed).unwrap_or(0)
    }

    /// The clock is set.
    pub(super) fn jump(&self, seconds: i64) {
        self.inner().ahead += seconds;
    }

    /// A line of the trace.
    pub(super) fn say(&self, text: &str) {
        let now = self.now();
        let text = text.replace(&self.root.display().to_string(), "~");
        let mut inner = self.inner();
        let line = format!("{:>6}.{:03} {text}", now.as_secs(), now.subsec_millis());
        inner.trace.push(line);
    }

    /// Something that must hold does not. The first such thing is what a seed fails by.
    pub(super) fn fail(&self, why: &str) {
        self.say(&format!("FAILS: {why}"));
        self.inner().failure.get_or_insert_with(|| why.to_owned());
        self.crashed.notify_waiters();
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.inner().failure.clone()
    }

    /// All lines; those of one moment are in the order of their words.
    pub(super) fn trace(&self) -> Vec<String> {
        let mut trace = self.inner().trace.clone();
        trace.sort();
        trace
    }

    /// A number that is another one after each change of a file.
    pub(super) fn changes(&self) -> u64 {
        self.inner().changes
    }

    /// How often the disk had no room for a change.
    pub(super) fn refusals(&self) -> u64 {
        self.inner().refusals
    }

    /// A file was changed by something else than the program.
    pub(super) fn touched(&self) {
        self.inner().changes += 1;
    }

    pub(super) fn effects(&self) -> u64 {
        self.inner().effects
    }

    /// The dice for the next time that something of this name happens.
    pub(super) fn draw(&self, name: &str) -> Dice {
        let number = {
            let mut inner = self.inner();
            let number = inner.draws.entry(name.to_owned()).or_default();
            *number += 1;
            *number
        };
        Dice::new(self.seed, &format!("{name} {number}"))
    }

    pub(super) fn weather(&self) -> Weather {
        self.inner().weather
    }

    pub(super) fn set_weather(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.inner().weather);
    }

    /// Counts an effect that is about to be; false where the host has crashed, so that it is not.
    pub(super) fn effect(&self, what: &str) -> bool {
        let crashes = {
            let mut inner = self.inner();
            if inner.is_crashed {
                return false;
            }
            inner.effects += 1;
            inner.is_crashed = inner.crash_at.is_some_and(|at| at <= inner.effects);
            inner.is_crashed
        };
        if crashes {
            self.say(&format!("crash before: {what}"));
            self.crashed.notify_waiters();
        }
        self.stepped.notify_one();
        !crashes
    }

    /// The same for who can wait: never returns after a crash.
    pub(super) async fn alive(&self, what: &str, after: Duration) {
        self.turn(what, after).await;
        if !self.effect(what) {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for a crash, or for a failure.
    pub(super) async fn crash(&self) {
        loop {
            let told = self.crashed.notified();
            {
                let inner = self.inner();
                if inner.is_crashed || inner.failure.is_some() {
                    return;
                }
            }
            told.await;
        }
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.inner().is_crashed
    }

    /// Notes that something was tried; too often is a failure.
    pub(super) fn tally(&self, what: &str) {
        let now = self.now();
        let many = {
            let mut inner = self.inner();
            let times = inner.tallies.entry(what.to_owned()).or_default();
            times.push_back(now);
            while times.front().is_some_and(|time| *time + MINUTE < now) {
                times.pop_front();
            }
            times.len()
        };
        if many > STORM {
            self.fail(&format!("a storm: {what}, {many} times within a minute"));
        }
    }
}

#[async_trait]
impl Ways for Ground {
    /// Here and now, after a little time: in a task of its own, since it goes on when the caller goes away.
    async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
        self.turn("disk", Duration::ZERO).await;
        let done = tokio::spawn(async move { work() });
        if let Err(error) = done.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    fn before(&self, path: &Path, change: Change) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !self.effect(&format!("file {name}")) {
            return Err(io::Error::other("the host has crashed"));
        }
        self.touched();
        // A file without content takes no room.
        if self.weather().disk_full && change == Change::Write && !is_note(&name) {
            self.inner().refusals += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

fn is_note(name: &str) -> bool {
    ["revoked-", "expired-"].iter().any(|prefix| name.starts_with(prefix))
}
