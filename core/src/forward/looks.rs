//! One look at something slow for all who ask at the same time: who asked before it began takes what it found.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What the last look found, and when it began.
#[derive(Debug)]
pub(super) struct Looks<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Looks<T> {
    /// Nothing was looked at yet.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// What is there, as of a look that began after `asked`. Blocks while another one is on.
    ///
    /// Errors: those of the look; they are for nobody else.
    pub(super) fn after<E>(&self, asked: Instant, look: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = last.as_ref().filter(|(began, _)| *began > asked) {
            return Ok(Arc::clone(found));
        }
        // It is of no use to anybody any more.
        *last = None;
        let began = Instant::now();
        let found = Arc::new(look()?);
        *last = Some((began, Arc::clone(&found)));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn those_who_wait_share_one_look_and_none_takes_an_older_one() {
        let (looks, times) = (Looks::new(), AtomicU32::new(0));
        let look = || Ok::<_, ()>(times.fetch_add(1, Ordering::Relaxed) + 1);
        let (begun, is_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();

        let shared: Vec<u32> = thread::scope(|scope| {
            let first = scope.spawn(|| {
                looks.after(Instant::now(), move || {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    look()
                })
            });
            is_begun.recv().unwrap();
            // They ask while it is on: it may have passed what they ask for.
            let others: Vec<_> = (0..8).map(|_| Instant::now()).collect();
            thread::sleep(Duration::from_millis(1));
            go_on.send(()).unwrap();
            assert_eq!(*first.join().unwrap().unwrap(), 1);
            let others = others.into_iter().map(|asked| *looks.after(asked, look).unwrap());
            others.collect()
        });

        assert_eq!(shared, [2; 8], "one more look for all of them");
        thread::sleep(Duration::from_millis(1));
        assert_eq!(*looks.after(Instant::now(), look).unwrap(), 3, "an older look is nobody's");
    }

    #[test]
    fn a_look_that_failed_is_tried_again_by_the_next() {
        let looks = Looks::new();
        let asked = Instant::now();
        thread::sleep(Duration::from_millis(1));
        assert_eq!(looks.after(asked, || Err("no")).unwrap_err(), "no");
        assert_eq!(*looks.after(asked, || Ok::<_, &str>(1)).unwrap(), 1);
    }
}
