//! What `ormesh doctor` says: the layers that a connection goes through, in order, each with a verdict. How they are judged is in `plan::verdicts`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::RemoteName;
use super::problem::ProblemKind;

/// The layers in the order in which one builds upon another. The last three come once for each remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum LayerName {
    /// The agent runs, with the configuration that is on disk.
    Agent,
    /// The secret store is there, unlocked, and has the keys.
    Secrets,
    /// A tor was found that is new enough, and it runs.
    Tor,
    /// This host's clock is right.
    Clock,
    /// Relays, or bridges, of the Tor network are reached.
    Network,
    /// tor knows enough of the network to build circuits.
    Bootstrap,
    /// The descriptors of this host's services are with the directories.
    Descriptor,
    /// The introduction points of this host's services stand.
    Introduction,
    /// What listens on this host takes connections: nobody is turned away, and no address is taken by others.
    Listeners,
    /// A remote's service takes this host's key.
    Key,
    /// A remote was met at a rendezvous point, and answers.
    Rendezvous,
    /// A remote's ports accept connections there.
    Port,
}

impl LayerName {
    /// As it is called in JSON and at the start of a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Secrets => "secrets",
            Self::Tor => "tor",
            Self::Clock => "clock",
            Self::Network => "network",
            Self::Bootstrap => "bootstrap",
            Self::Descriptor => "descriptor",
            Self::Introduction => "introduction",
            Self::Listeners => "listeners",
            Self::Key => "key",
            Self::Rendezvous => "rendezvous",
            Self::Port => "port",
        }
    }

    /// The sort of problem that a failure of this layer is.
    pub fn kind(self) -> ProblemKind {
        match self {
            Self::Agent => ProblemKind::NotReady,
            Self::Secrets => ProblemKind::Secrets,
            Self::Tor | Self::Bootstrap | Self::Descriptor | Self::Introduction => ProblemKind::Tor,
            Self::Key | Self::Port => ProblemKind::Refused,
            Self::Clock | Self::Network | Self::Listeners | Self::Rendezvous => ProblemKind::Failed,
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One layer's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Layer {
    /// Which.
    pub layer: LayerName,
    /// Of which remote; none for what is this host's, and where there are no remotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub remote: Option<RemoteName>,
    /// Whether it works. None where that is not known: it was not tried, since one before it failed, or there is nothing to try it on.
    pub ok: Option<bool>,
    /// What was found, or why it was not tried; no capital at its start, no full stop.
    pub sentence: String,
    /// What to do, where there is something.
    pub hint: Option<String>,
}

impl Layer {
    /// It works.
    pub fn good(layer: LayerName, sentence: impl Into<String>) -> Self {
        Self { layer, remote: None, ok: Some(true), sentence: sentence.into(), hint: None }
    }

    /// It fails; the hint may be empty.
    pub fn bad(layer: LayerName, sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self { layer, remote: None, ok: Some(false), sentence: sentence.into(), hint }
    }

    /// Nothing is known of it.
    pub fn unknown(layer: LayerName, sentence: impl Into<String>) -> Self {
        Self { layer, remote: None, ok: None, sentence: sentence.into(), hint: None }
    }

    /// The same, of a remote.
    #[must_use]
    pub fn of(mut self, remote: &RemoteName) -> Self {
        self.remote = Some(remote.clone());
        self
    }

    /// The same, with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The first layer that fails: what is behind it may fail for that reason alone.
pub fn first_failure(layers: &[Layer]) -> Option<&Layer> {
    layers.iter().find(|layer| layer.ok == Some(false))
}
