//! Merges a configuration that is given and can't be written (in a container) with the one that an agent keeps beside it.
//!
//! What is given says what it changes; all else is as commands left it. So what a command changed outlasts a restart, and what it deleted
//! stays deleted, until that very entry is given in another way.

use std::collections::{BTreeMap, BTreeSet};

use super::same::{One, match_up, names};
use crate::model::address::{ListenAddr, Port};
use crate::model::config::{AgentSettings, Client, Config, Export, Remote};
use crate::model::name::{ClientName, RemoteName};

/// What is to be in force: `given` now, `before` at the last start, and `own`, as commands left it since.
pub fn merge(given: &Config, before: &Config, own: &Config) -> Config {
    let (now, then, ours) = (&given.agent, &before.agent, &own.agent);
    let agent = AgentSettings {
        socks_addr: newer(now.socks_addr, then.socks_addr, ours.socks_addr),
        tor_path: newer(&now.tor_path, &then.tor_path, &ours.tor_path).clone(),
        // Chosen here, where the keys are.
        secrets: ours.secrets.or(now.secrets),
        socks_users: newer(now.socks_users, then.socks_users, ours.socks_users),
        max_sessions: newer(now.max_sessions, then.max_sessions, ours.max_sessions),
        sessions: newer(now.sessions, then.sessions, ours.sessions),
        bridges: newer(&now.bridges, &then.bridges, &ours.bridges).clone(),
    };
    let (clients, exports) = clients_and_exports(given, before, own);
    let mut config = Config {
        instance: own.instance.clone(),
        agent,
        exports,
        clients,
        remotes: BTreeMap::new(),
        requests: each(&given.requests, &before.requests, &own.requests, |a, b, c| newer(a, b, c).copied()),
    };
    let address = |remote: &Remote| remote.address;
    let ones = match_up(&given.remotes, &before.remotes, &own.remotes, address);
    let merged: Vec<_> =
        ones.iter().map(|one| remote(value(one.given), value(one.before), value(one.own))).collect();
    let names = names(&ones, |at| merged[at].is_some(), address);
    let mut given_as = BTreeMap::new();
    for ((one, merged), name) in ones.iter().zip(merged).zip(names) {
        let (Some(merged), Some(name)) = (merged, name) else { continue };
        given_as.extend(value(one.given).map(|given| (name.clone(), given)));
        config.remotes.insert(name, merged);
    }
    give_way(&mut config, &given_as, given.agent.socks_addr);
    config
}

type Clients = BTreeMap<ClientName, Client>;
type Exports = BTreeMap<Port, Export>;

/// The clients, and the exports, whose lists name the same ones in the end, whatever each is called by then.
fn clients_and_exports(given: &Config, before: &Config, own: &Config) -> (Clients, Exports) {
    let address = |client: &Client| client.address;
    let ones = match_up(&given.clients, &before.clients, &own.clients, address);
    let lists = |config: &Config, client: &Client| config.client_at(&client.address).is_some();
    let merged: Vec<_> = ones
        .iter()
        .map(|one| client(value(one.given), value(one.before), value(one.own)))
        // What a command deleted is without keys, however it is given.
        .map(|merged| merged.filter(|client| !lists(before, client) || lists(own, client)))
        .collect();
    let is_given = |at: usize| {
        let (given, merged) = (value(ones[at].given), merged[at].as_ref());
        given
            .zip(merged)
            .is_some_and(|(given, merged)| (given.address, given.key) == (merged.address, merged.key))
    };
    // A key is one client's: ours gives way to the one that is given.
    let has_key_of = |at: usize, other: usize| {
        let key = |at: usize| merged[at].as_ref().map(|client| client.key);
        at != other && is_given(other) && key(at) == key(other)
    };
    let is_there = |at: usize| {
        merged[at].is_some() && (is_given(at) || !(0..ones.len()).any(|other| has_key_of(at, other)))
    };
    let is_there: Vec<bool> = (0..ones.len()).map(is_there).collect();
    let names = names(&ones, |at| is_there[at], address);
    let exports = {
        let parts =
            [(given, 0), (before, 1), (own, 2)].map(|(config, part)| whose_exports(config, &ones, part));
        let [given, before, own] = &parts;
        each(given, before, own, export)
    };
    let is_taken = |name: &ClientName| names.iter().flatten().any(|taken| taken == name);
    let called = |who: &Who| match who {
        Who::One(at) if names[*at].is_some() => names[*at].clone(),
        // A name that is left over lets in nobody who has it by now.
        Who::One(at) => name(ones[*at].given).or(name(ones[*at].own)).filter(|name| !is_taken(name)).cloned(),
        Who::Left(name) => Some(name.clone()).filter(|name| !is_taken(name)),
    };
    let named = |(export, list): Listed| Export {
        clients: list.map(|list| list.iter().filter_map(called).collect()),
        ..export
    };
    let exports = exports.into_iter().map(|(port, export)| (port, named(export))).collect();
    let clients = names.iter().cloned().zip(merged).filter_map(|(name, client)| Some((name?, client?)));
    (clients.collect(), exports)
}

/// Whom a list names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// One of the clients, by its number.
    One(usize),
    /// Nobody that is known: a name that is left over.
    Left(ClientName),
}

/// An export, without its list of clients, and whom this names; none where it is for all.
type Listed = (Export, Option<BTreeSet<Who>>);

/// The exports of one of the three, by its number, with those whom their lists mean.
fn whose_exports(
    config: &Config,
    ones: &[One<'_, ClientName, Client>],
    part: usize,
) -> BTreeMap<Port, Listed> {
    let there =
        |one: &One<'_, ClientName, Client>| [name(one.given), name(one.before), name(one.own)][part].cloned();
    let who = |listed: &ClientName| {
        let named = ones.iter().position(|one| there(one).as_ref() == Some(listed));
        // It may be given for one that only a command made.
        let ours = || ones.iter().position(|one| name(one.own) == Some(listed) && there(one).is_none());
        named.or_else(ours).map_or_else(|| Who::Left(listed.clone()), Who::One)
    };
    let of = |export: &Export| {
        let list = export.clients.as_ref().map(|list| list.iter().map(who).collect());
        (Export { clients: None, ..export.clone() }, list)
    };
    config.exports.iter().map(|(port, export)| (*port, of(export))).collect()
}

fn value<'a, K, V>(entry: Option<(&'a K, &'a V)>) -> Option<&'a V> {
    entry.map(|(_, value)| value)
}

fn name<'a, K, V>(entry: Option<(&'a K, &'a V)>) -> Option<&'a K> {
    entry.map(|(name, _)| name)
}

/// Takes out what is ours alone and can't be beside something that is given. The remotes that are given have the names that they have here.
fn give_way(config: &mut Config, given: &BTreeMap<RemoteName, &Remote>, socks: Option<std::net::SocketAddr>) {
    let Config { agent, remotes, requests, .. } = config;
    requests.retain(|name, _| !remotes.contains_key(name));

    let is_given =
        |name: &_, listen: &_| given.get(name).is_some_and(|remote| remote.imports.contains_key(listen));
    let imports =
        remotes.iter().flat_map(|(name, remote)| remote.imports.keys().map(move |listen| (name, listen)));
    let taken: BTreeSet<_> =
        imports.filter(|(name, listen)| is_given(name, listen)).map(|(_, listen)| listen.clone()).collect();
    if agent.socks_addr.is_some_and(|socks| taken.contains(&ListenAddr::Tcp(socks))) {
        agent.socks_addr = socks;
    }
    let socks = agent.socks_addr.map(ListenAddr::Tcp);
    for (name, remote) in remotes {
        remote.imports.retain(|listen, _| {
            is_given(name, listen) || !taken.contains(listen) && Some(listen) != socks.as_ref()
        });
    }
}

/// What is given now where that is not what was given before, else ours.
fn newer<T: PartialEq>(given: T, before: T, own: T) -> T {
    if given == before { own } else { given }
}

fn each<K: Ord + Clone, V>(
    given: &BTreeMap<K, V>,
    before: &BTreeMap<K, V>,
    own: &BTreeMap<K, V>,
    one: impl Fn(Option<&V>, Option<&V>, Option<&V>) -> Option<V>,
) -> BTreeMap<K, V> {
    let names: BTreeSet<_> = given.keys().chain(own.keys()).collect();
    let of = |name: &K| one(given.get(name), before.get(name), own.get(name));
    names.into_iter().filter_map(|name| Some((name.clone(), of(name)?))).collect()
}

/// One whose keys are given as before is ours to rotate and to delete; what it may reach is given apart from that.
fn client(given: Option<&Client>, before: Option<&Client>, own: Option<&Client>) -> Option<Client> {
    match (given, before) {
        (Some(now), Some(then)) if (now.address, now.key) == (then.address, then.key) => {
            let own = own?;
            Some(Client {
                ports: newer(&now.ports, &then.ports, &own.ports).clone(),
                expires: newer(now.expires, then.expires, own.expires),
                ..own.clone()
            })
        }
        _ => newer(given, before, own).cloned(),
    }
}

/// Where it leads and whom it is for are given each by itself. Where one of both is new here and the other is not as it was given, it is for
/// those alone whom both lists let in: nobody chose the target for anybody else.
fn export(given: Option<&Listed>, before: Option<&Listed>, own: Option<&Listed>) -> Option<Listed> {
    match (given, before, own) {
        (Some(now), Some(then), Some(own)) => {
            let target = newer(&now.0, &then.0, &own.0);
            let list = match (now.0 != then.0, now.1 != then.1) {
                (true, false) => both(&now.1, &own.1),
                (false, true) if own.0 != then.0 => both(&now.1, &own.1),
                _ => newer(&now.1, &then.1, &own.1).clone(),
            };
            Some((target.clone(), list))
        }
        _ => newer(given, before, own).cloned(),
    }
}

/// Whom both lists let in; none is all.
fn both(one: &Option<BTreeSet<Who>>, other: &Option<BTreeSet<Who>>) -> Option<BTreeSet<Who>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one & other),
        (one, other) => one.as_ref().or(other.as_ref()).cloned(),
    }
}

/// Its imports are given each by itself.
fn remote(given: Option<&Remote>, before: Option<&Remote>, own: Option<&Remote>) -> Option<Remote> {
    let bare =
        |remote: Option<&Remote>| remote.map(|remote| Remote { imports: BTreeMap::new(), ..remote.clone() });
    let imports = |remote: Option<&Remote>| remote.map(|remote| remote.imports.clone()).unwrap_or_default();
    let merged = newer(bare(given), bare(before), bare(own))?;
    let imports = each(&imports(given), &imports(before), &imports(own), |a, b, c| newer(a, b, c).cloned());
    Some(Remote { imports, ..merged })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::address::Target;
    use crate::model::config::{InstanceId, parse, write};
    use crate::model::edit::{self, Edit};
    use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
    use crate::model::onion::OnionAddress;

    fn instance(number: u8) -> InstanceId {
        InstanceId::from_random([number; 10])
    }

    /// Which clients a configuration has, each with keys of a number and perhaps a limit; which exports, and which imports of two remotes.
    type Parts = ([Option<(u8, bool)>; 3], [bool; 3], [Option<[bool; 2]>; 2]);

    /// Renames by commands, of clients and of remotes, by the numbers of their names.
    type Renames = Vec<(bool, usize, usize)>;

    fn renames() -> impl Strategy<Value = Renames> {
        prop::collection::vec((any::<bool>(), 0usize..4, 0usize..4), 0..8)
    }

    /// A configuration after commands have given others names, as far as they were not refused; its first export is for some clients only.
    fn renamed(mut config: Config, limited: Option<Vec<usize>>, renames: &Renames) -> Config {
        let clients = ["c0", "c1", "c2", "c3"].map(|name| name.parse::<ClientName>().unwrap());
        let remotes = ["r0", "r1", "r2", "r3"].map(|name| name.parse::<RemoteName>().unwrap());
        if let Some((export, limited)) = config.exports.values_mut().next().zip(limited) {
            export.clients = Some(limited.into_iter().map(|at| clients[at].clone()).collect());
        }
        for (is_client, from, to) in renames {
            let edit = match is_client {
                true => Edit::RenameClient { name: clients[*from].clone(), to: clients[*to].clone() },
                false => Edit::RenameRemote { name: remotes[*from].clone(), to: remotes[*to].clone() },
            };
            config = edit::apply(&config, &edit).unwrap_or(config);
        }
        config
    }

    fn limits() -> impl Strategy<Value = Option<Vec<usize>>> {
        prop::option::of(prop::collection::vec(0usize..4, 0..3))
    }

    /// Whether the first export's list lets in the client with an address.
    fn is_let_in(config: &Config, port: &Port, address: &OnionAddress) -> bool {
        let client = config.client_at(address);
        config.exports.get(port).zip(client).is_some_and(|(export, (name, _))| export.is_for(name))
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let client = prop::option::of((0u8..2, any::<bool>()));
        (
            prop::array::uniform3(client),
            any::<[bool; 3]>(),
            prop::array::uniform2(prop::option::of(any::<[bool; 2]>())),
        )
    }

    fn address(number: u8) -> OnionAddress {
        ServiceKey::from_seed(&zeroize::Zeroizing::new([number; 32])).address()
    }

    fn key(number: u8) -> ClientPublicKey {
        ClientKey::from_bytes(&[number; 32]).unwrap().public()
    }

    fn config((clients, exports, remotes): &Parts, number: u8) -> Config {
        let mut text = String::new();
        for (port, _) in (1000u16..).zip(exports).filter(|(_, is_there)| **is_there) {
            text += &format!("[[export]]\ntarget = \"127.0.0.1:{port}\"\n");
        }
        for (name, client) in (0u8..).zip(clients) {
            let Some((keys, is_limited)) = client else { continue };
            let n = 1 + 2 * name + keys;
            text += &format!("[client.c{name}]\naddress = \"{}\"\nkey = \"{}\"\n", address(n), key(n));
            text += if *is_limited { "ports = [1000]\n" } else { "" };
        }
        for (name, imports) in (0u8..).zip(remotes) {
            let Some(imports) = imports else { continue };
            text += &format!(
                "[remote.r{name}]\naddress = \"{}\"\nkey = \"{}\"\n",
                address(100 + name),
                key(100 + name)
            );
            // Each may have the first address, when the other has not.
            for (listen, _) in
                [2000, 2001 + u16::from(name)].iter().zip(imports).filter(|(listen, is_there)| {
                    **is_there && (**listen != 2000 || name == 0 || remotes[0].is_none_or(|first| !first[0]))
                })
            {
                text += &format!(
                    "[[remote.r{name}.import]]\nremote-port = 22\nlisten = \"127.0.0.1:{listen}\"\n"
                );
            }
        }
        parse(&text, &instance(number)).unwrap()
    }

    #[test]
    fn what_commands_changed_goes_with_another_name() {
        let parts = |clients, remotes| (clients, [true; 3], remotes);
        let before = config(&parts([Some((0, false)), None, None], [Some([true, false]), None]), 1);
        let mut own =
            config(&parts([Some((0, true)), None, Some((0, false))], [Some([true, true]), None]), 2);
        let names = ["c0", "tablet", "c2"].map(|name| name.parse::<ClientName>().unwrap());
        let [old, new, other] = &names;
        let only = |names: &[&ClientName]| Some(names.iter().map(|name| (*name).clone()).collect());
        let lists = [only(&[old]), only(&[new]), only(&[other, old])];
        for (export, list) in own.exports.values_mut().zip(lists) {
            export.clients = list;
        }
        // A command had given the new name to somebody else.
        let squatter = own.clients[other].clone();
        own.clients.insert(new.clone(), Client { address: address(90), key: key(90), ..squatter });
        let mut given = before.clone();
        let client = given.clients.remove(old).unwrap();
        given.clients.insert(new.clone(), client);
        let remote = given.remotes.remove(&"r0".parse().unwrap()).unwrap();
        given.remotes.insert("site".parse().unwrap(), remote);

        let merged = merge(&given, &before, &own);

        assert_eq!(merged.clients.keys().collect::<Vec<_>>(), [other, new]);
        assert_eq!(merged.clients[new], own.clients[old], "it is not limited any more");
        let lists: Vec<_> = merged.exports.values().map(|export| export.clients.clone()).collect();
        assert_eq!(lists, [only(&[new]), only(&[]), only(&[other, new])]);
        assert_eq!(merged.remotes[&"site".parse().unwrap()].imports.len(), 2);
        // One that was deleted stays deleted, and another one that has the name keeps it.
        own.clients.remove(old);
        let merged = merge(&given, &before, &own);
        assert_eq!(merged.clients.keys().collect::<Vec<_>>(), [other, new]);
        assert_eq!(merged.clients[new].address, address(90));
    }

    #[test]
    fn one_that_a_command_gave_another_name_keeps_it_and_is_still_what_is_given() {
        let parts = |clients, remotes| (clients, [true; 3], remotes);
        let mut given =
            config(&parts([Some((0, false)), Some((0, false)), None], [Some([true, false]), None]), 1);
        let names = ["c0", "tablet"].map(|name| name.parse::<ClientName>().unwrap());
        let [old, new] = &names;
        for export in given.exports.values_mut() {
            export.clients = Some([old.clone()].into());
        }
        let mut own = Config { instance: instance(2), ..given.clone() };
        for edit in [
            Edit::RenameClient { name: old.clone(), to: new.clone() },
            Edit::RenameRemote { name: "r0".parse().unwrap(), to: "site".parse().unwrap() },
        ] {
            own = edit::apply(&own, &edit).unwrap();
        }

        assert_eq!(merge(&given, &given, &own), own, "the start after it");
        // What is given of it counts by its new name.
        let mut later = given.clone();
        later.clients.get_mut(old).unwrap().ports = Some(Default::default());
        let merged = merge(&later, &given, &own);
        assert_eq!(merged.clients[new].ports, Some(Default::default()));
        assert!(!merged.clients.contains_key(old));
        let mut gone = given.clone();
        gone.clients.remove(old);
        assert!(!merge(&gone, &given, &own).clients.contains_key(new), "it was taken out there");
        // Given under yet another name, it has that one.
        let mut another = gone.clone();
        another.clients.insert("third".parse().unwrap(), given.clients[old].clone());
        let merged = merge(&another, &given, &own);
        assert!(
            merged.clients.contains_key(&"third".parse::<ClientName>().unwrap())
                && !merged.clients.contains_key(new)
        );
    }

    /// A host with two clients, the first of which alone may reach port 1000, and two remotes, each with an import.
    fn two_of_each() -> Config {
        let two = Some((0, false));
        let parts = ([two, two, None], [true, true, false], [Some([true, true]), Some([false, true])]);
        let mut config = config(&parts, 1);
        let first = config.exports.values_mut().next().unwrap();
        first.clients = Some(["c0".parse().unwrap()].into());
        config
    }

    fn after(config: &Config, renames: &[(&str, &str)]) -> Config {
        let edit = |config: Config, (name, to): &(&str, &str)| {
            let edit = match name.starts_with('c') {
                true => Edit::RenameClient { name: name.parse().unwrap(), to: to.parse().unwrap() },
                false => Edit::RenameRemote { name: name.parse().unwrap(), to: to.parse().unwrap() },
            };
            edit::apply(&config, &edit).unwrap()
        };
        renames.iter().fold(Config { instance: instance(2), ..config.clone() }, edit)
    }

    #[test]
    fn where_an_export_leads_and_whom_it_is_for_are_given_each_by_itself() {
        let port = Port::new(1001).unwrap();
        let named = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<_>>();
        let (all, first, second) = (None, Some(named(&["c0"])), Some(named(&["c1"])));
        let (nobody, each) = (Some(named(&[])), Some(named(&["c0", "c1"])));
        let host = |target: &str, clients: &Option<BTreeSet<ClientName>>| {
            let mut config = two_of_each();
            let export = config.exports.get_mut(&port).unwrap();
            (export.target, export.clients) = (target.parse::<Target>().unwrap(), clients.clone());
            config
        };
        let (old, new) = ("127.0.0.1:1001", "127.0.0.1:9");
        // For whom it was given; then where it leads and for whom: as it is given now, by commands, and in the end.
        for (before, given, own, expected) in [
            (&all, (old, &second), (old, &all), (old, &second)),
            (&all, (old, &all), (new, &second), (new, &second)),
            // One target is given, and it is for those whom both let in.
            (&all, (new, &all), (old, &second), (new, &second)),
            (&first, (new, &first), (old, &all), (new, &first)),
            (&first, (new, &first), (old, &second), (new, &nobody)),
            // A command has chosen the target, and nobody else gets to it.
            (&first, (old, &all), (new, &first), (new, &first)),
            (&first, (old, &second), (new, &first), (new, &nobody)),
            (&first, (old, &each), (new, &first), (new, &first)),
            // All is given.
            (&first, (new, &each), (old, &second), (new, &each)),
        ] {
            let own_config = Config { instance: instance(2), ..host(own.0, own.1) };
            let merged = merge(&host(given.0, given.1), &host(old, before), &own_config);
            let merged = &merged.exports[&port];
            let target: Target = expected.0.parse().unwrap();
            assert_eq!(
                (&merged.target, &merged.clients),
                (&target, expected.1),
                "{before:?} {given:?} {own:?}"
            );
        }
    }

    #[test]
    fn a_chain_of_other_names_loses_nobody() {
        let given = two_of_each();
        let chain = [("c1", "c9"), ("c0", "c1"), ("r1", "r9"), ("r0", "r1")];
        let own = after(&given, &chain);
        assert_eq!(merge(&given, &given, &own), own);
        let circle = [("c0", "c9"), ("c1", "c0"), ("c9", "c1"), ("r0", "r9"), ("r1", "r0"), ("r9", "r1")];
        let own = after(&given, &circle);
        assert_eq!(merge(&given, &given, &own), own);
        // The same, made where it is given.
        let merged = merge(&own, &given, &given);
        assert_eq!(Config { instance: own.instance.clone(), ..merged }, own);
    }

    #[test]
    fn what_is_given_of_one_after_names_were_swapped_is_about_that_one() {
        let given = two_of_each();
        let swapped = after(
            &given,
            &[("c0", "ct"), ("c1", "c0"), ("ct", "c1"), ("r0", "rt"), ("r1", "r0"), ("rt", "r1")],
        );
        let [first, second] = ["c0", "c1"].map(|name| name.parse::<ClientName>().unwrap());
        let (mut revoked, mut limited) = (given.clone(), given.clone());
        revoked.clients.remove(&first);
        limited.clients.get_mut(&first).unwrap().ports = Some(Default::default());

        let merged = merge(&revoked, &given, &swapped);
        let left: Vec<_> = merged.clients.values().map(|client| client.address).collect();
        assert_eq!(left, [given.clients[&second].address], "the one that was taken out is out");
        assert!(merged.clients.contains_key(&first), "the other one keeps the name that it has here");
        assert!(!is_let_in(&merged, &Port::new(1000).unwrap(), &left[0]));

        let merged = merge(&limited, &given, &swapped);
        let ports = |config: &Config, name: &ClientName| config.clients[name].ports.clone();
        assert_eq!((ports(&merged, &second), ports(&merged, &first)), (Some(Default::default()), None));

        let mut gone = given.clone();
        gone.remotes.remove(&"r0".parse().unwrap());
        let merged = merge(&gone, &given, &swapped);
        let left: Vec<_> = merged.remotes.values().map(|remote| remote.address).collect();
        assert_eq!(left, [given.remotes[&"r1".parse().unwrap()].address]);
    }

    #[test]
    fn one_who_is_given_under_a_name_that_a_command_has_given_to_another_has_it() {
        let given = two_of_each();
        let own = after(&given, &[("c0", "c7"), ("c1", "c0")]);
        let mut later = given.clone();
        let seventh =
            Client { address: address(90), key: key(90), ..given.clients[&"c0".parse().unwrap()].clone() };
        later.clients.insert("c7".parse().unwrap(), seventh);

        let merged = merge(&later, &given, &own);

        let at = |name: &str| merged.clients[&name.parse().unwrap()].address;
        assert_eq!(
            (at("c7"), at("c0"), at("c1")),
            (address(90), address(1), address(3)),
            "each as it is given"
        );
        assert!(!is_let_in(&merged, &Port::new(1000).unwrap(), &address(90)));
        assert!(is_let_in(&merged, &Port::new(1000).unwrap(), &address(1)));
    }

    proptest! {
        #[test]
        fn what_is_given_says_what_it_changes_and_commands_all_else(
            parts in prop::array::uniform3((parts(), limits(), renames())),
            later in renames(),
        ) {
            let [given, before, own] = &parts;
            let made = |(parts, limits, renames): &(Parts, Option<Vec<usize>>, Renames), number| {
                renamed(config(parts, number), limits.clone(), renames)
            };
            let (given, before, own) = (made(given, 1), made(before, 2), made(own, 3));
            let merged = merge(&given, &before, &own);
            prop_assert_eq!(&merged.instance, &own.instance);
            let alike = |config: &Config| Config { instance: own.instance.clone(), ..config.clone() };
            prop_assert_eq!(&merge(&given, &given, &own), &own, "nothing was changed there");
            prop_assert_eq!(&merge(&given, &own, &own), &alike(&given), "nothing was changed here");
            // Other names alone, by commands, keep all as they left it.
            let own_names = renamed(alike(&given), None, &later);
            prop_assert_eq!(&merge(&given, &given, &own_names), &own_names);

            for (port, export) in &given.exports {
                prop_assert!(before.exports.contains_key(port) || merged.exports.get(port).map(|merged| &merged.target) == Some(&export.target));
            }
            for (name, client) in &before.clients {
                let (now, ours) = (given.client_at(&client.address), own.client_at(&client.address));
                let is_there = merged.client_at(&client.address).is_some();
                if now.is_none() {
                    prop_assert!(!is_there, "{} is given no more", name);
                }
                if ours.is_none() {
                    prop_assert!(!is_there, "{} was deleted", name);
                }
                if let (Some((now, _)), Some((ours, _))) = (now, ours) {
                    prop_assert!(is_there, "{} is given as before", name);
                    let merged = merged.client_at(&client.address).map(|(name, _)| name);
                    prop_assert!(merged == Some(now) || merged == Some(ours) && now == name);
                }
            }
            for client in merged.clients.values() {
                let address = &client.address;
                if let (Some(_), Some(_)) = (given.client_at(address), own.client_at(address)) {
                    for port in merged.exports.keys().filter(|port| is_let_in(&merged, port, address)) {
                        prop_assert!(is_let_in(&given, port, address) || is_let_in(&own, port, address), "{}", port);
                    }
                }
            }
            for (name, remote) in &before.remotes {
                let at = |config: &Config| config.remote_at(&remote.address).is_some();
                prop_assert_eq!(at(&merged), at(&given) && at(&own), "{}", name);
            }
            // Whatever came together can be kept.
            let mut document = Default::default();
            write(&mut document, &merged);
            prop_assert_eq!(parse(&document.to_string(), &instance(4)).ok(), Some(merged));
        }
    }
}
