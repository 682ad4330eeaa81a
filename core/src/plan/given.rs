//! Merges a configuration that is given and can't be written (in a container) with the one that an agent keeps beside it.
//!
//! What is given says what it changes; all else is as commands left it. So what a command changed outlasts a restart, and what it deleted
//! stays deleted, until that very entry is given in another way.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::address::ListenAddr;
use crate::model::config::{AgentSettings, Client, Config, Remote};
use crate::model::onion::OnionAddress;

/// What is to be in force: `given` now, `before` at the last start, and `own`, as commands left it since.
pub fn merge(given: &Config, before: &Config, own: &Config) -> Config {
    let (given, before) =
        (&as_named_here(given, given, before, own), &as_named_here(before, given, before, own));
    let (before, own) = (&under_new_names(before, before, given), &under_new_names(own, before, given));
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
    let mut config = Config {
        instance: own.instance.clone(),
        agent,
        exports: each(&given.exports, &before.exports, &own.exports, |a, b, c| newer(a, b, c).cloned()),
        clients: each(&given.clients, &before.clients, &own.clients, client),
        remotes: each(&given.remotes, &before.remotes, &own.remotes, remote),
        requests: each(&given.requests, &before.requests, &own.requests, |a, b, c| newer(a, b, c).copied()),
    };
    let lists = |config: &Config, client: &Client| config.client_at(&client.address).is_some();
    // By its service: it may be given under another name by now, and its keys are erased all the same.
    config.clients.retain(|_, client| !lists(before, client) || lists(own, client));
    give_way(&mut config, given);
    config
}

/// A configuration, what is given now or was before, in which the clients and remotes that a command has given another name here have that one.
fn as_named_here(config: &Config, given: &Config, before: &Config, own: &Config) -> Config {
    let mut renamed = config.clone();
    let mut clients = new_names(&before.clients, &own.clients, |client| client.address);
    clients.retain(|(old, new)| {
        let stays = |client: &Client| Some(client.address) == own.clients.get(new).map(|own| own.address);
        config.clients.get(old).is_some_and(stays) && !given.clients.contains_key(new)
    });
    for list in renamed.exports.values_mut().filter_map(|export| export.clients.as_mut()) {
        for (old, new) in clients.iter().filter(|(old, _)| list.contains(old)).collect::<Vec<_>>() {
            list.remove(old);
            list.insert(new.clone());
        }
    }
    rename(&mut renamed.clients, &clients);
    let mut remotes = new_names(&before.remotes, &own.remotes, |remote| remote.address);
    remotes.retain(|(old, new)| {
        let stays = |remote: &Remote| Some(remote.address) == own.remotes.get(new).map(|own| own.address);
        config.remotes.get(old).is_some_and(stays) && !given.remotes.contains_key(new)
    });
    rename(&mut renamed.remotes, &remotes);
    renamed
}

/// A configuration in which the clients and remotes that were given before under another name have the one that they are given now: what
/// commands changed of them goes with them. Whoever had the new name here, by a command, gives way.
fn under_new_names(config: &Config, before: &Config, given: &Config) -> Config {
    let mut renamed = config.clone();
    let clients = new_names(&before.clients, &given.clients, |client| client.address);
    for (old, new) in &clients {
        for list in renamed.exports.values_mut().filter_map(|export| export.clients.as_mut()) {
            // An entry of the new name was for another one.
            match list.remove(old) {
                true => list.insert(new.clone()),
                false => list.remove(new),
            };
        }
    }
    rename(&mut renamed.clients, &clients);
    rename(&mut renamed.remotes, &new_names(&before.remotes, &given.remotes, |remote| remote.address));
    renamed
}

/// The old and the new names of those that are given under another one, each found by its address.
fn new_names<K: Ord + Clone, V>(
    before: &BTreeMap<K, V>,
    given: &BTreeMap<K, V>,
    address: impl Fn(&V) -> OnionAddress,
) -> Vec<(K, K)> {
    let is_new = |(name, _): &(&K, &V)| !before.contains_key(*name);
    let old_name = |now: &V| {
        before.iter().find(|(old, then)| address(then) == address(now) && !given.contains_key(*old))
    };
    let pair = |(new, now): (&K, &V)| Some((old_name(now)?.0.clone(), new.clone()));
    given.iter().filter(is_new).filter_map(pair).collect()
}

fn rename<K: Ord + Clone, V>(all: &mut BTreeMap<K, V>, names: &[(K, K)]) {
    for (old, new) in names {
        all.remove(new);
        if let Some(value) = all.remove(old) {
            all.insert(new.clone(), value);
        }
    }
}

/// Takes out what is ours alone and can't be beside something that is given.
fn give_way(config: &mut Config, given: &Config) {
    let theirs = |name: &_, client: &Client| {
        let same = |other: &Client| other.address == client.address || other.key == client.key;
        given.clients.iter().any(|(other, client)| other != name && same(client))
    };
    config.clients.retain(|name, client| given.clients.contains_key(name) || !theirs(name, client));
    let theirs = |name: &_, remote: &Remote| {
        let same = |other: &Remote| other.address == remote.address || other.key == remote.key;
        given.remotes.iter().any(|(other, remote)| other != name && same(remote))
    };
    config.remotes.retain(|name, remote| given.remotes.contains_key(name) || !theirs(name, remote));
    let Config { agent, remotes, requests, .. } = config;
    requests.retain(|name, _| !remotes.contains_key(name));

    let is_given = |name: &_, listen: &_| {
        given.remotes.get(name).is_some_and(|remote| remote.imports.contains_key(listen))
    };
    let imports =
        remotes.iter().flat_map(|(name, remote)| remote.imports.keys().map(move |listen| (name, listen)));
    let taken: BTreeSet<_> =
        imports.filter(|(name, listen)| is_given(name, listen)).map(|(_, listen)| listen.clone()).collect();
    if agent.socks_addr.is_some_and(|socks| taken.contains(&ListenAddr::Tcp(socks))) {
        agent.socks_addr = given.agent.socks_addr;
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
    use crate::model::config::{InstanceId, parse, write};
    use crate::model::keys::{ClientKey, ClientPublicKey, ServiceKey};
    use crate::model::name::ClientName;

    fn instance(number: u8) -> InstanceId {
        InstanceId::from_random([number; 10])
    }

    /// Which clients a configuration has, each with keys of a number and perhaps a limit; which exports, and which imports of two remotes.
    type Parts = ([Option<(u8, bool)>; 3], [bool; 3], [Option<[bool; 2]>; 2]);

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
        // One that was deleted stays deleted.
        own.clients.remove(old);
        assert_eq!(merge(&given, &before, &own).clients.keys().collect::<Vec<_>>(), [other]);
    }

    #[test]
    fn one_that_a_command_gave_another_name_keeps_it_and_is_still_what_is_given() {
        use crate::model::edit::{self, Edit};

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

    proptest! {
        #[test]
        fn what_is_given_says_what_it_changes_and_commands_all_else(given in parts(), before in parts(), own in parts()) {
            let (given, before, own) = (config(&given, 1), config(&before, 2), config(&own, 3));
            let merged = merge(&given, &before, &own);
            prop_assert_eq!(&merged.instance, &own.instance);
            let alike = |config: &Config| Config { instance: own.instance.clone(), ..config.clone() };
            prop_assert_eq!(&merge(&given, &given, &own), &own, "nothing was changed there");
            prop_assert_eq!(&merge(&given, &own, &own), &alike(&given), "nothing was changed here");

            for (port, export) in &given.exports {
                prop_assert!(before.exports.contains_key(port) || merged.exports.get(port) == Some(export));
            }
            for (name, client) in &before.clients {
                let (now, ours) = (given.clients.get(name), own.clients.get(name));
                if now.is_none() {
                    prop_assert!(!merged.clients.contains_key(name), "{} is given no more", name);
                }
                if !own.clients.values().any(|own| own.address == client.address) {
                    prop_assert!(!merged.clients.values().any(|other| other.address == client.address), "{} was deleted", name);
                }
                if let Some(now) = now && now.address == client.address {
                    prop_assert_eq!(merged.clients.get(name).map(|merged| merged.address), ours.map(|own| own.address));
                }
            }
            // Whatever came together can be kept.
            let mut document = Default::default();
            write(&mut document, &merged);
            prop_assert_eq!(parse(&document.to_string(), &instance(4)).ok(), Some(merged));
        }
    }
}
