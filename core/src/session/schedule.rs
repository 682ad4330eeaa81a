//! Which link carries what comes next. The driver asks for one link at a time; the answer may be that another one should.

use std::time::Duration;

/// A link, as far as this choice needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// How long a byte would take now.
    pub(super) delay: Duration,
    /// Bytes a second.
    pub(super) rate: f64,
    /// Whether as much is on the way as should be.
    pub(super) is_full: bool,
    /// Whether the driver takes bytes for it.
    pub(super) has_room: bool,
}

/// Whether the link at `this` place carries what should arrive soon: none is quicker, not even one whose driver takes nothing just now.
/// What waits there is a part of its delay.
pub(super) fn carries_quick(views: &[View], this: usize) -> bool {
    let Some(own) = views.get(this) else { return false };
    !views.iter().enumerate().any(|other| is_quicker(other, (this, own)))
}

/// Whether the link at `this` place carries bulk, of which so many bytes wait. A link does once all quicker ones are full, and if its
/// bytes would not arrive after those that wait for a quicker one: a stream's bytes wait for each other.
pub(super) fn carries_bulk(views: &[View], this: usize, backlog: u64) -> bool {
    let Some(own) = views.get(this) else { return false };
    if own.is_full {
        return false;
    }
    let quicker = || {
        let others = views.iter().enumerate();
        others.filter(|(place, other)| is_quicker((*place, other), (this, own))).map(|(_, other)| other)
    };
    if quicker().any(|other| other.has_room && !other.is_full) {
        return false;
    }
    let Some(quickest) = quicker().map(|other| other.delay).min() else { return true };
    let rate: f64 = quicker().map(|other| other.rate).sum();
    quickest.as_secs_f64() + backlog as f64 / rate.max(1.0) > own.delay.as_secs_f64()
}

/// Of two that are as quick, the first is taken.
fn is_quicker((place, one): (usize, &View), (other_place, other): (usize, &View)) -> bool {
    (one.delay, place) < (other.delay, other_place)
}

#[cfg(test)]
mod tests;
