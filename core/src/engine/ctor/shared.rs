//! What the engine's commands and its supervisor share: how to start tor, the running tor, and its state.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::circuits::Unclosed;
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
use crate::plan::backoff::Moment;
use crate::plan::vigil::Vigil;

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
    /// Services that were taken down and whose circuits may be open still.
    pub(super) unclosed: Mutex<Unclosed>,
    pub(super) ends: Ends,
    /// Why there is no network, in a sentence; none while there is one.
    pub(super) offline: watch::Sender<Option<String>>,
    vigil: Mutex<Vigil>,
    stirred: Notify,
    began: Instant,
    introductions: Mutex<BTreeMap<OnionAddress, u32>>,
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
            unclosed: Mutex::default(),
            ends: Ends::default(),
            offline: watch::Sender::new(None),
            vigil: Mutex::default(),
            stirred: Notify::new(),
            began: Instant::now(),
            introductions: Mutex::default(),
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
        lock(&self.unclosed).clear();
        *self.vigil() = Vigil::default();
        lock(&self.introductions).clear();
        self.set_offline(None);
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

    /// What is asked of tor, and when. Whoever tells it something says so by [`Shared::stir`].
    pub(super) fn vigil(&self) -> MutexGuard<'_, Vigil> {
        lock(&self.vigil)
    }

    /// Now, by the vigil's time.
    pub(super) fn now(&self) -> Moment {
        self.began.elapsed()
    }

    /// The other way round.
    pub(super) fn moment(&self, moment: Moment) -> Instant {
        self.began + moment
    }

    /// Tells the vigil something, which may have something else due.
    pub(super) fn stir(&self, tell: impl FnOnce(&mut Vigil, Moment)) {
        tell(&mut self.vigil(), self.now());
        self.stirred.notify_one();
    }

    /// Returns when the vigil got new information. Cancel-safe.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Tells the vigil what came of a question to the network, and everyone where that proved that it is there.
    pub(super) fn learn(&self, tell: impl FnOnce(&mut Vigil, Moment)) {
        let is_proven = {
            let mut vigil = self.vigil();
            let before = vigil.last_proof();
            tell(&mut vigil, self.now());
            vigil.last_proof() != before
        };
        if is_proven {
            self.tell(EngineEvent::NetworkProven);
            self.stirred.notify_one();
        }
    }

    /// Tells how many introduction points of each service stand, when that is another than before.
    pub(super) fn tell_introductions(&self, introductions: BTreeMap<OnionAddress, u32>) {
        let is_news = {
            let mut known = lock(&self.introductions);
            let is_news = *known != introductions;
            known.clone_from(&introductions);
            is_news
        };
        if is_news {
            self.tell(EngineEvent::Introductions(introductions));
        }
    }

    /// Tells that none stands any more.
    pub(super) fn tell_introductions_fell(&self) {
        let none = lock(&self.introductions).keys().map(|address| (*address, 0)).collect();
        self.tell_introductions(none);
    }

    /// Tells that they lead nowhere; how many stand is told anew after that.
    pub(super) fn tell_introductions_deserted(&self) {
        lock(&self.introductions).clear();
        self.tell(EngineEvent::IntroductionsDeserted);
    }

    /// A service was given to tor: what was known of its introduction points is not so any more.
    pub(super) fn forget_introductions(&self, address: &OnionAddress) {
        lock(&self.introductions).remove(address);
    }

    pub(super) fn set_offline(&self, offline: Option<String>) {
        self.offline.send_if_modified(|now| {
            let is_new = *now != offline;
            *now = offline;
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
        if matches!(action, Descriptor::Uploaded(_) | Descriptor::Received) {
            self.stir(Vigil::proven);
        }
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
