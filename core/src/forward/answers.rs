//! What the agents of remotes answer, asked once for all who wait for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::responder::Info;
use crate::model::onion::OnionAddress;

/// When a question was asked, and what the answer was.
type Last = Option<(Instant, Option<Arc<Info>>)>;

/// The last answer of each remote.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<BTreeMap<OnionAddress, Arc<AsyncMutex<Last>>>>);

impl Answers {
    /// An answer to a question that was asked after now. Many who wait share one question. Cancel-safe: if whoever asks is gone, the next one
    /// asks.
    pub(super) async fn ask(
        &self,
        remote: &OnionAddress,
        question: impl Future<Output = Option<Info>>,
    ) -> Option<Arc<Info>> {
        let now = Instant::now();
        let last = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(*remote).or_default())
        };
        let mut last = last.lock().await;
        if let Some((asked, answer)) = &*last
            && *asked >= now
        {
            return answer.clone();
        }
        let asked = Instant::now();
        let answer = question.await.map(Arc::new);
        *last = Some((asked, answer.clone()));
        answer
    }

    /// Forgets a remote.
    pub(super) fn forget(&self, remote: &OnionAddress) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(remote);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::forward::testing::onion;

    #[tokio::test(start_paused = true)]
    async fn who_waits_at_the_same_time_shares_a_question_that_was_asked_after_it_came() {
        let (answers, asked) = (Arc::new(Answers::default()), Arc::new(AtomicUsize::new(0)));
        let question = |asked: Arc<AtomicUsize>| async move {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            None
        };
        let ask = || {
            let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
            tokio::spawn(async move { answers.ask(&onion(), question(asked)).await })
        };
        let first = ask();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let crowd: Vec<_> = (0..600).map(|_| ask()).collect();
        for one in crowd {
            one.await.unwrap();
        }

        assert!(first.is_finished());
        assert_eq!(asked.load(Ordering::Relaxed), 2, "that of the first was asked before the others came");
    }
}
