//! What is measured of a link: its round trip, what it carries, how much to have on the way, and how long to wait for an answer.
//!
//! A link is reliable, so this is no congestion control: tor has its own. It only keeps the queue before a link short, since bytes in it
//! delay key presses and can't be taken back. What the path takes without that queue is measured by letting it run empty now and then.

use std::time::Duration;

use super::limits::ACK_DELAY;
use super::words::Moment;

/// On the way before anything was measured, and at least.
const FIRST_WINDOW: u64 = 128 * 1024;
const LEAST_WINDOW: u64 = 32 * 1024;
/// More would be kept in vain: a stream's bytes wait for each other.
const MOST_WINDOW: u64 = 2 * 1024 * 1024;
/// What is on the way, as a multiple of what fills the path exactly. The rest waits in a queue: with a frame or
/// two more, an echo beside bulk takes a third longer at most.
const GAIN: f64 = 1.15;
/// What is assumed of a link that has not answered yet: worse than one that has.
const UNKNOWN: Duration = Duration::from_secs(1);
/// Rates are forgotten in steps of this many round trips.
const ROUNDS: u32 = 8;
/// One round in so many has less on the way, so that the queue is empty for once. It costs a hundredth of what the link carries.
const DRAIN_EVERY: u32 = 32;
const DRAINED: f64 = 0.7;
/// A round trip that is so many times as long as that of the path is one with a queue.
const QUEUED: f64 = 1.4;

/// What is noted of a frame when it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    /// When.
    pub(super) at: Moment,
    delivered: u64,
    delivered_at: Moment,
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct Gauge {
    shortest: Option<Duration>,
    smoothed: Duration,
    deviation: Duration,
    /// The shortest round trip since the queue was let run empty, and between the two times before.
    recent: [Duration; 2],
    /// Bytes a second, the same way.
    rates: [f64; 2],
    step_began: Moment,
    delivered: u64,
    delivered_at: Moment,
    window: u64,
    /// Whether the window still doubles.
    is_starting: bool,
    round_began: u64,
    rounds: u32,
    rate_before: f64,
    rounds_without: u32,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            shortest: None,
            smoothed: Duration::ZERO,
            deviation: Duration::ZERO,
            recent: [Duration::MAX; 2],
            rates: [0.0; 2],
            step_began: Duration::ZERO,
            delivered: 0,
            delivered_at: Duration::ZERO,
            window: FIRST_WINDOW,
            is_starting: true,
            round_began: 0,
            rounds: 0,
            rate_before: 0.0,
            rounds_without: 0,
        }
    }
}

impl Gauge {
    /// Notes that a frame is sent, where nothing else is on the way or something is.
    pub(super) fn stamp(&mut self, is_idle: bool, now: Moment) -> Stamp {
        if is_idle {
            self.delivered_at = now;
        }
        Stamp { at: now, delivered: self.delivered, delivered_at: self.delivered_at }
    }

    /// A round trip was measured.
    pub(super) fn round_trip(&mut self, took: Duration, now: Moment) {
        match self.shortest {
            None => {
                (self.shortest, self.smoothed, self.deviation) = (Some(took), took, took / 2);
                (self.recent, self.step_began) = ([took, Duration::MAX], now);
            }
            Some(shortest) => {
                self.shortest = Some(shortest.min(took));
                self.deviation = (self.deviation * 3 + self.smoothed.abs_diff(took)) / 4;
                self.smoothed = (self.smoothed * 7 + took) / 8;
            }
        }
        if now.saturating_sub(self.step_began) > self.smoothed * ROUNDS {
            self.step_began = now;
            self.rates = [0.0, self.rates[0]];
        }
        self.recent[0] = self.recent[0].min(took);
    }

    /// So many bytes were acknowledged; the stamp is that of the last frame of them. `was_full` says whether the window was in use.
    pub(super) fn acked(&mut self, stamp: Stamp, bytes: u64, was_full: bool, now: Moment) {
        self.round_trip(now.saturating_sub(stamp.at), now);
        self.delivered += bytes;
        self.delivered_at = now;
        let shortest = self.shortest.unwrap_or(UNKNOWN);
        // A queue says as well that the link is in use: what fills it may be less than a window that is too large.
        let is_used = was_full || self.smoothed > self.path().mul_f64(QUEUED);
        // Acknowledgements that come in one heap must not look like a quick link.
        let took = now.saturating_sub(stamp.delivered_at).max(shortest).max(Duration::from_millis(1));
        let rate = (self.delivered - stamp.delivered) as f64 / took.as_secs_f64();
        if is_used || rate > self.rate() {
            self.rates[0] = self.rates[0].max(rate);
        }
        if stamp.delivered >= self.round_began {
            self.round_began = self.delivered;
            self.end_round(is_used, shortest);
        }
    }

    fn end_round(&mut self, is_used: bool, shortest: Duration) {
        if self.is_starting {
            if !is_used {
                return;
            }
            if self.rate() < self.rate_before * 1.25 {
                self.rounds_without += 1;
            } else {
                (self.rate_before, self.rounds_without) = (self.rate(), 0);
            }
            if self.rounds_without < 2 && self.smoothed < shortest.mul_f64(QUEUED) {
                self.window = (self.window * 2).min(MOST_WINDOW);
                return;
            }
            self.is_starting = false;
            self.rounds = DRAIN_EVERY - 1;
            self.window = ((self.rate() * shortest.as_secs_f64()) as u64).clamp(LEAST_WINDOW, MOST_WINDOW);
            return;
        }
        if !is_used {
            return;
        }
        self.rounds += 1;
        let filled = self.rate() * self.path().as_secs_f64();
        let window = if self.rounds.is_multiple_of(DRAIN_EVERY) {
            self.recent = [Duration::MAX, self.recent[0]];
            (filled * DRAINED) as u64
        } else {
            (filled * GAIN) as u64 + LEAST_WINDOW / 2
        };
        self.window = window.clamp(LEAST_WINDOW, MOST_WINDOW);
    }

    /// The round trip without a queue of ours, as far as known. The shortest one ever would starve a path that has become slower.
    fn path(&self) -> Duration {
        match self.recent[0].min(self.recent[1]) {
            Duration::MAX => UNKNOWN,
            path => path,
        }
    }

    /// Bytes a second, as far as known.
    pub(super) fn rate(&self) -> f64 {
        let rate = self.rates[0].max(self.rates[1]);
        match rate > 0.0 {
            true => rate,
            false => FIRST_WINDOW as f64 / self.shortest.unwrap_or(UNKNOWN).as_secs_f64().max(0.001),
        }
    }

    /// How many bytes to have on the way at most.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// How long a byte takes to the other end, behind so many others.
    pub(super) fn delay(&self, in_flight: u64) -> Duration {
        let one_way = self.path() / 2;
        // What fills the path is no queue.
        let queued = (in_flight as f64 / self.rate() - 2.0 * one_way.as_secs_f64()).clamp(0.0, 60.0);
        one_way + Duration::from_secs_f64(queued)
    }

    /// The shortest round trip, once one was measured.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.shortest
    }

    /// How long an answer may take until the link is suspect.
    pub(super) fn patience(&self, (least, most): (Duration, Duration)) -> Duration {
        match self.shortest {
            None => most.min(least * 3),
            Some(_) => (self.smoothed * 2 + self.deviation * 4 + ACK_DELAY * 2).clamp(least, most),
        }
    }
}

#[cfg(test)]
mod tests;
