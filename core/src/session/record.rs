//! What was sent by a counted frame, kept until it is acknowledged; and what waits to be sent, or sent again after its link was lost.
//!
//! A record holds no bytes: those of a stream are kept once, by the stream. To send any record twice does no harm.

use std::collections::VecDeque;

use super::outgoing::Part;
use super::words::{Cut, LinkId, Refusal, StreamId};

/// What a counted frame has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// Opens the stream, to this port.
    Open(StreamId, u16),
    /// Accepts it.
    Accept(StreamId),
    /// Refuses it.
    Refuse(StreamId, Refusal),
    /// Bytes of it.
    Data(StreamId, Part),
    /// Credit for it: that of the moment when it is sent.
    Credit(StreamId),
    /// Cuts it off.
    Reset(StreamId, Cut),
}

impl Record {
    /// 1 for one without bytes of a stream.
    pub(super) fn is_bare(&self) -> usize {
        usize::from(!matches!(self, Self::Data(..)))
    }

    /// Bytes of a stream in it.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Data(_, part) => part.end - part.start,
            _ => 0,
        }
    }
}

/// A record that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// What is to be said.
    pub(super) record: Record,
    /// The frame that has said it before, on a link that is lost or suspect.
    pub(super) before: Option<(LinkId, u64)>,
}

/// All that waits but what streams have to say for the first time. What waits longest goes first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    urgent: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    /// Those without bytes.
    bare: usize,
    /// Those that were sent before.
    sent_before: usize,
}

impl Pending {
    /// To be sent before all else.
    pub(super) fn push_urgent(&mut self, waiting: Waiting) {
        self.comes(&waiting);
        self.urgent.push_back(waiting);
    }

    /// To be sent before other bulk.
    pub(super) fn push_bulk(&mut self, waiting: Waiting) {
        self.comes(&waiting);
        self.bulk.push_back(waiting);
    }

    fn comes(&mut self, waiting: &Waiting) {
        self.bare += waiting.record.is_bare();
        self.sent_before += usize::from(waiting.before.is_some());
    }

    fn goes(&mut self, waiting: &Waiting) {
        self.bare -= waiting.record.is_bare();
        self.sent_before -= usize::from(waiting.before.is_some());
    }

    /// Something new to say, without bytes.
    pub(super) fn say(&mut self, record: Record) {
        self.push_urgent(Waiting { record, before: None });
    }

    /// Takes the first that may go, of those that go before all else.
    pub(super) fn pop_urgent(&mut self, may_go: impl FnMut(&Record) -> bool) -> Option<Waiting> {
        let waiting = pop(&mut self.urgent, may_go)?;
        self.goes(&waiting);
        Some(waiting)
    }

    /// Takes the first of the others that may go.
    pub(super) fn pop_bulk(&mut self, may_go: impl FnMut(&Record) -> bool) -> Option<Waiting> {
        let waiting = pop(&mut self.bulk, may_go)?;
        self.goes(&waiting);
        Some(waiting)
    }

    /// Puts bytes back that do not fit.
    pub(super) fn put_back(&mut self, waiting: Waiting, is_urgent: bool) {
        self.comes(&waiting);
        match is_urgent {
            true => self.urgent.push_front(waiting),
            false => self.bulk.push_front(waiting),
        }
    }

    /// Takes out what the other end has received after all: the first so many frames of a link.
    pub(super) fn settle(&mut self, link: LinkId, frames: u64) -> Vec<Record> {
        let mut settled = Vec::new();
        // Acknowledgements are many, and what was moved away from its link is rare.
        if self.sent_before == 0 {
            return settled;
        }
        let mut keep = |waiting: &Waiting| {
            let is_settled = waiting.before.is_some_and(|(before, frame)| before == link && frame < frames);
            if is_settled {
                settled.push(waiting.record);
            }
            !is_settled
        };
        self.urgent.retain(&mut keep);
        self.bulk.retain(&mut keep);
        self.bare -= settled.iter().map(Record::is_bare).sum::<usize>();
        self.sent_before -= settled.len();
        settled
    }

    /// How many wait that have no bytes of a stream, whose credit bounds the others.
    pub(super) fn bare(&self) -> usize {
        self.bare
    }

    /// Whether none does.
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.bulk.is_empty()
    }

    /// Bytes of bulk that wait.
    pub(super) fn bulk_bytes(&self) -> u64 {
        self.bulk.iter().map(|waiting| waiting.record.bytes()).sum()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn pop(queue: &mut VecDeque<Waiting>, mut may_go: impl FnMut(&Record) -> bool) -> Option<Waiting> {
    let place = queue.iter().position(|waiting| may_go(&waiting.record))?;
    queue.remove(place)
}
