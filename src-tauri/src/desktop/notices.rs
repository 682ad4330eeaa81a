//! What is worth telling a person who does not look: a client's first connection, imports that are lost for a minute and then are back, and
//! a problem that needs a hand. Pure: it goes by what the app is told of the host, and by the time that it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ormesh_core::model::onion::OnionAddress;
use ormesh_core::model::problem::{Code, Problem, Severity, Subject};
use ormesh_core::model::status::{AgentState, ImportState, ImportStatus, RemoteStatus, Status};

use crate::host::{AgentPresence, View};

/// How long imports are lost before it is told: what comes back by itself is nobody's business.
const LOST: Duration = Duration::from_secs(60);
/// How long a problem stands before it is told.
const STANDS: Duration = Duration::from_secs(20);
/// A problem that comes back within this time is the same one.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// What a notice is about; each sort can be turned off by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A client that connects for the first time.
    Client,
    /// Imports that are lost, or back.
    Import,
    /// A problem that needs a person.
    Problem,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) sort: Sort,
    /// A few words.
    pub(crate) title: String,
    /// A sentence or two.
    pub(crate) body: String,
}

/// What can be lost. A host that is offline has lost all of its imports, which is one notice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lost {
    Host,
    Remote(OnionAddress),
}

/// How it stands with a problem.
#[derive(Debug, Clone, Copy)]
struct Standing {
    since: Duration,
    seen: Duration,
    is_told: bool,
}

/// What was known before. A time is one since any moment, and never goes back.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// When it was last looked.
    looked: Duration,
    /// The clients that have not connected yet.
    unseen: BTreeSet<OnionAddress>,
    /// What has worked since the app started, and so can be lost.
    worked: BTreeSet<Lost>,
    /// Since when what has worked does not, and whether that was told.
    lost: BTreeMap<Lost, (Duration, bool)>,
    problems: BTreeMap<(Code, Option<Subject>), Standing>,
}

impl Notices {
    /// Looks at what is known now; gives what is to be told.
    pub(crate) fn look(&mut self, view: &View, now: Duration) -> Vec<Notice> {
        self.looked = now;
        let mut notices = Vec::new();
        let told = view.status.as_ref().filter(|status| status.agent.is_some() && view.silent.is_none());
        if let Some(status) = told {
            self.look_at_clients(status, &mut notices);
            self.look_at_imports(status, now, &mut notices);
        }
        self.look_at_problems(view, now, &mut notices);
        notices
    }

    /// When to look again though nothing has changed; none where nothing is waited for.
    pub(crate) fn wake(&self) -> Option<Duration> {
        let lost = self.lost.values().filter(|(_, is_told)| !is_told).map(|(since, _)| *since + LOST);
        let problems = self.problems.values().filter(|one| !one.is_told).map(|one| one.since + STANDS);
        // What could not be judged when its time had come waits for the next change.
        lost.chain(problems).filter(|at| *at > self.looked).min()
    }

    /// One that was rotated is another: its address is.
    fn look_at_clients(&mut self, status: &Status, notices: &mut Vec<Notice>) {
        for client in &status.clients {
            if client.last_seen.is_none() {
                self.unseen.insert(client.address);
            } else if self.unseen.remove(&client.address) {
                notices.push(Notice {
                    sort: Sort::Client,
                    title: format!("{} has connected", client.name),
                    body: "It was the first time: its invite can't be shown any more.".into(),
                });
            }
        }
        self.unseen.retain(|address| status.clients.iter().any(|client| client.address == *address));
    }

    fn look_at_imports(&mut self, status: &Status, now: Duration, notices: &mut Vec<Notice>) {
        let state = status.agent.as_ref().map(|agent| &agent.state);
        let imports = status.remotes.iter().map(|remote| remote.imports.len()).sum::<usize>();
        if state == Some(&AgentState::Paused) || imports == 0 {
            // It was wished.
            self.lost.clear();
            return;
        }
        let is_online = state == Some(&AgentState::Online);
        let why = match state {
            Some(AgentState::Offline { why }) => sentence(why),
            _ => String::new(),
        };
        if let Some(is_lost) = self.follow(Lost::Host, is_online, now) {
            let (title, body) = match is_lost {
                true => ("This computer is offline", format!("Its imports lead nowhere. {why}")),
                false => ("This computer is online again", "Its imports lead somewhere again.".into()),
            };
            notices.push(Notice { sort: Sort::Import, title: title.into(), body: body.trim().into() });
        }
        let is_there = |lost: &Lost| match lost {
            Lost::Host => true,
            Lost::Remote(address) => status.remotes.iter().any(|remote| remote.address == *address),
        };
        self.worked.retain(is_there);
        self.lost.retain(|lost, _| is_there(lost));
        if !is_online {
            // What a remote does is not known then.
            self.lost.retain(|lost, (_, is_told)| *lost == Lost::Host || *is_told);
            return;
        }
        for remote in &status.remotes {
            let Some((works, why)) = works(remote) else { continue };
            let Some(is_lost) = self.follow(Lost::Remote(remote.address), works, now) else { continue };
            let all: Vec<String> = remote.imports.iter().map(|import| import.listen.to_string()).collect();
            let these = match all.as_slice() {
                [one] => format!("The import at {one}"),
                many => format!("{} imports", many.len()),
            };
            let title = match is_lost {
                true => format!("{} is lost", remote.name),
                false => format!("{} is back", remote.name),
            };
            let body = match (is_lost, all.len()) {
                (true, 1) => format!("{these} does not work. {}", sentence(&why)),
                (true, _) => format!("Of its {these}, some or all do not work. {}", sentence(&why)),
                (false, 1) => format!("{these} works again."),
                (false, _) => format!("Its {these} work again."),
            };
            notices.push(Notice { sort: Sort::Import, title, body: body.trim().into() });
        }
    }

    /// Whether it is to be told that this is lost (true) or back (false).
    fn follow(&mut self, what: Lost, works: bool, now: Duration) -> Option<bool> {
        if works {
            let told = self.lost.remove(&what).is_some_and(|(_, is_told)| is_told);
            self.worked.insert(what);
            return told.then_some(false);
        }
        if !self.worked.contains(&what) {
            return None;
        }
        let (since, is_told) = self.lost.entry(what).or_insert((now, false));
        if *is_told || now < *since + LOST {
            return None;
        }
        *is_told = true;
        Some(true)
    }

    fn look_at_problems(&mut self, view: &View, now: Duration, notices: &mut Vec<Notice>) {
        let silent = view.silent.map(|_| {
            Problem::new(Code::AgentSilent, "the agent does not answer")
                .hint("the window has a button that restarts it")
        });
        let own = view.problem.clone().filter(|_| view.agent != AgentPresence::Starting);
        let of_agent = view.status.iter().flat_map(|status| &status.problems);
        // What imports lack is told of the imports.
        let of_agent = of_agent.filter(|problem| {
            problem.severity == Severity::Error && !matches!(problem.subject, Some(Subject::Import(_)))
        });
        for problem in own.iter().chain(&silent).chain(of_agent) {
            let id = (problem.code, problem.subject.clone());
            let standing = Standing { since: now, seen: now, is_told: false };
            let standing = self.problems.entry(id).or_insert(standing);
            standing.seen = now;
            if !standing.is_told && now >= standing.since + STANDS {
                standing.is_told = true;
                notices.push(Notice {
                    sort: Sort::Problem,
                    title: "ormesh needs a hand".into(),
                    body: format!("{} {}", sentence(&problem.message), sentence(&problem.hint)).trim().into(),
                });
            }
        }
        self.problems.retain(|_, one| one.seen == now || one.is_told && now < one.seen + FORGOTTEN);
    }
}

/// Whether the imports of a remote work, and why not; none while that is not known.
fn works(remote: &RemoteStatus) -> Option<(bool, String)> {
    let why = |import: &ImportStatus| match &import.state {
        Some(ImportState::Blocked { why }) => Some(Some(why.clone())),
        Some(ImportState::Degraded) => Some(Some(match &remote.state {
            Some(ormesh_core::model::status::RemoteState::Unreachable { why }) => why.clone(),
            _ => String::new(),
        })),
        Some(ImportState::NotExported { by }) => {
            Some(Some(format!("{by} does not export port {} to this computer", import.remote_port)))
        }
        Some(ImportState::Listening) => Some(None),
        Some(ImportState::Opening | ImportState::Paused) | None => None,
    };
    let known: Vec<Option<String>> = remote.imports.iter().map(why).collect::<Option<_>>()?;
    if known.is_empty() {
        return None;
    }
    let broken = known.into_iter().flatten().next();
    Some((broken.is_none(), broken.unwrap_or_default()))
}

/// A fragment as a sentence.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    match letters.next() {
        None => String::new(),
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str().trim_end_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"{"version":2,"agent":{"version":"0","pid":1,"uptime":9,"state":{"is":"online"},"tor":null,"socks":null,"network":null,"secrets":null},"exports":[],"clients":[],"remotes":[],"requests":[],"problems":[]}"#;
    const ADDRESS: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

    fn view(change: impl FnOnce(&mut serde_json::Value)) -> View {
        let mut status = serde_json::from_str(BASE).unwrap();
        change(&mut status);
        let status = serde_json::from_value(status).unwrap();
        View { agent: AgentPresence::Running, status: Some(status), problem: None, silent: None, ours: true }
    }

    fn client(seen: Option<u64>) -> View {
        view(|status| {
            status["clients"] = serde_json::json!([{
                "name": "anna", "address": ADDRESS, "ports": null, "expires": null, "state": {"is": "reachable"},
                "sessions": 0, "bytes": [0, 0], "last_seen": seen,
            }]);
        })
    }

    fn import(agent: &str, import: &str) -> View {
        view(|status| {
            status["agent"]["state"] = match agent {
                "offline" => serde_json::json!({"is": "offline", "why": "no relay answers"}),
                is => serde_json::json!({ "is": is }),
            };
            let reach = match import {
                "degraded" => serde_json::json!({"is": "unreachable", "why": "the host is off"}),
                _ => serde_json::json!({"is": "reachable", "round_trip": 9}),
            };
            status["remotes"] = serde_json::json!([{
                "name": "home", "address": ADDRESS, "expires": null, "state": reach,
                "imports": [{"listen": "127.0.0.1:10022", "remote_port": 22, "state": {"is": import}, "sessions": 0, "bytes": [0, 0]}],
            }]);
        })
    }

    fn problem(severity: &str) -> View {
        let code = if severity == "error" { "store-locked" } else { "full" };
        view(|status| {
            status["problems"] = serde_json::json!([{
                "code": code, "kind": "secrets", "severity": severity, "message": "the store is locked", "hint": "log in",
            }]);
        })
    }

    /// Titles, each with the second at which it was told.
    fn told(story: &[(u64, View)]) -> Vec<(u64, String)> {
        let mut notices = Notices::default();
        let mut told = Vec::new();
        let mut left = story.iter().peekable();
        while let Some((from, view)) = left.next() {
            let until = left.peek().map_or(from + 200, |(next, _)| *next);
            let mut now = Duration::from_secs(*from);
            loop {
                told.extend(notices.look(view, now).into_iter().map(|notice| (now.as_secs(), notice.title)));
                match notices.wake().filter(|at| *at > now && at.as_secs() < until) {
                    Some(at) => now = at,
                    None => break,
                }
            }
        }
        told
    }

    fn texts<const N: usize>(told: [(u64, &str); N]) -> Vec<(u64, String)> {
        told.map(|(at, title)| (at, title.to_owned())).into()
    }

    #[test]
    fn the_first_connection_of_a_client_is_told_once_and_none_from_before_the_app() {
        assert_eq!(
            told(&[(0, client(None)), (5, client(Some(9))), (9, client(Some(11)))]),
            texts([(5, "anna has connected")])
        );
        assert_eq!(told(&[(0, client(Some(9)))]), []);
        // Without an agent nobody is known to have been seen.
        let mut at_rest = client(None);
        at_rest.status.as_mut().unwrap().agent = None;
        assert_eq!(told(&[(0, at_rest), (5, client(Some(9)))]), []);
    }

    #[test]
    fn imports_that_are_lost_for_a_minute_are_told_and_so_is_that_they_are_back() {
        let (good, lost) = (import("online", "listening"), import("online", "degraded"));
        assert_eq!(
            told(&[(0, good.clone()), (10, lost.clone()), (100, good.clone())]),
            texts([(70, "home is lost"), (100, "home is back")])
        );
        // What comes back within the minute is not told, and what has never worked is no loss.
        assert_eq!(told(&[(0, good.clone()), (10, lost.clone()), (60, good.clone())]), []);
        assert_eq!(told(&[(0, lost.clone())]), []);
        let told_why = {
            let mut notices = Notices::default();
            notices.look(&good, Duration::ZERO);
            notices.look(&lost, Duration::ZERO);
            notices.look(&lost, LOST).remove(0).body
        };
        assert_eq!(told_why, "The import at 127.0.0.1:10022 does not work. The host is off.");
        // A pause is wished.
        assert_eq!(told(&[(0, good), (10, import("paused", "paused"))]), []);
    }

    #[test]
    fn what_can_not_be_judged_is_not_looked_at_again_and_again() {
        let mut notices = Notices::default();
        notices.look(&import("online", "listening"), Duration::ZERO);
        notices.look(&import("online", "degraded"), Duration::ZERO);
        let silent = View { silent: Some(7), ..import("online", "degraded") };
        let mut gone = import("online", "degraded");
        gone.status = None;
        for (seconds, view) in [(30, &silent), (60, &silent), (70, &gone), (90, &import("online", "opening"))]
        {
            let now = Duration::from_secs(seconds);
            notices.look(view, now);
            assert!(notices.wake().is_none_or(|at| at > now), "{seconds}");
        }
    }

    #[test]
    fn a_host_that_is_offline_tells_that_and_nothing_of_its_remotes() {
        let (good, offline) = (import("online", "listening"), import("offline", "listening"));
        assert_eq!(
            told(&[(0, good.clone()), (10, offline), (200, good)]),
            texts([(70, "This computer is offline"), (200, "This computer is online again")])
        );
    }

    #[test]
    fn a_problem_that_stands_is_told_once_and_one_that_is_none_for_a_person_never() {
        let (bad, fine) = (problem("error"), view(|_| {}));
        assert_eq!(
            told(&[(0, bad.clone()), (100, fine.clone()), (130, bad.clone())]),
            texts([(20, "ormesh needs a hand")]),
            "it is the same one"
        );
        assert_eq!(
            told(&[(0, bad.clone()), (100, fine.clone()), (900, fine.clone()), (1000, bad.clone())]),
            texts([(20, "ormesh needs a hand"), (1020, "ormesh needs a hand")])
        );
        assert_eq!(told(&[(0, bad), (10, fine)]), [], "it has passed");
        assert_eq!(told(&[(0, problem("warning"))]), []);
        let silent = View { silent: Some(7), ..view(|_| {}) };
        assert_eq!(told(&[(0, silent)]), texts([(20, "ormesh needs a hand")]));
    }
}
