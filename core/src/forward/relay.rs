//! The relay: copies bytes both ways between two streams until one of them ends, and ends the other as its rule says.
//!
//! It is lazy: all relays of a thread share one buffer of [`CHUNK`] bytes, and only what a stalled peer leaves is kept on the heap,
//! at most [`CHUNK`] bytes a direction, only while it stalls. So an idle connection costs no buffer. Who the two streams are, and who
//! counts their bytes, is the caller's business.
//!
//! Invariant: an end of file is passed on only where one came. Whatever else ends a relay, its being dropped and the end of this
//! process included, resets what can be reset.

mod hold;
mod way;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::capacity;
use super::holds::Holds;
use super::sockets::Abort;
use crate::model::config::HalfClose;
use hold::{Hold, Over};
use way::{End, Way};

/// Bytes of the shared buffer, hence of one read.
pub const CHUNK: usize = 64 * 1024;

/// How long a held connection may be quiet, both ways. Far more than servers take for an answer, or their own patience; it only serves
/// to let go of a far side that is gone without a word.
pub const HOLD_QUIET: Duration = Duration::from_secs(15 * 60);

/// The same where both sides' ends are carried: a day, which is the longest that a session is held.
const CARRY_QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a side that takes no more bytes is given for what it said before.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// How long the surviving side is read, and its bytes thrown away, so that a reset doesn't overtake what was just written to it.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// What happens when the near side sends its last byte. (The far side's end always ends everything, once its bytes are delivered: a Tor
/// stream ends both ways at once.)
#[derive(Debug, Clone)]
pub enum OnNearEnd {
    /// Hold it back, as [`HalfClose::Hold`] says.
    Hold(Arc<Holds>),
    /// Pass it on, and go on the other way.
    Pass,
    /// End everything: a gate's rule.
    End,
    /// Pass each side's end on as it is: both can carry it.
    Carry,
}

impl OnNearEnd {
    /// The rule for an application's connection: the one place that decides it. Through a session, ends are carried as they are.
    pub fn for_application(half_close: HalfClose, holds: &Arc<Holds>, is_session: bool) -> Self {
        match half_close {
            _ if is_session => Self::Carry,
            HalfClose::Hold => Self::Hold(Arc::clone(holds)),
            HalfClose::Pass => Self::Pass,
        }
    }
}

/// Why a relay ended. Bytes read before an end of stream were delivered.
#[derive(Debug, thiserror::Error)]
pub enum Ending {
    /// The near side ended, and that ends all.
    #[error("it ended")]
    Near,
    /// The far side ended.
    #[error("the far side ended")]
    Far,
    /// Both have ended, each in its own time.
    #[error("both sides ended")]
    Both,
    /// One side had ended and the other was waited for, and nothing moved for this time.
    #[error("one side had ended, and nothing came from the other for {} minutes", .0.as_secs() / 60)]
    Quiet(Duration),
    /// The near side had closed its side and was held, the one quiet longest, and its place was needed.
    #[error("the application had closed its side, and another connection needed the place")]
    Ousted,
    /// The near side's connection broke.
    #[error("the connection broke: {0}")]
    NearBroke(io::Error),
    /// The far side's connection broke.
    #[error("{}", far_broke(.0))]
    FarBroke(io::Error),
}

/// What we know of how it broke says all; the system's words need to be told whose connection it was.
fn far_broke(error: &io::Error) -> String {
    match error.get_ref() {
        Some(why) => why.to_string(),
        None => format!("the far side's connection broke: {error}"),
    }
}

impl Ending {
    /// Whether the near side was cut off although it had done nothing to end it: what it has may be a part of what was sent.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Quiet(_) | Self::Ousted | Self::FarBroke(_))
    }
}

/// Counts bytes as they are read.
pub trait Meter: Unpin {
    /// From the near side.
    fn count_up(&self, bytes: usize);
    /// From the far side.
    fn count_down(&self, bytes: usize);
}

/// Bytes carried, for all sessions of one listener.
#[derive(Debug, Default)]
pub struct Traffic {
    up: AtomicU64,
    down: AtomicU64,
}

impl Traffic {
    /// Bytes from the near side to the far one.
    pub fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Bytes from the far side to the near one.
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }
}

impl Meter for Traffic {
    fn count_up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    fn count_down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl<M: Meter + ?Sized> Meter for Arc<M> {
    fn count_up(&self, bytes: usize) {
        (**self).count_up(bytes);
    }
    fn count_down(&self, bytes: usize) {
        (**self).count_down(bytes);
    }
}

/// Carries bytes between two streams until it is over, then closes both: in order where one has ended, by a reset otherwise.
///
/// `first` are bytes of the near side that were read already; they are not counted again.
pub async fn run<A, B>(mut near: A, mut far: B, first: Vec<u8>, rule: OnNearEnd, meter: impl Meter) -> Ending
where
    A: AsyncRead + AsyncWrite + Abort + Unpin,
    B: AsyncRead + AsyncWrite + Abort + Unpin,
{
    near.reset_on_close(true);
    far.reset_on_close(true);
    let (ending, lost) = {
        let mut relay = pin!(Relay::new(&mut near, &mut far, first, rule, meter));
        let ending = relay.as_mut().await;
        (ending, relay.lost())
    };
    match &ending {
        Ending::Near => {
            drop(near);
            linger(far, lost).await;
        }
        Ending::Far => {
            drop(far);
            linger(near, lost).await;
        }
        Ending::Both => {
            // All is delivered.
            near.reset_on_close(false);
            far.reset_on_close(false);
        }
        Ending::NearBroke(_) => far.abort(&ending.to_string()),
        Ending::Quiet(_) | Ending::Ousted | Ending::FarBroke(_) => near.abort(&ending.to_string()),
    }
    ending
}

/// Ends a stream whose last bytes were just written: says so, then reads what still comes until the peer ends too. A peer whose bytes
/// could not be delivered, those that are read here or some before (`lost`), sees a reset after that end.
async fn linger<S: AsyncRead + AsyncWrite + Abort + Unpin>(mut stream: S, mut lost: bool) {
    stream.reset_on_close(false);
    let drain = poll_fn(|cx| {
        ready!(Pin::new(&mut stream).poll_shutdown(cx))?;
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..way::BUDGET {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut stream).poll_read(cx, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(io::Result::Ok(()));
                }
                lost = true;
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    });
    // Whether it ended, broke or took too long: it is dropped.
    let _ = timeout(LINGER, drain).await;
    if lost {
        stream.reset_on_close(true);
    }
}

/// The copying itself, over borrowed streams; see [`run`].
struct Relay<'a, A, B, M> {
    near: &'a mut A,
    far: &'a mut B,
    up: Way,
    down: Way,
    rule: OnNearEnd,
    meter: M,
    /// The near side's end was passed on, and the far side's.
    passed: (bool, bool),
    hold: Option<Box<Hold>>,
}

impl<'a, A, B, M> Relay<'a, A, B, M>
where
    A: AsyncRead + AsyncWrite + Abort + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
    M: Meter,
{
    fn new(near: &'a mut A, far: &'a mut B, first: Vec<u8>, rule: OnNearEnd, meter: M) -> Self {
        let up = Way::after(first);
        let down = Way::default();
        Self { near, far, up, down, rule, meter, passed: (false, false), hold: None }
    }

    /// The same where each side's end is passed on.
    fn carry(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if matches!(self.up.end, Some(End::Eof)) && !self.passed.0 {
            match Pin::new(&mut *self.far).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.passed.0 = true,
                // What was said last has not arrived.
                Poll::Ready(Err(error)) => self.up.end = Some(End::Write(error)),
                Poll::Pending => {}
            }
        }
        if matches!(self.down.end, Some(End::Eof)) && !self.passed.1 {
            self.passed.1 = Pin::new(&mut *self.near).poll_shutdown(cx).is_ready();
        }
        match (&mut self.up.end, &mut self.down.end) {
            (_, Some(End::Read(error))) | (Some(End::Write(error)), Some(_)) => {
                Poll::Ready(Ending::FarBroke(take(error)))
            }
            (Some(End::Read(error)), _) | (Some(End::Eof), Some(End::Write(error))) => {
                Poll::Ready(Ending::NearBroke(take(error)))
            }
            (Some(End::Eof), Some(End::Eof)) if self.passed == (true, true) => Poll::Ready(Ending::Both),
            // All it has said has arrived, and it may be gone: then nobody hears an answer.
            (Some(End::Eof), None) if self.passed.0 => self.poll_hold(cx),
            (Some(End::Eof) | None, Some(End::Eof) | None) => Poll::Pending,
            // One side takes no more bytes. What it sent before may still be on its way, so it is given some time.
            (Some(End::Write(_)), None) | (None, Some(End::Write(_))) => self.poll_hold(cx),
        }
    }

    /// What is to be done once both directions have gone as far as they can.
    fn settle(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if matches!(self.rule, OnNearEnd::Carry) {
            return self.carry(cx);
        }
        match (&mut self.up.end, &mut self.down.end) {
            (_, Some(End::Eof)) => return Poll::Ready(Ending::Far),
            (_, Some(End::Read(error))) => return Poll::Ready(Ending::FarBroke(take(error))),
            (Some(End::Read(error)), _) => return Poll::Ready(Ending::NearBroke(take(error))),
            (Some(End::Write(error)), Some(End::Write(_))) => {
                return Poll::Ready(Ending::FarBroke(take(error)));
            }
            (Some(End::Eof), Some(End::Write(_))) => return Poll::Ready(Ending::Near),
            (Some(End::Eof), None) => match &self.rule {
                OnNearEnd::End => return Poll::Ready(Ending::Near),
                OnNearEnd::Pass => {
                    if !self.passed.0 && Pin::new(&mut *self.far).poll_shutdown(cx).is_ready() {
                        self.passed.0 = true;
                    }
                    return Poll::Pending;
                }
                OnNearEnd::Hold(_) | OnNearEnd::Carry => {}
            },
            // One side takes no more bytes. What it sent before may still be on its way, so it is given a hold's time.
            (Some(End::Write(_)), None) | (None, Some(End::Write(_))) => {}
            (None, None) => return Poll::Pending,
        }
        self.poll_hold(cx)
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let is_stuck = |end: &Option<End>| matches!(end, Some(End::Write(_)));
        let stuck = is_stuck(&self.up.end) || is_stuck(&self.down.end);
        let patience = match &self.rule {
            _ if stuck => LAST_WORDS,
            // It can be held for longer than others, and ends with its session.
            OnNearEnd::Carry => CARRY_QUIET,
            OnNearEnd::Hold(_) | OnNearEnd::Pass | OnNearEnd::End => HOLD_QUIET,
        };
        let moved = self.down.moved | self.up.moved;
        let hold = match &mut self.hold {
            Some(hold) => {
                if moved {
                    hold.moved();
                }
                hold
            }
            none => {
                let place = match &self.rule {
                    OnNearEnd::Hold(holds) => {
                        let place = holds.enter();
                        capacity::one_more_held();
                        Some(place)
                    }
                    OnNearEnd::Pass | OnNearEnd::End | OnNearEnd::Carry => None,
                };
                none.insert(Box::new(Hold::new(place)))
            }
        };
        let over = ready!(hold.poll(cx, patience, || self.near.is_gone()));
        Poll::Ready(match (over, &mut self.up.end, &mut self.down.end) {
            // A side that takes no more bytes is broken, not held.
            (_, _, Some(End::Write(error))) => Ending::NearBroke(take(error)),
            (_, Some(End::Write(error)), _) => Ending::FarBroke(take(error)),
            (Over::Gone, ..) => Ending::Near,
            (Over::Quiet, ..) => Ending::Quiet(patience),
            (Over::Ousted, ..) => Ending::Ousted,
        })
    }

    /// Whether bytes that were read could not be delivered.
    fn lost(&self) -> bool {
        let lost = |way: &Way| !way.kept.is_empty() || matches!(way.end, Some(End::Write(_)));
        lost(&self.up) || lost(&self.down)
    }
}

impl<A, B, M> Future for Relay<'_, A, B, M>
where
    A: AsyncRead + AsyncWrite + Abort + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
    M: Meter,
{
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        let this = &mut *self;
        (this.up.moved, this.down.moved) = (false, false);
        let (down, up) = BUFFER.with_borrow_mut(|buffer| {
            let down = this.down.advance(cx, this.far, this.near, buffer);
            let up = this.up.advance(cx, this.near, this.far, buffer);
            (down, up)
        });
        if down > 0 {
            this.meter.count_down(down);
        }
        if up > 0 {
            this.meter.count_up(up);
        }
        this.settle(cx)
    }
}

/// An `io::Error` can't be cloned; the one left behind is never looked at.
fn take(error: &mut io::Error) -> io::Error {
    std::mem::replace(error, io::ErrorKind::Other.into())
}

#[cfg(test)]
mod tests;
