//! Patience with files that another program holds open for a moment, as virus scanners, editors and backups do on Windows: what they
//! refuse is tried again.

use std::io;
use std::time::Duration;

/// How often, and how long after one another: for about a second.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Does some work on a file again while the file is held by another program.
pub(super) fn patiently<T>(
    mut work: impl FnMut() -> io::Result<T>,
    is_held: impl Fn(&io::Error) -> bool,
    mut pause: impl FnMut(Duration),
) -> io::Result<T> {
    for _ in 1..TRIES {
        match work() {
            Err(error) if is_held(&error) => pause(PAUSE),
            done => return done,
        }
    }
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: i32 = 32;

    fn is_held(error: &io::Error) -> bool {
        error.raw_os_error() == Some(HELD)
    }

    /// Work that is refused so many times; gives what came of it, how often it was done and how long that took.
    fn refused(times: u32, with: i32) -> (Option<i32>, u32, Duration) {
        let (mut done, mut slept) = (0, Duration::ZERO);
        let work = || {
            done += 1;
            if done > times { Ok(()) } else { Err(io::Error::from_raw_os_error(with)) }
        };
        let result = patiently(work, is_held, |pause| slept += pause);
        (result.err().and_then(|error| error.raw_os_error()), done, slept)
    }

    #[test]
    fn what_is_held_for_a_moment_is_done_and_nobody_waits_for_what_is_free() {
        assert_eq!(refused(0, HELD), (None, 1, Duration::ZERO));
        assert_eq!(refused(3, HELD), (None, 4, 3 * PAUSE));
    }

    #[test]
    fn what_stays_held_fails_after_a_second() {
        let (error, done, slept) = refused(1000, HELD);
        assert_eq!((error, done), (Some(HELD), TRIES));
        assert!((Duration::from_millis(800)..Duration::from_millis(1500)).contains(&slept), "{slept:?}");
    }

    #[test]
    fn another_error_is_told_at_once() {
        assert_eq!(refused(1000, 2), (Some(2), 1, Duration::ZERO));
    }
}
