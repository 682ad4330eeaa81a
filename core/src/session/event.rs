//! What a session tells its driver, each thing once until it was taken.

use std::collections::{BTreeSet, VecDeque};

use super::words::{Cut, Farewell, LinkId, Refusal, StreamId, Violation};

/// What the driver is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A connection to the far agent is wanted, over a circuit of its own. The answer is `link_connected` or `dial_failed`.
    Dial(LinkId),
    /// This link, or the dial for it, is over: close it.
    Close(LinkId),
    /// The importer opens a stream to this port. The answer is `accept` or `refuse`.
    Opened(StreamId, u16),
    /// The far side has accepted the stream.
    Accepted(StreamId),
    /// It has refused it. The stream is gone.
    Refused(StreamId, Refusal),
    /// The far side has let in no link that carried something of it, so nothing of it has arrived anywhere. The stream is gone.
    NotTaken(StreamId),
    /// There is something to read, or the end.
    Readable(StreamId),
    /// More can be written, after less was taken than was offered; or all that was written has arrived, with its end.
    Writable(StreamId),
    /// The stream was cut off and is gone, with what was not read of it.
    Reset(StreamId, Cut),
    /// The session is over, after a [`Event::Reset`] or a [`Event::NotTaken`] for each stream. Let each link say what it still has to say, then close them.
    Ended(Farewell, Option<Violation>),
}

/// Those that were not taken yet.
#[derive(Debug, Default)]
pub struct Events {
    queue: VecDeque<Event>,
    readable: BTreeSet<StreamId>,
    writable: BTreeSet<StreamId>,
}

impl Events {
    /// One more.
    pub fn push(&mut self, event: Event) {
        let is_news = match event {
            Event::Readable(stream) => self.readable.insert(stream),
            Event::Writable(stream) => self.writable.insert(stream),
            _ => true,
        };
        if is_news {
            self.queue.push_back(event);
        }
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        match event {
            Event::Readable(stream) => _ = self.readable.remove(&stream),
            Event::Writable(stream) => _ = self.writable.remove(&stream),
            _ => {}
        }
        Some(event)
    }
}
