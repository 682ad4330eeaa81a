//! Watches the configuration file and the directories that lead to it on a thread of its own, also checks it regularly, and has it read
//! when its writer is done.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::moment::{Moment, Seen};
use super::places::Places;
use super::{ConfigStore, private};
use crate::model::problem::{Code, Problem, catalogue};

/// Between two looks at a file that is watched besides: an event may be lost, and a directory far up may be moved.
const LOOK: Duration = Duration::from_secs(15);
/// The same while it can't be watched.
const LOOK_UNWATCHED: Duration = Duration::from_secs(2);

/// Follows one file; ends when dropped.
pub struct FileWatch {
    told: Sender<Told>,
}

enum Told {
    Event(notify::Result<notify::Event>),
    End,
}

impl FileWatch {
    /// Watches the file of a store, and begins before it returns, so that nothing is missed between it and a read that follows. What comes
    /// into force is told by [`ConfigStore::in_force`].
    ///
    /// Errors: no thread can be started.
    pub fn start(store: ConfigStore) -> Result<Self, Problem> {
        let (told, events) = mpsc::channel();
        let mut follower = Follower {
            store,
            events,
            tell: told.clone(),
            places: Places::default(),
            watcher: None,
            last: None,
            looked: Instant::now(),
            moment: Moment::default(),
        };
        follower.watch_again();
        follower.last = follower.stamp();
        std::thread::Builder::new().name("config".into()).spawn(move || follower.run()).map_err(|error| {
            let message = format!("failed to start the thread that watches the configuration: {error}");
            Problem::new(Code::SystemFailed, message)
        })?;
        Ok(Self { told })
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.told.send(Told::End);
    }
}

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    identity: Option<(u64, u64)>,
    len: u64,
    modified: Option<SystemTime>,
    mode: u32,
    changed: (i64, i64),
}

struct Follower {
    store: ConfigStore,
    events: Receiver<Told>,
    tell: Sender<Told>,
    places: Places,
    /// None while the places can't be watched.
    watcher: Option<RecommendedWatcher>,
    /// The file as it was when it was looked at last.
    last: Option<Stamp>,
    /// When that was.
    looked: Instant,
    moment: Moment,
}

impl Follower {
    fn run(mut self) {
        loop {
            let now = Instant::now();
            let look = if self.watcher.is_some() { LOOK } else { LOOK_UNWATCHED };
            let look = (self.looked + look).saturating_duration_since(now);
            match self.events.recv_timeout(self.moment.wait(now).map_or(look, |wait| wait.min(look))) {
                Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Told::Event(event)) => {
                    if let Some(seen) = self.seen(event) {
                        self.take(seen);
                    }
                    // Other files of these directories may change all the time.
                    if look.is_zero() {
                        self.look();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let is_due = self.moment.due.is_some_and(|due| due <= Instant::now());
                    self.look();
                    if is_due && self.moment.due.is_some_and(|due| due <= Instant::now()) {
                        self.moment = Moment::default();
                        self.store.set_being_written(false);
                        self.store.reload();
                    }
                }
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        // Linux tells it (inotify(7), IN_CLOSE_WRITE); kqueue, FSEvents and Windows don't.
        let closing_is_told = cfg!(target_os = "linux") && self.watcher.is_some();
        self.moment = self.moment.after(seen, Instant::now(), closing_is_told);
        self.store.set_being_written(self.moment.is_being_written);
        if seen == Seen::Replaced {
            self.watch_again();
        }
    }

    /// Looks whether the way to the file, or the file, is another one than it was.
    fn look(&mut self) {
        self.looked = Instant::now();
        self.watch_again();
        let stamp = self.stamp();
        if stamp == self.last {
            return;
        }
        self.last = stamp;
        // What an event has told is taken in already, unless the file goes on changing with none.
        if self.moment.due.is_none() || self.watcher.is_none() {
            self.take(Seen::Differs);
        }
    }

    /// Watches the way to the file as it is now.
    fn watch_again(&mut self) {
        let places = Places::to(&self.store.paths().config);
        if places == self.places && self.watcher.is_some() {
            return;
        }
        let watched = watch(&places, self.tell.clone());
        let problem = watched.as_ref().err().map(|error| {
            if self.places != places {
                tracing::warn!(%error, "the configuration file can't be watched");
            }
            catalogue::config_unwatched(error)
        });
        self.store.set_unwatched(problem);
        // The old one ends only now, when the new one is there.
        self.watcher = watched.ok();
        self.places = places;
    }

    fn stamp(&self) -> Option<Stamp> {
        let meta = std::fs::metadata(&self.store.paths().config).ok()?;
        Some(Stamp {
            identity: private::identity(&meta),
            len: meta.len(),
            modified: meta.modified().ok(),
            mode: private::mode(&meta),
            changed: private::changed(&meta),
        })
    }

    fn seen(&self, event: notify::Result<notify::Event>) -> Option<Seen> {
        // An error (an overflow, say) may have swallowed our event.
        let Ok(event) = event else { return Some(Seen::Differs) };
        if event.need_rescan() {
            return Some(Seen::Differs);
        }
        if !event.paths.iter().any(|path| self.places.concern(path)) {
            return None;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Seen::Closed),
            EventKind::Access(_) => None,
            // A link is made whole.
            EventKind::Create(_) if event.paths.iter().any(|path| is_made_whole(path)) => {
                Some(Seen::Replaced)
            }
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Some(Seen::Written),
            EventKind::Modify(ModifyKind::Metadata(_)) => Some(Seen::Mode),
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => Some(Seen::Replaced),
            EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(Seen::Written),
        }
    }
}

fn is_made_whole(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file() || private::has_other_names(&meta))
}

fn watch(places: &Places, tell: Sender<Told>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is our own doing, for the most part.
        if event.as_ref().is_ok_and(|event| matches!(event.kind, EventKind::Access(AccessKind::Open(_)))) {
            return;
        }
        let _ = tell.send(Told::Event(event));
    })?;
    for dir in places.directories() {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
