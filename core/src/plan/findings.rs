//! What a running agent already knows about its host, in the form that doctor judges. Doctor adds its own one-time checks.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::derive::{self, View};
use super::verdicts::{Agent, Client, Findings, Link, Remote, Secrets, Service, Tor};
use super::{Desired, Subject};
use crate::model::address::{Port, Target};
use crate::model::onion::OnionAddress;
use crate::model::problem::{self, Code, Problem, catalogue};
use crate::model::status::{ClientState, ClientStatus};
use crate::model::tor::{EngineState, ServiceSurvey};

/// What doctor tried just now.
#[derive(Debug)]
pub struct Tries {
    /// The secret store.
    pub secrets: Secrets,
    /// The remotes, each with its service.
    pub remotes: Vec<(OnionAddress, Remote)>,
    /// The exports behind which nothing accepts connections, each with where it leads.
    pub exports: Vec<(Port, Target)>,
}

/// Everything that is to be judged.
pub fn findings(view: &View<'_>, standing: &[Problem], tries: Tries) -> Findings {
    let status = derive::status(view, standing);
    let key_problem = |address| view.observed.failures.get(&Subject::Key(address));
    let remotes = tries.remotes.into_iter().map(|(address, remote)| Remote {
        key: key_problem(address).map(|backoff| backoff.problem.clone()),
        ..remote
    });
    Findings {
        now: view.unix,
        agent: Agent::Runs {
            pid: view.process.pid,
            uptime: view.now.as_secs(),
            is_paused: view.is_paused,
            config: view.configuration.first().cloned(),
        },
        secrets: tries.secrets,
        tor: tor(view),
        link: link(view),
        clients: status.clients.iter().map(|client| of_client(view, standing, client)).collect(),
        listeners: listeners(standing, &tries.exports),
        remotes: remotes.collect(),
        is_unread: false,
    }
}

/// What the last connection found behind an export is older than what doctor has found.
fn listeners(standing: &[Problem], closed: &[(Port, Target)]) -> Vec<Problem> {
    let known =
        standing.iter().filter(|problem| is_of_a_listener(problem) && problem.code != Code::NoBackend);
    let found = closed.iter().map(|(port, target)| catalogue::no_backend_now(*port, target));
    known.cloned().chain(found).collect()
}

fn is_of_a_listener(problem: &Problem) -> bool {
    use problem::Subject::{Export, Import, Socks};
    matches!(problem.subject, Some(Socks | Import(_) | Export(_)))
}

fn tor(view: &View<'_>) -> Tor {
    let health = &view.observed.health;
    match (health.engine(), health.tor()) {
        (EngineState::Failed { why, hint, .. }, _) => Tor::Fails { why: why.clone(), hint: hint.clone() },
        (EngineState::Bootstrapping { .. } | EngineState::Ready | EngineState::Offline { .. }, Some(tor)) => {
            Tor::Runs(tor.clone())
        }
        (EngineState::Stopped, Some(tor)) => Tor::Found(tor.clone()),
        (_, _) => Tor::Starting,
    }
}

fn link(view: &View<'_>) -> Option<Link> {
    let health = &view.observed.health;
    let (bootstrap, warning) = match health.engine() {
        EngineState::Stopped | EngineState::Starting | EngineState::Failed { .. } => return None,
        EngineState::Ready => (None, None),
        EngineState::Offline { why } => (None, Some(why.clone())),
        EngineState::Bootstrapping { percent, doing, warning } => {
            (Some((*percent, doing.clone())), warning.clone())
        }
    };
    let clock = health.clock().cloned();
    // A wrong clock is told as both, and is judged once.
    let warning = warning.filter(|warning| clock.as_ref() != Some(warning));
    let survey = health.survey().map(|known| known.what.clone()).unwrap_or_default();
    Some(Link {
        bootstrap,
        warning,
        clock,
        consensus: survey.consensus,
        relays: survey.relays,
        is_live: survey.is_live,
        bridges: u32::try_from(view.config.agent.bridges.len()).unwrap_or(u32::MAX),
    })
}

fn of_client(view: &View<'_>, standing: &[Problem], client: &ClientStatus) -> Client {
    let health = &view.observed.health;
    let known = health.service(&client.address);
    let closed = known.and_then(|service| service.closed.as_ref());
    let age = closed.map(|closed| view.now.saturating_sub(closed.proven).as_secs());
    Client {
        name: client.name.clone(),
        service: service(view, standing, client),
        closed: age.map(|age| view.unix.saturating_sub(age)),
    }
}

fn service(view: &View<'_>, standing: &[Problem], client: &ClientStatus) -> Service {
    let Desired { services: wanted, .. } = view.desired;
    let subject = problem::Subject::Client(client.name.clone());
    let failure = view.observed.failures.get(&Subject::Service(client.address));
    let problem = failure
        .map(|backoff| &backoff.problem)
        .or_else(|| standing.iter().find(|problem| problem.is_about(&subject)));
    let is_published = matches!(client.state, Some(ClientState::Reachable | ClientState::Connected));
    let none = BTreeMap::new();
    let survey = view.observed.health.survey().map_or(&none, |known| &known.what.services);
    match (problem, survey.get(&client.address)) {
        _ if !wanted.contains_key(&client.address) => Service::Unwanted,
        (Some(problem), _) => Service::Failing { why: problem.message.clone(), hint: problem.hint.clone() },
        (None, Some(ServiceSurvey { refused: Some(reason), .. })) => Service::Failing {
            why: format!("no directory has taken its descriptor ({reason})"),
            hint: "tor tries again by itself; a wrong clock is the usual reason".into(),
        },
        (None, Some(service)) if service.confirmed > 0 && is_published => {
            Service::Up { directories: service.confirmed, introductions: service.introductions }
        }
        (None, _) => Service::OnItsWay,
    }
}
