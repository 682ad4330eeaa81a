//! Exports for some clients: who reaches what after any change, and that each gain is said.

use proptest::prelude::*;

use super::*;
use crate::model::config::{self, Client, InstanceId};
use crate::model::edit::{self, Edit};
use crate::model::key_change::{self, KeyChange};
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::problem::{Problem, Subject};

/// Any change of the configuration, whoever may make it.
#[derive(Debug, Clone)]
enum Change {
    Edit(Edit),
    Keys(KeyChange),
}

impl From<Edit> for Change {
    fn from(edit: Edit) -> Self {
        Self::Edit(edit)
    }
}

impl From<KeyChange> for Change {
    fn from(change: KeyChange) -> Self {
        Self::Keys(change)
    }
}

fn apply(config: &Config, change: impl Into<Change>) -> Result<Config, Problem> {
    match change.into() {
        Change::Edit(edit) => edit::apply(config, &edit),
        Change::Keys(change) => key_change::apply(config, &change),
    }
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn name(name: &str) -> ClientName {
    name.parse().unwrap()
}

fn names<'a>(of: impl IntoIterator<Item = &'a str>) -> BTreeSet<ClientName> {
    of.into_iter().map(name).collect()
}

fn client(seed: u8, ports: Option<BTreeSet<Port>>) -> Client {
    let address = ServiceKey::from_seed(&zeroize::Zeroizing::new([seed; 32])).address();
    let key = ClientKey::from_bytes(&[seed; 32]).unwrap().public();
    Client { ports, ..Client::new(address, key) }
}

fn add(number: u16, clients: Option<BTreeSet<ClientName>>) -> Edit {
    Edit::AddExport { target: number.to_string().parse().unwrap(), port: None, allow_lan: false, clients }
}

/// Exports 22 to `all`, which has every port, and to `some`, which has that one.
fn config() -> Config {
    let empty = Config::new(InstanceId::from_random([0; 10]));
    let changes = [
        Change::from(add(22, None)),
        KeyChange::AddClient { name: name("all"), client: client(1, None) }.into(),
        KeyChange::AddClient { name: name("some"), client: client(2, Some([port(22)].into())) }.into(),
    ];
    changes.into_iter().fold(empty, |config, change| apply(&config, change).unwrap())
}

fn today() -> Day {
    Day::from_epoch_days(20_000)
}

/// The ports that a client reaches.
fn of(config: &Config, of: &str) -> Vec<u16> {
    let name = name(of);
    config.granted_ports(&name, &config.clients[&name]).into_iter().map(Port::get).collect()
}

#[test]
fn an_export_for_all_is_said_to_reach_those_without_a_list() {
    let old = config();
    let new = apply(&old, add(80, None)).unwrap();
    assert_eq!(gained(&old, &new, today()), ["all can now reach port 80"]);
    assert_eq!((of(&new, "all"), of(&new, "some")), (vec![22, 80], vec![22]));
    assert_eq!(apply(&new, add(80, None)), Ok(new.clone()));
    assert!(gained(&new, &new, today()).is_empty());
}

#[test]
fn an_export_for_some_is_for_these_only() {
    let old = config();
    let edit = add(80, Some(names(["some"])));
    let new = apply(&old, edit.clone()).unwrap();
    assert_eq!(gained(&old, &new, today()), ["some can now reach port 80"]);
    assert_eq!((of(&new, "all"), of(&new, "some")), (vec![22], vec![22, 80]));
    // Again, and again without saying for whom: nothing changes, and nobody gains.
    assert_eq!(apply(&new, edit), Ok(new.clone()));
    assert_eq!(apply(&new, add(80, None)), Ok(new.clone()));
    // For others: refused, and said how.
    let refused = apply(&new, add(80, Some(names(["all"])))).unwrap_err();
    assert_eq!(refused.message, "port 80 is exported already, for some only");
    assert!(refused.hint.starts_with("ormesh export set 80"), "{}", refused.hint);
    // Clients that come later are not let in.
    let later = apply(&new, KeyChange::AddClient { name: name("later"), client: client(3, None) }).unwrap();
    assert_eq!(of(&later, "later"), [22]);
    assert_eq!(
        of_all(&later, &name("later")).unwrap(),
        "later can reach port 22, and every port that is exported later for all"
    );
}

#[test]
fn nobody_is_let_in_by_a_name_that_is_mistyped_or_left_over() {
    let config = config();
    let refused = apply(&config, add(80, Some(names(["sme"])))).unwrap_err();
    assert_eq!(
        (&*refused.message, refused.subject),
        ("there is no client sme", Some(Subject::Client(name("sme"))))
    );
    let new = apply(&config, add(80, Some(names(["some"])))).unwrap();
    let gone = apply(&new, KeyChange::DeleteClient { name: name("some") }).unwrap();
    assert_eq!(gone.exports[&port(80)].clients, Some(BTreeSet::new()), "it is for nobody, and not for all");
    assert_eq!(of(&gone, "all"), [22]);
    // A name that was left in the file is no key for whoever is called so later.
    let mut left = gone;
    left.exports.get_mut(&port(80)).unwrap().clients = Some(names(["some"]));
    let again = apply(&left, KeyChange::AddClient { name: name("some"), client: client(4, None) }).unwrap();
    assert_eq!(of(&again, "some"), [22]);
}

#[test]
fn naming_client_and_port_lets_in_from_either_side() {
    let config = apply(&config(), add(80, Some(BTreeSet::new()))).unwrap();
    let set = |config: &Config, numbers: &[u16]| {
        let ports = Some(Some(numbers.iter().copied().map(port).collect()));
        apply(config, Edit::SetClient { name: name("some"), ports, expires: None }).unwrap()
    };
    let granted = set(&config, &[22, 80]);
    assert_eq!(of(&granted, "some"), [22, 80]);
    assert_eq!(of(&set(&granted, &[22]), "some"), [22]);
    let opened = apply(&granted, Edit::SetExport { port: port(80), clients: None }).unwrap();
    assert_eq!((of(&opened, "all"), of(&opened, "some")), (vec![22, 80], vec![22, 80]));
    let closed = apply(&opened, Edit::SetExport { port: port(80), clients: Some(names(["all"])) }).unwrap();
    assert_eq!((of(&closed, "all"), of(&closed, "some")), (vec![22, 80], vec![22]));
    // `client set --port all` is all that is for all.
    let all = Edit::SetClient { name: name("some"), ports: Some(None), expires: None };
    assert_eq!(of(&apply(&closed, all).unwrap(), "some"), [22]);
}

#[test]
fn a_key_is_one_clients_whichever_change_brings_it() {
    let config = config();
    let other = &config.clients[&name("all")];
    let of = config.clients[&name("some")].address;
    let rotated =
        |key, address| KeyChange::RotateClient { name: name("some"), of, address, key, requested: true };
    let own = client(9, None);
    for edit in [
        KeyChange::AddClient { name: name("new"), client: Client { key: other.key, ..own.clone() } },
        KeyChange::AddClient { name: name("new"), client: Client { address: other.address, ..own.clone() } },
        rotated(other.key, own.address),
        rotated(own.key, other.address),
    ] {
        assert_eq!(
            apply(&config, edit.clone()).unwrap_err().message,
            "client all has that key already",
            "{edit:?}"
        );
    }
    let same = &config.clients[&name("some")];
    assert!(apply(&config, rotated(same.key, own.address)).is_ok(), "its own key may stay");
}

#[test]
fn a_port_that_is_no_longer_exported_is_no_hindrance_to_other_changes() {
    let gone = apply(&config(), Edit::DeleteExport { port: port(22) }).unwrap();
    let set = |numbers: &[u16]| Edit::SetClient {
        name: name("some"),
        ports: Some(Some(numbers.iter().copied().map(port).collect())),
        expires: Some(None),
    };
    assert!(apply(&gone, set(&[22])).is_ok());
    assert_eq!(apply(&gone, set(&[22, 80])).unwrap_err().message, "port 80 is not exported");
}

#[test]
fn a_setting_is_held_to_the_same_whoever_sends_it() {
    use crate::model::edit::Setting;
    for setting in [Setting::MaxSessions(0), Setting::TorPath(Some("tor".into()))] {
        assert!(apply(&config(), Edit::Set(setting.clone())).is_err(), "{setting:?}");
    }
}

#[test]
fn an_expired_client_gains_when_its_access_goes_on() {
    let mut old = config();
    old.clients.get_mut(&name("some")).unwrap().expires = Some(Day::from_epoch_days(19_000));
    let set = Edit::SetClient { name: name("some"), ports: None, expires: Some(None) };
    let new = apply(&old, set).unwrap();
    assert_eq!(gained(&old, &new, today()), ["some can now reach port 22"]);
}

#[test]
fn many_names_are_counted() {
    let all: Vec<ClientName> = (10..25).map(|n| name(&format!("c{n}"))).collect();
    let list = name_list(&all.iter().collect::<Vec<_>>());
    assert_eq!(list, "c10, c11, c12, c13, c14, c15, c16, c17, c18, c19 and 5 more");
}

fn any_ports() -> impl Strategy<Value = Option<BTreeSet<Port>>> {
    proptest::option::of(proptest::collection::btree_set((2_u16..6).prop_map(port), 0..3))
}

fn any_names() -> impl Strategy<Value = Option<BTreeSet<ClientName>>> {
    proptest::option::of(proptest::collection::btree_set("q[a-d]".prop_map(|text| name(&text)), 0..3))
}

fn any_change() -> impl Strategy<Value = Change> {
    let export = (2_u16..6, any_names()).prop_map(|(number, clients)| add(number, clients).into());
    let set = (2_u16..6, any_names())
        .prop_map(|(number, clients)| Edit::SetExport { port: port(number), clients }.into());
    let unexport = (2_u16..6).prop_map(|number| Edit::DeleteExport { port: port(number) }.into());
    let client = (0..4_u8, any_ports()).prop_map(|(n, ports)| {
        KeyChange::AddClient {
            name: name(["qa", "qb", "qc", "qd"][usize::from(n)]),
            client: client(n + 1, ports),
        }
        .into()
    });
    let ports = ("q[a-d]", any_ports()).prop_map(|(text, ports)| {
        Edit::SetClient { name: name(&text), ports: Some(ports), expires: None }.into()
    });
    let other = (2_u16..6, 2_u16..6).prop_map(|(from, to)| {
        Edit::MoveExport { port: port(from), to: Some(port(to)), target: None, allow_lan: false }.into()
    });
    let delete = "q[a-d]".prop_map(|text| KeyChange::DeleteClient { name: name(&text) }.into());
    prop_oneof![export, set, unexport, client, ports, other, delete]
}

proptest! {
    #[test]
    fn whatever_is_done_each_gain_is_said_and_the_file_says_the_same(changes in proptest::collection::vec(any_change(), 1..20)) {
        let mut config = Config::new(InstanceId::from_random([0; 10]));
        for change in changes {
            let Ok(new) = apply(&config, change.clone()) else { continue };
            for (of, client) in &new.clients {
                let reached = new.granted_ports(of, client);
                let had = config.clients.get(of).map(|client| config.granted_ports(of, client)).unwrap_or_default();
                let said = gained(&config, &new, today()).iter().any(|said| said.contains(of.as_str()));
                prop_assert_eq!(said, reached.iter().any(|port| !had.contains(port)), "{:?}", change);
                for port in reached {
                    prop_assert!(new.exports[&port].is_for(of));
                    // An export for some is never reached by one whom no change has named for it.
                    if let Change::Edit(
                        Edit::AddExport { clients: Some(clients), .. } | Edit::SetExport { clients: Some(clients), .. },
                    ) = &change
                        && !had.contains(&port)
                    {
                        prop_assert!(clients.contains(of));
                    }
                }
            }
            let mut document = toml_edit::DocumentMut::new();
            config::write(&mut document, &new);
            prop_assert_eq!(config::parse(&document.to_string(), &new.instance).unwrap(), new.clone());
            config = new;
        }
    }
}

#[test]
fn what_goes_with_a_deletion_is_said() {
    let config = config_of(
        "[[export]]\ntarget = \"22\"\n\n[[export]]\ntarget = \"80\"\nclients = [\"ann\"]\n",
        &["ann", "bob"],
    );
    let day = Day::from_epoch_days(20_000);
    let mut less = config.clone();
    less.exports.remove(&Port::new(22).unwrap());
    assert_eq!(lost(&config, &less, day), ["ann and bob can no longer reach port 22"]);
    assert_eq!(lost(&less, &config, day), Vec::<String>::new());
    less.exports.remove(&Port::new(80).unwrap());
    assert_eq!(
        lost(&config, &less, day),
        ["bob can no longer reach port 22", "ann can no longer reach ports 22 and 80"]
    );
    assert_eq!(orphaned(&config, &less), None, "what is no more is for nobody");

    let delete = |name: &str| {
        let name = name.parse().unwrap();
        crate::model::key_change::apply(&config, &crate::model::key_change::KeyChange::DeleteClient { name })
            .unwrap()
    };
    assert_eq!(orphaned(&config, &delete("bob")), None);
    let said = orphaned(&config, &delete("ann")).unwrap();
    assert_eq!(
        said,
        "port 80 is for no client now; `ormesh export set 80 --client NAME` gives it another one"
    );
}

/// These exports, and clients of these names.
fn config_of(exports: &str, clients: &[&str]) -> Config {
    let mut text = exports.to_owned();
    for (number, name) in (1u8..).zip(clients) {
        let seed = zeroize::Zeroizing::new([number; 32]);
        let address = crate::model::keys::ServiceKey::from_seed(&seed).address();
        let key = crate::model::keys::ClientKey::from_bytes(&[number; 32]).unwrap().public();
        text += &format!("\n[client.{name}]\naddress = \"{address}\"\nkey = \"{key}\"\n");
    }
    crate::model::config::parse(&text, &crate::model::config::InstanceId::from_random([7; 10])).unwrap()
}
