//! Which streams were opened already, so that what comes twice or late opens none a second time.

use std::collections::BTreeSet;

use super::limits::OUT_OF_ORDER;
use super::words::{StreamId, Violation};

/// Numbers are given in order and may come in another, over several links.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// All before it were.
    next: u32,
    ahead: BTreeSet<u32>,
}

impl Opened {
    /// Gives the next number, at the end that opens.
    pub(super) fn give(&mut self) -> Option<StreamId> {
        let number = self.next;
        self.next = number.checked_add(1)?;
        Some(StreamId(number))
    }

    /// Notes one, at the other end. Whether it is new.
    pub(super) fn note(&mut self, stream: StreamId) -> Result<bool, Violation> {
        if self.has(stream) {
            return Ok(false);
        }
        if stream.0 == u32::MAX {
            return Err(Violation::Number);
        }
        self.ahead.insert(stream.0);
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        match self.ahead.len() > OUT_OF_ORDER {
            true => Err(Violation::Flood),
            false => Ok(true),
        }
    }

    /// Whether it was opened.
    pub(super) fn has(&self, stream: StreamId) -> bool {
        stream.0 < self.next || self.ahead.contains(&stream.0)
    }
}
