//! Finds the program that listens on a port in use. This reads all of /proc or its like, so it is done seldom and once for all callers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::listened;

/// How long a search may take.
const SEARCH: Duration = Duration::from_secs(2);
/// How long an answer is given again. What is blocked is tried every few seconds, and by then its holder is seldom another.
const KEPT: Duration = Duration::from_secs(60);
/// How long it is known that an address was asked for.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// How long a search's result is used for all addresses, because many imports may be blocked at the same moment.
const SHARED: Duration = Duration::from_secs(2);

/// How a holder is called that is this process.
pub(super) const OURS: &str = "this agent itself";

/// What is known of all ports.
static KNOWN: Mutex<Known> = Mutex::const_new(Known { search: None, answers: None });

/// One that listens: where, and `nginx (pid 123)`.
type Listening = (SocketAddr, String);
type Answers = HashMap<SocketAddr, (Instant, Option<String>)>;

struct Known {
    /// The last search.
    search: Option<(Instant, Vec<Listening>)>,
    answers: Option<Answers>,
}

/// Who listens on a TCP address: `nginx (pid 123)`. Other users' processes can't be seen without privilege.
pub async fn holder(addr: SocketAddr) -> Option<String> {
    KNOWN.lock().await.holder(addr, search).await
}

impl Known {
    async fn holder(
        &mut self,
        addr: SocketAddr,
        search: impl AsyncFnOnce() -> Vec<Listening>,
    ) -> Option<String> {
        let now = Instant::now();
        let answers = self.answers.get_or_insert_default();
        answers.retain(|_, (at, _)| now.duration_since(*at) < FORGOTTEN);
        let before = answers.get(&addr).cloned();
        if let Some((_, answer)) = before.clone().filter(|(at, _)| now.duration_since(*at) < KEPT) {
            return answer;
        }
        let shared = self.search.as_ref().filter(|(at, _)| now.duration_since(*at) < SHARED);
        let answer = match shared.map(|(_, listening)| best(listening, addr)) {
            Some(Some(by)) => Some(by),
            // One that can't be seen. (But who is asked for the first time may have come after that search.)
            Some(None) if before.is_some() => None,
            _ => best(&self.search.insert((now, search().await)).1, addr),
        };
        answers.insert(addr, (now, answer.clone()));
        answer
    }
}

/// The one at the very address, else one whose address overlaps.
fn best(all: &[Listening], addr: SocketAddr) -> Option<String> {
    let overlaps = |other: SocketAddr| {
        let either_any = other.ip().is_unspecified() || addr.ip().is_unspecified();
        other.port() == addr.port() && (other.ip().to_canonical() == addr.ip().to_canonical() || either_any)
    };
    let exact = all.iter().find(|(other, _)| *other == addr);
    exact.or_else(|| all.iter().find(|(other, _)| overlaps(*other))).map(|(_, by)| by.clone())
}

async fn search() -> Vec<Listening> {
    let search = tokio::task::spawn_blocking(|| {
        let said = |holder: listened::Holder| match holder.is_us() {
            true => OURS.to_owned(),
            false => format!("{} (pid {})", holder.name, holder.pid),
        };
        let seen = listened::search().into_iter();
        seen.filter_map(|(at, holder)| Some((at, said(holder?)))).collect()
    });
    timeout(SEARCH, search).await.ok().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Asks as the agent does for twenty blocked imports in ten minutes; `seen` is whether their holder can be seen. Gives the searches.
    async fn searches(seen: bool) -> u32 {
        let mut known = Known { search: None, answers: None };
        let searches = Cell::new(0);
        let addr = |n: u16| SocketAddr::from(([127, 0, 0, 1], 10_000 + n));
        let search = async || {
            searches.set(searches.get() + 1);
            let all = (0..20).filter(|_| seen);
            all.map(|n| (addr(n), "nginx (pid 1)".to_owned())).collect()
        };
        for _ in 0..150 {
            for n in 0..20 {
                let by = known.holder(addr(n), search).await;
                assert_eq!(by.as_deref(), seen.then_some("nginx (pid 1)"));
            }
            tokio::time::advance(Duration::from_secs(4)).await;
        }
        searches.get()
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_blocked_imports_cost_one_search_a_minute() {
        assert_eq!(searches(true).await, 10);
        // Each is looked for by itself once.
        assert_eq!(searches(false).await, 20 + 9);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_new_is_looked_up_at_once() {
        let mut known = Known { search: None, answers: None };
        let first = SocketAddr::from(([127, 0, 0, 1], 1));
        let second = SocketAddr::from(([0, 0, 0, 0], 2));
        assert_eq!(known.holder(first, async || Vec::new()).await, None);
        tokio::time::advance(SHARED).await;
        let found = async || vec![(SocketAddr::from(([127, 0, 0, 1], 2)), "sshd (pid 2)".to_owned())];
        assert_eq!(known.holder(second, found).await.as_deref(), Some("sshd (pid 2)"));
    }
}
