//! A deadline for who waits, which a process that was kept from running does not hold against the other end.

use std::pin::pin;
use std::time::Duration;

/// One look at the clock: a machine that stands still, or has no time for this process, takes at most one of them.
const SLICE: Duration = Duration::from_secs(1);

/// What comes of `work` within so many seconds; none when nothing did.
pub(super) async fn within<T>(seconds: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..seconds {
        if let Ok(done) = tokio::time::timeout(SLICE, &mut work).await {
            return Some(done);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_looks_again_before_it_gives_up() {
        let (answer, asked) = oneshot::channel();
        let waiting = tokio::spawn(within(10, asked));
        tokio::task::yield_now().await;

        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
        answer.send(7).unwrap();

        assert_eq!(waiting.await.unwrap(), Some(Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_in_time() {
        let start = tokio::time::Instant::now();

        assert_eq!(within(10, std::future::pending::<()>()).await, None);

        assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
    }
}
