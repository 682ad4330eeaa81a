//! Tests of `findings`: what of all that is known comes to doctor, for each state that the agent can be in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::model::address::Port;
use crate::model::bridge::Bridge;
use crate::model::config::{Client as Entry, Config, Export, InstanceId};
use crate::model::day::Day;
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::problem::Code;
use crate::model::status::TorStatus;
use crate::model::tor::Survey;
use crate::plan::backoff::Backoff;
use crate::plan::derive::Process;
use crate::plan::health::Report;
use crate::plan::verdicts::Reach;
use crate::plan::{Observed, Step};

/// 100 seconds after the agent started, by both clocks.
const NOW: Duration = Duration::from_secs(100);
const UNIX: u64 = 5_000;

fn address(seed: u8) -> OnionAddress {
    ServiceKey::from_seed(&zeroize::Zeroizing::new([seed; 32])).address()
}

fn key(seed: u8) -> ClientPublicKey {
    ClientKey::from_bytes(&[seed; 32]).unwrap().public()
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

/// A host with one export and these clients.
fn config(clients: &[u8]) -> Config {
    let mut config = Config::new(InstanceId::from_random([0; 10]));
    let export = Export { target: "22".parse().unwrap(), allow_lan: false, clients: None };
    config.exports.insert(port(22), export);
    for seed in clients {
        let client = Entry::new(address(*seed), key(*seed));
        config.clients.insert(format!("c{seed}").parse().unwrap(), client);
    }
    config
}

fn no_tries() -> Tries {
    Tries { secrets: Secrets::Unchosen, remotes: Vec::new(), exports: Vec::new() }
}

/// What doctor is told of a host.
fn told(config: &Config, observed: &Observed, standing: &[Problem], tries: Tries) -> Findings {
    let desired = Desired::from_config(config, Day::from_unix(UNIX), false);
    let view = View {
        config,
        is_paused: false,
        desired: &desired,
        observed,
        process: &Process { pid: 7, network: None },
        now: NOW,
        unix: UNIX,
        clients: BTreeMap::new(),
        full: BTreeMap::new(),
        imports: BTreeMap::new(),
        configuration: vec![
            problem(Code::ConfigMistake, "a mistake"),
            problem(Code::ConfigUnwatched, "unseen"),
        ],
        here: Vec::new(),
    };
    findings(&view, standing, tries)
}

fn problem(code: Code, words: &str) -> Problem {
    Problem::new(code, words).hint(format!("mend {words}"))
}

fn a_tor() -> TorStatus {
    let (path, passed_over) = (PathBuf::from("/usr/bin/tor"), None);
    TorStatus { version: "0.4.9.11".into(), path, found: "in PATH".into(), passed_over }
}

fn bootstrapping(warning: Option<&str>) -> EngineState {
    let warning = warning.map(str::to_owned);
    EngineState::Bootstrapping { percent: 45, doing: "asking".into(), warning }
}

fn with_engine(state: EngineState) -> Observed {
    let mut observed = Observed::default();
    observed.health.report(Report::Engine(state), Duration::from_secs(1));
    observed
}

#[test]
fn the_agent_is_told_with_its_age_and_the_first_thing_that_is_wrong_with_the_file() {
    let found = told(&config(&[]), &Observed::default(), &[], no_tries());
    let config = Some(problem(Code::ConfigMistake, "a mistake"));
    assert_eq!(found.agent, Agent::Runs { pid: 7, uptime: 100, is_paused: false, config });
    assert_eq!((found.now, found.secrets), (UNIX, Secrets::Unchosen));
}

#[test]
fn a_tor_is_running_found_failing_or_being_looked_for() {
    let failed =
        EngineState::Failed { why: "it ends".into(), hint: "look".into(), is_missing: false, retry_in: None };
    let fails = Tor::Fails { why: "it ends".into(), hint: "look".into() };
    let cases = [
        (failed, fails.clone(), fails),
        (EngineState::Ready, Tor::Starting, Tor::Runs(a_tor())),
        (bootstrapping(None), Tor::Starting, Tor::Runs(a_tor())),
        (EngineState::Stopped, Tor::Starting, Tor::Found(a_tor())),
        (EngineState::Starting, Tor::Starting, Tor::Starting),
    ];
    for (state, before, after) in cases {
        let mut observed = with_engine(state);
        assert_eq!(told(&config(&[]), &observed, &[], no_tries()).tor, before);
        observed.health.report(Report::Tor(a_tor()), Duration::from_secs(2));
        assert_eq!(told(&config(&[]), &observed, &[], no_tries()).tor, after);
    }
}

#[test]
fn the_link_has_what_tor_told_of_it_and_a_wrong_clock_once() {
    let mut config = config(&[]);
    config.agent.bridges = vec![format!("192.0.2.1:443 {}", "A".repeat(40)).parse::<Bridge>().unwrap()];
    let link = |observed: &Observed| told(&config, observed, &[], no_tries()).link;
    for state in [EngineState::Stopped, EngineState::Starting] {
        assert_eq!(link(&with_engine(state)), None, "no tor runs");
    }

    let mut observed = with_engine(bootstrapping(Some("blocked")));
    let on_the_way = Link {
        bootstrap: Some((45, "asking".into())),
        warning: Some("blocked".into()),
        bridges: 1,
        ..Link::default()
    };
    assert_eq!(link(&observed), Some(on_the_way.clone()));
    observed.health.report(Report::Clock(Some("behind".into())), Duration::from_secs(2));
    let both = Link { clock: Some("behind".into()), ..on_the_way };
    assert_eq!(link(&observed), Some(both.clone()));
    observed.health.report(Report::Clock(Some("blocked".into())), Duration::from_secs(3));
    assert_eq!(link(&observed), Some(Link { clock: Some("blocked".into()), warning: None, ..both }));

    let mut observed = with_engine(EngineState::Ready);
    let survey =
        Survey { relays: Some(3), is_live: Some(true), consensus: Some((1, 9)), services: BTreeMap::new() };
    observed.health.report(Report::Surveyed(survey), Duration::from_secs(2));
    let ready =
        Link { relays: Some(3), is_live: Some(true), consensus: Some((1, 9)), bridges: 1, ..Link::default() };
    assert_eq!(link(&observed), Some(ready));
}

/// A host with a client whose service tor was given, and what tor told of it when it was asked.
fn surveyed(is_uploaded: bool, survey: Option<ServiceSurvey>) -> Observed {
    let mut observed = with_engine(EngineState::Ready);
    observed.done(&Step::Publish(address(1), key(1), [port(1), port(22)].into()), Duration::from_secs(2));
    if is_uploaded {
        observed.health.report(Report::Uploaded(address(1)), Duration::from_secs(3));
    }
    let services = survey.map(|survey| (address(1), survey)).into_iter().collect();
    let survey = Survey { services, ..Survey::default() };
    observed.health.report(Report::Surveyed(survey), Duration::from_secs(4));
    observed
}

#[test]
fn a_service_is_up_only_when_a_directory_has_it_by_both_accounts() {
    let up = ServiceSurvey { confirmed: 2, refused: None, introductions: 3 };
    let none = ServiceSurvey { confirmed: 0, refused: None, introductions: 3 };
    let refused = ServiceSurvey { confirmed: 0, refused: Some("BAD_DESC".into()), introductions: 0 };
    let state = |observed: &Observed, standing: &[Problem]| {
        told(&config(&[1]), observed, standing, no_tries()).clients[0].service.clone()
    };
    assert_eq!(
        state(&surveyed(true, Some(up.clone())), &[]),
        Service::Up { directories: 2, introductions: 3 }
    );
    assert_eq!(state(&surveyed(false, Some(up.clone())), &[]), Service::OnItsWay);
    assert_eq!(state(&surveyed(true, Some(none)), &[]), Service::OnItsWay);
    assert_eq!(state(&surveyed(true, None), &[]), Service::OnItsWay, "tor told nothing of it");
    let failing = state(&surveyed(true, Some(refused)), &[]);
    assert!(
        matches!(&failing, Service::Failing { why, hint } if why.contains("BAD_DESC") && hint.contains("clock")),
        "{failing:?}"
    );

    // What stands of this client is said before what tor tells; what stands of another one is not.
    let about = |name: &str| {
        problem(Code::ServiceOpen, "it is open").about(problem::Subject::Client(name.parse().unwrap()))
    };
    let failing = |words: &str| Service::Failing { why: words.into(), hint: format!("mend {words}") };
    assert_eq!(state(&surveyed(true, Some(up.clone())), &[about("c1")]), failing("it is open"));
    assert_ne!(state(&surveyed(true, Some(up.clone())), &[about("c2")]), failing("it is open"));
    let mut observed = surveyed(true, Some(up));
    let backoff = Backoff::after(None, problem(Code::ServiceFailed, "tor refused it"), NOW);
    observed.failures.insert(Subject::Service(address(1)), backoff);
    assert_eq!(state(&observed, &[about("c1")]), failing("tor refused it"), "the last try is the last word");
}

#[test]
fn a_client_with_nothing_to_reach_needs_no_service() {
    let mut config = config(&[1]);
    config.exports.clear();
    let observed = surveyed(true, Some(ServiceSurvey { confirmed: 2, refused: None, introductions: 3 }));
    assert_eq!(told(&config, &observed, &[], no_tries()).clients[0].service, Service::Unwanted);
}

#[test]
fn when_a_stranger_was_refused_is_told_by_this_hosts_clock() {
    let mut observed = surveyed(true, None);
    let config = config(&[1, 2]);
    let closed = |observed: &Observed| -> Vec<_> {
        told(&config, observed, &[], no_tries()).clients.iter().map(|client| client.closed).collect()
    };
    assert_eq!(closed(&observed), [None, None]);
    observed.health.report(Report::StrangerRefused(address(1)), Duration::from_secs(60));
    assert_eq!(closed(&observed), [Some(UNIX - 40), None]);
}

#[test]
fn what_keeps_connections_out_here_is_told_and_nothing_else() {
    let listen: crate::model::address::ListenAddr = "127.0.0.1:8080".parse().unwrap();
    let about = |subject| problem(Code::AddressInUse, "in use").about(subject);
    let here = [
        about(problem::Subject::Import(listen)),
        about(problem::Subject::Socks),
        about(problem::Subject::Export(port(22))),
    ];
    let elsewhere = [
        problem(Code::ClockWrong, "behind").about(problem::Subject::Tor),
        about(problem::Subject::Client("c1".parse().unwrap())),
        problem(Code::AddressInUse, "of nobody"),
    ];
    let standing = [here.as_slice(), elsewhere.as_slice()].concat();
    assert_eq!(told(&config(&[]), &Observed::default(), &standing, no_tries()).listeners, here);
}

#[test]
fn a_remote_whose_key_could_not_be_given_to_tor_says_so_beside_what_was_tried() {
    let remote = |name: &str, seed| {
        let remote = Remote {
            name: name.parse().unwrap(),
            expired: None,
            key: None,
            imports: vec![port(80)],
            reach: Reach::Untried,
        };
        (address(seed), remote)
    };
    let mut observed = with_engine(EngineState::Ready);
    let locked = problem(Code::StoreLocked, "locked");
    observed.failures.insert(Subject::Key(address(11)), Backoff::after(None, locked.clone(), NOW));
    let remotes = vec![remote("r1", 11), remote("r2", 12)];
    let tries = Tries { secrets: Secrets::Untried("no"), remotes, exports: Vec::new() };

    let found = told(&config(&[]), &observed, &[], tries);

    assert_eq!(found.secrets, Secrets::Untried("no"));
    let one = Remote { key: Some(locked), ..remote("r1", 11).1 };
    assert_eq!(found.remotes, [one, remote("r2", 12).1]);
}

#[test]
fn what_was_found_behind_an_export_now_counts_and_not_what_the_last_connection_found() {
    let [web, ssh] = [80, 22].map(|port| Port::new(port).unwrap());
    let last = catalogue::no_backend(web, &"connection refused");
    let target: Target = "127.0.0.1:22".parse().unwrap();

    assert_eq!(listeners(std::slice::from_ref(&last), &[]), []);
    let found = listeners(&[last], &[(ssh, target.clone())]);
    assert_eq!(found, [catalogue::no_backend_now(ssh, &target)]);
    assert!(found[0].message.contains("127.0.0.1:22, to which port 22 leads"), "{}", found[0]);
}
