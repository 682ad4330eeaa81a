//! One direction of a stream, at the end that writes it: the bytes that are not acknowledged yet, and which of them were sent.
//!
//! Acknowledgements come in any order, since links have their own. So bytes are kept in pieces, each until it is acknowledged: if all
//! behind a slow link's bytes were kept too, that link would cost more than it carries.

use std::collections::BTreeMap;

use super::limits::{CHUNK, FIRST_CREDIT, FRAMES_IN_FLIGHT, QUICK};

/// A part of the stream, with its end or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it begins.
    pub(super) start: u64,
    /// Where it ends.
    pub(super) end: u64,
    /// Whether the stream ends there.
    pub(super) is_end: bool,
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// By where they begin.
    pieces: BTreeMap<u64, Vec<u8>>,
    /// Bytes in them.
    kept: u64,
    /// Bytes that were written in all.
    written: u64,
    /// All before it is acknowledged.
    base: u64,
    /// All before it was sent at least once.
    next: u64,
    /// Acknowledged parts behind `base`: no two touch.
    acked: BTreeMap<u64, u64>,
    /// The peer's credit.
    credit: u64,
    is_finished: bool,
    end_sent: bool,
    end_acked: bool,
    frames: usize,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            pieces: BTreeMap::new(),
            kept: 0,
            written: 0,
            base: 0,
            next: 0,
            acked: BTreeMap::new(),
            credit: FIRST_CREDIT,
            is_finished: false,
            end_sent: false,
            end_acked: false,
            frames: 0,
        }
    }
}

impl Outgoing {
    /// Bytes that are kept until they are acknowledged.
    pub(super) fn unacked(&self) -> u64 {
        self.kept
    }

    /// Bytes that were never sent.
    pub(super) fn unsent(&self) -> u64 {
        self.written - self.next
    }

    /// Whether it has so much to say that others go before it.
    pub(super) fn is_bulk(&self) -> bool {
        self.unacked() > QUICK
    }

    /// How many bytes may be written now, where `most` may be kept. Never more than the peer has given credit for: what is here can be
    /// sent, so a reader that stops fills nothing but its own credit.
    pub(super) fn room(&self, most: u64) -> u64 {
        match self.is_finished {
            true => 0,
            false => self.credit.saturating_sub(self.written).min(most.saturating_sub(self.kept)),
        }
    }

    /// Takes bytes, which [`room`](Self::room) allows.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let last = self.pieces.iter_mut().next_back();
            let last = last
                .filter(|(start, piece)| **start + piece.len() as u64 == self.written && piece.len() < CHUNK);
            let piece = match last {
                Some((_, piece)) => piece,
                None => self.pieces.entry(self.written).or_default(),
            };
            let (taken, left) = rest.split_at(rest.len().min(CHUNK - piece.len()));
            piece.extend_from_slice(taken);
            self.written += taken.len() as u64;
            self.kept += taken.len() as u64;
            rest = left;
        }
    }

    /// Nothing more will be written.
    pub(super) fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Whether [`finish`](Self::finish) was called.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// More credit. One that was overtaken by a later one changes nothing.
    pub(super) fn credit(&mut self, limit: u64) {
        self.credit = self.credit.max(limit);
    }

    /// Whether something waits to be sent for the first time.
    pub(super) fn has_new(&self) -> bool {
        self.frames < FRAMES_IN_FLIGHT && (self.unsent() > 0 || (self.is_finished && !self.end_sent))
    }

    /// Takes the next part to send for the first time, of so many bytes at most.
    pub(super) fn next_part(&mut self, most: u64) -> Option<Part> {
        if !self.has_new() || (most == 0 && self.unsent() > 0) {
            return None;
        }
        let (start, end) = (self.next, self.written.min(self.next + most));
        let is_end = self.is_finished && end == self.written;
        self.next = end;
        self.end_sent |= is_end;
        self.frames += 1;
        Some(Part { start, end, is_end })
    }

    /// The frame that carried this part was lost. What of it still lacks an acknowledgement is to be sent again, if anything.
    pub(super) fn lost(&mut self, part: Part) -> Option<Part> {
        self.frames = self.frames.saturating_sub(1);
        self.lacking(part)
    }

    /// What of a part is to be sent again, from its first byte that is not acknowledged on.
    pub(super) fn lacking(&self, part: Part) -> Option<Part> {
        let mut start = part.start.max(self.base);
        if let Some((_, end)) = self.acked.range(..=start).next_back() {
            start = start.max(*end);
        }
        let lacks_end = part.is_end && !self.end_acked;
        (start < part.end || lacks_end).then(|| Part { start: start.min(part.end), ..part })
    }

    /// A part is sent again.
    pub(super) fn sent_again(&mut self) {
        self.frames += 1;
    }

    /// Appends the bytes of a part, which lacks its acknowledgement.
    pub(super) fn copy(&self, part: Part, out: &mut Vec<u8>) {
        let first = self.pieces.range(..=part.start).next_back().map_or(part.start, |(start, _)| *start);
        for (start, piece) in self.pieces.range(first..part.end) {
            let index = |at: u64| usize::try_from(at.saturating_sub(*start)).unwrap_or(usize::MAX);
            let (from, to) = (index(part.start), index(part.end).min(piece.len()));
            out.extend(piece.get(from..to).unwrap_or_default());
        }
    }

    /// The frame with this part was acknowledged, of which `is_in_flight` says whether it counted as on its way.
    pub(super) fn acked(&mut self, part: Part, is_in_flight: bool) {
        if is_in_flight {
            self.frames = self.frames.saturating_sub(1);
        }
        self.end_acked |= part.is_end;
        let (mut start, mut end) = (part.start.max(self.base), part.end.min(self.written));
        if start >= end {
            return;
        }
        // Every part that touches it becomes one with it.
        while let Some((other, to)) = self.acked.range(..=end).next_back().map(|(from, to)| (*from, *to)) {
            if to < start {
                break;
            }
            self.acked.remove(&other);
            (start, end) = (start.min(other), end.max(to));
        }
        // A piece may begin before `base`, all of which is acknowledged.
        let first = if start > self.base { start } else { 0 };
        let is_within =
            |(from, piece): (&u64, &Vec<u8>)| (*from + piece.len() as u64 <= end).then_some(*from);
        let freed: Vec<u64> = self.pieces.range(first..end).filter_map(is_within).collect();
        for from in freed {
            self.kept -= self.pieces.remove(&from).map_or(0, |piece| piece.len() as u64);
        }
        match start > self.base {
            true => _ = self.acked.insert(start, end),
            false => self.base = end,
        }
    }

    /// Whether all was said and has arrived.
    pub(super) fn is_done(&self) -> bool {
        self.end_acked && self.base == self.written
    }
}

#[cfg(test)]
mod tests;
