//! The reports: one variant for each thing that can be learnt about this host and its remotes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::address::Port;
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::status::TorStatus;
use crate::model::tor::{DialError, EngineState, Survey};

/// The ports of a remote that have no room: open connections, and how many there can be of all.
pub type Full = BTreeMap<Port, (u64, u64)>;

/// See the file's sentence. When it was learnt comes beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// By the engine: what it is doing.
    Engine(EngineState),
    /// By the engine: which tor it runs.
    Tor(TorStatus),
    /// By the engine: what is wrong with this host's clock, in a sentence, as tor found by others' clocks.
    Clock(Option<String>),
    /// By the engine: tor has ended, or dropped all that it was given.
    Lost,
    /// By doctor: how tor stood when it was asked.
    Surveyed(Survey),

    /// By the executor: the service, or its new ports, were published, so a new descriptor will be uploaded.
    Given(OnionAddress),
    /// By the engine: a directory took the descriptor of this service.
    Uploaded(OnionAddress),
    /// By the engine: how many introduction points of each service stand.
    Introductions(BTreeMap<OnionAddress, u32>),
    /// By the engine: the introduction points of all services lead nowhere, though tor says that they stand.
    IntroductionsDeserted,
    /// By the executor: the service was published again because it had no introduction point.
    Renewed(OnionAddress),
    /// By the engine: the network was shown to be there.
    NetworkProven,
    /// By the executor: tor has this service no more.
    Withdrawn(OnionAddress),
    /// By the stranger: this service refused a dial without its key, as it must.
    StrangerRefused(OnionAddress),
    /// By the stranger: this service let in a dial without its key.
    StrangerLetIn(OnionAddress),

    /// By the dialler: an attempt to reach a remote has ended.
    Dialled {
        /// Whose service was dialled.
        remote: OnionAddress,
        /// How it ended.
        outcome: Result<(), DialError>,
        /// From the CONNECT to its reply.
        took: Duration,
        /// Whether its circuit was there already: else `took` includes the building.
        warm: bool,
    },
    /// By warming, `ping` or doctor: a remote's agent has answered over an existing circuit.
    Answered {
        /// Whose.
        remote: OnionAddress,
        /// From question to answer.
        took: Duration,
        /// The ports that it exports to us, where it told.
        ports: Option<BTreeSet<Port>>,
    },
    /// By a remote's agent, when it was asked: which of its ports have no room. None when it did not answer.
    Full(OnionAddress, Option<Full>),
    /// By the executor: tor has the key for this remote no more.
    KeyRemoved(OnionAddress),

    /// By the vault: what is wrong with the secret store, as it answered last.
    Store(Option<Problem>),
}
