//! Whatever a configuration says and whatever the file said before: it is read as it was written, and to write it again changes no byte.

use std::str::FromStr;

use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::model::config::{Client, Export, Import, InstanceId, parse};
use crate::model::day::Day;
use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::store_kind::StoreKind;

fn address(number: u8) -> OnionAddress {
    ServiceKey::from_seed(&Zeroizing::new([number; 32])).address()
}

fn key(number: u8) -> ClientPublicKey {
    ClientKey::from_bytes(&[number; 32]).unwrap().public()
}

fn port() -> impl Strategy<Value = Port> {
    (2u16..7).prop_map(|port| Port::new(port).unwrap())
}

/// A few texts, so that two configurations often say the same.
fn words<T: FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
    words: &'static [&'static str],
) -> impl Strategy<Value = T> {
    proptest::sample::select(words).prop_map(|word| word.parse::<T>().unwrap())
}

fn day() -> impl Strategy<Value = Option<Day>> {
    option::of((20_000u16..20_003).prop_map(Day::from_epoch_days))
}

fn agent() -> impl Strategy<Value = AgentSettings> {
    const BRIDGE: &str = "192.0.2.1:443 4352E58420E68F5E40BADE74FADDCCD9D1349413";
    (
        option::of(words(&["127.0.0.1:9250", "127.0.0.1:9999"])),
        option::of(words(&["/usr/bin/tor", "/opt/to r"])),
        option::of(words::<StoreKind>(&["os-keyring", "file"])),
        any::<bool>(),
        prop_oneof![Just(512u16), Just(1)],
        any::<bool>(),
        proptest::collection::vec(
            words(&[BRIDGE, "[2001:db8::1]:9001 4352E58420E68F5E40BADE74FADDCCD9D1349414"]),
            0..3,
        ),
    )
        .prop_map(|(socks_addr, tor_path, secrets, all, max_sessions, sessions, bridges)| {
            AgentSettings {
                socks_addr,
                tor_path,
                secrets,
                socks_users: if all { Users::All } else { Users::Me },
                max_sessions,
                sessions,
                bridges,
            }
        })
}

fn export() -> impl Strategy<Value = Export> {
    let targets = words(&["127.0.0.1:3", "127.0.0.1:4", "unix:/run/a", "192.168.0.9:5"]);
    (targets, any::<bool>(), option::of(btree_set(words(&["c0", "c1", "gone"]), 0..3))).prop_map(
        |(target, allow_lan, clients): (Target, _, _)| Export {
            allow_lan: allow_lan || !target.is_local(),
            target,
            clients,
        },
    )
}

fn import() -> impl Strategy<Value = Import> {
    let half_close = prop_oneof![Just(HalfClose::Hold), Just(HalfClose::Pass)];
    let session = prop_oneof![Just(Session::On), Just(Session::Off)];
    (port(), half_close, any::<bool>(), session, words(&["0", "15m", "2h"])).prop_map(
        |(remote_port, half_close, all, session, hold)| Import {
            remote_port,
            half_close,
            users: if all { Users::All } else { Users::Me },
            session,
            hold,
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let client = (any::<bool>(), option::of(btree_set(port(), 0..3)), day(), any::<bool>());
    let listen = words(&["127.0.0.1:2000", "[::1]:2000", "127.0.0.1:2001", "unix:/run/b"]);
    let remote =
        (any::<bool>(), day(), btree_set(port(), 0..3), any::<bool>(), btree_map(listen, import(), 0..3));
    (
        agent(),
        btree_map(port(), export(), 0..3),
        btree_map(0u8..3, client, 0..3),
        btree_map(0u8..2, remote, 0..2),
        btree_map(words(&["q0", "q1"]), (200u8..202).prop_map(key), 0..2),
    )
        .prop_map(|(agent, exports, clients, remotes, requests)| {
            // Each has an address and a key of its own, one of two.
            let own = |number: u8, is_other: bool| 2 * number + u8::from(is_other);
            let client = |(number, (other, ports, expires, requested)): (u8, (_, _, _, _))| {
                let (address, key) = (address(own(1 + number, other)), key(own(1 + number, other)));
                let client = Client { address, key, ports, expires, requested };
                (format!("c{number}").parse().unwrap(), client)
            };
            let remote = |(number, (other, expires, ports, plain_tor, imports)): (u8, (_, _, _, _, _))| {
                let (address, key) = (address(own(50 + number, other)), key(own(50 + number, other)));
                let remote = Remote { address, key, expires, ports, plain_tor, imports };
                (format!("r{number}").parse().unwrap(), remote)
            };
            Config {
                agent,
                exports,
                clients: clients.into_iter().map(client).collect(),
                remotes: remotes.into_iter().map(remote).collect(),
                requests,
                ..Config::new(InstanceId::from_random([7; 10]))
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_over_any_other_file_is_read_as_it_was_meant(before in config(), after in config()) {
        let mut document = DocumentMut::new();
        let other = InstanceId::from_random([8; 10]);
        for config in [&before, &after] {
            write(&mut document, config);
            let text = document.to_string();
            prop_assert_eq!(&parse(&text, &other).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?, config);
            let mut again: DocumentMut = text.parse().unwrap();
            write(&mut again, config);
            prop_assert_eq!(again.to_string(), text);
        }
    }
}

#[test]
fn a_default_is_left_out_and_one_that_a_person_wrote_stays() {
    let config = parse("", &InstanceId::from_random([7; 10])).unwrap();
    let mut document = DocumentMut::new();
    write(&mut document, &config);
    assert_eq!(document.to_string(), format!("version = 1\ninstance = \"{}\"\n", config.instance.as_str()));

    const BY_HAND: &str = "[agent] # mine\nsocks-addr = \"127.0.0.1:9250\"\nsocks-users = \"me\"\nmax-sessions = 512\nsessions = false\n";
    let mut document: DocumentMut = BY_HAND.parse().unwrap();
    write(&mut document, &parse(BY_HAND, &config.instance).unwrap());
    assert!(document.to_string().ends_with(BY_HAND), "{document}");
    // What is no default is taken out once it is not wanted.
    let other = BY_HAND
        .replace("9250", "9251")
        .replace("\"me\"", "\"all\"")
        .replace("512", "3")
        .replace("false", "true");
    let mut document: DocumentMut = other.parse().unwrap();
    write(&mut document, &config);
    assert!(document.to_string().ends_with("[agent] # mine\n"), "{document}");
}
