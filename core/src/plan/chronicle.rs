//! The chronicle: when this host went online and offline, which remotes were lost and found, who connected for the first time, and which
//! problems came and went. Keeps the last day's entries. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::backoff::Moment;
use super::health::Health;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem, Severity, Subject};
use crate::model::tor::EngineState;

/// What is so from now on, and for how long the other was so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// tor is connected. None where it is for the first time; then since the agent's start.
    Online {
        /// Whether it was before.
        again: bool,
        /// For how long it was not.
        after: Duration,
    },
    /// tor is not connected any more.
    Offline {
        /// Why, in a sentence.
        why: String,
        /// For how long it was.
        after: Duration,
    },
    /// A remote was reached for the first time, or again.
    Found {
        /// Whose.
        remote: OnionAddress,
        /// For how long it was lost; none where it was not known to be.
        after: Option<Duration>,
    },
    /// A remote that was reached is reached no more.
    Lost {
        /// Whose.
        remote: OnionAddress,
        /// Why, in a sentence.
        why: String,
    },
    /// A client connected for the first time.
    Connected {
        /// Whose service it is.
        client: OnionAddress,
    },
    /// A problem came up.
    Began {
        /// What, in a sentence.
        what: String,
    },
    /// A problem is there no more.
    Ended {
        /// What, in a sentence.
        what: String,
    },
}

/// How many lines are kept, for people to look at, and for how long.
const KEPT: usize = 200;
const DAY: Duration = Duration::from_secs(86_400);
/// How long a problem stands, or is away, before that is told: a change is carried out in less, and what is tried anew meanwhile is the same.
const STANDS: Duration = Duration::from_secs(3);

/// How it stands with a problem.
#[derive(Debug, Clone)]
struct Standing {
    what: String,
    is_told: bool,
    /// Since when it is otherwise than was told, if it is.
    changed: Option<Moment>,
}

/// The state that was logged last.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    online: Option<(bool, Moment)>,
    remotes: BTreeMap<OnionAddress, (bool, Moment)>,
    /// The clients that have not connected yet.
    unseen: BTreeSet<OnionAddress>,
    /// What is wrong, by what distinguishes it.
    problems: BTreeMap<(Code, Option<Subject>), Standing>,
    kept: VecDeque<(Moment, Line)>,
}

impl Chronicle {
    /// Looks at what is, and gives what is new of it. `remotes` are those that are wanted.
    pub fn look(
        &mut self,
        health: &Health,
        is_paused: bool,
        remotes: &BTreeSet<OnionAddress>,
        now: Moment,
    ) -> Vec<Line> {
        let mut lines = Vec::new();
        let is_online = health.is_ready();
        let why = match health.engine() {
            _ if is_paused => Some("the agent is paused".to_owned()),
            EngineState::Offline { why } | EngineState::Failed { why, .. } => Some(why.clone()),
            EngineState::Bootstrapping { warning: Some(why), .. } => Some(why.clone()),
            EngineState::Bootstrapping { doing, .. } => Some(format!("tor is not connected: {doing}")),
            EngineState::Ready | EngineState::Starting | EngineState::Stopped => None,
        };
        match (self.online, is_online, why) {
            (Some((true, since)), false, why) => {
                // Else it is the end.
                if let Some(why) = why {
                    lines.push(Line::Offline { why, after: now.saturating_sub(since) });
                }
                self.online = Some((false, now));
            }
            (Some((false, since)), true, _) => {
                lines.push(Line::Online { again: true, after: now.saturating_sub(since) });
                self.online = Some((true, now));
            }
            (None, true, _) => {
                lines.push(Line::Online { again: false, after: now });
                self.online = Some((true, now));
            }
            _ => {}
        }
        self.remotes.retain(|address, _| remotes.contains(address));
        for address in remotes {
            // What was known of it is forgotten with every outage, and says nothing of the remote.
            let Some(reach) = health.remote(address).and_then(|remote| remote.reach.as_ref()) else {
                continue;
            };
            let is_reached = reach.what.is_ok();
            let before = self.remotes.get(address).copied();
            if before.is_some_and(|(was_reached, _)| was_reached == is_reached) {
                continue;
            }
            match (&reach.what, before) {
                (Ok(()), before) => {
                    let after = before.map(|(_, since)| reach.since.saturating_sub(since));
                    lines.push(Line::Found { remote: *address, after });
                }
                (Err(why), Some(_)) => lines.push(Line::Lost { remote: *address, why: why.to_string() }),
                // It was never there, as far as is known.
                (Err(_), None) => continue,
            }
            self.remotes.insert(*address, (is_reached, reach.since));
        }
        self.keep(&lines, now);
        lines
    }

    /// When to look again though nothing happens; none where nothing is waited for.
    pub fn wake(&self) -> Option<Moment> {
        self.problems.values().filter_map(|standing| standing.changed).min().map(|changed| changed + STANDS)
    }

    /// Looks at who has connected, of these clients, and at what is wrong; gives what is new of it.
    pub fn look_at_people(
        &mut self,
        clients: impl IntoIterator<Item = OnionAddress>,
        last_seen: &BTreeMap<OnionAddress, u64>,
        problems: &[Problem],
        now: Moment,
    ) -> Vec<Line> {
        let (seen, unseen): (BTreeSet<_>, BTreeSet<_>) =
            clients.into_iter().partition(|address| last_seen.contains_key(address));
        // Where the history was lost, nobody knows who has connected before.
        let is_known = problems.iter().all(|problem| problem.code != Code::HistorySpoilt);
        let first = seen.intersection(&self.unseen).filter(|_| is_known);
        let mut lines: Vec<Line> = first.map(|client| Line::Connected { client: *client }).collect();
        self.unseen = unseen;
        let known = problems.iter().filter(|problem| problem.severity != Severity::Note);
        let known: BTreeMap<_, _> =
            known.map(|problem| ((problem.code, problem.subject.clone()), problem.message.clone())).collect();
        self.problems.retain(|id, standing| {
            let is_there = known.contains_key(id);
            standing.changed = (is_there != standing.is_told).then(|| standing.changed.unwrap_or(now));
            let is_over = standing.is_told && standing.changed.is_some_and(|changed| now >= changed + STANDS);
            if is_over {
                lines.push(Line::Ended { what: standing.what.clone() });
            }
            !is_over && (is_there || standing.is_told)
        });
        for (id, what) in known {
            let new = Standing { what: what.clone(), is_told: false, changed: Some(now) };
            let standing = self.problems.entry(id).or_insert(new);
            standing.what = what;
            if standing.changed.is_some_and(|changed| now >= changed + STANDS) {
                (standing.is_told, standing.changed) = (true, None);
                lines.push(Line::Began { what: standing.what.clone() });
            }
        }
        self.keep(&lines, now);
        lines
    }

    fn keep(&mut self, lines: &[Line], now: Moment) {
        self.kept.extend(lines.iter().map(|line| (now, line.clone())));
        self.kept.drain(..self.kept.len().saturating_sub(KEPT));
        while self.kept.front().is_some_and(|(at, _)| now > *at + DAY) {
            self.kept.pop_front();
        }
    }

    /// The last lines, oldest first, each with when it was told.
    pub fn kept(&self) -> impl Iterator<Item = &(Moment, Line)> {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys::ServiceKey;
    use crate::model::tor::DialError;
    use crate::plan::health::Report;

    fn seconds(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn remote() -> OnionAddress {
        ServiceKey::from_seed(&zeroize::Zeroizing::new([1; 32])).address()
    }

    fn dialled(outcome: Result<(), DialError>) -> Report {
        Report::Dialled { remote: remote(), outcome, took: seconds(1), warm: true }
    }

    #[test]
    fn a_night_is_told_in_one_line_for_each_change() {
        let (mut health, mut chronicle) = (Health::default(), Chronicle::default());
        let mut told = Vec::new();
        let why = "relays refuse".to_owned();
        for (second, report) in [
            (0, Report::Engine(EngineState::Starting)),
            (3, Report::Engine(EngineState::Ready)),
            (4, dialled(Err(DialError::NotPublished))),
            (5, dialled(Ok(()))),
            (9, dialled(Ok(()))),
            (20, dialled(Err(DialError::TimedOut))),
            (25, dialled(Err(DialError::Gone))),
            (50, dialled(Ok(()))),
            (60, Report::Engine(EngineState::Offline { why: why.clone() })),
            (61, Report::Engine(EngineState::Offline { why: why.clone() })),
            (101, Report::Engine(EngineState::Ready)),
            (103, dialled(Ok(()))),
        ] {
            health.report(report, seconds(second));
            let lines = chronicle.look(&health, false, &[remote()].into(), seconds(second));
            told.extend(lines.into_iter().map(|line| (second, line)));
        }
        let lost = DialError::TimedOut.to_string();
        let kept: Vec<_> = chronicle.kept().cloned().collect();
        assert_eq!(
            kept,
            told.iter().map(|(second, line)| (seconds(*second), line.clone())).collect::<Vec<_>>()
        );
        assert_eq!(
            told,
            [
                (3, Line::Online { again: false, after: seconds(3) }),
                (5, Line::Found { remote: remote(), after: None }),
                (20, Line::Lost { remote: remote(), why: lost }),
                (50, Line::Found { remote: remote(), after: Some(seconds(30)) }),
                (60, Line::Offline { why, after: seconds(57) }),
                (101, Line::Online { again: true, after: seconds(41) }),
            ]
        );
    }

    #[test]
    fn a_pause_is_told_and_so_is_its_end() {
        let (mut health, mut chronicle) = (Health::default(), Chronicle::default());
        let mut look = |state: EngineState, is_paused, second| {
            health.report(Report::Engine(state), seconds(second));
            chronicle.look(&health, is_paused, &BTreeSet::new(), seconds(second))
        };
        look(EngineState::Ready, false, 1);
        // tor still runs when the pause begins.
        assert_eq!(look(EngineState::Ready, true, 9), []);
        let why = "the agent is paused".to_owned();
        assert_eq!(look(EngineState::Stopped, true, 11), [Line::Offline { why, after: seconds(10) }]);
        assert_eq!(look(EngineState::Stopped, true, 12), []);
        assert_eq!(look(EngineState::Starting, false, 30), []);
        assert_eq!(look(EngineState::Ready, false, 31), [Line::Online { again: true, after: seconds(20) }]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let (mut health, mut chronicle) = (Health::default(), Chronicle::default());
        for second in 0..1000 {
            let state = match second % 2 {
                0 => EngineState::Ready,
                _ => EngineState::Offline { why: "relays refuse".to_owned() },
            };
            health.report(Report::Engine(state), seconds(second));
            assert_eq!(chronicle.look(&health, false, &BTreeSet::new(), seconds(second)).len(), 1);
        }
        let kept: Vec<_> = chronicle.kept().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(kept, Vec::from_iter(800..1000));
        chronicle.look(&health, false, &BTreeSet::new(), seconds(900) + DAY);
        assert_eq!(chronicle.kept().next().map(|(at, _)| at.as_secs()), Some(900), "a day at most");
    }

    #[test]
    fn who_connects_first_and_what_goes_wrong_is_told_once_and_so_is_that_it_is_over() {
        let mut chronicle = Chronicle::default();
        let problem = |message: &str| Problem::new(Code::StoreLocked, message);
        let note = Problem::new(Code::UserRefused, "user 1001 was refused");
        let mut look = |seen: Option<u64>, problems: &[Problem], second| {
            let seen = seen.map(|seen| (remote(), seen)).into_iter().collect();
            let lines = chronicle.look_at_people([remote()], &seen, problems, seconds(second));
            (lines, chronicle.wake())
        };
        let began = |what: &str| vec![Line::Began { what: what.into() }];
        let wake = |second| Some(seconds(second));
        let none = Vec::new;
        assert_eq!(look(None, std::slice::from_ref(&note), 1), (none(), None));
        // One that is gone before it is told is nobody's business.
        assert_eq!(look(None, &[problem("locked")], 1), (none(), wake(4)));
        assert_eq!(look(None, &[], 3), (none(), None));
        assert_eq!(
            look(Some(1), &[problem("locked")], 5),
            (vec![Line::Connected { client: remote() }], wake(8))
        );
        assert_eq!(look(Some(1), &[problem("locked")], 8), (began("locked"), None));
        assert_eq!(
            look(Some(2), &[problem("locked, tried 2 times"), note], 9),
            (none(), None),
            "it is the same one"
        );
        // It is tried anew, and is the same when it is back.
        assert_eq!(look(Some(2), &[], 10), (none(), wake(13)));
        assert_eq!(look(Some(2), &[problem("locked")], 11), (none(), None));
        assert_eq!(look(Some(2), &[], 20), (none(), wake(23)));
        assert_eq!(look(Some(2), &[], 23), (vec![Line::Ended { what: "locked".into() }], None));
        let spoilt = Problem::new(Code::HistorySpoilt, "the history can't be read");
        let mut lost = Chronicle::default();
        lost.look_at_people([remote()], &BTreeMap::new(), std::slice::from_ref(&spoilt), seconds(1));
        let seen = [(remote(), 1)].into();
        assert_eq!(
            lost.look_at_people([remote()], &seen, &[spoilt], seconds(2)),
            [],
            "it may have been here"
        );
        // One that was there before the agent started has connected before.
        let seen = [(remote(), 1)].into();
        assert_eq!(Chronicle::default().look_at_people([remote()], &seen, &[], seconds(1)), []);
    }
}
