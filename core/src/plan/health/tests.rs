//! Tests of `health`, and of what is derived from it, against a small model that is stated independently: whatever is reported in whatever
//! order, people see what the last proof says, and nothing that is not proven.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::address::{ListenAddr, Port};
use crate::model::config::{Client, Config, Export, Import, InstanceId, Remote, Users};
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::problem::{Code, Subject};
use crate::model::status::{
    AgentState, ClientState, ClientStatus, Event, Happening, ImportState, RemoteState, Status,
};
use crate::plan::derive::{self, Process, Traffic, View};
use crate::plan::{Desired, Observed, Step};

/// Made once: in thousands of turns it is the making that takes time.
fn ids(seed: u8) -> (OnionAddress, ClientPublicKey) {
    static IDS: LazyLock<Vec<(OnionAddress, ClientPublicKey)>> = LazyLock::new(|| {
        let id = |seed: u8| {
            let key = ClientKey::from_bytes(&[seed; 32]).unwrap().public();
            (ServiceKey::from_seed(&zeroize::Zeroizing::new([seed; 32])).address(), key)
        };
        (1..=REMOTES[1]).map(id).collect()
    });
    IDS[usize::from(seed) - 1]
}

fn address(seed: u8) -> OnionAddress {
    ids(seed).0
}

fn key(seed: u8) -> ClientPublicKey {
    ids(seed).1
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn listen() -> ListenAddr {
    "127.0.0.1:8080".parse().unwrap()
}

const CLIENTS: [u8; 2] = [1, 2];
const REMOTES: [u8; 2] = [11, 12];

/// Two clients, and two remotes of which the first is imported from.
fn config() -> Config {
    let mut config = Config::new(InstanceId::from_random([0; 10]));
    config
        .exports
        .insert(port(22), Export { target: "22".parse().unwrap(), allow_lan: false, clients: None });
    for seed in CLIENTS {
        let client = Client::new(address(seed), key(seed));
        config.clients.insert(format!("c{seed}").parse().unwrap(), client);
    }
    for seed in REMOTES {
        let mut remote = Remote {
            address: address(seed),
            key: key(seed),
            plain_tor: false,
            expires: None,
            ports: Default::default(),
            imports: Default::default(),
        };
        if seed == REMOTES[0] {
            let import = Import {
                remote_port: port(80),
                half_close: Default::default(),
                users: Users::default(),
                session: Default::default(),
                hold: Default::default(),
            };
            remote.imports.insert(listen(), import);
        }
        config.remotes.insert(format!("r{seed}").parse().unwrap(), remote);
    }
    config
}

/// What people are shown.
fn shown(observed: &Observed, is_paused: bool, sessions: u32, now: Moment) -> Status {
    shown_with(observed, is_paused, sessions, now, [])
}

/// The same where clients are turned away at these ports.
fn shown_with<const N: usize>(
    observed: &Observed,
    is_paused: bool,
    sessions: u32,
    now: Moment,
    full: [(OnionAddress, Vec<Port>); N],
) -> Status {
    let config = config();
    let desired = Desired::from_config(&config, crate::model::day::Day::from_unix(0), is_paused);
    let traffic = Traffic { sessions, bytes: (0, 0), through: None };
    let view = View {
        is_paused,
        clients: [(address(CLIENTS[0]), traffic)].into(),
        full: full.into(),
        ..view(&config, &desired, observed, now, 0)
    };
    derive::status(&view, &derive::problems(&view))
}

/// A host without traffic.
fn view<'a>(
    config: &'a Config,
    desired: &'a Desired,
    observed: &'a Observed,
    now: Moment,
    unix: u64,
) -> View<'a> {
    static PROCESS: Process = Process { pid: 1, network: None };
    View {
        config,
        is_paused: false,
        desired,
        observed,
        process: &PROCESS,
        now,
        unix,
        clients: BTreeMap::new(),
        full: BTreeMap::new(),
        imports: BTreeMap::new(),
        configuration: Vec::new(),
        here: Vec::new(),
    }
}

#[test]
fn a_port_that_is_full_is_said_beside_its_client() {
    let ssh = Port::new(22).unwrap();

    let status = shown_with(&online(), false, 3, seconds(2), [(address(CLIENTS[0]), vec![ssh])]);

    let full = |client: &ClientStatus| (client.address == address(CLIENTS[0]), client.full.clone());
    let seen: Vec<_> = status.clients.iter().map(full).collect();
    assert!(seen.len() > 1, "there is nobody else");
    assert!(seen.iter().all(|(is_it, ports)| *ports == if *is_it { vec![ssh] } else { vec![] }), "{seen:?}");
}

#[test]
fn an_import_of_a_port_that_its_remote_does_not_export_says_so() {
    let mut observed = online();
    carry_out(&Turn::Listen(true), &mut observed, seconds(1));
    let mut state_once_told = |ports: Option<&[u16]>, second| {
        let ports = ports.map(|ports| ports.iter().map(|number| port(*number)).collect());
        let answered = Report::Answered { remote: address(REMOTES[0]), took: seconds(1), ports };
        observed.health.report(answered, seconds(second));
        let status = shown(&observed, false, 0, seconds(second));
        status.remotes[0].imports[0].state.clone().unwrap()
    };
    let not_exported = ImportState::NotExported { by: "r11".parse().unwrap() };

    // An agent of an older version does not tell.
    assert_eq!(state_once_told(None, 2), ImportState::Listening);
    assert_eq!(state_once_told(Some(&[22]), 3), not_exported);
    assert_eq!(state_once_told(None, 4), not_exported, "it was not taken back");
    assert_eq!(state_once_told(Some(&[22, 80]), 5), ImportState::Listening);
    assert_eq!(state_once_told(Some(&[]), 6), not_exported);
    // Its host is in use, so it is reached all the time, and is asked all the same. Where nobody looks, what it told is not known any more.
    let in_use = |second| {
        let mut observed = observed.clone();
        observed.health.report(dialled(REMOTES[0], Ok(()), 10, true), seconds(second));
        let remote = address(REMOTES[0]);
        let is_due = observed.health.is_to_be_tried(&remote, seconds(second));
        (is_due, observed.health.has_old_ports(&remote), observed.health.is_exported(&remote, port(80)))
    };
    assert_eq!(in_use(8), (false, false, Some(false)));
    assert_eq!(in_use(12), (true, false, Some(false)));
    assert_eq!(in_use(60), (true, true, None));
    // What is known of a remote that is away is that it is away.
    let lost = Report::Dialled {
        remote: address(REMOTES[0]),
        outcome: Err(DialError::Gone),
        took: seconds(1),
        warm: true,
    };
    observed.health.report(lost, seconds(7));
    let status = shown(&observed, false, 0, seconds(7));
    assert_eq!(status.remotes[0].imports[0].state, Some(ImportState::Degraded));
}

#[test]
fn a_client_for_whom_no_export_is_has_no_port() {
    let mut config = config();
    config.exports.clear();
    let desired = Desired::from_config(&config, crate::model::day::Day::from_unix(0), false);
    let observed = online();
    let view = view(&config, &desired, &observed, seconds(2), 0);

    let status = derive::status(&view, &[]);

    assert!(status.clients.iter().all(|client| client.state == Some(ClientState::NoPort)));
}

#[test]
fn bridges_are_counted_where_there_are_any() {
    let observed = online();
    let bridges = |hosts: &[&str]| {
        let mut config = config();
        let line = |host: &&str| format!("{host}:443 {}", "A".repeat(40)).parse().unwrap();
        config.agent.bridges = hosts.iter().map(line).collect();
        let desired = Desired::from_config(&config, crate::model::day::Day::from_unix(0), false);
        derive::status(&view(&config, &desired, &observed, seconds(2), 0), &[]).agent.unwrap().bridges
    };
    assert_eq!(bridges(&[]), None);
    assert_eq!(bridges(&["192.0.2.1", "192.0.2.2"]), Some(2));
}

#[test]
fn events_are_told_by_this_hosts_clock_and_of_remotes_that_are_there() {
    let mut observed = online();
    let wanted = [address(REMOTES[0]), address(REMOTES[1]), address(CLIENTS[0])].into();
    for seed in [REMOTES[0], CLIENTS[0]] {
        observed.health.report(dialled(seed, Ok(()), 10, true), seconds(2));
    }
    observed.chronicle.look(&observed.health, false, &wanted, seconds(2));
    let config = config();
    let desired = Desired::from_config(&config, crate::model::day::Day::from_unix(0), false);

    let status = derive::status(&view(&config, &desired, &observed, seconds(12), 1_000_012), &[]);

    let name = "r11".parse().unwrap();
    let events =
        [Happening::Online { after: 2, again: false }, Happening::Found { remote: name, after: None }];
    assert_eq!(status.events, events.map(|what| Event { at: 1_000_002, what }));
}

fn seconds(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

/// An observed host whose tor is connected since second 1.
fn online() -> Observed {
    let mut observed = Observed::default();
    observed.health.report(Report::Engine(EngineState::Ready), seconds(1));
    observed
}

fn dialled(seed: u8, outcome: Result<(), DialError>, millis: u64, warm: bool) -> Report {
    Report::Dialled { remote: address(seed), outcome, took: Duration::from_millis(millis), warm }
}

fn remote_of(observed: &Observed, seed: u8) -> RemoteState {
    let status = shown(observed, false, 0, seconds(1000));
    status.remotes.into_iter().find(|remote| remote.address == address(seed)).unwrap().state.unwrap()
}

#[test]
fn a_remote_is_reachable_until_an_attempt_fails_and_each_knows_since_when() {
    let mut observed = online();
    assert_eq!(remote_of(&observed, 11), RemoteState::Unknown);

    assert!(observed.health.report(dialled(11, Ok(()), 900, false), seconds(2)));
    assert!(!observed.health.report(dialled(11, Ok(()), 950, false), seconds(5)));
    let reach = observed.health.remote(&address(11)).unwrap().reach.clone().unwrap();
    assert_eq!((reach.since, reach.proven, reach.by), (seconds(2), seconds(5), Proof::Dial));
    assert_eq!(remote_of(&observed, 11), RemoteState::Reachable { round_trip: 950 });

    observed.health.report(dialled(11, Err(DialError::NotPublished), 10, false), seconds(6));
    assert!(observed.health.report(dialled(11, Err(DialError::TimedOut), 10, false), seconds(9)));
    let reach = observed.health.remote(&address(11)).unwrap().reach.clone().unwrap();
    assert_eq!((reach.since, reach.proven), (seconds(6), seconds(9)), "another reason is not another state");
    assert_eq!(remote_of(&observed, 11), RemoteState::Unreachable { why: DialError::TimedOut.to_string() });
}

#[test]
fn a_host_that_refuses_a_connection_was_met_and_its_round_trip_is_known() {
    for refusal in [DialError::Failed, DialError::PortNotExported(port(80))] {
        let mut observed = online();
        observed.health.report(dialled(11, Err(refusal), 70, true), seconds(2));
        assert_eq!(remote_of(&observed, 11), RemoteState::Reachable { round_trip: 70 });
    }
}

#[test]
fn there_is_one_round_trip_and_the_building_of_a_circuit_is_none() {
    let mut observed = online();
    let answered =
        |millis| Report::Answered { remote: address(11), took: Duration::from_millis(millis), ports: None };
    let turns = [
        (dialled(11, Ok(()), 2100, false), 2100),
        (answered(210), 210),
        (dialled(11, Ok(()), 3000, false), 210),
        (dialled(11, Ok(()), 190, true), 190),
        (answered(18), 18),
    ];
    for (second, (report, millis)) in (2..).zip(turns) {
        observed.health.report(report, seconds(second));
        assert_eq!(remote_of(&observed, 11), RemoteState::Reachable { round_trip: millis });
    }
    // What was measured before a failure is not said of what came after it.
    observed.health.report(dialled(11, Err(DialError::Gone), 5, true), seconds(20));
    observed.health.report(dialled(11, Ok(()), 1500, false), seconds(21));
    assert_eq!(remote_of(&observed, 11), RemoteState::Reachable { round_trip: 1500 });
}

#[test]
fn a_proof_that_comes_late_revives_nothing() {
    let mut observed = online();
    observed.health.report(dialled(11, Ok(()), 100, false), seconds(5));
    observed.health.report(dialled(11, Err(DialError::Gone), 100, false), seconds(7));
    assert!(!observed.health.report(dialled(11, Ok(()), 100, false), seconds(6)), "it was made before");
    assert!(matches!(remote_of(&observed, 11), RemoteState::Unreachable { .. }));

    observed.lost(seconds(10));
    assert_eq!(remote_of(&observed, 11), RemoteState::Unknown);
    assert!(!observed.health.report(dialled(11, Ok(()), 100, false), seconds(9)), "by the tor that was lost");
    assert_eq!(remote_of(&observed, 11), RemoteState::Unknown);
}

#[test]
fn of_two_proofs_the_one_that_was_made_later_wins_in_whatever_order_they_are_heard_of() {
    let mut observed = online();
    let clock = |words: &str| Report::Clock(Some(words.to_owned()));
    assert!(observed.health.report(clock("behind"), seconds(7)));
    assert!(!observed.health.report(clock("ahead"), seconds(6)), "it was learnt before");
    assert!(!observed.health.report(Report::Clock(None), seconds(6)));
    assert_eq!(observed.health.clock().map(String::as_str), Some("behind"));
    // In the same moment the one that is heard of last is the later one.
    assert!(observed.health.report(clock("ahead"), seconds(7)));
    assert!(observed.health.report(Report::Clock(None), seconds(8)));
    assert_eq!(observed.health.clock(), None);
}

#[test]
fn with_tor_goes_what_it_knew_of_services_and_of_itself() {
    let mut observed = online();
    let survey = |relays| Report::Surveyed(Survey { relays: Some(relays), ..Survey::default() });
    let relays = |observed: &Observed| observed.health.survey().and_then(|known| known.what.relays);
    let give = |observed: &mut Observed| {
        observed.done(&Step::Publish(address(1), key(1), [port(1), port(22)].into()), seconds(2));
        observed.health.report(Report::Uploaded(address(1)), seconds(3));
        observed.health.report(Report::StrangerRefused(address(1)), seconds(4));
    };
    give(&mut observed);
    assert!(observed.health.report(survey(3), seconds(5)));
    assert!(observed.health.is_uploaded(&address(1)));
    assert_eq!(relays(&observed), Some(3));

    assert!(observed.health.report(Report::Lost, seconds(10)));
    assert_eq!((observed.health.service(&address(1)), relays(&observed)), (None, None));
    assert!(!observed.health.report(survey(4), seconds(9)), "by the tor that was lost");
    assert_eq!(relays(&observed), None);
    assert!(observed.health.report(survey(5), seconds(10)));

    // A tor that has lost its way to the network keeps its services; how it stood is not so any more.
    let doing = "asking".to_owned();
    let cut = EngineState::Bootstrapping { percent: 45, doing, warning: None };
    give(&mut observed);
    observed.health.report(Report::Engine(cut), seconds(20));
    assert_eq!((observed.health.is_uploaded(&address(1)), relays(&observed)), (true, None));
    assert!(!observed.health.report(survey(6), seconds(19)));
    assert!(!observed.health.report(Report::StrangerRefused(address(1)), seconds(19)));
}

#[test]
fn a_service_is_reachable_once_a_directory_has_it_and_starts_anew_with_each_new_descriptor() {
    let mut observed = online();
    let ports: BTreeSet<Port> = [port(1), port(22)].into();
    let publish = Step::Publish(address(1), key(1), ports.clone());
    let state =
        |observed: &Observed| shown(observed, false, 0, seconds(1000)).clients[0].state.clone().unwrap();

    assert!(!observed.health.report(Report::Uploaded(address(1)), seconds(2)), "tor was not given it");
    observed.done(&publish, seconds(3));
    assert_eq!(state(&observed), ClientState::Publishing);
    assert!(observed.health.report(Report::Uploaded(address(1)), seconds(4)));
    assert!(!observed.health.report(Report::Uploaded(address(1)), seconds(5)));
    observed.health.report(Report::StrangerRefused(address(1)), seconds(6));
    assert_eq!(state(&observed), ClientState::Reachable);

    observed.done(&Step::Replace(address(1), key(1), ports), seconds(7));
    assert_eq!(state(&observed), ClientState::Publishing);
    assert_eq!(observed.health.service(&address(1)), Some(&ServiceHealth::default()));
    observed.failed(&publish, seconds(8));
    observed.health.report(Report::Uploaded(address(1)), seconds(9));
    assert_eq!(state(&observed), ClientState::Publishing, "it may have other ports than it should");
    observed.done(&Step::Withdraw(address(1)), seconds(10));
    assert_eq!(observed.health.service(&address(1)), None);
}

#[test]
fn that_a_stranger_was_refused_before_tor_went_proves_nothing_after_it() {
    let mut observed = online();
    observed.done(&Step::Publish(address(1), key(1), [port(1), port(22)].into()), seconds(2));
    observed.health.report(Report::Engine(EngineState::Starting), seconds(10));
    assert!(!observed.health.report(Report::StrangerRefused(address(1)), seconds(9)));
    assert_eq!(observed.health.service(&address(1)).unwrap().closed, None);
    assert!(observed.health.report(Report::StrangerRefused(address(1)), seconds(10)));
}

#[test]
fn a_service_that_let_a_stranger_in_is_never_taken_for_closed_again() {
    let mut observed = online();
    observed.done(&Step::Publish(address(1), key(1), [port(1), port(22)].into()), seconds(2));
    observed.health.report(Report::StrangerRefused(address(1)), seconds(3));
    assert!(observed.health.report(Report::StrangerLetIn(address(1)), seconds(4)));
    assert_eq!(observed.health.service(&address(1)).unwrap().closed, None);

    observed.lost(seconds(5));
    observed.health.report(Report::StrangerRefused(address(1)), seconds(6));

    assert!(observed.health.is_open(&address(1)));
    let problems = shown(&observed, false, 0, seconds(10)).problems;
    let client = Subject::Client("c1".parse().unwrap());
    assert!(problems.iter().any(|p| p.code == Code::ServiceOpen && p.is_about(&client)), "{problems:?}");
}

#[test]
fn what_is_wrong_with_tor_clock_store_and_remotes_is_a_problem_while_it_is() {
    let mut observed = online();
    let codes = |observed: &Observed, is_paused| -> Vec<Code> {
        shown(observed, is_paused, 0, seconds(1000)).problems.iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes(&observed, false), []);
    observed.health.report(Report::Clock(Some("it is behind".into())), seconds(2));
    let locked = crate::model::problem::Problem::new(Code::StoreLocked, "locked");
    observed.health.report(Report::Store(Some(locked)), seconds(2));
    let full: Full = [(port(80), (3, 3))].into();
    assert!(observed.health.report(Report::Full(address(11), Some(full)), seconds(3)));
    assert_eq!(codes(&observed, false), [Code::ClockWrong, Code::StoreLocked, Code::FullThere]);
    assert_eq!(codes(&observed, true), [Code::StoreLocked, Code::FullThere], "paused, tor is of no interest");

    assert!(observed.health.report(Report::Full(address(11), None), seconds(4)), "no answer is no news");
    observed.health.report(Report::Clock(None), seconds(4));
    observed.health.report(Report::Store(None), seconds(4));
    assert_eq!(codes(&observed, false), []);

    let (why, hint) = ("none found".to_owned(), "install it".to_owned());
    let doing = "asking".to_owned();
    let stuck =
        EngineState::Bootstrapping { percent: 5, doing: doing.clone(), warning: Some("blocked".into()) };
    let failed = EngineState::Failed { why: why.clone(), hint, is_missing: false, retry_in: None };
    for (state, code, agent) in [
        (stuck, Code::TorStuck, AgentState::Connecting { percent: 5, doing }),
        (failed, Code::TorFailed, AgentState::Offline { why }),
    ] {
        observed.health.report(Report::Engine(state), seconds(5));
        assert_eq!((codes(&observed, false), codes(&observed, true)), (vec![code], vec![]));
        assert_eq!(shown(&observed, false, 0, seconds(6)).agent.unwrap().state, agent);
        assert_eq!(shown(&observed, true, 0, seconds(6)).agent.unwrap().state, AgentState::Paused);
    }
}

/// What a random world does.
#[derive(Debug, Clone)]
enum Turn {
    Engine(u8),
    Lost,
    Publish(u8),
    Withdraw(u8),
    Upload(u8),
    Stranger(u8, bool),
    Dial(u8, u8),
    Answer(u8, u64),
    /// A dial that ended so many seconds ago, and is heard of now.
    LateDial(u8, u8, u64),
    RemoveKey(u8),
    Listen(bool),
    Pause(bool),
    Sessions(u32),
    Wait(u64),
}

fn turn() -> impl Strategy<Value = Turn> {
    let client = || prop_oneof![Just(CLIENTS[0]), Just(CLIENTS[1])];
    let remote = || prop_oneof![Just(REMOTES[0]), Just(REMOTES[1])];
    prop_oneof![
        2 => (0u8..5).prop_map(Turn::Engine),
        3 => Just(Turn::Engine(4)),
        1 => Just(Turn::Lost),
        4 => client().prop_map(Turn::Publish),
        1 => client().prop_map(Turn::Withdraw),
        4 => client().prop_map(Turn::Upload),
        1 => (client(), any::<bool>()).prop_map(|(c, refused)| Turn::Stranger(c, refused)),
        6 => (remote(), 0u8..5).prop_map(|(r, how)| Turn::Dial(r, how)),
        2 => (remote(), 1u64..900).prop_map(|(r, millis)| Turn::Answer(r, millis)),
        2 => (remote(), 0u8..5, 1u64..20).prop_map(|(r, how, ago)| Turn::LateDial(r, how, ago)),
        1 => remote().prop_map(Turn::RemoveKey),
        1 => any::<bool>().prop_map(Turn::Listen),
        1 => any::<bool>().prop_map(Turn::Pause),
        1 => (0u32..2).prop_map(Turn::Sessions),
        4 => (1u64..9).prop_map(Turn::Wait),
    ]
}

fn engine(how: u8) -> EngineState {
    let doing = "asking".to_owned();
    match how {
        0 => EngineState::Stopped,
        1 => EngineState::Starting,
        2 => EngineState::Bootstrapping { percent: 45, doing, warning: None },
        3 => EngineState::Failed {
            why: "it ended".into(),
            hint: String::new(),
            is_missing: false,
            retry_in: None,
        },
        _ => EngineState::Ready,
    }
}

fn outcome(how: u8) -> Result<(), DialError> {
    match how {
        0 => Ok(()),
        1 => Err(DialError::NotPublished),
        2 => Err(DialError::KeyRefused),
        3 => Err(DialError::TimedOut),
        _ => Err(DialError::PortNotExported(port(80))),
    }
}

/// The world as it is told by its whole past: nothing here remembers what is known, each question is answered by looking back.
#[derive(Default)]
struct Past(Vec<(u64, Turn)>);

impl Past {
    fn last(&self, which: impl Fn(&Turn) -> bool) -> Option<(usize, u64, &Turn)> {
        let found = self.0.iter().enumerate().rev().find(|(_, (_, turn))| which(turn));
        found.map(|(place, (at, turn))| (place, *at, turn))
    }

    fn is_online(&self) -> bool {
        matches!(self.last(|turn| matches!(turn, Turn::Engine(_))), Some((_, _, Turn::Engine(4))))
    }

    fn is_paused(&self) -> bool {
        matches!(self.last(|turn| matches!(turn, Turn::Pause(_))), Some((_, _, Turn::Pause(true))))
    }

    /// The place of the last turn after which nothing of tor's is known.
    fn cut(&self) -> Option<(usize, u64)> {
        let cuts = |turn: &Turn| matches!(turn, Turn::Lost) || matches!(turn, Turn::Engine(how) if *how != 4);
        self.last(cuts).map(|(place, at, _)| (place, at))
    }

    /// Whether a remote was met the last time that it was tried, by when that was; of late news only what is not superseded counts.
    fn met(&self, seed: u8) -> Option<bool> {
        let (from, cut) = self.cut().map_or((0, 0), |(place, at)| (place + 1, at));
        let removed = self.last(|turn| matches!(turn, Turn::RemoveKey(of) if *of == seed));
        let from = from.max(removed.map_or(0, |(place, ..)| place + 1));
        let mut best: Option<(u64, bool)> = None;
        for (place, (at, turn)) in self.0.iter().enumerate().skip(from) {
            let (made, met) = match turn {
                Turn::Dial(of, how) if *of == seed => (*at, matches!(how, 0 | 4)),
                Turn::LateDial(of, how, ago) if *of == seed => {
                    (at.saturating_sub(*ago), matches!(how, 0 | 4))
                }
                Turn::Answer(of, _) if *of == seed => (*at, true),
                _ => continue,
            };
            let was_online = matches!(
                self.0[..place].iter().rev().find(|(_, turn)| matches!(turn, Turn::Engine(_))),
                Some((_, Turn::Engine(4)))
            );
            if was_online && made >= cut && best.is_none_or(|(last, _)| made >= last) {
                best = Some((made, met));
            }
        }
        best.map(|(_, met)| met)
    }

    /// Whether tor has a service, and whether a directory has its present descriptor.
    fn published(&self, seed: u8) -> (bool, bool) {
        let ends =
            |turn: &Turn| matches!(turn, Turn::Lost) || matches!(turn, Turn::Withdraw(of) if *of == seed);
        let given = self.last(|turn| matches!(turn, Turn::Publish(of) if *of == seed));
        let ended = self.last(ends).map(|(place, ..)| place);
        let Some((given, ..)) = given.filter(|(place, ..)| ended.is_none_or(|ended| ended < *place)) else {
            return (false, false);
        };
        (true, self.0[given..].iter().any(|(_, turn)| matches!(turn, Turn::Upload(of) if *of == seed)))
    }
}

fn carry_out(turn: &Turn, observed: &mut Observed, now: Moment) {
    let ports: BTreeSet<Port> = [port(1), port(22)].into();
    let health = &mut observed.health;
    match turn {
        Turn::Engine(how) => drop(health.report(Report::Engine(engine(*how)), now)),
        Turn::Lost => observed.lost(now),
        Turn::Publish(seed) => observed.done(&Step::Publish(address(*seed), key(*seed), ports), now),
        Turn::Withdraw(seed) => observed.done(&Step::Withdraw(address(*seed)), now),
        Turn::Upload(seed) => drop(health.report(Report::Uploaded(address(*seed)), now)),
        Turn::Stranger(seed, true) => drop(health.report(Report::StrangerRefused(address(*seed)), now)),
        Turn::Stranger(seed, false) => drop(health.report(Report::StrangerLetIn(address(*seed)), now)),
        Turn::Dial(seed, how) => drop(health.report(dialled(*seed, outcome(*how), 50, false), now)),
        Turn::LateDial(seed, how, ago) => {
            let made = now.saturating_sub(seconds(*ago));
            health.report(dialled(*seed, outcome(*how), 50, false), made);
        }
        Turn::Answer(seed, millis) => {
            let took = Duration::from_millis(*millis);
            health.report(Report::Answered { remote: address(*seed), took, ports: None }, now);
        }
        Turn::RemoveKey(seed) => observed.done(&Step::RemoveKey(address(*seed)), now),
        Turn::Listen(true) => {
            let desired = Desired::from_config(&config(), crate::model::day::Day::from_unix(0), false);
            observed.done(&Step::OpenListener(listen(), desired.listeners[&listen()].clone()), now);
        }
        Turn::Listen(false) => observed.done(&Step::CloseListener(listen()), now),
        Turn::Pause(_) | Turn::Sessions(_) | Turn::Wait(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn people_see_what_the_last_proof_says_and_nothing_unproven(turns in proptest::collection::vec(turn(), 1..60)) {
        let (mut observed, mut past, mut now) = (Observed::default(), Past::default(), 100);
        for turn in turns {
            if let Turn::Wait(more) = turn {
                now += more;
            }
            carry_out(&turn, &mut observed, seconds(now));
            past.0.push((now, turn));

            let sessions = match past.last(|turn| matches!(turn, Turn::Sessions(_))) {
                Some((_, _, Turn::Sessions(sessions))) => *sessions,
                _ => 0,
            };
            let (is_online, is_paused) = (past.is_online(), past.is_paused());
            let status = shown(&observed, is_paused, sessions, seconds(now));
            let agent = status.agent.as_ref().unwrap().state.clone();
            prop_assert_eq!(agent == AgentState::Online, is_online && !is_paused);
            prop_assert_eq!(agent == AgentState::Paused, is_paused);
            for (client, seed) in status.clients.iter().zip(CLIENTS) {
                let (is_given, is_uploaded) = past.published(seed);
                let expected = match seed {
                    _ if is_paused => ClientState::Invited,
                    seed if seed == CLIENTS[0] && sessions > 0 => ClientState::Connected,
                    _ if is_online && is_given && is_uploaded => ClientState::Reachable,
                    _ if is_online || is_given => ClientState::Publishing,
                    _ => ClientState::Invited,
                };
                prop_assert_eq!(client.state.as_ref(), Some(&expected));
                let let_in = past.last(|turn| matches!(turn, Turn::Stranger(of, false) if *of == seed));
                prop_assert_eq!(observed.health.is_open(&address(seed)), let_in.is_some());
            }
            for (remote, seed) in status.remotes.iter().zip(REMOTES) {
                let met = past.met(seed).filter(|_| is_online && !is_paused);
                let is = match remote.state.as_ref().unwrap() {
                    RemoteState::Unknown => None,
                    RemoteState::Reachable { round_trip } => {
                        prop_assert!(*round_trip > 0);
                        Some(true)
                    }
                    RemoteState::Unreachable { why } => {
                        prop_assert!(!why.is_empty());
                        Some(false)
                    }
                };
                prop_assert_eq!(is, met);
                for import in &remote.imports {
                    let listens = past.last(|turn| matches!(turn, Turn::Listen(_)));
                    let expected = match listens {
                        Some((_, _, Turn::Listen(true))) if met == Some(false) => ImportState::Degraded,
                        Some((_, _, Turn::Listen(true))) => ImportState::Listening,
                        _ if is_paused => ImportState::Paused,
                        _ => ImportState::Opening,
                    };
                    prop_assert_eq!(import.state.as_ref(), Some(&expected));
                }
            }
        }
    }
}

#[test]
fn what_is_reported_twice_is_news_once() {
    let tor = |version: &str| {
        let (version, path, found) = (version.to_owned(), "/usr/bin/tor".to_owned(), "PATH".to_owned());
        Report::Tor(crate::model::status::TorStatus { version, path: path.into(), found, passed_over: None })
    };
    let clock = |warning: Option<&str>| Report::Clock(warning.map(str::to_owned));
    let mut health = Health::default();
    for (report, is_news) in [
        (tor("0.4.9"), true),
        (tor("0.4.9"), false),
        (tor("0.5.0"), true),
        (clock(Some("an hour behind")), true),
        (clock(Some("an hour behind")), false),
        (clock(None), true),
        (Report::Engine(EngineState::Ready), true),
        (Report::Engine(EngineState::Ready), false),
        (Report::Engine(EngineState::Starting), true),
        (Report::Lost, true),
    ] {
        let said = format!("{report:?}");
        assert_eq!(health.report(report, Moment::ZERO), is_news, "{said}");
    }
}
