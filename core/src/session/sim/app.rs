//! An application at one end of a stream: writes what it is to write, reads at its own pace, and checks each byte.

use std::time::Duration;

use crate::session::incoming::Read;
use crate::session::machine::Session;
use crate::session::words::{Cut, Moment, StreamId};

/// The byte of a stream at this place.
pub(super) fn byte(stream: StreamId, up: bool, at: u64) -> u8 {
    let x = (at ^ (u64::from(stream.0) << 40) ^ (u64::from(up) << 39)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> 56) as u8
}

/// What it does.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) writes: u64,
    /// Bytes of one write, and the pause after it.
    pub(super) drip: Option<(u64, Duration)>,
    /// Bytes of one read, and the pause after it.
    pub(super) sips: Option<(u64, Duration)>,
    /// Until then it reads nothing.
    pub(super) asleep_until: Moment,
    /// It resets its connection once it has written so much.
    pub(super) resets_at: Option<u64>,
    /// It ends its side only once the other has ended.
    pub(super) ends_last: bool,
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct App {
    pub(super) stream: StreamId,
    is_up: bool,
    pub(super) plan: Plan,
    pub(super) written: u64,
    pub(super) finished: bool,
    pub(super) read: u64,
    pub(super) got_end: bool,
    pub(super) cut: Option<Cut>,
    pub(super) refused: bool,
    /// It was told so by an event, and not otherwise since.
    pub(super) is_writable: bool,
    pub(super) is_readable: bool,
    /// When it had written so much, and read so much.
    pub(super) written_at: Vec<(u64, Moment)>,
    pub(super) read_at: Vec<(u64, Moment)>,
    next_write: Moment,
    next_read: Moment,
    pub(super) done_at: Moment,
}

impl App {
    pub(super) fn new(stream: StreamId, is_up: bool, plan: Plan) -> Self {
        Self {
            stream,
            is_up,
            plan,
            written: 0,
            finished: false,
            read: 0,
            got_end: false,
            cut: None,
            refused: false,
            is_writable: true,
            is_readable: true,
            written_at: Vec::new(),
            read_at: Vec::new(),
            next_write: Duration::ZERO,
            next_read: Duration::ZERO,
            done_at: Duration::ZERO,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.cut.is_some() || self.refused || (self.finished && self.got_end)
    }

    /// Does what it can now. When it wants to go on by itself.
    pub(super) fn run(&mut self, session: &mut Session, now: Moment) -> Option<Moment> {
        if self.is_over() {
            return None;
        }
        let wakes = [self.run_reader(session, now), self.run_writer(session, now)];
        if self.is_over() {
            self.done_at = now;
        }
        wakes.into_iter().flatten().min()
    }

    fn run_writer(&mut self, session: &mut Session, now: Moment) -> Option<Moment> {
        while !self.is_over() && !self.finished && self.is_writable {
            if self.plan.resets_at.is_some_and(|at| self.written >= at) {
                session.reset(self.stream, Cut::Application);
                self.cut = Some(Cut::Application);
                return None;
            }
            if self.written == self.plan.writes {
                if self.plan.ends_last && !self.got_end {
                    return None;
                }
                session.finish(self.stream).expect("a stream that is not over is there");
                self.finished = true;
                return None;
            }
            if now < self.next_write {
                return Some(self.next_write);
            }
            let left = self.plan.writes - self.written;
            let many = left.min(self.plan.drip.map_or(20_000, |(many, _)| many));
            let bytes: Vec<u8> =
                (self.written..self.written + many).map(|at| byte(self.stream, self.is_up, at)).collect();
            let taken = session.write(self.stream, &bytes).expect("a stream that is not over is there");
            self.written += taken as u64;
            self.written_at.push((self.written, now));
            if (taken as u64) < many {
                self.is_writable = false;
                return None;
            }
            if let Some((_, pause)) = self.plan.drip {
                self.next_write = now + pause;
            }
        }
        None
    }

    fn run_reader(&mut self, session: &mut Session, now: Moment) -> Option<Moment> {
        let mut buffer = [0; 9000];
        while !self.got_end && self.is_readable {
            let due = self.next_read.max(self.plan.asleep_until);
            if now < due {
                return Some(due);
            }
            let most = self.plan.sips.map_or(buffer.len(), |(many, _)| many as usize).min(buffer.len());
            let read = session.read(self.stream, &mut buffer[..most]);
            match read.expect("a stream that is not over is there") {
                Read::Bytes(many) => {
                    for (place, got) in buffer[..many].iter().enumerate() {
                        let at = self.read + place as u64;
                        assert_eq!(
                            *got,
                            byte(self.stream, !self.is_up, at),
                            "byte {at} of {:?}",
                            self.stream
                        );
                    }
                    self.read += many as u64;
                    self.read_at.push((self.read, now));
                    if let Some((_, pause)) = self.plan.sips {
                        self.next_read = now + pause;
                    }
                }
                Read::Nothing => self.is_readable = false,
                Read::End => self.got_end = true,
            }
        }
        None
    }
}
