//! What is judged from what was found: each failure in its layer, nothing behind a standstill, and no guess called knowledge.

use proptest::prelude::*;

use super::*;
use crate::model::address::Port;
use crate::model::problem::{Code, Problem};

/// 2026-11-24 21:00:00 UTC.
const NOW: u64 = 1_795_554_000;

fn info() -> TorStatus {
    TorStatus {
        version: "0.4.9.11".into(),
        path: "/usr/bin/tor".into(),
        found: "PATH".into(),
        passed_over: None,
    }
}

fn port_number(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn met(ports: &[(u16, bool)]) -> Reach {
    let ports = ports.iter().map(|(port, open)| (port_number(*port), *open)).collect();
    Reach::Met { told: Ok(Told { ports, full: Vec::new() }), round_trip: Some(340) }
}

fn remote(reach: Reach) -> Remote {
    Remote {
        name: "website".parse().unwrap(),
        expired: None,
        key: None,
        imports: vec![port_number(22)],
        reach,
    }
}

fn client(name: &str, service: Service) -> Client {
    Client { name: name.parse().unwrap(), service, closed: Some(NOW - 75) }
}

/// A host on which all is well.
fn well() -> Findings {
    Findings {
        now: NOW,
        agent: Agent::Runs { pid: 7, uptime: 90, is_paused: false, config: None },
        secrets: Secrets::Usable { kind: StoreKind::File, needed: 2, found: 2 },
        tor: Tor::Runs(info()),
        link: Some(Link {
            consensus: Some((NOW - 600, NOW + 10_000)),
            relays: Some(3),
            is_live: Some(true),
            ..Link::default()
        }),
        clients: vec![client("laptop", Service::Up { directories: 6, introductions: 3 })],
        listeners: Vec::new(),
        remotes: vec![remote(met(&[(22, true), (80, true)]))],
        is_unread: false,
    }
}

fn changed(change: impl FnOnce(&mut Findings)) -> Vec<Layer> {
    let mut findings = well();
    change(&mut findings);
    layers(&findings)
}

fn with_link(change: impl FnOnce(&mut Link)) -> Vec<Layer> {
    changed(|findings| change(findings.link.as_mut().unwrap()))
}

fn with_reach(reach: Reach) -> Vec<Layer> {
    changed(|findings| findings.remotes[0].reach = reach)
}

fn find(layers: &[Layer], name: LayerName) -> &Layer {
    layers.iter().find(|layer| layer.layer == name).unwrap()
}

fn text(layers: &[Layer]) -> String {
    let mark = |ok| match ok {
        Some(true) => "ok",
        Some(false) => "FAILED",
        None => "-",
    };
    let line = |layer: &Layer| format!("{} {}: {}", layer.layer, mark(layer.ok), layer.sentence);
    layers.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_host_that_is_well_is_said_to_be_in_every_layer() {
    insta::assert_snapshot!(text(&layers(&well())), @r"
    agent ok: process 7 has been running for 1m 30s
    secrets ok: the directory of key files can be used; all 2 keys that are needed are there
    tor ok: tor 0.4.9.11 at /usr/bin/tor runs (found in PATH)
    clock ok: 2026-11-24 21:00 UTC is within the Tor network's consensus, 2026-11-24 20:50 UTC to 2026-11-24 23:46 UTC
    network ok: connected to 3 relays of Tor
    bootstrap ok: connected to the Tor network
    descriptor ok: published for laptop (6 directories have it); a stranger was refused 1m 15s ago
    introduction ok: ready for laptop (3 introduction points stand)
    listeners ok: imports, exports and the SOCKS address take connections
    key ok: website takes this host's key
    rendezvous ok: website answers within 340 ms
    port ok: ports 22, 80 of website are open
    ");
}

#[test]
fn without_an_agent_what_can_be_known_is_told_and_the_rest_is_not_guessed() {
    let layers = changed(|findings| {
        let problem = Problem::new(Code::NoAgent, "no agent is running").hint("start it");
        findings.agent = Agent::Absent(problem);
        findings.tor = Tor::Found(info());
        findings.link = None;
        findings.clients.clear();
        findings.remotes[0].reach = Reach::Untried;
    });

    insta::assert_snapshot!(text(&layers), @r"
    agent FAILED: no agent is running
    secrets ok: the directory of key files can be used; all 2 keys that are needed are there
    tor ok: tor 0.4.9.11 at /usr/bin/tor can be used (found in PATH)
    clock -: not tried, since no agent runs
    network -: not tried, since no agent runs
    bootstrap -: not tried, since no agent runs
    descriptor -: not tried, since no agent runs
    introduction -: not tried, since no agent runs
    listeners -: not tried, since no agent runs
    key -: not tried, since no agent runs
    rendezvous -: not tried, since no agent runs
    port -: not tried, since no agent runs
    ");
    assert_eq!(find(&layers, LayerName::Agent).hint.as_deref(), Some("start it"));
}

#[test]
fn a_configuration_that_is_not_in_force_is_the_agents_failure() {
    let layers = changed(|findings| {
        let problem = Problem::new(Code::ConfigMistake, "line 1, column 1: unknown").hint("mend it");
        findings.agent = Agent::Runs { pid: 7, uptime: 90, is_paused: false, config: Some(problem) };
    });

    let agent = find(&layers, LayerName::Agent);
    assert_eq!((agent.ok, agent.hint.as_deref()), (Some(false), Some("mend it")));
    assert!(agent.sentence.contains("line 1"), "{}", agent.sentence);
}

#[test]
fn a_store_that_lacks_keys_fails() {
    let layers = changed(|findings| {
        findings.secrets = Secrets::Usable { kind: StoreKind::OsKeyring, needed: 3, found: 1 };
    });

    let secrets = find(&layers, LayerName::Secrets);
    assert_eq!(secrets.ok, Some(false));
    assert!(secrets.sentence.contains("lacks 2 of the 3 keys"), "{}", secrets.sentence);
}

#[test]
fn keys_that_are_there_are_counted_in_words() {
    for (keys, words) in
        [(0, "no key is needed yet"), (1, "the key that is needed is there"), (2, "all 2 keys")]
    {
        let layers = changed(|findings| {
            findings.secrets = Secrets::Usable { kind: StoreKind::File, needed: keys, found: keys };
        });
        let secrets = find(&layers, LayerName::Secrets);
        assert!(secrets.ok == Some(true) && secrets.sentence.contains(words), "{}", secrets.sentence);
    }
}

#[test]
fn behind_a_tor_that_does_not_run_nothing_was_tried() {
    let layers = changed(|findings| {
        findings.tor = Tor::Fails { why: "tor was not found".into(), hint: "install it".into() };
        findings.link = None;
    });

    assert_eq!(find(&layers, LayerName::Tor).ok, Some(false));
    for layer in &layers[3..] {
        assert_eq!((layer.ok, layer.sentence.as_str()), (None, "not tried, since tor does not run"));
    }
}

#[test]
fn a_pause_is_what_keeps_all_else_from_being_tried() {
    let layers = changed(|findings| {
        findings.agent = Agent::Runs { pid: 7, uptime: 90, is_paused: true, config: None };
        findings.tor = Tor::Found(info());
        findings.link = None;
    });

    let failed: Vec<_> = layers.iter().filter(|layer| layer.ok == Some(false)).collect();
    assert_eq!(failed, [find(&layers, LayerName::Agent)], "{}", text(&layers));
    assert_eq!(failed[0].hint.as_deref(), Some("ormesh agent resume"));
    assert_eq!(find(&layers, LayerName::Port).sentence, "not tried, since the agent is paused");
}

#[test]
fn a_wrong_clock_fails_in_its_own_layer() {
    let told = with_link(|link| {
        link.clock = Some("this host's clock is about 3 hours ahead".into());
        link.bootstrap = Some((10, "Connecting".into()));
        (link.relays, link.is_live, link.consensus) = (Some(0), Some(false), None);
    });
    let behind = with_link(|link| link.consensus = Some((NOW + 3_600, NOW + 7_200)));
    let stale = with_link(|link| link.consensus = Some((NOW - 7_200, NOW - 3_600)));
    let none = with_link(|link| link.consensus = None);

    let verdict = |layers: &[Layer]| find(layers, LayerName::Clock).ok;
    assert_eq!(
        (verdict(&told), verdict(&behind), verdict(&stale), verdict(&none)),
        (Some(false), Some(false), None, None)
    );
    assert_eq!(find(&told, LayerName::Network).ok, None);
    assert_eq!(find(&told, LayerName::Network).sentence, "not known, since the clock is wrong");
    assert_eq!(find(&told, LayerName::Bootstrap).ok, Some(false));
}

#[test]
fn a_network_is_reachable_once_a_relay_was_reached() {
    let blocked = with_link(|link| {
        link.bootstrap = Some((5, "Connecting".into()));
        link.warning = Some("relays of Tor refuse the connection".into());
        (link.relays, link.is_live) = (Some(0), Some(false));
    });
    let early = with_link(|link| {
        link.bootstrap = Some((1, "Connecting".into()));
        (link.relays, link.is_live) = (Some(0), Some(false));
    });
    let silent = with_link(|link| (link.relays, link.is_live) = (None, None));

    let verdict = |layers: &[Layer]| find(layers, LayerName::Network).ok;
    assert_eq!((verdict(&blocked), verdict(&early), verdict(&silent)), (Some(false), None, None));
    assert_eq!(find(&blocked, LayerName::Bootstrap).ok, Some(false));
    assert_eq!(find(&early, LayerName::Bootstrap).ok, None);
    assert_eq!(find(&early, LayerName::Network).sentence, "not known: no relay of Tor has been reached yet");
    assert_eq!(find(&early, LayerName::Key).sentence, "not tried, since tor is not connected yet");
}

#[test]
fn bridges_are_told_with_the_network_that_they_lead_to() {
    let through = with_link(|link| (link.bridges, link.relays) = (2, Some(1)));
    let blocked = with_link(|link| {
        link.bootstrap = Some((5, "Connecting".into()));
        link.warning = Some("relays of Tor don't answer".into());
        (link.bridges, link.relays, link.is_live) = (2, Some(0), Some(false));
    });

    assert_eq!(find(&through, LayerName::Network).sentence, "connected through 1 of 2 bridges");
    let network = find(&blocked, LayerName::Network);
    assert_eq!(network.sentence, "relays of Tor don't answer");
    assert!(network.hint.as_ref().is_some_and(|hint| hint.contains("bridges.torproject.org")));
}

#[test]
fn services_are_named_and_many_are_counted() {
    let up = |directories, introductions| Service::Up { directories, introductions };
    let with = |clients: Vec<Client>| changed(|findings| findings.clients = clients);
    let failing = with(vec![
        client("a", up(6, 3)),
        client("b", Service::Failing { why: "no key".into(), hint: "unlock it".into() }),
    ]);
    let on_its_way = with(vec![client("a", up(6, 3)), client("b", Service::OnItsWay)]);
    let many = with((0..5).map(|n| client(&format!("c{n}"), up(n + 2, 3))).collect());
    let cut_off = with(vec![client("a", up(6, 0))]);
    let unwanted = with(vec![client("a", Service::Unwanted)]);

    let verdict = |layers: &[Layer], name| {
        let layer = find(layers, name);
        (layer.ok, layer.sentence.clone())
    };
    use LayerName::{Descriptor, Introduction};
    assert_eq!(
        verdict(&failing, Descriptor),
        (Some(false), "the service of b is not published: no key".into())
    );
    assert_eq!(verdict(&failing, Introduction).0, Some(true));
    assert_eq!(verdict(&on_its_way, Descriptor).0, None);
    assert_eq!(
        verdict(&many, Descriptor),
        (
            Some(true),
            "published for all 5 clients (at least 2 directories have it); a stranger was refused 1m 15s ago"
                .into()
        )
    );
    assert_eq!(verdict(&cut_off, Introduction).0, Some(false));
    assert_eq!(verdict(&unwanted, Descriptor).0, None);
    assert_eq!(
        verdict(&changed(|findings| findings.clients.clear()), Introduction).1,
        "this host has no clients"
    );
}

#[test]
fn that_strangers_are_refused_is_said_only_when_it_was_seen() {
    let with = |closed: &[Option<u64>]| {
        let service = Service::Up { directories: 6, introductions: 3 };
        let clients = closed
            .iter()
            .enumerate()
            .map(|(n, closed)| Client { closed: *closed, ..client(&format!("c{n}"), service.clone()) });
        let layers = changed(|findings| findings.clients = clients.collect());
        find(&layers, LayerName::Descriptor).sentence.split_once("; ").unwrap().1.to_owned()
    };

    assert_eq!(with(&[Some(NOW - 5), Some(NOW - 90)]), "a stranger was refused 1m 30s ago");
    assert_eq!(with(&[Some(NOW), None]), "not checked yet whether that of c1 refuses strangers");
    assert_eq!(with(&[None, None]), "not checked yet whether 2 of them refuse strangers");
}

#[test]
fn each_way_of_not_reaching_a_remote_has_its_layer() {
    let why = || "why".to_owned();
    for (reach, verdicts) in [
        (met(&[(22, true)]), [Some(true), Some(true), Some(true)]),
        (met(&[(22, true), (80, false)]), [Some(true), Some(true), Some(true)]),
        (met(&[(22, false), (80, true)]), [Some(true), Some(true), Some(false)]),
        // Imported, and not granted any more.
        (met(&[(80, true)]), [Some(true), Some(true), Some(false)]),
        (Reach::Met { told: Err(why()), round_trip: None }, [Some(true), Some(true), None]),
        (Reach::MetPlain, [Some(true), Some(true), None]),
        (Reach::NotFound(why()), [None, Some(false), None]),
        // An old descriptor may open though the access has ended.
        (Reach::Gone(why()), [None, Some(false), None]),
        (Reach::KeyMissing(why()), [Some(false), None, None]),
        (Reach::KeyRefused(why()), [Some(false), None, None]),
        (Reach::Failed(why()), [None, Some(false), None]),
        (Reach::Untried, [None, None, None]),
    ] {
        let layers = with_reach(reach.clone());

        let found: Vec<_> = layers[9..].iter().map(|layer| layer.ok).collect();
        assert_eq!(found, verdicts, "{reach:?}");
        assert!(layers[9..].iter().all(|layer| layer.sentence.contains("website")), "{}", text(&layers));
    }
}

#[test]
fn a_listener_that_turns_connections_away_fails_with_its_reason() {
    let full = |name: &str| Problem::new(Code::Full, format!("{name} is full")).hint("allow more");
    let one = changed(|findings| findings.listeners = vec![full("port 80")]);
    let two = changed(|findings| findings.listeners = vec![full("port 80"), full("port 81")]);

    let layer = find(&one, LayerName::Listeners);
    assert_eq!((layer.ok, layer.hint.as_deref()), (Some(false), Some("allow more")));
    assert_eq!(layer.sentence, "port 80 is full");
    assert_eq!(
        find(&two, LayerName::Listeners).sentence,
        "port 80 is full (and 1 other problem: ormesh status)"
    );
}

#[test]
fn a_port_that_is_full_at_the_other_end_fails_the_imported_one_first() {
    let told = Told {
        ports: vec![(port_number(9), true), (port_number(22), true)],
        full: vec![(port_number(9), 3, 4), (port_number(22), 384, 512)],
    };
    let layers = with_reach(Reach::Met { told: Ok(told), round_trip: Some(340) });

    let port = find(&layers, LayerName::Port);
    assert_eq!(port.ok, Some(false));
    assert!(port.sentence.contains("port 22 of website is full: 384 of 512"), "{}", port.sentence);
}

#[test]
fn a_closed_port_is_a_failure_only_where_it_is_imported() {
    let port = |ports| find(&with_reach(met(ports)), LayerName::Port).clone();

    let imported = port(&[(9, false), (22, false)]);
    assert_eq!(imported.ok, Some(false));
    assert_eq!(imported.sentence, "nothing accepts connections behind port 22 of website");
    let other = port(&[(9, false), (22, true)]);
    assert_eq!(other.ok, Some(true));
    assert_eq!(
        other.sentence,
        "port 22 of website is open; nothing accepts connections behind port 9, and no import here leads to it"
    );
}

#[test]
fn an_end_of_access_and_a_locked_key_are_the_keys_failure() {
    let ended = changed(|findings| {
        findings.remotes[0].expired = Some(crate::model::day::Day::from_unix(NOW));
        findings.remotes[0].reach = Reach::NotFound("x".into());
    });
    let locked = changed(|findings| {
        findings.remotes[0].key = Some(Problem::new(Code::StoreLocked, "the store is locked").hint("unlock"));
        findings.remotes[0].reach = Reach::KeyMissing("x".into());
    });

    assert!(find(&ended, LayerName::Key).sentence.contains("ended on 2026-11-24"), "{}", text(&ended));
    assert!(find(&locked, LayerName::Key).sentence.contains("the store is locked"), "{}", text(&locked));
}

#[test]
fn every_remote_has_layers_of_its_own_and_none_are_three() {
    let two = changed(|findings| {
        let other = Remote { name: "other".parse().unwrap(), ..findings.remotes[0].clone() };
        findings.remotes.push(other);
    });
    let none = changed(|findings| findings.remotes.clear());
    let unread = changed(|findings| {
        findings.remotes.clear();
        findings.is_unread = true;
    });

    assert_eq!((two.len(), none.len(), unread.len()), (15, 12, 12));
    assert_eq!(none[11].sentence, "there are no remotes");
    assert_eq!(unread[11].sentence, UNREAD, "there may be some");
}

fn any_link() -> impl Strategy<Value = Option<Link>> {
    let bootstrap = proptest::option::of((0_u8..=100, "[a-z]{1,5}"));
    let words = || proptest::option::of("[a-z]{1,9}");
    let consensus = proptest::option::of((NOW - 9_000..NOW + 9_000, NOW - 9_000..NOW + 9_000));
    let link =
        (bootstrap, words(), words(), consensus, proptest::option::of(0_u32..4), any::<Option<bool>>())
            .prop_map(|(bootstrap, warning, clock, consensus, relays, is_live)| Link {
                bootstrap,
                warning,
                clock,
                consensus,
                relays,
                is_live,
                bridges: 0,
            });
    proptest::option::of(link)
}

proptest! {
    #[test]
    fn nothing_beyond_a_standstill_is_called_known(link in any_link(), is_paused in any::<bool>()) {
        let connected = link.as_ref().is_some_and(|link| link.bootstrap.is_none()) && !is_paused;
        let layers = changed(|findings| {
            findings.link = link;
            findings.agent = Agent::Runs { pid: 7, uptime: 1, is_paused, config: None };
        });

        let names: Vec<_> = layers.iter().map(|layer| layer.layer).collect();
        prop_assert!(names.is_sorted(), "{names:?}");
        prop_assert!(layers.iter().all(|layer| !layer.sentence.is_empty()));
        if !connected {
            prop_assert!(layers[6..].iter().all(|layer| layer.ok.is_none()));
        }
    }
}
