//! What the window and the tray are told of the agent: one value, whole at each change. How it comes about is in `keeper`.

use ormesh_core::model::problem::Problem;
use ormesh_core::model::status::Status;
use serde::{Deserialize, Serialize};

/// How it stands with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum AgentPresence {
    /// It ended, or was never there.
    None,
    /// The app started it, and it does not answer yet.
    Starting,
    /// It answers.
    Running,
    /// One runs that speaks another version of the protocol.
    OtherVersion,
}

/// The host as the app knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "AgentView"))]
pub(crate) struct View {
    /// The agent's presence.
    pub(crate) agent: AgentPresence,
    /// The last status known. Without an agent it is that of the configuration alone; none when that can't be read.
    #[cfg_attr(test, ts(type = "Status | null"))]
    pub(crate) status: Option<Status>,
    /// Why there is no agent, or why it can't be spoken to.
    #[cfg_attr(test, ts(type = "Problem | null"))]
    pub(crate) problem: Option<Problem>,
    /// Since when a running agent has answered nothing, in seconds since 1970-01-01 UTC: what is known of it is as old.
    pub(crate) silent: Option<u64>,
    /// Whether quitting ends the agent, since the app started it.
    pub(crate) ours: bool,
}

impl View {
    /// What is known before anything was asked.
    pub(crate) fn unknown() -> Self {
        Self { agent: AgentPresence::None, status: None, problem: None, silent: None, ours: false }
    }
}
