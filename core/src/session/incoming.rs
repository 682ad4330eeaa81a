//! One direction of a stream, at the end that reads it: what has come, in any order, is put in order; and what credit the other end gets.

use std::collections::{BTreeMap, VecDeque};

use super::limits::{CHUNK, FIRST_CREDIT, PIECES};
use super::words::Violation;

/// What reading gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The other end has said all, and all was read.
    End,
}

/// See the file's sentence.
#[derive(Debug)]
pub struct Incoming {
    /// In order, not read yet.
    ready: VecDeque<u8>,
    /// Bytes before the end of `ready`.
    arrived: u64,
    /// What came before something that is missing. No two overlap.
    pieces: BTreeMap<u64, Vec<u8>>,
    /// The farthest byte that has come.
    farthest: u64,
    end: Option<u64>,
    end_read: bool,
    /// The credit that the other end has.
    limit: u64,
    /// How much credit it gets from what was read on.
    window: u64,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            arrived: 0,
            pieces: BTreeMap::new(),
            farthest: 0,
            end: None,
            end_read: false,
            limit: FIRST_CREDIT,
            window: FIRST_CREDIT,
        }
    }
}

impl Incoming {
    /// Takes what has come. Whether there is something more to read now.
    pub fn take(&mut self, offset: u64, bytes: &[u8], is_end: bool) -> Result<bool, Violation> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Violation::Number)?;
        if end > self.limit {
            return Err(Violation::Credit);
        }
        if self.end.is_some_and(|known| end > known || (is_end && end != known))
            || (is_end && end < self.farthest)
        {
            return Err(Violation::End);
        }
        let had_end = self.is_whole();
        self.farthest = self.farthest.max(end);
        if is_end {
            self.end = Some(end);
        }
        let before = self.arrived;
        self.put(offset, bytes);
        if self.pieces.len() > PIECES {
            return Err(Violation::Flood);
        }
        Ok(self.arrived > before || (self.is_whole() && !had_end))
    }

    fn put(&mut self, mut offset: u64, mut bytes: &[u8]) {
        // What is there already is skipped, piece by piece.
        while !bytes.is_empty() {
            let known_to = if offset < self.arrived {
                self.arrived
            } else {
                let before = self.pieces.range(..=offset).next_back();
                before.map_or(0, |(start, piece)| start + piece.len() as u64)
            };
            if known_to > offset {
                let skipped = usize::try_from(known_to - offset).unwrap_or(usize::MAX);
                let Some(rest) = bytes.get(skipped..) else { return };
                (offset, bytes) = (known_to, rest);
                continue;
            }
            let next = self.pieces.range(offset..).next().map(|(start, _)| *start);
            let until = next.and_then(|next| usize::try_from(next - offset).ok()).unwrap_or(usize::MAX);
            let (new, rest) = bytes.split_at(until.min(bytes.len()));
            self.insert(offset, new);
            (offset, bytes) = (offset + new.len() as u64, rest);
        }
    }

    /// Puts bytes that are nowhere yet.
    fn insert(&mut self, offset: u64, bytes: &[u8]) {
        if offset > self.arrived {
            // Key presses are not kept one by one.
            let before = self.pieces.range_mut(..offset).next_back();
            match before {
                Some((start, piece)) if start + piece.len() as u64 == offset && piece.len() < CHUNK => {
                    piece.extend_from_slice(bytes);
                }
                _ => {
                    self.pieces.insert(offset, bytes.to_vec());
                }
            }
            return;
        }
        self.ready.extend(bytes);
        self.arrived += bytes.len() as u64;
        while let Some(piece) = self.pieces.remove(&self.arrived) {
            self.arrived += piece.len() as u64;
            self.ready.extend(piece);
        }
    }

    /// Reads bytes in order.
    pub fn read(&mut self, into: &mut [u8]) -> Read {
        let many = into.len().min(self.ready.len());
        let (front, back) = self.ready.as_slices();
        for (place, byte) in into.iter_mut().zip(front.iter().chain(back)) {
            *place = *byte;
        }
        self.ready.drain(..many);
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        match (many, self.end == Some(self.arrived)) {
            (0, true) if self.ready.is_empty() => {
                self.end_read = true;
                Read::End
            }
            (0, _) => Read::Nothing,
            _ => Read::Bytes(many),
        }
    }

    /// More credit for the other end, if it is time for it: an eighth of what it had was read. (With half, it had a quarter too little on
    /// average, and one stream never filled two links.) A reader that keeps up gets more of it, up to
    /// `most` and where `grow` lets it take so many bytes more.
    pub fn more_credit(&mut self, most: u64, grow: impl FnOnce(u64) -> bool) -> bool {
        let read = self.arrived - self.ready.len() as u64;
        if self.end.is_some() || self.limit - read > self.window / 8 * 7 {
            return false;
        }
        let wider = (self.window * 2).min(most);
        let keeps_up = (self.ready.len() as u64) < self.window / 4;
        if keeps_up && wider > self.window && grow(wider - self.window) {
            self.window = wider;
        }
        self.limit = read + self.window;
        true
    }

    /// The credit that the other end has.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Credit beyond the first, which others could have.
    pub fn grown(&self) -> u64 {
        self.window - FIRST_CREDIT
    }

    /// Bytes that are kept, whether they are in order or not.
    pub fn unread(&self) -> u64 {
        self.ready.len() as u64 + self.pieces.values().map(|piece| piece.len() as u64).sum::<u64>()
    }

    /// Whether there is something to read, or the end.
    pub fn is_readable(&self) -> bool {
        !self.ready.is_empty() || (self.is_whole() && !self.end_read)
    }

    /// Whether all has come: nothing more is needed of the other end.
    pub fn is_whole(&self) -> bool {
        self.end == Some(self.arrived)
    }

    /// Whether all was read, the end included.
    pub fn is_done(&self) -> bool {
        self.end_read
    }
}

#[cfg(test)]
mod tests;
