//! Collects, layer by layer, the facts that `plan::verdicts` judges: about this agent and its remotes, or about a host without a running
//! agent.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::absent::not_running;
use super::commands::Commands;
use super::connect;
use super::known::Known;
use super::places;
use super::vault::Vault;
use super::world::World;
use crate::engine::DialError;
use crate::engine::ctor::check_transports;
use crate::forward::calendar::Calendar;
use crate::forward::dialler::{Connected, Dialler, Early};
use crate::forward::responder::{self, Prober};
use crate::ipc::{Request, Response, SecretsStatus};
use crate::model::address::{Port, Target};
use crate::model::config::Config;
use crate::model::day::Day;
use crate::model::edit;
use crate::model::layer::Layer;
use crate::model::name::RemoteName;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem, ProblemKind, catalogue};
use crate::plan::findings::{Tries, findings};
use crate::plan::health::Report;
use crate::plan::verdicts::{self as judge, Agent, Findings, Reach, Remote, Secrets, Told, Tor, UNREAD};
use crate::store::paths::Paths;
use crate::store::{ConfigStore, private};

/// How long a remote is tried: its service is found at the second or third attempt, and a person waits.
const TRY: Duration = Duration::from_secs(30);
/// Remotes tried at a time.
const AT_ONCE: usize = 8;
/// The circuits that are made for it: nobody else's are touched.
const GROUP: &str = "doctor";

/// How a host is to be examined.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    /// The only remote to try; all of them when none.
    pub remote: Option<RemoteName>,
    /// Leaves the secret store alone when no agent runs: for a shell that opens none.
    pub spares_secrets: bool,
    /// Why no agent runs, when the shell knows more than that none does.
    pub no_agent: Option<Problem>,
}

/// Walks the layers of a host, by its agent or, as far as that goes, without one.
///
/// Errors: there is no such remote. Whatever fails on the way is a layer's verdict.
pub async fn doctor(paths: &Paths, examination: Examination) -> Result<Vec<Layer>, Problem> {
    let problem = match connect(paths).await {
        Ok(None) => examination.no_agent.clone().unwrap_or_else(|| not_running(paths)),
        Err(problem) => problem,
        Ok(Some(client)) => {
            let remote = examination.remote.clone();
            match client.ask(&Request::Doctor { remote }).await {
                Ok(Response::Layers(layers)) => return Ok(layers),
                Ok(_) => catalogue::unexpected_answer(),
                // It ended, or can't be understood. A refusal is about the remote that was named.
                Err(problem) if problem.kind == ProblemKind::NotReady => problem,
                Err(problem) => return Err(problem),
            }
        }
    };
    Ok(judge::layers(&at_rest(paths, examination, problem).await?))
}

/// What is known with no agent to ask; `problem` says why there is none.
async fn at_rest(paths: &Paths, examination: Examination, problem: Problem) -> Result<Findings, Problem> {
    let loaded = ConfigStore::new(paths).and_then(|store| store.load());
    if let (Ok(config), Some(name)) = (&loaded, &examination.remote) {
        edit::find(&config.remotes, name)?;
    }
    let obstacle = loaded.as_ref().err().cloned().or_else(|| unsafe_directory(paths));
    let problem = match obstacle {
        Some(obstacle) => {
            let message = format!("{}, and none could: {obstacle}", problem.message);
            Problem { message, hint: obstacle.hint, ..problem }
        }
        None => problem,
    };
    let secrets = match &loaded {
        _ if examination.spares_secrets => Secrets::Untried("not tried, since no agent runs"),
        Err(_) => Secrets::Untried(UNREAD),
        Ok(config) => secrets(Vault::local(paths, &World::real(paths)).status(config).await),
    };
    let tor = match &loaded {
        Ok(config) => {
            let finder = places::finder(config, false);
            let found = finder.find().await;
            match found.and_then(|info| check_transports(&finder, &config.agent.bridges).map(|()| info)) {
                Ok(tor) => Tor::Found(tor),
                Err(missing) => Tor::Fails { why: missing.why, hint: missing.hint },
            }
        }
        Err(_) => Tor::Untried("not looked for, since the configuration can't be read"),
    };
    let calendar = Calendar::system();
    let today = calendar.today();
    let remotes = loaded.iter().flat_map(|config| chosen(config, examination.remote.as_ref(), today));
    Ok(Findings {
        now: calendar.now(),
        agent: Agent::Absent(problem),
        secrets,
        tor,
        link: None,
        clients: Vec::new(),
        listeners: Vec::new(),
        remotes: remotes.collect(),
        is_unread: loaded.is_err(),
    })
}

/// What would keep an agent from starting: a directory that others can enter. One that is missing is made by the agent.
fn unsafe_directory(paths: &Paths) -> Option<Problem> {
    let there = [&paths.state, &paths.run].into_iter().filter(|dir| dir.exists());
    there.map(|dir| private::ensure_dir(dir)).find_map(Result::err)
}

/// What an agent is examined by.
pub(super) struct Examiner<'a> {
    pub(super) config: &'a Config,
    pub(super) commands: &'a Commands,
    pub(super) calendar: &'a Calendar,
    pub(super) dialler: &'a Arc<Dialler>,
    pub(super) known: &'a Known,
    pub(super) prober: &'a Prober,
}

impl Examiner<'_> {
    /// Examines the agent's host, and tries the remotes, or the one that is named; none when the agent is ending.
    ///
    /// Errors: there is no such remote.
    pub(super) async fn examine(&self, remote: Option<&RemoteName>) -> Result<Option<Vec<Layer>>, Problem> {
        if let Some(name) = remote {
            edit::find(&self.config.remotes, name)?;
        }
        let (secrets_status, remotes, exports) = tokio::join!(
            self.commands.secrets_status_of(self.config),
            self.try_remotes(remote),
            self.try_exports()
        );
        // After the remotes, so that what was reached by them shows. It is taken in before what is asked next.
        let survey = self.dialler.engine().survey().await;
        self.dialler.reports().tell(Report::Surveyed(survey));
        let tries = Tries { secrets: secrets(secrets_status), remotes, exports };
        let findings = self.known.ask(move |view, standing| findings(view, standing, tries)).await;
        Ok(findings.map(|findings| judge::layers(&findings)))
    }

    /// The exports behind which nothing accepts connections now, and where each leads.
    async fn try_exports(&self) -> Vec<(Port, Target)> {
        let targets = self.config.exports.values().map(|export| export.target.clone()).collect();
        let accept = self.prober.accept(targets).await;
        let exports = self.config.exports.iter();
        let closed = exports.filter(|(_, export)| accept.get(&export.target) != Some(&true));
        closed.map(|(port, export)| (*port, export.target.clone())).collect()
    }

    /// Tries remotes, several at a time; in the order of their names.
    async fn try_remotes(&self, only: Option<&RemoteName>) -> Vec<(OnionAddress, Remote)> {
        let mut found = BTreeMap::new();
        let is_ready = self.dialler.engine().state().borrow().is_ready();
        let mut waiting = chosen(self.config, only, self.calendar.today()).collect::<Vec<_>>().into_iter();
        let mut tries = JoinSet::new();
        loop {
            while tries.len() < AT_ONCE
                && let Some(mut remote) = waiting.next()
            {
                let (dialler, address) =
                    (Arc::clone(self.dialler), self.config.remotes[&remote.name].address);
                tries.spawn(async move {
                    if is_ready {
                        remote.reach = reach(&dialler, &address).await;
                        dialler.forget_group(&address, GROUP);
                    }
                    (address, remote)
                });
            }
            // A try never panics; one that did would be missing.
            match tries.join_next().await {
                Some(Ok((address, remote))) => {
                    found.insert(remote.name.clone(), (address, remote));
                }
                Some(Err(_)) => {}
                None => return found.into_values().collect(),
            }
        }
    }
}

/// The remotes that are to be tried, not tried yet.
fn chosen<'a>(
    config: &'a Config,
    only: Option<&'a RemoteName>,
    today: Day,
) -> impl Iterator<Item = Remote> + 'a {
    let wanted = config.remotes.iter().filter(move |(name, _)| only.is_none_or(|only| only == *name));
    wanted.map(move |(name, remote)| Remote {
        name: name.clone(),
        expired: remote.expires.filter(|day| day.is_over(today)),
        key: None,
        imports: remote.imports.values().map(|import| import.remote_port).collect(),
        reach: Reach::Untried,
    })
}

/// Meets a remote and asks its agent. Of one that does not run ormesh the port is refused by its tor, which says as much, and no byte
/// is sent to any program there.
async fn reach(dialler: &Dialler, address: &OnionAddress) -> Reach {
    let mut connected = match dial(dialler, address).await {
        Ok(connected) => connected,
        Err(error) => return not_reached(&error),
    };
    let began = Instant::now();
    let echo = responder::ask_echo(&mut connected.stream).await;
    let took = began.elapsed();
    let round_trip = echo.is_ok().then(|| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let told = match echo {
        Ok(responder::Echo { ports, .. }) => {
            let told = responder::ask_info(&mut connected.stream).await;
            dialler.reports().tell(Report::Answered { remote: *address, took, ports });
            told
        }
        Err(error) => Err(error),
    };
    let told = told.map(|info| Told {
        ports: info.ports.iter().map(|port| (port.port, port.open)).collect(),
        full: info.full().map(|(port, (held, of))| (port, held, of)).collect(),
    });
    Reach::Met { told: told.map_err(|error| error.to_string()), round_trip }
}

/// Dials for a while. A time that ran out says less than what an earlier attempt has told, which is given then.
async fn dial(dialler: &Dialler, address: &OnionAddress) -> Result<Connected, DialError> {
    let failing = watch::Sender::default();
    let mut failed = failing.subscribe();
    let mut told = None;
    let dialling = dialler.connect_telling(address, Port::RESPONDER, GROUP, Early::none(), &failing);
    let mut dial = pin!(tokio::time::timeout(TRY, dialling));
    loop {
        let error = failed.borrow_and_update().clone();
        told = error.filter(|error| *error != DialError::TimedOut).or(told);
        let outcome = tokio::select! {
            biased;
            outcome = &mut dial => outcome,
            _ = failed.changed() => continue,
        };
        let error = match outcome {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => error.dial_error().cloned().unwrap_or(DialError::TimedOut),
            Err(_) => DialError::TimedOut,
        };
        return Err(match error {
            DialError::TimedOut => told.unwrap_or(error),
            error => error,
        });
    }
}

fn not_reached(error: &DialError) -> Reach {
    let why = error.to_string();
    match error {
        DialError::PortNotExported(_) => Reach::MetPlain,
        DialError::NotPublished => Reach::NotFound(why),
        DialError::Gone => Reach::Gone(why),
        DialError::KeyMissing => Reach::KeyMissing(why),
        DialError::KeyRefused => Reach::KeyRefused(why),
        DialError::NotReady => Reach::Untried,
        DialError::Malformed
        | DialError::Failed
        | DialError::TimedOut
        | DialError::Code(_)
        | DialError::Broken(_) => Reach::Failed(why),
    }
}

fn secrets(status: Result<SecretsStatus, Problem>) -> Secrets {
    match status {
        Err(problem) | Ok(SecretsStatus { problem: Some(problem), .. }) => Secrets::Unusable(problem),
        Ok(SecretsStatus { store: None, needed: 0, .. }) => Secrets::Unchosen,
        Ok(SecretsStatus { store: None, .. }) => Secrets::Unusable(
            Problem::new(Code::StoreUnchosen, "the configuration names keys, and no store that has them")
                .hint("set agent.secrets in the file to the store that has them: os-keyring or file"),
        ),
        Ok(SecretsStatus { store: Some(kind), needed, found, .. }) => Secrets::Usable { kind, needed, found },
    }
}
