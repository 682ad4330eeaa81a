//! Signals on Unix.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Asked;
use crate::model::problem::{Code, Problem};

/// What asks the agent to end, or to read its configuration again. A signal that comes while nobody waits for one is kept.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where SIGHUP was ignored from the start, as by nohup(1): it stays ignored.
    hangup: Option<Signal>,
    /// Whether there was a terminal at the start.
    had_terminal: bool,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Problem> {
        let watched = || {
            std::io::Result::Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) },
                had_terminal: has_terminal(),
            })
        };
        watched().map_err(|error| {
            Problem::new(Code::SystemFailed, format!("failed to watch for signals: {error}"))
        })
    }

    pub(crate) async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            // Sent when the terminal is gone as well, and then nobody is left to reload for.
            _ = hangup => match self.had_terminal && !has_terminal() {
                true => Asked::End,
                false => Asked::Reload,
            },
        }
    }

    /// Waits until one asks to end.
    pub(crate) async fn end(&mut self) {
        while let Asked::Reload = self.next().await {}
    }
}

/// Whether this process has a terminal; after a hangup it has none any more (tty(4)).
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored now (proc(5), "SigIgn": a mask of which the lowest bit is signal 1). Elsewhere than on Linux it is not known.
fn hangup_is_ignored() -> bool {
    ignores_hangup(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn without_a_signal_nobody_asks_for_the_end() {
        let mut signals = Signals::new().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), signals.end()).await.is_err());
    }

    #[test]
    fn a_hangup_is_ignored_where_it_was_from_the_start() {
        let status = |mask: &str| format!("Name:\tormesh\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\n");
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(!ignores_hangup(&status("x")));
        assert!(!ignores_hangup(""));
    }
}
