//! A simulated link: two pipes with a rate, a delay and a queue, which may die at any byte or fall silent.

use std::time::Duration;

use super::dice::Dice;
use crate::session::words::Moment;

/// What a link is like.
#[derive(Debug, Clone)]
pub(super) struct Nature {
    pub(super) delay: Duration,
    pub(super) rate: u64,
    /// Bytes that a driver may have queued.
    pub(super) queue: u64,
    /// It dies at this byte of either direction.
    pub(super) dies_at: Option<u64>,
    /// Both ends are told of its death, or nobody.
    pub(super) is_told: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    busy_until: Duration,
    last_arrival: Duration,
    carried: u64,
}

impl Pipe {
    pub(super) fn room(&self, nature: &Nature, now: Moment) -> usize {
        let queued = self.busy_until.saturating_sub(now).as_secs_f64() * nature.rate as f64;
        nature.queue.saturating_sub(queued as u64) as usize
    }

    /// When half of the queue is free.
    pub(super) fn free_at(&self, nature: &Nature) -> Moment {
        self.busy_until
            .saturating_sub(Duration::from_secs_f64(nature.queue as f64 / 2.0 / nature.rate as f64))
    }

    /// Takes bytes; in which pieces they arrive and when, and whether the link died of them.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        nature: &Nature,
        dice: &mut Dice,
        now: Moment,
    ) -> (Vec<(Moment, Vec<u8>)>, bool) {
        let mut arrivals = Vec::new();
        let mut rest = bytes;
        let mut dies = false;
        if let Some(dies_at) = nature.dies_at
            && self.carried + bytes.len() as u64 >= dies_at
        {
            rest = &bytes[..(dies_at.saturating_sub(self.carried) as usize).min(bytes.len())];
            dies = true;
        }
        self.carried += bytes.len() as u64;
        while !rest.is_empty() {
            let most = if dice.once_in(8) { dice.between(1, 40) } else { 8192 };
            let (piece, left) = rest.split_at(rest.len().min(most as usize));
            rest = left;
            let took = Duration::from_secs_f64(piece.len() as f64 / nature.rate as f64);
            self.busy_until = self.busy_until.max(now) + took;
            self.last_arrival = self.last_arrival.max(self.busy_until + nature.delay);
            arrivals.push((self.last_arrival, piece.to_vec()));
        }
        (arrivals, dies)
    }
}
