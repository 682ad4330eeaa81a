//! Follows the progress of tor's bootstrap and its warnings (pure).

use super::events::{Phase, TorEvent};
use super::sentences;
use crate::engine::EngineState;
use crate::model::bridge;

/// What is known of tor's way to the network; derives the [`EngineState`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    phase: Phase,
    lacks_dir_info: bool,
    clock: Option<String>,
}

impl Progress {
    pub(super) fn new(phase: Phase) -> Self {
        Self { phase, lacks_dir_info: false, clock: None }
    }

    /// Takes an event in.
    pub(super) fn note(&mut self, event: &TorEvent) {
        match event {
            TorEvent::Bootstrap(phase) => {
                // tor repeats a phase with each warning; a warning lasts until it gets on.
                let warning =
                    (phase.percent == self.phase.percent).then(|| self.phase.warning.take()).flatten();
                self.phase = Phase { warning: phase.warning.clone().or(warning), ..phase.clone() };
            }
            TorEvent::DirInfo { is_enough } => self.lacks_dir_info = !is_enough,
            TorEvent::ClockSkew { ahead } => self.clock = Some(sentences::clock(*ahead)),
            // Set right, or wrong: then tor finds out again.
            TorEvent::ClockJumped => self.clock = None,
            TorEvent::Descriptor { .. }
            | TorEvent::Link(_)
            | TorEvent::StreamMade { .. }
            | TorEvent::StreamEnded { .. }
            | TorEvent::Refused(_) => {}
        }
    }

    /// What to tell, where tor may enter the network by so many bridges alone.
    pub(super) fn state(&self, bridges: usize) -> EngineState {
        /// From this percent on tor is through its first relay, which is a bridge where there are any (tor's `bootstrap_status_t`).
        const ENTERED: u8 = 15;
        let Phase { percent, doing, warning } = &self.phase;
        if *percent == 100 && !self.lacks_dir_info {
            return EngineState::Ready;
        }
        let doing = if *percent == 100 { "Fetching directory information" } else { doing };
        let warning = match bridges > 0 && *percent < ENTERED {
            true => warning.as_ref().map(|_| bridge::none_answers(bridges)),
            false => warning.clone(),
        };
        let warning = self.clock.clone().or(warning);
        EngineState::Bootstrapping { percent: *percent, doing: doing.to_owned(), warning }
    }

    /// What tor warns of, whatever the state.
    pub(super) fn clock_warning(&self) -> Option<String> {
        self.clock.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::{parse, parse_phase};
    use super::*;

    const ID: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid";

    fn phase(percent: u8, warning: Option<&str>) -> Phase {
        Phase { percent, doing: "Working".to_owned(), warning: warning.map(str::to_owned) }
    }

    #[test]
    fn a_warning_lasts_until_tor_gets_on() {
        let warning = |progress: &Progress| match progress.state(0) {
            EngineState::Bootstrapping { warning, .. } => warning,
            other => panic!("{other:?}"),
        };
        let mut progress = Progress::new(phase(5, None));

        progress.note(&TorEvent::Bootstrap(phase(5, Some("offline"))));
        let by_bridge = progress.state(1);
        assert!(
            matches!(by_bridge, EngineState::Bootstrapping { warning: Some(why), .. } if why == bridge::none_answers(1))
        );
        assert_eq!(warning(&progress).as_deref(), Some("offline"));
        progress.note(&TorEvent::Bootstrap(phase(5, None)));
        assert_eq!(warning(&progress).as_deref(), Some("offline"));
        progress.note(&TorEvent::Bootstrap(phase(10, None)));
        assert_eq!(warning(&progress), None);
        progress.note(&TorEvent::ClockSkew { ahead: 7200 });
        assert_eq!(warning(&progress), Some(sentences::clock(7200)));

        progress.note(&TorEvent::Bootstrap(phase(100, None)));
        assert_eq!(
            (progress.state(0), progress.clock_warning()),
            (EngineState::Ready, Some(sentences::clock(7200)))
        );
        progress.note(&TorEvent::ClockJumped);
        assert_eq!(progress.clock_warning(), None);
        progress.note(&TorEvent::DirInfo { is_enough: false });
        assert!(matches!(progress.state(0), EngineState::Bootstrapping { percent: 100, .. }));
        progress.note(&TorEvent::DirInfo { is_enough: true });
        assert_eq!(progress.state(0), EngineState::Ready);
    }

    #[test]
    fn fuzzed_events_are_read_or_passed_over() {
        let samples = [
            format!("HS_DESC UPLOADED {ID} UNKNOWN $AB~r1 x"),
            format!("HS_DESC FAILED {ID} NO_AUTH $AB~r1 x REASON=QUERY_NO_HSDIR"),
            format!("STREAM 12 NEW 0 c3.{ID}.onion:80 SOURCE_ADDR=:1 PURPOSE=USER SOCKS_USERNAME=\"ox\""),
            format!("STREAM 12 CLOSED 4 {ID}.onion:80 REASON=END REMOTE_REASON=DONE SOCKS_USERNAME=\"ox\""),
            "ORCONN $0123456789ABCDEF0123456789ABCDEF01234567~r CLOSED REASON=IOERROR NCIRCS=2 ID=7".to_owned(),
            "CIRC 9 FAILED PURPOSE=CONTROLLER REASON=DESTROYED REMOTE_REASON=RESOURCELIMIT".to_owned(),
            "STATUS_CLIENT WARN BOOTSTRAP PROGRESS=14 TAG=x SUMMARY=\"Hand \\\"shake\" WARNING=\"no route\" REASON=NOROUTE".to_owned(),
            "STATUS_GENERAL WARN CLOCK_SKEW SKEW=-86400 SOURCE=\"CONSENSUS\"".to_owned(),
            "NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\"".to_owned(),
        ];
        support::fuzz("events of tor", &samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
            let phase =
                parse_phase(&text).or_else(|| parse_phase("NOTICE BOOTSTRAP PROGRESS=0 SUMMARY=\"x\""));
            if let Some((event, phase)) = parse(&lines).zip(phase) {
                let mut progress = Progress::new(phase);
                progress.note(&event);
                progress.state(0);
                progress.clock_warning();
            }
        });
    }
}
