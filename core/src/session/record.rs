//! What was sent by a counted frame, kept until it is acknowledged; and what waits to be sent, or sent again after its link was lost.
//!
//! A record holds no bytes: those of a stream are kept once, by the stream. To send any record twice does no harm.

use std::collections::BTreeMap;

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
    urgent: BTreeMap<i64, Waiting>,
    bulk: BTreeMap<i64, Waiting>,
    /// Where those are that were sent before, and whether they are urgent: a peer may acknowledge them one by one.
    sent_before: BTreeMap<(LinkId, u64), (bool, i64)>,
    /// Those without bytes.
    bare: usize,
    next: i64,
    /// How many were looked at to settle some.
    #[cfg(test)]
    pub(super) looked_at: usize,
}

impl Pending {
    /// To be sent before all else.
    pub(super) fn push_urgent(&mut self, waiting: Waiting) {
        self.next += 1;
        self.put(self.next, waiting, true);
    }

    /// To be sent before other bulk.
    pub(super) fn push_bulk(&mut self, waiting: Waiting) {
        self.next += 1;
        self.put(self.next, waiting, false);
    }

    /// Something new to say, without bytes.
    pub(super) fn say(&mut self, record: Record) {
        self.push_urgent(Waiting { record, before: None });
    }

    /// Takes the first that may go, of those that go before all else.
    pub(super) fn pop_urgent(&mut self, may_go: impl FnMut(&Record) -> bool) -> Option<Waiting> {
        self.pop(true, may_go)
    }

    /// Takes the first of the others that may go.
    pub(super) fn pop_bulk(&mut self, may_go: impl FnMut(&Record) -> bool) -> Option<Waiting> {
        self.pop(false, may_go)
    }

    /// Puts bytes back that do not fit.
    pub(super) fn put_back(&mut self, waiting: Waiting, is_urgent: bool) {
        let next = self.next;
        let first = self.queue(is_urgent).first_key_value().map_or(next, |(place, _)| *place);
        self.put(first - 1, waiting, is_urgent);
    }

    fn queue(&mut self, is_urgent: bool) -> &mut BTreeMap<i64, Waiting> {
        if is_urgent { &mut self.urgent } else { &mut self.bulk }
    }

    fn put(&mut self, place: i64, waiting: Waiting, is_urgent: bool) {
        self.bare += waiting.record.is_bare();
        if let Some(before) = waiting.before {
            self.sent_before.insert(before, (is_urgent, place));
        }
        self.queue(is_urgent).insert(place, waiting);
    }

    fn take(&mut self, place: i64, is_urgent: bool) -> Option<Waiting> {
        let waiting = self.queue(is_urgent).remove(&place)?;
        self.bare -= waiting.record.is_bare();
        if let Some(before) = waiting.before
            && self.sent_before.get(&before) == Some(&(is_urgent, place))
        {
            self.sent_before.remove(&before);
        }
        Some(waiting)
    }

    fn pop(&mut self, is_urgent: bool, mut may_go: impl FnMut(&Record) -> bool) -> Option<Waiting> {
        let (place, _) = self.queue(is_urgent).iter().find(|(_, waiting)| may_go(&waiting.record))?;
        let place = *place;
        self.take(place, is_urgent)
    }

    /// Takes out what the other end has received after all: the first so many frames of a link.
    pub(super) fn settle(&mut self, link: LinkId, frames: u64) -> Vec<Record> {
        let mut settled = Vec::new();
        while let Some((before, (is_urgent, place))) =
            self.sent_before.range((link, 0)..(link, frames)).next().map(|(before, at)| (*before, *at))
        {
            #[cfg(test)]
            {
                self.looked_at += 1;
            }
            self.sent_before.remove(&before);
            settled.extend(self.take(place, is_urgent).map(|waiting| waiting.record));
        }
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
        self.bulk.values().map(|waiting| waiting.record.bytes()).sum()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
