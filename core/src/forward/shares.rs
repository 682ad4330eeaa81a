//! Who gets the next place when places are few (pure).
//!
//! A *member* is whoever is to have a share of the capacity: a client, an import, the SOCKS front. It has *parts*, a client's ports, which
//! share what the member may have. Half of the capacity is kept in equal shares for the members and for one that may still come, and half of a
//! member's share for its parts; the rest is for whoever comes first. So one alone may use much of the capacity but never all of it, and each
//! other member, and each of its parts, always gets a place.
//!
//! Nothing that was given is taken back: after a change of members, parts or caps the shares are made good as places are given back.

use std::collections::BTreeMap;

/// Names a member or a part; never used twice.
pub(super) type Id = u64;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// What the part holds.
    pub held: u64,
    /// Whose limit it met.
    pub limit: Limit,
}

/// A limit that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The member's own, of so many places.
    Member(u64),
    /// The whole agent's, of so many places.
    Agent(u64),
}

/// The capacity and who holds what of it.
#[derive(Debug)]
pub(super) struct Shares {
    capacity: u64,
    held: u64,
    /// Places that are kept for those who hold less than their share.
    owed: u64,
    members: BTreeMap<Id, Member>,
    next: Id,
    /// Members, parts or caps have changed since the shares were last reckoned.
    stale: bool,
}

#[derive(Debug)]
struct Member {
    cap: u64,
    held: u64,
    /// Its share of the capacity.
    share: u64,
    /// The share of each part.
    each: u64,
    /// What its parts lack of their shares, together.
    lacking: u64,
    parts: BTreeMap<Id, u64>,
}

impl Member {
    /// Places of the capacity that are kept for it.
    fn owed(&self) -> u64 {
        self.share.saturating_sub(self.held).max(self.lacking)
    }
}

impl Shares {
    /// With so many places.
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity, held: 0, owed: 0, members: BTreeMap::new(), next: 0, stale: false }
    }

    fn name(&mut self) -> Id {
        self.next += 1;
        self.stale = true;
        self.next
    }

    /// A new member, which may hold at most `cap` places.
    pub(super) fn join(&mut self, cap: u64) -> Id {
        let id = self.name();
        let member = Member { cap, held: 0, share: 0, each: 0, lacking: 0, parts: BTreeMap::new() };
        self.members.insert(id, member);
        id
    }

    /// Allows a member another number of places.
    pub(super) fn set_cap(&mut self, member: Id, cap: u64) {
        if let Some(member) = self.members.get_mut(&member)
            && member.cap != cap
        {
            member.cap = cap;
            self.stale = true;
        }
    }

    /// A member is gone, with its parts; it has given back all it held.
    pub(super) fn leave(&mut self, member: Id) {
        let gone = self.members.remove(&member);
        self.held -= gone.map_or(0, |gone| gone.held);
        self.stale = true;
    }

    /// A new part of a member.
    pub(super) fn open(&mut self, member: Id) -> Id {
        let id = self.name();
        if let Some(member) = self.members.get_mut(&member) {
            member.parts.insert(id, 0);
        }
        id
    }

    /// A part is gone; it has given back all it held.
    pub(super) fn close(&mut self, member: Id, part: Id) {
        if let Some(member) = self.members.get_mut(&member)
            && let Some(held) = member.parts.remove(&part)
        {
            member.held -= held;
            self.held -= held;
        }
        self.stale = true;
    }

    /// Takes a place for a part, or says why it gets none.
    pub(super) fn take(&mut self, member: Id, part: Id) -> Result<(), Full> {
        self.reckon();
        let (capacity, free, owed, spare) =
            (self.capacity, self.capacity.saturating_sub(self.held), self.owed, self.share());
        let Some(of) = self.members.get_mut(&member) else { return Err(gone()) };
        let Some(&held) = of.parts.get(&part) else { return Err(gone()) };

        // Of its own share a part takes freely; beyond it, what the other parts lack is left.
        let lacks = u64::from(held < of.each);
        let left = of.cap.saturating_sub(of.held);
        if left == 0 || (lacks == 0 && left <= of.lacking) {
            return Err(Full { held, limit: Limit::Member(of.cap) });
        }
        let before = of.owed();
        let after = of.share.saturating_sub(of.held + 1).max(of.lacking - lacks);
        if free == 0 || (after == before && free <= owed + spare) {
            return Err(Full { held, limit: Limit::Agent(capacity) });
        }
        of.held += 1;
        of.lacking -= lacks;
        of.parts.insert(part, held + 1);
        self.held += 1;
        self.owed = owed - before + after;
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn give(&mut self, member: Id, part: Id) {
        let Some(of) = self.members.get_mut(&member) else { return };
        let Some(held) = of.parts.get(&part).and_then(|held| held.checked_sub(1)) else { return };
        let before = of.owed();
        of.parts.insert(part, held);
        of.lacking += u64::from(held < of.each);
        of.held -= 1;
        self.held -= 1;
        self.owed = self.owed - before + of.owed();
    }

    /// The share of a member, and what is kept for one that may still come.
    fn share(&self) -> u64 {
        (self.capacity / (2 * (self.members.len() as u64 + 1))).max(1)
    }

    fn reckon(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let share = self.share();
        for member in self.members.values_mut() {
            member.share = share.min(member.cap);
            let parts = member.parts.len() as u64;
            member.each = match parts {
                0 | 1 => member.share,
                // More parts than places: first come, first served.
                parts if parts > member.share => 0,
                parts => (member.share / (2 * parts)).max(1),
            };
            member.lacking = member.parts.values().map(|held| member.each.saturating_sub(*held)).sum();
        }
        self.owed = self.members.values().map(Member::owed).sum();
    }
}

/// Whoever asks has left: it gets nothing.
fn gone() -> Full {
    Full { held: 0, limit: Limit::Member(0) }
}

#[cfg(test)]
mod tests;
