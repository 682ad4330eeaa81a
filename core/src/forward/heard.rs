//! Notices whether the far side of a connection has said anything at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::relay::{Ending, Meter};

/// Whether a connection's far side has said anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// A meter that notices it, besides another one.
    pub(super) fn meter<M: Meter>(&self, meter: M) -> impl Meter + use<M> {
        Listening { meter, heard: self.clone() }
    }

    /// Whether a connection was ended by its far side without a word: that of a host that has no room does so.
    pub(super) fn was_silent(&self, ending: &Ending) -> bool {
        matches!(ending, Ending::Far | Ending::FarBroke(_)) && !self.0.load(Ordering::Relaxed)
    }
}

struct Listening<M> {
    meter: M,
    heard: Heard,
}

impl<M: Meter> Meter for Listening<M> {
    fn count_up(&self, bytes: usize) {
        self.meter.count_up(bytes);
    }
    fn count_down(&self, bytes: usize) {
        self.heard.0.store(true, Ordering::Relaxed);
        self.meter.count_down(bytes);
    }
}
