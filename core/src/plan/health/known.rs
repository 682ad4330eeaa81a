//! A fact with its history: since when it holds, when it was last proven, and how.

use std::time::Duration;

use crate::plan::backoff::Moment;

/// How old the last proof of the network may be while somebody looks. It is proven every two seconds then.
pub const NETWORK_LIFE: Duration = Duration::from_secs(8);
/// How old the last proof of a remote may be while somebody looks.
pub const REMOTE_LIFE: Duration = Duration::from_secs(12);
/// While somebody looks, a remote whose proof is older than this is proven again.
pub const REMOTE_AGAIN: Duration = Duration::from_secs(5);

/// What something is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// tor's own word, said unasked: a state, an event, a warning.
    TorSaid,
    /// tor's answer to a question.
    TorAnswered,
    /// A small circuit was built.
    Circuit,
    /// A directory took a descriptor.
    Upload,
    /// What a dial without the key gave.
    Stranger,
    /// What an attempt to connect gave.
    Dial,
    /// The agent at the other end answered.
    Answer,
    /// What the secret store answered last.
    Store,
}

/// See the file's sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known<T> {
    /// What is known.
    pub what: T,
    /// Since when it is so, as far as is known.
    pub since: Moment,
    /// When it was last proven.
    pub proven: Moment,
    /// By what.
    pub by: Proof,
}

impl<T: PartialEq> Known<T> {
    /// Records a proof and returns whether it changes what was known. One older than the last proof is ignored.
    pub(super) fn learn(slot: &mut Option<Self>, what: T, by: Proof, at: Moment) -> bool {
        match slot {
            Some(known) if at < known.proven => false,
            Some(known) if known.what == what => {
                (known.proven, known.by) = (at, by);
                false
            }
            _ => {
                *slot = Some(Self { what, since: at, proven: at, by });
                true
            }
        }
    }
}
