//! What the engine's commands and its supervisor share: how tor is to be started, the tor that runs, and how it stands.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::control::Control;
use super::ends::Ends;
use super::events::Descriptor;
use super::find::Finder;
use super::system;
use super::torrc::TorSettings;
use super::uploads::Uploads;
use crate::engine::{EngineEvent, EngineState};
use crate::model::bridge::Bridge;
use crate::model::onion::OnionAddress;
use crate::model::status::TorStatus;

/// What the commands and the supervisor share.
pub(super) struct Shared {
    pub(super) settings: TorSettings,
    pub(super) finder: Mutex<Finder>,
    pub(super) bridges: Mutex<Vec<Bridge>>,
    pub(super) launcher: Mutex<Option<PathBuf>>,
    pub(super) process: Mutex<Option<u32>>,
    pub(super) state: watch::Sender<EngineState>,
    /// Whether no tor runs and none is being started.
    pub(super) idle: watch::Sender<bool>,
    pub(super) clock_warning: watch::Sender<Option<String>>,
    pub(super) info: Mutex<Option<TorStatus>>,
    pub(super) link: Mutex<Option<Link>>,
    pub(super) uploads: Mutex<Uploads>,
    pub(super) ends: Ends,
    pub(super) events: mpsc::UnboundedSender<EngineEvent>,
}

/// A tor that runs and answers.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) control: Control,
    pub(super) socks: system::SocksAddr,
    /// Whether it has been connected to the network. It may have lost that since; dials then wait for tor.
    pub(super) was_ready: bool,
}

impl Shared {
    /// No tor runs yet.
    pub(super) fn new(
        settings: TorSettings,
        finder: Finder,
        events: mpsc::UnboundedSender<EngineEvent>,
    ) -> Self {
        Self {
            settings,
            finder: Mutex::new(finder),
            bridges: Mutex::default(),
            launcher: Mutex::default(),
            process: Mutex::default(),
            state: watch::Sender::new(EngineState::Stopped),
            idle: watch::Sender::new(true),
            clock_warning: watch::Sender::new(None),
            info: Mutex::default(),
            link: Mutex::default(),
            uploads: Mutex::default(),
            ends: Ends::default(),
            events,
        }
    }

    pub(super) fn finder(&self) -> Finder {
        lock(&self.finder).clone()
    }

    pub(super) fn bridges(&self) -> Vec<Bridge> {
        lock(&self.bridges).clone()
    }

    pub(super) fn link(&self) -> Option<Link> {
        lock(&self.link).clone()
    }

    pub(super) fn set_link(&self, link: Option<Link>) {
        *lock(&self.link) = link;
        *lock(&self.uploads) = Uploads::default();
        self.ends.clear();
    }

    pub(super) fn link_is_ready(&self) {
        if let Some(link) = &mut *lock(&self.link) {
            link.was_ready = true;
        }
    }

    pub(super) fn set_info(&self, info: TorStatus) {
        *lock(&self.info) = Some(info);
    }

    /// Wakes those who watch only when it is another.
    pub(super) fn set_state(&self, state: EngineState) {
        self.state.send_if_modified(|now| {
            let is_new = *now != state;
            *now = state;
            is_new
        });
    }

    pub(super) fn set_clock_warning(&self, warning: Option<String>) {
        self.clock_warning.send_if_modified(|now| {
            let is_new = *now != warning;
            *now = warning;
            is_new
        });
    }

    pub(super) fn tell(&self, event: EngineEvent) {
        // Nobody may have asked for the events.
        let _ = self.events.send(event);
    }

    pub(super) fn note_descriptor(&self, address: OnionAddress, action: Descriptor) {
        let event = lock(&self.uploads).note(address, action);
        if let Some(event) = event {
            self.tell(event);
        }
    }
}

/// No guard of these is ever held over code that panics.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
