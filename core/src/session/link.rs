//! One link of a session: what is on its way, what is to be acknowledged, and whether it still answers.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::codec::{DATA_HEAD, Frame, LONGEST};
use super::gauge::{Gauge, Stamp};
use super::limits::{ACK_BYTES, ACK_DELAY, Limits};
use super::record::Record;
use super::schedule::View;
use super::words::{Moment, Violation};

/// Bytes of an acknowledgement.
const ACK_LENGTH: usize = 3 + 9;

/// A frame on its way.
#[derive(Debug)]
struct Sent {
    record: Record,
    length: usize,
    stamp: Stamp,
}

/// A link's first frame, which may hold the session's secret.
struct Greeting(Zeroizing<Vec<u8>>);

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greeting")
    }
}

/// What a link owes, looked at after some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It answers, as far as known.
    Sound,
    /// It has just become suspect: what is on its way goes another way.
    BecameSuspect,
    /// It was suspect for too long.
    Over,
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct Link {
    /// What has come of a frame that is not whole yet.
    pub(super) inbox: Vec<u8>,
    /// The frame that comes before all else, until it is sent.
    greeting: Option<Greeting>,
    /// Whether the exporter has let it in; at the exporter always.
    pub(super) is_up: bool,
    /// Whether some of what it says may have left this host.
    pub(super) has_spoken: bool,
    /// When it began, or was let in.
    pub(super) began: Moment,
    /// When the far end said last that bulk waits for links.
    pub(super) far_waited: Option<Moment>,
    /// How many bytes the driver took last, at most.
    pub(super) room: usize,
    /// What is measured.
    pub(super) gauge: Gauge,
    in_flight: VecDeque<Sent>,
    bytes: u64,
    /// Frames in `in_flight` that have no bytes of a stream.
    bare: usize,
    /// The number of the first frame in `in_flight`.
    first: u64,
    acked: u64,
    received: u64,
    told: u64,
    untold_bytes: usize,
    tell_at: Option<Moment>,
    ping: Option<u32>,
    pong: Option<u32>,
    asked: Option<(u32, Moment)>,
    pings: u32,
    token: u32,
    heard: Moment,
    progress: Moment,
    carried_bulk: Moment,
    suspect: Option<Moment>,
}

impl Link {
    /// A link that begins with this frame.
    pub(super) fn new(greeting: &Frame<'_>, is_up: bool, now: Moment) -> Self {
        let mut first = Vec::new();
        greeting.write(&mut first);
        Self {
            inbox: Vec::new(),
            greeting: Some(Greeting(Zeroizing::new(first))),
            is_up,
            has_spoken: false,
            began: now,
            far_waited: None,
            room: LONGEST,
            gauge: Gauge::default(),
            in_flight: VecDeque::new(),
            bytes: 0,
            bare: 0,
            first: 0,
            acked: 0,
            received: 0,
            told: 0,
            untold_bytes: 0,
            tell_at: None,
            ping: None,
            pong: None,
            asked: None,
            pings: 0,
            token: 0,
            heard: now,
            progress: now,
            carried_bulk: now,
            suspect: None,
        }
    }

    /// Frames received.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes on the way.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> u64 {
        self.bytes
    }

    /// Frames on the way that have no bytes of a stream: no credit bounds them.
    pub(super) fn bare(&self) -> usize {
        self.bare
    }

    /// Whether it is let in and answers.
    pub(super) fn is_usable(&self) -> bool {
        self.is_up && self.suspect.is_none()
    }

    /// Whether it owes an answer for too long.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// Whether as much is on the way as should be.
    pub(super) fn is_full(&self) -> bool {
        self.bytes + DATA_HEAD as u64 >= self.gauge.window()
    }

    /// For the choice of a link.
    pub(super) fn view(&self) -> View {
        View {
            delay: self.gauge.delay(self.bytes),
            rate: self.gauge.rate(),
            is_full: self.is_full(),
            has_room: self.room > DATA_HEAD && self.greeting.is_none(),
        }
    }

    /// Something was heard.
    pub(super) fn hear(&mut self, now: Moment) {
        self.heard = now;
    }

    /// A counted frame was received, of so many bytes.
    pub(super) fn count(&mut self, length: usize, now: Moment) {
        self.received += 1;
        self.pings = 0;
        self.untold_bytes += length;
        let at = if self.untold_bytes >= ACK_BYTES { now } else { now + ACK_DELAY };
        self.tell_at = Some(self.tell_at.map_or(at, |known| known.min(at)));
    }

    /// The other end asks for a sign of life.
    pub(super) fn owe_pong(&mut self, token: u32) {
        self.pong = Some(token);
    }

    /// The other end gives one.
    pub(super) fn take_pong(&mut self, token: u32, now: Moment) {
        if let Some((_, at)) = self.asked.take_if(|(asked, _)| *asked == token) {
            self.gauge.round_trip(now.saturating_sub(at), now);
            self.suspect = None;
            self.progress = now;
        }
    }

    /// Asks for a sign of life.
    pub(super) fn ask(&mut self) {
        if self.ping.is_none() {
            self.token = self.token.wrapping_add(1);
            self.ping = Some(self.token);
        }
    }

    /// Notes that a frame was sent.
    pub(super) fn sent(&mut self, record: Record, length: usize, is_bulk: bool, now: Moment) {
        let stamp = self.gauge.stamp(self.in_flight.is_empty(), now);
        self.in_flight.push_back(Sent { record, length, stamp });
        self.bytes += length as u64;
        self.bare += record.is_bare();
        if is_bulk {
            self.carried_bulk = now;
        }
    }

    /// Bulk has come over it.
    pub(super) fn carried_bulk(&mut self, now: Moment) {
        self.carried_bulk = now;
    }

    /// The other end has received so many frames: the records of those that are on their way.
    pub(super) fn acked(&mut self, frames: u64, now: Moment) -> Result<Vec<Record>, Violation> {
        if frames < self.acked || frames > self.first + self.in_flight.len() as u64 {
            return Err(Violation::Ack);
        }
        if frames == self.acked {
            return Ok(Vec::new());
        }
        self.acked = frames;
        self.pings = 0;
        self.progress = now;
        self.suspect = None;
        let was_full = self.bytes + LONGEST as u64 >= self.gauge.window();
        let many = usize::try_from(frames.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let many = many.min(self.in_flight.len());
        let (mut bytes, mut last, mut records) = (0, None, Vec::with_capacity(many));
        for sent in self.in_flight.drain(..many) {
            bytes += sent.length as u64;
            last = Some(sent.stamp);
            records.push(sent.record);
        }
        self.first += many as u64;
        self.bytes -= bytes;
        self.bare -= records.iter().map(Record::is_bare).sum::<usize>();
        if let Some(stamp) = last {
            self.gauge.acked(stamp, bytes, was_full, now);
        }
        Ok(records)
    }

    /// What is on its way, with the numbers of the frames: it is to go another way.
    pub(super) fn take_in_flight(&mut self) -> Vec<(u64, Record)> {
        let first = self.first;
        self.first += self.in_flight.len() as u64;
        (self.bytes, self.bare) = (0, 0);
        self.in_flight.drain(..).zip(first..).map(|(sent, number)| (number, sent.record)).collect()
    }

    /// Appends the greeting, if it still waits. Whether it has gone.
    pub(super) fn write_greeting(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        match &self.greeting {
            None => true,
            Some(greeting) if greeting.0.len() <= room => {
                out.extend_from_slice(&greeting.0);
                self.greeting = None;
                true
            }
            Some(_) => false,
        }
    }

    /// Appends signs of life that are asked for.
    pub(super) fn write_signs(&mut self, room: usize, out: &mut Vec<u8>, now: Moment) {
        if room < 2 * (3 + 4) {
            return;
        }
        if let Some(token) = self.pong.take() {
            Frame::Pong(token).write(out);
        }
        if let Some(token) = self.ping.take() {
            Frame::Ping(token).write(out);
            self.asked = Some((token, now));
        }
    }

    /// Appends an acknowledgement, if it is time for it, or anyway if there is something to acknowledge.
    pub(super) fn write_ack(
        &mut self,
        room: usize,
        out: &mut Vec<u8>,
        bulk_waits: bool,
        anyway: bool,
        now: Moment,
    ) {
        let is_due = self.tell_at.is_some_and(|at| anyway || now >= at);
        if is_due && room >= ACK_LENGTH {
            Frame::Ack { frames: self.received, bulk_waits }.write(out);
            (self.told, self.untold_bytes, self.tell_at) = (self.received, 0, None);
        }
    }

    /// Whether there is something to acknowledge.
    pub(super) fn owes_ack(&self) -> bool {
        self.told < self.received
    }

    /// The other end has its doubts: what is on its way goes another way.
    pub(super) fn doubt(&mut self, now: Moment) {
        self.suspect.get_or_insert(now);
    }

    /// Since when an answer is owed, if one is.
    fn owed_since(&self) -> Option<Moment> {
        let sent = self.in_flight.front().map(|sent| sent.stamp.at);
        let asked = self.asked.map(|(_, at)| at);
        [sent, asked].into_iter().flatten().min()
    }

    /// Until when it is sound, if nothing is heard.
    fn patient_until(&self, limits: &Limits) -> Option<Moment> {
        let patience = self.gauge.patience(limits.patience);
        let owed = self.owed_since()?;
        // One that speaks but never acknowledges is stuck one way.
        let silent = owed.max(self.heard) + patience;
        let stuck = owed.max(self.progress) + patience * 3;
        Some(silent.min(stuck))
    }

    /// When it is asked for a sign of life, if nothing is heard and there are streams.
    fn ask_at(&self, ping: Option<(Duration, Duration)>) -> Option<Moment> {
        let (first, longest) = ping?;
        let pause = first.saturating_mul(2_u32.saturating_pow(self.pings.min(16))).min(longest);
        let since = self.heard.max(self.asked.map_or(Duration::ZERO, |(_, at)| at));
        (self.asked.is_none() && self.ping.is_none()).then_some(since + pause)
    }

    /// When something is to be done; `ping` says how long nothing is heard, at first and at most, until it is asked.
    pub(super) fn wake_at(&self, limits: &Limits, ping: Option<(Duration, Duration)>) -> Option<Moment> {
        let due = match (self.is_up, self.suspect) {
            (false, _) => None,
            (true, Some(since)) => Some(since + self.over_after(limits)),
            (true, None) => [self.patient_until(limits), self.ask_at(ping)].into_iter().flatten().min(),
        };
        // Without room for it, the driver says when there is some.
        let tell_at = self.tell_at.filter(|_| self.room >= ACK_LENGTH);
        [due, tell_at].into_iter().flatten().min()
    }

    fn over_after(&self, limits: &Limits) -> Duration {
        limits.suspect.max(self.gauge.patience(limits.patience) * 2)
    }

    /// Looks whether it still answers.
    pub(super) fn look(&mut self, limits: &Limits, ping: Option<(Duration, Duration)>, now: Moment) -> State {
        if !self.is_up {
            return State::Sound;
        }
        if let Some(since) = self.suspect {
            return if now >= since + self.over_after(limits) { State::Over } else { State::Sound };
        }
        if self.patient_until(limits).is_some_and(|until| now >= until) {
            self.suspect = Some(now);
            self.asked = None;
            self.ask();
            return State::BecameSuspect;
        }
        if self.ask_at(ping).is_some_and(|at| now >= at) {
            self.ask();
            self.pings += 1;
        }
        State::Sound
    }

    /// Since when no bulk has passed over it.
    pub(super) fn is_spare_since(&self) -> Moment {
        self.carried_bulk
    }
}
