//! The planner as a pure function: what it wants done, in which order, and what it never publishes.

use proptest::prelude::*;

use super::*;
use crate::model::config::{Client, Export, InstanceId};
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::problem::{Problem, ProblemKind};

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
        let client =
            Client { address: address(seed), key: key(seed), ports: None, expires: None, requested: false };
        config.clients.insert(format!("c{seed}").parse().unwrap(), client);
    }
    config
}

fn today() -> Day {
    Day::from_epoch_days(1000)
}

/// Carries steps out as an engine does that never fails.
fn execute(observed: &mut Observed, steps: &[Step], now: Moment) {
    for step in steps.iter().cloned() {
        match step {
            Step::CloseListener(listen) => {
                observed.listeners.remove(&listen);
            }
            Step::CloseSocks => observed.socks = None,
            Step::CloseGate(address, port) => {
                observed.gates.remove(&(address, port)).expect("only an open gate is closed");
            }
            Step::Withdraw(address) => {
                observed.published.remove(&address).expect("only a published service is withdrawn");
            }
            Step::RemoveKey(address) => {
                observed.keys.remove(&address);
            }
            Step::OpenGate(address, port, _, behind) => {
                let old = observed.gates.insert((address, port), behind);
                assert_eq!(old, None, "a gate is opened once");
            }
            Step::Publish(address, key, ports) => {
                let old =
                    observed.published.insert(address, Published { key, ports, at: now, uploaded: false });
                assert_eq!(old, None, "550 Onion address collision");
                observed.last_publish = Some(now);
            }
            Step::Replace(address, key, ports) => {
                let new = Published { key, ports, at: now, uploaded: false };
                observed.published.insert(address, new).expect("only a published service is replaced");
                observed.last_publish = Some(now);
            }
            Step::OpenListener(listen, listener) => {
                observed.listeners.insert(listen, listener);
            }
            Step::OpenSocks(socks) => observed.socks = Some(socks),
            Step::AddKey(address, key) => {
                observed.keys.insert(address, key);
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
    let mut observed = Observed { ready: true, socks: desired.socks, ..Observed::default() };
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
    let mut observed = Observed { ready: true, ..Observed::default() };
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
    let mut observed = Observed { ready: true, ..Observed::default() };
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
}

#[test]
fn what_failed_waits_and_nothing_else_does() {
    let desired = Desired::from_config(&config([1, 2]), today(), false);
    let mut observed = Observed { ready: true, socks: desired.socks, ..Observed::default() };
    let problem = Problem::new(ProblemKind::Tor, "no");
    let backoff = Backoff::after(None, problem.clone(), NOW);
    assert!(Backoff::after(Some(&backoff), problem, NOW).retry_at > backoff.retry_at);
    observed.failures.insert(Subject::Service(address(1)), backoff.clone());
    let plan = plan(&desired, &observed, NOW);
    assert!(plan.steps.iter().all(|step| step.subject() == Subject::Service(address(2))), "{plan:?}");
    assert_eq!(plan.wake, Some(backoff.retry_at));
}

#[test]
fn paused_is_nothing_and_expired_is_down() {
    let mut config = config([1]);
    assert_eq!(Desired::from_config(&config, today(), true), Desired::default());
    config.clients.values_mut().for_each(|client| client.expires = Some(today()));
    assert_eq!(Desired::from_config(&config, today(), false).services.len(), 1);
    assert!(Desired::from_config(&config, Day::from_epoch_days(1001), false).services.is_empty());
}

/// What a random hand does to a configuration between two plans.
#[derive(Debug, Clone)]
enum Change {
    ToggleExport(u16),
    ToggleClient(u8),
    Limit(u8, Option<u16>),
    Offer(u16, Option<u8>),
    Expire(u8, Option<u16>),
    LoseTor,
    Upload,
    Wait(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (20u16..26).prop_map(Change::ToggleExport),
        (1u8..6).prop_map(Change::ToggleClient),
        (1u8..6, proptest::option::of(20u16..26)).prop_map(|(c, p)| Change::Limit(c, p)),
        (20u16..26, proptest::option::of(1u8..6)).prop_map(|(p, c)| Change::Offer(p, c)),
        (1u8..6, proptest::option::of(998u16..1003)).prop_map(|(c, d)| Change::Expire(c, d)),
        Just(Change::LoseTor),
        Just(Change::Upload),
        (0u64..2000).prop_map(Change::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order: nothing is reachable that the configuration does not grant, as soon as a plan was carried
    /// out; and once changes cease, everything granted is up.
    #[test]
    fn never_open_to_others_and_always_settling(changes in proptest::collection::vec(change(), 1..40)) {
        let mut now = NOW;
        let mut config = config([]);
        let mut observed = Observed { ready: true, ..Observed::default() };
        for change in changes {
            let client_of = |seed: u8| format!("c{seed}").parse::<ClientName>().unwrap();
            match change {
                Change::ToggleExport(number) => {
                    if config.exports.remove(&port(number)).is_none() {
                        let target = number.to_string().parse().unwrap();
                        config.exports.insert(port(number), Export { target, allow_lan: false, clients: None });
                    }
                }
                Change::ToggleClient(seed) => {
                    if config.clients.remove(&client_of(seed)).is_none() {
                        let client = Client { address: address(seed), key: key(seed), ports: None, expires: None, requested: false };
                        config.clients.insert(client_of(seed), client);
                    }
                }
                Change::Limit(seed, number) => {
                    if let Some(client) = config.clients.get_mut(&client_of(seed)) {
                        client.ports = number.map(|number| [port(number)].into());
                    }
                }
                Change::Offer(number, seed) => {
                    if let Some(export) = config.exports.get_mut(&port(number)) {
                        export.clients = seed.map(|seed| [client_of(seed)].into());
                    }
                }
                Change::Expire(seed, day) => {
                    if let Some(client) = config.clients.get_mut(&client_of(seed)) {
                        client.expires = day.map(Day::from_epoch_days);
                    }
                }
                Change::LoseTor => {
                    observed.published.clear();
                    observed.keys.clear();
                }
                Change::Upload => observed.published.values_mut().for_each(|published| published.uploaded = true),
                Change::Wait(ms) => now += Duration::from_millis(ms),
            }
            let desired = Desired::from_config(&config, today(), false);
            let plan = plan(&desired, &observed, now);
            execute(&mut observed, &plan.steps, now);

            for (address, published) in &observed.published {
                let client = config.clients.values().find(|client| client.address == *address).expect("a client");
                prop_assert_eq!(published.key, client.key, "restricted to that client's key");
                prop_assert!(client.expires.is_none_or(|day| !day.is_over(today())));
            }
            for (address, number) in observed.gates.keys() {
                let (name, client) =
                    config.clients.iter().find(|(_, client)| client.address == *address).expect("a client");
                prop_assert!(*number == Port::RESPONDER || config.granted_ports(name, client).contains(number));
                let only = config.exports.get(number).and_then(|export| export.clients.as_ref());
                prop_assert!(only.is_none_or(|only| only.contains(name)));
            }
        }
        let desired = Desired::from_config(&config, today(), false);
        settle(&desired, &mut observed, &mut now);
        for (address, service) in &desired.services {
            prop_assert!(is_up(&desired, &observed, address));
            for (number, behind) in &service.ports {
                prop_assert_eq!(observed.gates.get(&(*address, *number)), Some(behind));
            }
        }
        prop_assert_eq!(observed.published.len(), desired.services.len());
    }
}
