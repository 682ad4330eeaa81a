//! The state of tor, its answers about itself, and why a dial failed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::Port;
use super::onion::OnionAddress;

/// What an engine is doing. Told by the engine itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum EngineState {
    /// Not asked to run, or asked to stop.
    Stopped,
    /// tor was started; its control connection is not there yet.
    Starting,
    /// tor connects to the network.
    Bootstrapping {
        /// 0 to 100.
        percent: u8,
        /// What it is doing, in tor's words (`BOOTSTRAP SUMMARY`).
        doing: String,
        /// Why it does not get on, in a sentence, once tor has warned.
        warning: Option<String>,
    },
    /// Services can be published and dialled.
    Ready,
    /// tor runs and was connected; no connection to the network stands any more. It holds all that it was given.
    Offline {
        /// Why, in a sentence.
        why: String,
    },
    /// It ended or could not start; it is started again by itself.
    Failed {
        /// Why, in a sentence.
        why: String,
        /// What to do.
        hint: String,
        /// Whether there is no tor that could be started.
        is_missing: bool,
        /// After this time, counted from when it failed, it is tried again; where no tor is found, a `run(true)` has it tried at once.
        retry_in: Option<Duration>,
    },
}

impl EngineState {
    /// Whether services can be published and dialled.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// Why a remote's port was not reached. The codes are tor's (SOCKS5 of RFC 1928, and proposal 304's F0 to F7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// tor is not connected to the network, or does not run.
    #[error("tor is not connected")]
    NotReady,
    /// F0, F1: no descriptor: not published, host offline, or revoked.
    #[error("its service is not published: the host may be offline, or have ended your access")]
    NotPublished,
    /// F2, F3: the descriptor is there, and no way to the service was found by it. tor says the same where relays or the ways to them
    /// failed, so it proves nothing about the host.
    #[error(
        "its service does not answer: the host may be offline, or have just ended your access, or Tor is busy"
    )]
    Gone,
    /// F4: tor holds no client key for it.
    #[error("the key for it is missing in tor")]
    KeyMissing,
    /// F5: the key does not open the descriptor.
    #[error("the host refused the key: it was rotated or revoked")]
    KeyRefused,
    /// F6: malformed address. The configuration cannot hold one.
    #[error("tor calls the onion address malformed")]
    Malformed,
    /// 05: the service does not export this port to us.
    #[error("the host does not export port {0} to you")]
    PortNotExported(Port),
    /// 01: the other end closed at once.
    #[error("the connection was refused at the other end")]
    Failed,
    /// F7, 06: tor's own time ran out.
    #[error("the host did not answer in time")]
    TimedOut,
    /// Any other reply code.
    #[error("tor answered with code {0:#04x}")]
    Code(u8),
    /// What came back is not SOCKS, or the connection to tor broke.
    #[error("the connection to tor broke: {0}")]
    Broken(String),
}

impl DialError {
    /// Whether a further attempt may succeed where this one failed.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::KeyRefused | Self::Malformed | Self::PortNotExported(_))
    }

    /// Whether it is an answer of the host that was dialled: a port that is not exported to us, or a connection refused there.
    pub fn has_met(&self) -> bool {
        matches!(self, Self::PortNotExported(_) | Self::Failed)
    }

    /// Whether it proves that no early byte reached the service, so that the request may be sent again.
    ///
    /// F0, F2, F4, F5 and F6 end the attempt before a circuit to the service exists.
    pub fn left_nothing(&self) -> bool {
        matches!(
            self,
            Self::NotPublished
                | Self::Gone
                | Self::KeyMissing
                | Self::KeyRefused
                | Self::Malformed
                | Self::NotReady
        )
    }
}

/// The state of an engine at the moment of the question. What is unknown is none, as everything is when the engine does not run.
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

/// A relay, by its RSA identity as tor writes it: `$` and 40 hexadecimal digits (control-spec §2.4, "ServerSpec").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelayId(String);

impl std::str::FromStr for RelayId {
    type Err = ();

    /// Reads it with or without the nickname that follows.
    fn from_str(text: &str) -> Result<Self, ()> {
        let id = text.split(['~', '=']).next().unwrap_or_default();
        let digits = id.strip_prefix('$').ok_or(())?;
        let is_id = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { Ok(Self(id.to_owned())) } else { Err(()) }
    }
}

impl std::fmt::Display for RelayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_failed_attempt_says_of_the_next_one_and_of_the_host() {
        let port = Port::RESPONDER;
        for (error, is_retryable, has_met, left_nothing) in [
            (DialError::NotReady, true, false, true),
            (DialError::NotPublished, true, false, true),
            (DialError::Gone, true, false, true),
            (DialError::KeyMissing, true, false, true),
            (DialError::KeyRefused, false, false, true),
            (DialError::Malformed, false, false, true),
            (DialError::PortNotExported(port), false, true, false),
            (DialError::Failed, true, true, false),
            (DialError::TimedOut, true, false, false),
            (DialError::Code(7), true, false, false),
            (DialError::Broken("reset".into()), true, false, false),
        ] {
            let said = (error.is_retryable(), error.has_met(), error.left_nothing());
            assert_eq!(said, (is_retryable, has_met, left_nothing), "{error:?}");
        }
    }
}
