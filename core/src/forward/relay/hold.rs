//! One held connection: how long it may continue when one side sends or takes nothing more.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::forward::holds::Held;
use crate::model::pauses::Pauses;

/// The first and the longest time between two looks whether a held application is gone.
pub(super) const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Why a hold is over.
pub(super) enum Over {
    /// The application was seen to be gone.
    Gone,
    /// Nothing moved for too long.
    Quiet,
    /// Another has taken its place.
    Ousted,
}

/// One held connection.
pub(super) struct Hold {
    /// When bytes last moved.
    since: Instant,
    /// Until the next look; none before the first.
    timer: Option<Pin<Box<Sleep>>>,
    looks: Pauses,
    place: Option<Held>,
}

impl Hold {
    /// With a place that another connection may need, if it has one.
    pub(super) fn new(place: Option<Held>) -> Self {
        Self { since: Instant::now(), timer: None, looks: Pauses::new(LOOK), place }
    }

    /// Bytes have moved.
    pub(super) fn moved(&mut self) {
        self.since = Instant::now();
        if let Some(place) = &mut self.place {
            place.moved();
        }
    }

    /// `is_gone` is asked now and then.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        patience: Duration,
        mut is_gone: impl FnMut() -> bool,
    ) -> Poll<Over> {
        if let Some(place) = &mut self.place
            && place.poll_given_up(cx).is_ready()
        {
            return Poll::Ready(Over::Ousted);
        }
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            let (now, end) = (Instant::now(), self.since + patience);
            if is_gone() {
                return Poll::Ready(Over::Gone);
            }
            if now >= end {
                return Poll::Ready(Over::Quiet);
            }
            let next = end.min(now + self.looks.after_failure());
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(next),
                none => *none = Some(Box::pin(sleep_until(next))),
            }
        }
    }
}
