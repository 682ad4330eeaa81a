//! What an engine tells of its own standing when it is asked: the facts that `ormesh doctor` is about.

use std::collections::BTreeMap;

use crate::model::onion::OnionAddress;

/// A moment's standing. What was not told is none: an engine that does not run tells nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Relays, or bridges, that a connection stands to.
    pub relays: Option<u32>,
    /// Whether the network is taken for reachable.
    pub is_live: Option<bool>,
    /// From when to when the consensus in use is valid, in seconds since 1970-01-01 UTC.
    pub consensus: Option<(u64, u64)>,
    /// Our services.
    pub services: BTreeMap<OnionAddress, ServiceSurvey>,
}

/// How it stands with one of our services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSurvey {
    /// Directories that confirmed the present descriptor.
    pub confirmed: u32,
    /// Why a directory did not take it, in tor's word, when none did.
    pub refused: Option<String>,
    /// Introduction points that stand.
    pub introductions: u32,
}
