//! The reason why a connection has to wait, as a sentence for its user.

use crate::model::name::RemoteName;
use crate::model::tor::{DialError, EngineState};

/// The sentence, without a full stop; none while nothing out of the ordinary is known. `is_slow` says that it takes longer than usual.
pub fn sentence(
    remote: &RemoteName,
    engine: &EngineState,
    error: Option<&DialError>,
    is_slow: bool,
) -> Option<String> {
    match (engine, error) {
        (EngineState::Ready, Some(error)) => Some(format!("waiting for {remote}: {error}")),
        (EngineState::Ready, None) => {
            is_slow.then(|| format!("waiting for {remote}: a way through Tor is being built"))
        }
        (EngineState::Stopped | EngineState::Starting, _) => Some("waiting for tor to start".to_owned()),
        (EngineState::Bootstrapping { percent, doing, warning: None }, _) => {
            Some(format!("waiting for tor: {percent} %, {doing}"))
        }
        (EngineState::Bootstrapping { percent, warning: Some(warning), .. }, _) => {
            Some(format!("waiting for tor: {percent} %, {warning}"))
        }
        (EngineState::Failed { why, .. } | EngineState::Offline { why }, _) => {
            Some(format!("waiting for tor: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_for_what() {
        let remote: RemoteName = "website".parse().unwrap();
        let said = |engine: EngineState, error: Option<&DialError>, is_slow| {
            sentence(&remote, &engine, error, is_slow).unwrap_or_default()
        };
        let starting = |warning: Option<&str>| EngineState::Bootstrapping {
            percent: 45,
            doing: "Asking for relays".to_owned(),
            warning: warning.map(str::to_owned),
        };

        assert_eq!(said(EngineState::Ready, None, false), "");
        assert!(said(EngineState::Ready, None, true).contains("through Tor"));
        let offline = said(EngineState::Ready, Some(&DialError::NotPublished), false);
        assert!(offline.starts_with("waiting for website: ") && offline.contains("offline"), "{offline}");
        // While tor is not ready, what was known of the remote is of no interest.
        let tor = said(starting(None), Some(&DialError::NotPublished), true);
        assert_eq!(tor, "waiting for tor: 45 %, Asking for relays");
        assert_eq!(said(starting(Some("blocked")), None, false), "waiting for tor: 45 %, blocked");
    }
}
