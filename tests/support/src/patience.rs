//! Waiting for what nobody announces: a look now and then, and a deadline that only a broken program meets.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for the slowest machine; nothing waits for it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(20);

/// What a look may give: whether something is so, or what was waited for.
pub trait Awaited {
    /// What has come when it has.
    type Found;

    /// What has come, if it has.
    fn found(self) -> Option<Self::Found>;
}

impl Awaited for bool {
    type Found = ();

    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Awaited for Option<T> {
    type Found = T;

    fn found(self) -> Option<T> {
        self
    }
}

/// Waits until something is so, or is there, and gives it.
///
/// # Panics
///
/// When that is not within [`PATIENCE`].
#[track_caller]
pub fn until<A: Awaited>(what: &str, mut look: impl FnMut() -> A) -> A::Found {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().found() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(LOOK);
    }
}
