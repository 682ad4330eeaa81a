//! What came of a fault, once.

use std::time::Duration;

/// See the file's sentence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// When each end said that something is not well, since the fault began: the exporter, the importer.
    pub(crate) said: [Option<Duration>; 2],
    /// When a new connection worked, since the fault ended; of a fault without an end, since it began.
    pub(crate) healed: Option<Duration>,
    /// Whether anybody could know of it as soon as it must be said.
    pub(crate) is_said: bool,
}

impl Figures {
    /// Of a fault that can be known.
    pub(crate) fn new(said: [Option<Duration>; 2], healed: Option<Duration>) -> Self {
        Self { said, healed, is_said: true }
    }
}
