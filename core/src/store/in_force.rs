//! The configuration in force in a running agent: the file's, without the clients that were revoked here and are still in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::config::{Client, Config};
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Problem, catalogue};

/// The configuration in force and its generation, which grows with each change.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Grows with each change of `config`.
    pub generation: u64,
    /// What is in force.
    pub config: Arc<Config>,
    /// Why the file on disk is not in force, when it is not.
    pub problem: Option<Problem>,
    /// Why changes of the file by hand are noticed late, if they are.
    pub unwatched: Option<Problem>,
    /// What is wrong with what is given besides, when what was given before is in force.
    pub given: Option<Problem>,
    /// Clients that were revoked here, by the service that they had: kept out whatever the file says, until it lists them no more.
    pub revoked: BTreeMap<OnionAddress, (ClientName, Client)>,
    /// Services of clients that were revoked here and that are not listed now, while no file was there to say that they are gone: kept out
    /// should one list them.
    absent: BTreeSet<OnionAddress>,
    /// Whether those are recorded on disk, so that the next agent keeps them out, too.
    pub are_noted: bool,
}

impl InForce {
    /// Nothing is in force yet.
    pub(super) fn none(empty: Config) -> Self {
        Self {
            generation: 0,
            config: Arc::new(empty),
            problem: None,
            unwatched: None,
            given: None,
            revoked: BTreeMap::new(),
            absent: BTreeSet::new(),
            are_noted: true,
        }
    }

    /// Keeps these out from the start. Which of them the file has listed is told by the last good configuration.
    pub(super) fn keep_out(&mut self, noted: BTreeSet<OnionAddress>, good: Option<&Config>) {
        self.absent.extend(noted);
        self.find(good.into_iter().flat_map(|good| &good.clients));
    }

    /// Takes those that are listed for revoked, and no more for absent.
    fn find<'a>(&mut self, listed: impl Iterator<Item = (&'a ClientName, &'a Client)>) {
        for (name, client) in listed.filter(|(_, client)| self.absent.remove(&client.address)) {
            self.revoked.insert(client.address, (name.clone(), client.clone()));
        }
    }

    /// Puts in force what a good file says; false when that changes nothing. What is said by no file, or by an empty one, takes nobody off
    /// the list of those who are out.
    pub(super) fn adopt(&mut self, mut config: Config, is_said: bool) -> bool {
        let known: Vec<_> = self.revoked.keys().copied().collect();
        self.find(config.clients.iter());
        let unlisted: Vec<_> =
            self.revoked.keys().copied().filter(|address| config.client_at(address).is_none()).collect();
        for address in unlisted {
            self.revoked.remove(&address);
            if !is_said {
                self.absent.insert(address);
            }
        }
        config.clients.retain(|_, client| !self.revoked.contains_key(&client.address));
        let changed = self.problem.take().is_some() || !self.revoked.keys().eq(&known);
        if config == *self.config && self.generation > 0 {
            return changed;
        }
        self.generation += 1;
        self.config = Arc::new(config);
        true
    }

    /// Takes a client out.
    pub(super) fn revoke(&mut self, name: &ClientName, client: &Client) {
        self.absent.remove(&client.address);
        self.revoked.insert(client.address, (name.clone(), client.clone()));
        let mut config = (*self.config).clone();
        config.clients.retain(|_, other| other.address != client.address);
        if config != *self.config {
            self.generation += 1;
            self.config = Arc::new(config);
        }
    }

    /// The services of all who are kept out.
    pub(super) fn out(&self) -> BTreeSet<OnionAddress> {
        self.revoked.keys().chain(&self.absent).copied().collect()
    }

    /// What is wrong with the file, for `status`.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let revoked =
            self.revoked.values().map(|(name, _)| catalogue::client_still_listed(name, self.are_noted));
        self.problem.iter().chain(&self.unwatched).chain(&self.given).cloned().chain(revoked)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::config::InstanceId;
    use crate::model::keys::{ClientKey, ServiceKey};

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    fn address(number: u8) -> OnionAddress {
        ServiceKey::from_seed(&zeroize::Zeroizing::new([number + 1; 32])).address()
    }

    fn client(number: u8) -> Client {
        let key = ClientKey::from_bytes(&[number + 1; 32]).unwrap().public();
        Client::new(address(number), key)
    }

    fn config(clients: &[bool]) -> Config {
        let mut config = Config::new(InstanceId::from_random([7; 10]));
        for (number, _) in (0u8..).zip(clients).filter(|(_, is_listed)| **is_listed) {
            config.clients.insert(NAMES[usize::from(number)].parse().unwrap(), client(number));
        }
        config
    }

    proptest! {
        /// Whatever files come and go: who was revoked is out until a file without it takes the place of one with it.
        #[test]
        fn who_was_revoked_stays_out_until_the_file_agrees(
            noted in any::<[bool; 4]>(),
            good in prop::option::of(any::<[bool; 4]>()),
            turns in prop::collection::vec((prop::option::of(any::<[bool; 4]>()), prop::option::of(0u8..4)), 1..12)
        ) {
            let mut in_force = InForce::none(config(&[]));
            let addresses = (0u8..4).filter(|number| noted[usize::from(*number)]).map(address);
            in_force.keep_out(addresses.collect(), good.map(|good| config(&good)).as_ref());
            let (mut out, mut before) = (noted, good.unwrap_or_default());
            let mut generation = 0;
            for (listed, revoked) in turns {
                let is_said = listed.is_some();
                let listed = listed.unwrap_or_default();
                in_force.adopt(config(&listed), is_said);
                for number in 0..4 {
                    out[number] &= listed[number] || !before[number] || !is_said;
                }
                before = listed;
                if let Some(number) = revoked {
                    in_force.revoke(&NAMES[usize::from(number)].parse().unwrap(), &client(number));
                    out[usize::from(number)] = true;
                    before[usize::from(number)] = true;
                }
                for number in 0u8..4 {
                    let is_in = in_force.config.clients.values().any(|client| client.address == address(number));
                    let at = usize::from(number);
                    prop_assert_eq!(is_in, listed[at] && !out[at], "client {}", NAMES[at]);
                }
                prop_assert!(in_force.generation >= generation);
                generation = in_force.generation;
                let noted: BTreeSet<_> = (0u8..4).filter(|number| out[usize::from(*number)]).map(address).collect();
                prop_assert_eq!(in_force.out(), noted);
                prop_assert_eq!(in_force.problems().count(), in_force.revoked.len());
            }
        }
    }
}
