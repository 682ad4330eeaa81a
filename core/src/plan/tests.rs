//! The planner as a pure function: what it wants done, in which order, and what it never publishes.

mod any_order;
mod failures;
mod outages;

use super::health::Report;
use super::*;
use crate::model::config::{Client, Config, Export, HalfClose, InstanceId};
use crate::model::day::Day;
use crate::model::edit::{self, Edit};
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::name::ClientName;
use crate::model::problem::{Code, Problem};
use crate::model::tor::EngineState;
use crate::plan::backoff::Backoff;

const NOW: Moment = Duration::from_secs(100);

fn address(seed: u8) -> OnionAddress {
    ServiceKey::from_seed(&zeroize::Zeroizing::new([seed; 32])).address()
}

fn key(seed: u8) -> ClientPublicKey {
    ClientKey::from_bytes(&[seed; 32]).unwrap().public()
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

/// A host that exports 22 and 80 to clients with these seeds.
fn config(clients: impl IntoIterator<Item = u8>) -> Config {
    let mut config = Config::new(InstanceId::from_random([0; 10]));
    for number in [22, 80] {
        let target = number.to_string().parse().unwrap();
        config.exports.insert(port(number), Export { target, allow_lan: false, clients: None });
    }
    for seed in clients {
        let client = Client::new(address(seed), key(seed));
        config.clients.insert(format!("c{seed}").parse().unwrap(), client);
    }
    config
}

#[test]
fn another_name_ends_no_session_of_a_client_and_no_connection_of_an_import() {
    let mut config = config([1]);
    let remote = crate::model::config::Remote {
        address: address(9),
        key: key(9),
        expires: None,
        ports: Default::default(),
        plain_tor: false,
        imports: [(
            "127.0.0.1:5000".parse().unwrap(),
            crate::model::config::Import {
                remote_port: port(22),
                half_close: HalfClose::Hold,
                users: crate::model::config::Users::Me,
                session: Default::default(),
                hold: Default::default(),
            },
        )]
        .into(),
    };
    config.remotes.insert("home".parse().unwrap(), remote);
    let (mut observed, mut now) = (ready(), NOW);
    settle(&Desired::from_config(&config, today(), false), &mut observed, &mut now);
    let edits = [
        Edit::RenameClient { name: "c1".parse().unwrap(), to: "ann".parse().unwrap() },
        Edit::RenameRemote { name: "home".parse().unwrap(), to: "house".parse().unwrap() },
    ];
    for edit in edits {
        config = edit::apply(&config, &edit).unwrap();
        let plan = plan(&Desired::from_config(&config, today(), false), &observed, now);
        assert_eq!(plan.steps, [], "{edit:?}");
    }
}

/// A host whose tor is connected.
fn ready() -> Observed {
    let mut observed = Observed::default();
    observed.health.report(Report::Engine(EngineState::Ready), Moment::ZERO);
    observed
}

fn seconds(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

fn today() -> Day {
    Day::from_epoch_days(1000)
}

/// Carries steps out as an agent does whose things never fail, and as strictly as they are.
fn execute(observed: &mut Observed, steps: &[Step], now: Moment) {
    for step in steps {
        match step {
            Step::CloseGate(address, port) => {
                assert!(observed.gates.contains_key(&(*address, *port)), "only an open gate is closed");
            }
            Step::OpenGate(address, port, ..) => {
                let is_gone = observed.gone.contains(&Socket::Gate(*address, *port));
                let is_open = observed.gates.contains_key(&(*address, *port));
                assert!(is_gone || !is_open, "a gate is opened once");
            }
            Step::Withdraw(address) => {
                assert!(observed.published.contains_key(address), "only a published service is withdrawn");
            }
            Step::Publish(address, ..) => {
                assert!(!observed.published.contains_key(address), "550 Onion address collision");
            }
            Step::Replace(address, ..) => {
                assert!(observed.published.contains_key(address), "only a published service is replaced");
            }
            _ => {}
        }
        observed.done(step, now);
    }
}

/// The same when tor refuses all that it is told.
fn execute_in_vain(observed: &mut Observed, steps: &[Step], now: Moment) {
    for step in steps {
        match step.subject() {
            Subject::Listener(_) | Subject::Socks => observed.done(step, now),
            _ if matches!(step, Step::CloseGate(..) | Step::OpenGate(..)) => observed.done(step, now),
            subject => {
                observed.failed(step, now);
                let problem = Problem::new(Code::TorFailed, "no");
                let backoff = Backoff::after(observed.failures.get(&subject), problem, now);
                observed.failures.insert(subject, backoff);
            }
        }
    }
}

/// Plans and executes, letting time go and uploads arrive, until nothing is left to do; how often that took.
fn settle(desired: &Desired, observed: &mut Observed, now: &mut Moment) -> usize {
    for round in 0.. {
        let plan = plan(desired, observed, *now);
        if plan.steps.is_empty() && plan.wake.is_none() {
            return round;
        }
        execute(observed, &plan.steps, *now);
        *now = plan.wake.unwrap_or(*now).max(*now);
        assert!(round < 1000, "it never settles: {plan:?}");
    }
    unreachable!("the loop has no end")
}

#[test]
fn a_service_goes_up_gates_first_and_comes_down_gates_first() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = Observed { socks: desired.socks, ..ready() };
    let steps = plan(&desired, &observed, NOW).steps;
    assert!(matches!(
        steps.as_slice(),
        [Step::OpenGate(..), Step::OpenGate(..), Step::OpenGate(..), Step::Publish(_, _, ports)]
            if ports.iter().map(|p| p.get()).eq([1, 22, 80])
    ));
    execute(&mut observed, &steps, NOW);
    assert_eq!(plan(&desired, &observed, NOW), Plan::default());

    let gone = Desired { socks: desired.socks, ..Desired::default() };
    let steps = plan(&gone, &observed, NOW).steps;
    assert!(matches!(
        steps.as_slice(),
        [Step::CloseGate(..), Step::CloseGate(..), Step::CloseGate(..), Step::Withdraw(_)]
    ));
}

#[test]
fn a_socket_that_is_gone_is_made_again_and_still_closed_with_its_client() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = ready();
    settle(&desired, &mut observed, &mut NOW.clone());
    observed.gone.insert(Socket::Gate(address(1), port(80)));

    let steps = plan(&desired, &observed, NOW).steps;
    let closing = plan(&Desired::default(), &observed, NOW).steps;

    assert!(
        matches!(steps.as_slice(), [Step::OpenGate(of, number, ..)] if (*of, *number) == (address(1), port(80))),
        "{steps:?}"
    );
    assert!(closing.contains(&Step::CloseGate(address(1), port(80))), "{closing:?}");
    execute(&mut observed, &steps, NOW);
    assert_eq!(plan(&desired, &observed, NOW), Plan::default());
}

#[test]
fn before_tor_is_ready_only_local_things_open() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let steps = plan(&desired, &Observed::default(), NOW).steps;
    assert!(steps.iter().all(|step| matches!(step, Step::OpenGate(..) | Step::OpenSocks(_))), "{steps:?}");
}

#[test]
fn a_changed_port_list_closes_at_once_and_is_replaced_a_second_later() {
    let mut now = NOW;
    let mut config = config([1]);
    let mut desired = Desired::from_config(&config, today(), false);
    let mut observed = ready();
    settle(&desired, &mut observed, &mut now);
    config.exports.remove(&port(80));
    desired = Desired::from_config(&config, today(), false);
    let first = plan(&desired, &observed, now);
    assert_eq!(first.steps, [Step::CloseGate(address(1), port(80))]);
    assert_eq!(first.wake, Some(NOW + REPLACE_DEBOUNCE));
    let later = plan(&desired, &observed, NOW + REPLACE_DEBOUNCE);
    let ports = BTreeSet::from([port(1), port(22)]);
    assert_eq!(later.steps.last(), Some(&Step::Replace(address(1), key(1), ports)));
}

#[test]
fn many_services_are_paced_and_the_last_seen_come_first() {
    let desired = Desired::from_config(&config(1..=40), today(), false);
    let mut observed = ready();
    observed.last_seen.insert(address(33), 5);
    let published = |plan: &Plan| -> Vec<OnionAddress> {
        let publish = |step: &Step| if let Step::Publish(address, ..) = step { Some(*address) } else { None };
        plan.steps.iter().filter_map(publish).collect()
    };
    let first = plan(&desired, &observed, NOW);
    assert_eq!(published(&first).len(), PUBLISHING_AT_ONCE);
    assert_eq!(published(&first)[0], address(33));
    assert_eq!(first.wake, Some(NOW + PUBLISH_PACE));
    execute(&mut observed, &first.steps, NOW);
    assert!(published(&plan(&desired, &observed, NOW + PUBLISH_PACE / 2)).is_empty());
    assert_eq!(published(&plan(&desired, &observed, NOW + PUBLISH_PACE)).len(), 1);

    // One whose descriptor has arrived makes room for the next.
    for address in published(&first) {
        observed.health.report(Report::Uploaded(address), NOW);
    }
    assert_eq!(published(&plan(&desired, &observed, NOW + PUBLISH_PACE / 2)).len(), PUBLISHING_AT_ONCE);
}

#[test]
fn paused_is_nothing_and_expired_is_down() {
    let mut config = config([1]);
    assert_eq!(Desired::from_config(&config, today(), true), Desired::default());
    config.clients.values_mut().for_each(|client| client.expires = Some(today()));
    assert_eq!(Desired::from_config(&config, today(), false).services.len(), 1);
    assert!(Desired::from_config(&config, Day::from_epoch_days(1001), false).services.is_empty());
}

#[test]
fn another_key_ends_what_the_old_one_had() {
    let mut now = NOW;
    let mut config = config([1, 2]);
    let mut desired = Desired::from_config(&config, today(), false);
    let mut observed = ready();
    settle(&desired, &mut observed, &mut now);
    config.clients.get_mut(&"c1".parse::<ClientName>().unwrap()).unwrap().key = key(3);
    desired = Desired::from_config(&config, today(), false);

    let steps = plan(&desired, &observed, now).steps;

    let ports = BTreeSet::from([port(1), port(22), port(80)]);
    let close = |number| Step::CloseGate(address(1), port(number));
    assert_eq!(steps, [close(1), close(22), close(80), Step::Withdraw(address(1))]);
    // As long as tor keeps what the old key reaches, nothing is behind it.
    execute_in_vain(&mut observed, &steps, now);
    let waiting = plan(&desired, &observed, now);
    assert_eq!(waiting.steps, []);
    now = waiting.wake.unwrap();
    let steps = plan(&desired, &observed, now).steps;
    assert_eq!(steps, [Step::Withdraw(address(1))]);
    execute(&mut observed, &steps, now);
    let steps = plan(&desired, &observed, now).steps;
    assert!(steps[..3].iter().all(|step| matches!(step, Step::OpenGate(..))), "{steps:?}");
    assert_eq!(steps[3..], [Step::Publish(address(1), key(3), ports)]);
    execute(&mut observed, &steps, now);
    assert_eq!(plan(&desired, &observed, now), Plan::default());
}

#[test]
fn another_name_ends_nothing_and_swapped_keys_end_both() {
    let mut now = NOW;
    let mut config = config([1, 2]);
    let mut observed = ready();
    settle(&Desired::from_config(&config, today(), false), &mut observed, &mut now);
    let mut names: Vec<ClientName> = config.clients.keys().cloned().collect();
    names.reverse();
    config.clients = names.into_iter().zip(config.clients.into_values()).collect();
    assert_eq!(plan(&Desired::from_config(&config, today(), false), &observed, now), Plan::default());

    let keys: Vec<_> = config.clients.values().map(|client| client.key).rev().collect();
    config.clients.values_mut().zip(keys).for_each(|(client, key)| client.key = key);

    let steps = plan(&Desired::from_config(&config, today(), false), &observed, now).steps;
    let closed = steps.iter().filter(|step| matches!(step, Step::CloseGate(..))).count();
    let withdrawn = steps.iter().filter(|step| matches!(step, Step::Withdraw(_))).count();
    assert_eq!((closed, withdrawn), (6, 2), "{steps:?}");
}

#[test]
fn a_remotes_other_key_or_address_ends_what_its_imports_carry() {
    let remote = |seed: u8, key_seed: u8| {
        let mut config = config([]);
        let mut remote = crate::model::config::Remote {
            address: address(seed),
            key: key(key_seed),
            plain_tor: false,
            expires: None,
            ports: Default::default(),
            imports: Default::default(),
        };
        let import = crate::model::config::Import {
            remote_port: port(80),
            half_close: HalfClose::default(),
            users: Default::default(),
            session: Default::default(),
            hold: Default::default(),
        };
        remote.imports.insert("127.0.0.1:8080".parse().unwrap(), import);
        config.remotes.insert("web".parse().unwrap(), remote);
        Desired::from_config(&config, today(), false)
    };
    for (other, forgotten) in [(remote(1, 2), address(1)), (remote(2, 1), address(1))] {
        let mut now = NOW;
        let mut observed = ready();
        settle(&remote(1, 1), &mut observed, &mut now);

        let steps = plan(&other, &observed, now).steps;

        assert!(
            matches!(
                steps.as_slice(),
                [Step::CloseListener(_), Step::RemoveKey(key), Step::OpenListener(..), Step::AddKey(..)] if *key == forgotten
            ),
            "{steps:?}"
        );
    }
}

/// Says how many introduction points stand, of each service that tor has.
fn introduced(observed: &mut Observed, number: u32, now: Moment) {
    let standing = observed.published.keys().map(|address| (*address, number)).collect();
    observed.health.report(Report::Introductions(standing), now);
}

fn offline(observed: &mut Observed, now: Moment) {
    let why = "relays refuse".to_owned();
    observed.health.report(Report::Engine(EngineState::Offline { why }), now);
}

#[test]
fn a_service_with_another_key_is_not_the_one_that_is_wanted() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = ready();
    settle(&desired, &mut observed, &mut NOW.clone());
    assert!(is_up(&desired, &observed, &address(1)));
    observed.published.get_mut(&address(1)).unwrap().key = key(2);
    assert!(!is_up(&desired, &observed, &address(1)));
    assert_eq!(plan(&desired, &observed, NOW).steps, [Step::Withdraw(address(1))]);
    observed.done(&Step::Withdraw(address(1)), NOW);
    let steps = plan(&desired, &observed, NOW).steps;
    assert!(matches!(steps[..], [Step::Publish(_, wanted, _)] if wanted == key(1)), "{steps:?}");
}

#[test]
fn keys_of_remotes_are_handed_over_once_tor_takes_them() {
    let desired = Desired { remotes: [(address(7), key(7))].into(), ..Desired::default() };
    let mut observed = Observed::default();
    assert_eq!(plan(&desired, &observed, NOW).steps, []);
    observed.health.report(Report::Engine(EngineState::Ready), NOW);
    assert_eq!(plan(&desired, &observed, NOW).steps, [Step::AddKey(address(7), key(7))]);
    observed.keys.insert(address(7), key(8));
    let steps = plan(&desired, &observed, NOW).steps;
    assert_eq!(steps, [Step::RemoveKey(address(7)), Step::AddKey(address(7), key(7))]);
    observed.keys.insert(address(7), key(7));
    assert_eq!(plan(&desired, &observed, NOW).steps, []);
}
