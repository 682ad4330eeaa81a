//! The planner as a pure function: what it wants done, in which order, and what it never publishes.

use proptest::prelude::*;

use super::health::Report;
use super::*;
use crate::model::config::{Client, Config, Export, HalfClose, InstanceId};
use crate::model::day::Day;
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
}

#[test]
fn what_failed_waits_and_nothing_else_does() {
    let desired = Desired::from_config(&config([1, 2]), today(), false);
    let mut observed = Observed { socks: desired.socks, ..ready() };
    let problem = Problem::new(Code::TorFailed, "no");
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

#[test]
fn a_service_that_could_not_be_withdrawn_is_withdrawn_again_after_a_while() {
    let mut now = NOW;
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = ready();
    settle(&desired, &mut observed, &mut now);
    let gone = Desired { socks: desired.socks, ..Desired::default() };

    let first = plan(&gone, &observed, now);
    execute_in_vain(&mut observed, &first.steps, now);

    assert!(observed.gates.is_empty(), "nobody comes in meanwhile");
    let second = plan(&gone, &observed, now);
    assert_eq!(second.steps, [], "it is not tried at once");
    let later = plan(&gone, &observed, second.wake.unwrap());
    assert_eq!(later.steps, [Step::Withdraw(address(1))]);
    execute(&mut observed, &later.steps, second.wake.unwrap());
    assert!(observed.published.is_empty() && observed.failures.is_empty());
}

#[test]
fn a_key_that_tor_does_not_forget_is_removed_again_unless_tor_ends() {
    let mut observed = ready();
    observed.keys.insert(address(1), key(1));
    let first = plan(&Desired::default(), &observed, NOW);
    assert_eq!(first.steps, [Step::RemoveKey(address(1))]);

    execute_in_vain(&mut observed, &first.steps, NOW);

    let second = plan(&Desired::default(), &observed, NOW);
    assert_eq!(second.steps, []);
    assert_eq!(plan(&Desired::default(), &observed, second.wake.unwrap()).steps, first.steps);
    observed.lost(NOW);
    observed.health.report(Report::Engine(EngineState::Ready), NOW);
    assert_eq!(plan(&Desired::default(), &observed, NOW), Plan::default());
    assert!(observed.failures.is_empty());
}

#[test]
fn what_tor_may_have_is_replaced_or_withdrawn_and_never_taken_for_absent() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = Observed { socks: desired.socks, ..ready() };
    let first = plan(&desired, &observed, NOW);
    execute_in_vain(&mut observed, &first.steps, NOW);
    assert!(!is_up(&desired, &observed, &address(1)));

    let mut now = NOW;
    let mut again = plan(&desired, &observed, now);
    while again.steps.is_empty() {
        now = again.wake.unwrap();
        again = plan(&desired, &observed, now);
    }
    assert!(matches!(again.steps.as_slice(), [Step::Replace(..)]), "{again:?}");
    let gone = Desired { socks: desired.socks, ..Desired::default() };
    assert_eq!(plan(&gone, &observed, now).steps.last(), Some(&Step::Withdraw(address(1))));
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

/// What a random hand does to a configuration between two plans.
#[derive(Debug, Clone)]
enum Change {
    ToggleExport(u16),
    ToggleClient(u8),
    Limit(u8, Option<u16>),
    Offer(u16, Option<u8>),
    Expire(u8, Option<u16>),
    Rekey(u8, u8),
    LoseTor,
    /// The sockets of every so many gates are removed.
    Clean(usize),
    TorRefuses,
    Upload,
    /// So many introduction points of each service stand.
    Introductions(u32),
    /// The network is gone for a while.
    Outage(u64),
    Wait(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (20u16..26).prop_map(Change::ToggleExport),
        (1u8..6).prop_map(Change::ToggleClient),
        (1u8..6, proptest::option::of(20u16..26)).prop_map(|(c, p)| Change::Limit(c, p)),
        (20u16..26, proptest::option::of(1u8..6)).prop_map(|(p, c)| Change::Offer(p, c)),
        (1u8..6, proptest::option::of(998u16..1003)).prop_map(|(c, d)| Change::Expire(c, d)),
        (1u8..6, 1u8..9).prop_map(|(c, k)| Change::Rekey(c, k)),
        Just(Change::LoseTor),
        (1usize..4).prop_map(Change::Clean),
        Just(Change::TorRefuses),
        Just(Change::Upload),
        (0u32..2).prop_map(Change::Introductions),
        (0u64..60_000).prop_map(Change::Outage),
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
        let mut observed = ready();
        for change in changes {
            let mut refuses = false;
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
                        let client = Client::new(address(seed), key(seed));
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
                Change::Rekey(seed, other) => {
                    if let Some(client) = config.clients.get_mut(&client_of(seed)) {
                        client.key = key(other);
                    }
                }
                Change::LoseTor => observed.lost(now),
                Change::Clean(every) => {
                    let open = observed.gates.keys().step_by(every);
                    let gone = open.map(|(address, port)| Socket::Gate(*address, *port)).collect();
                    observed.gone = gone;
                }
                Change::TorRefuses => refuses = true,
                Change::Upload => {
                    for address in observed.published.keys() {
                        observed.health.report(Report::Uploaded(*address), now);
                    }
                }
                Change::Introductions(number) => introduced(&mut observed, number, now),
                Change::Outage(ms) => {
                    offline(&mut observed, now);
                    let unready = plan(&Desired::from_config(&config, today(), false), &observed, now);
                    let gives = |step: &Step| matches!(step, Step::Publish(..) | Step::Replace(..));
                    prop_assert!(!unready.steps.iter().any(gives), "{:?}", unready.steps);
                    now += Duration::from_millis(ms);
                    observed.health.report(Report::Engine(EngineState::Ready), now);
                }
                Change::Wait(ms) => now += Duration::from_millis(ms),
            }
            let desired = Desired::from_config(&config, today(), false);
            let plan = plan(&desired, &observed, now);
            match refuses {
                true => execute_in_vain(&mut observed, &plan.steps, now),
                false => execute(&mut observed, &plan.steps, now),
            }

            for (address, published) in &observed.published {
                if observed.failures.contains_key(&Subject::Withdrawal(*address)) {
                    continue;
                }
                let client = config.clients.values().find(|client| client.address == *address).expect("a client");
                prop_assert_eq!(published.key, client.key, "restricted to that client's key");
                prop_assert!(client.expires.is_none_or(|day| !day.is_over(today())));
            }
            for ((address, number), door) in &observed.gates {
                let (name, client) =
                    config.clients.iter().find(|(_, client)| client.address == *address).expect("a client");
                prop_assert_eq!(door.key, client.key, "opened for that client's key");
                let with_tor = observed.published.get(address).map(|published| published.key);
                prop_assert!(with_tor.is_none_or(|key| key == door.key), "tor lets another key in there");
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
                prop_assert_eq!(observed.gates.get(&(*address, *number)).map(|door| &door.behind), Some(behind));
            }
        }
        prop_assert_eq!(observed.published.len(), desired.services.len());
        prop_assert_eq!(observed.gone, BTreeSet::new(), "each socket that was removed is made again, or its gate closed");
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

/// A host with one client, whose service stands.
fn standing() -> (Desired, Observed, Moment) {
    let desired = Desired::from_config(&config([1]), today(), false);
    let (mut observed, mut now) = (ready(), NOW);
    settle(&desired, &mut observed, &mut now);
    introduced(&mut observed, 3, now);
    observed.health.report(Report::Uploaded(address(1)), now);
    (desired, observed, now)
}

#[test]
fn after_an_outage_a_service_without_an_introduction_point_is_given_to_tor_anew_within_a_second_or_two() {
    let (desired, mut observed, now) = standing();
    offline(&mut observed, now + seconds(100));
    introduced(&mut observed, 0, now + seconds(101));
    assert_eq!(plan(&desired, &observed, now + seconds(140)), Plan::default(), "nothing is burnt meanwhile");

    let back = now + seconds(141);
    observed.health.report(Report::Engine(EngineState::Ready), back);

    let due = plan(&desired, &observed, back).wake.expect("it is due by itself");
    assert!(due <= back + seconds(1), "{due:?}");
    let steps = plan(&desired, &observed, due).steps;
    assert!(matches!(steps.as_slice(), [Step::Replace(..)]), "its sessions go on: {steps:?}");
    execute(&mut observed, &steps, due);
    introduced(&mut observed, 0, due + seconds(1));
    assert_eq!(plan(&desired, &observed, due + seconds(2)).steps, [], "it is on its way");
    introduced(&mut observed, 2, due + seconds(3));
    assert_eq!(plan(&desired, &observed, due + seconds(100)), Plan::default());
}

#[test]
fn a_service_that_an_outage_has_not_harmed_is_left_alone() {
    let (desired, mut observed, now) = standing();
    offline(&mut observed, now + seconds(100));
    observed.health.report(Report::Engine(EngineState::Ready), now + seconds(140));
    assert_eq!(plan(&desired, &observed, now + seconds(200)), Plan::default());
}

#[test]
fn a_service_that_never_stands_is_given_to_tor_ever_more_seldom() {
    let (desired, mut observed, now) = standing();
    let mut given = Vec::new();
    for second in 0..3600 {
        let now = now + seconds(second);
        introduced(&mut observed, 0, now);
        let steps = plan(&desired, &observed, now).steps;
        if !steps.is_empty() {
            assert!(matches!(steps.as_slice(), [Step::Replace(..)]), "{steps:?}");
            execute(&mut observed, &steps, now);
            given.push(second);
        }
    }
    assert!((12..18).contains(&given.len()), "{given:?}");
    assert!((15..18).contains(&given[0]), "tor is given time to mend it: {given:?}");
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

#[test]
fn what_failed_is_tried_again_within_its_longest_pause_however_often_it_failed() {
    let again = |code| {
        let mut backoff: Option<Backoff> = None;
        let pauses = (1..=40).map(|_| {
            let next = Backoff::after(backoff.as_ref(), Problem::new(code, "no"), NOW);
            let pause = next.retry_at - NOW;
            backoff = Some(next);
            pause
        });
        pauses.collect::<Vec<_>>()
    };
    for (code, first, longest) in [(Code::TorFailed, 500, 4_000), (Code::StoreLocked, 4_000, 60_000)] {
        let pauses = again(code);
        assert!(pauses.is_sorted());
        assert_eq!(pauses[0], Duration::from_millis(first));
        assert_eq!(pauses[1], Duration::from_millis(2 * first));
        assert_eq!(pauses[39], Duration::from_millis(longest));
    }
}

#[test]
fn what_is_in_backoff_waits_to_its_end_and_no_longer() {
    let desired = Desired { remotes: [(address(7), key(7))].into(), ..Desired::default() };
    let mut observed = ready();
    let backoff = Backoff::after(None, Problem::new(Code::TorFailed, "no"), NOW);
    let end = backoff.retry_at;
    observed.failures.insert(Subject::Key(address(7)), backoff);
    let waits = plan(&desired, &observed, end - Duration::from_millis(1));
    assert_eq!(waits, Plan { steps: vec![], wake: Some(end) });
    assert_eq!(plan(&desired, &observed, end).steps.len(), 1);
}

#[test]
fn what_nobody_wants_any_more_has_no_failure_to_tell_of() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = ready();
    observed.published.insert(address(3), Published { key: key(3), ports: BTreeSet::new(), at: NOW });
    let backoff = Backoff::after(None, Problem::new(Code::TorFailed, "no"), NOW);
    let wanted = [Subject::Service(address(1)), Subject::Withdrawal(address(3)), Subject::Socks];
    let unwanted = [
        Subject::Service(address(2)),
        Subject::Withdrawal(address(1)),
        Subject::Key(address(1)),
        Subject::KeyRemoval(address(1)),
        Subject::Listener("127.0.0.1:5000".parse().unwrap()),
    ];
    for subject in wanted.iter().chain(&unwanted) {
        observed.failures.insert(subject.clone(), backoff.clone());
    }
    observed.forget_unwanted(&desired);
    assert_eq!(observed.failures.keys().cloned().collect::<BTreeSet<_>>(), wanted.into());
}
