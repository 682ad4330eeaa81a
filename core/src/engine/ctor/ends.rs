//! How connections through tor ended. tor closes its SOCKS connection in the same way for an ordinary end and for a broken circuit; its
//! events tell the two apart. Here the events are matched with the connections.
//!
//! A dial asks for a name below the onion address (`c7.<56 characters>.onion`). tor cuts that off before it does anything with it, and
//! repeats it in the event that tells of the new stream (control-spec §4.1.2).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// For tor's word once it has closed a connection. It comes within milliseconds, over another connection.
const WORD: Duration = Duration::from_secs(10);

/// The connections that were dialled, and their streams in tor.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    dialled: u64,
    waiting: HashMap<u64, oneshot::Sender<End>>,
    /// tor's number of a stream → that of the connection.
    streams: HashMap<u64, u64>,
}

/// How a stream ended, by tor's words (control-spec §4.1.2, tor-spec "RELAY_END").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The other end closed it in order. (`MISC`, too: it is what peers say that tell nothing.)
    Done,
    /// We closed it, or our side of it, which ends both.
    Ours,
    /// It broke: tor's word for why.
    Broken(String),
}

impl End {
    /// Reads the end of a `STREAM` event that tells of one.
    pub(super) fn of(reason: Option<&str>, remote: Option<&str>) -> Self {
        match (reason, remote) {
            (Some("END"), Some("DONE" | "MISC")) => Self::Done,
            (Some("END"), Some(other)) | (Some(other), None) if other != "DONE" => {
                Self::Broken(other.to_owned())
            }
            (Some("DONE"), None) => Self::Ours,
            _ => Self::Broken("UNKNOWN".to_owned()),
        }
    }
}

impl Ends {
    /// A name for a connection that is about to be dialled.
    pub(super) fn expect(&self) -> Ticket {
        let (sender, told) = oneshot::channel();
        let mut known = self.known();
        known.dialled += 1;
        let number = known.dialled;
        known.waiting.insert(number, sender);
        Ticket { number, told, ends: self.clone() }
    }

    /// tor has made a stream for the connection of this name.
    pub(super) fn made(&self, stream: u64, number: u64) {
        let mut known = self.known();
        if known.waiting.contains_key(&number) {
            known.streams.insert(stream, number);
        }
    }

    /// A stream of tor has ended.
    pub(super) fn ended(&self, stream: u64, end: End) {
        let mut known = self.known();
        let waiting = known.streams.remove(&stream).and_then(|number| known.waiting.remove(&number));
        if let Some(waiting) = waiting {
            // Whoever dialled it may have let go of it.
            let _ = waiting.send(end);
        }
    }

    /// tor has ended, and with it all streams.
    pub(super) fn clear(&self) {
        let mut known = self.known();
        known.waiting.clear();
        known.streams.clear();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's name, given back on drop.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    told: oneshot::Receiver<End>,
    ends: Ends,
}

impl Ticket {
    /// What comes before the onion address.
    pub(super) fn name(&self) -> String {
        format!("c{}", self.number)
    }

    /// Waits for tor's word on how the connection ended, once it is closed. An error where the other end did not close it in order; its kind is
    /// `ConnectionReset` only if the other end did that.
    pub(super) async fn confirm(mut self) -> io::Result<()> {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset};
        let (kind, why) = match timeout(WORD, &mut self.told).await {
            Ok(Ok(End::Done)) => return Ok(()),
            Ok(Ok(End::Ours)) => (ConnectionAborted, "tor ended it both ways after our end".to_owned()),
            Ok(Ok(End::Broken(reason))) => {
                let is_theirs = reason == "CONNRESET";
                (if is_theirs { ConnectionReset } else { ConnectionAborted }, sentence(&reason))
            }
            Ok(Err(_)) => (ConnectionAborted, "the tor of this host has ended".to_owned()),
            Err(_) => (ConnectionAborted, "tor closed it without a word".to_owned()),
        };
        Err(io::Error::new(kind, why))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ends.known().waiting.remove(&self.number);
    }
}

/// The number in a stream's target, `c7.<56 characters>.onion:80`.
pub(super) fn number(target: &str) -> Option<u64> {
    target.strip_prefix('c')?.split_once('.')?.0.parse().ok()
}

fn sentence(reason: &str) -> String {
    match reason {
        "DESTROY" => "its circuit through Tor broke".to_owned(),
        "CONNRESET" => "the server broke it off".to_owned(),
        "TIMEOUT" => "it timed out".to_owned(),
        other => format!("tor says {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_in_order_only_where_the_other_end_says_so() {
        assert_eq!(End::of(Some("END"), Some("DONE")), End::Done);
        assert_eq!(End::of(Some("END"), Some("MISC")), End::Done);
        assert_eq!(End::of(Some("DONE"), None), End::Ours);
        for broken in
            [(Some("DESTROY"), None), (Some("END"), Some("CONNRESET")), (Some("END"), None), (None, None)]
        {
            assert!(matches!(End::of(broken.0, broken.1), End::Broken(_)), "{broken:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_hears_of_its_own_end() {
        let ends = Ends::default();
        let [first, second, third, last] = [(); 4].map(|()| ends.expect());
        for (stream, ticket) in [(50, &first), (51, &second), (52, &third)] {
            ends.made(stream, number(&format!("{}.x.onion:80", ticket.name())).unwrap());
        }
        ends.made(53, 999);
        ends.ended(51, End::Done);
        ends.ended(50, End::Broken("DESTROY".to_owned()));
        ends.ended(53, End::Done);

        second.confirm().await.unwrap();
        assert_eq!(first.confirm().await.unwrap_err().to_string(), "its circuit through Tor broke");
        assert_eq!(last.confirm().await.unwrap_err().to_string(), "tor closed it without a word");
        ends.clear();
        assert_eq!(third.confirm().await.unwrap_err().to_string(), "the tor of this host has ended");
        let known = ends.known();
        assert!(known.waiting.is_empty() && known.streams.is_empty(), "{known:?}");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_leaves_nothing_behind() {
        let ends = Ends::default();
        let ticket = ends.expect();
        ends.made(7, 1);
        drop(ticket);
        ends.ended(7, End::Done);

        let known = ends.known();
        assert!(known.waiting.is_empty() && known.streams.is_empty(), "{known:?}");
    }

    #[test]
    fn only_our_own_names_are_numbers() {
        assert_eq!(number("c7.abc.onion:80"), Some(7));
        for other in ["abc.onion:80", "c.abc.onion:80", "c7", "$AB~r1.exit:80", ""] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
