//! The planner under random changes: nothing is reachable that is not granted, and it always settles.

use proptest::prelude::*;

use super::*;

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
