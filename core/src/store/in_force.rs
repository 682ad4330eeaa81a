//! The configuration in force in a running agent: what the file says, less the clients that were revoked here and that it lists still.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::config::{Client, Config};
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Problem, ProblemKind};

/// The configuration in force and its generation, which grows with each change.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Grows with each change of `config`.
    pub generation: u64,
    /// What is in force.
    pub config: Arc<Config>,
    /// Why the file on disk is not in force, when it is not.
    pub problem: Option<Problem>,
    /// Why changes of the file by another hand are seen late, when they are.
    pub unwatched: Option<Problem>,
    /// Clients that were revoked here, by the service that they had: kept out whatever the file says, until it lists them no more.
    pub revoked: BTreeMap<OnionAddress, (ClientName, Client)>,
    /// Whether those are noted on disk, so that an agent that starts anew keeps them out, too.
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
            revoked: BTreeMap::new(),
            are_noted: true,
        }
    }

    /// Puts in force what a good file says; false when that changes nothing.
    pub(super) fn adopt(&mut self, mut config: Config) -> bool {
        let lists = |address: &OnionAddress| config.clients.values().any(|client| client.address == *address);
        let known = self.revoked.len();
        self.revoked.retain(|address, _| lists(address));
        config.clients.retain(|_, client| !self.revoked.contains_key(&client.address));
        let changed = self.problem.take().is_some() || self.revoked.len() != known;
        if config == *self.config && self.generation > 0 {
            return changed;
        }
        self.generation += 1;
        self.config = Arc::new(config);
        true
    }

    /// Takes a client out.
    pub(super) fn revoke(&mut self, name: &ClientName, client: &Client) {
        self.revoked.insert(client.address, (name.clone(), client.clone()));
        let mut config = (*self.config).clone();
        config.clients.retain(|_, other| other.address != client.address);
        if config != *self.config {
            self.generation += 1;
            self.config = Arc::new(config);
        }
    }

    /// Whether a service is a client's, in force or revoked and in the file still.
    pub fn knows(&self, address: &OnionAddress) -> bool {
        self.revoked.contains_key(address)
            || self.config.clients.values().any(|client| client.address == *address)
    }

    /// What is wrong with the file, for `status`.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let revoked = self.revoked.values().map(|(name, _)| {
            let anew = if self.are_noted { "" } else { ": an agent that starts anew would let it in" };
            Problem::new(
                ProblemKind::Failed,
                format!("{name} is cut off, but the configuration file lists it still{anew}"),
            )
            .about(format!("client {name}"))
            .hint("it is taken out of the file by itself, as soon as the file can be changed")
        });
        self.problem.iter().chain(&self.unwatched).cloned().chain(revoked)
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
        Client { address: address(number), key, ports: None, expires: None, requested: false }
    }

    fn config(clients: &[bool]) -> Config {
        let mut config = Config::new(InstanceId::from_random([7; 10]));
        for (number, _) in (0u8..).zip(clients).filter(|(_, is_listed)| **is_listed) {
            config.clients.insert(NAMES[usize::from(number)].parse().unwrap(), client(number));
        }
        config
    }

    proptest! {
        /// Whatever files come and go: who was revoked is out until a file without it was in force.
        #[test]
        fn who_was_revoked_stays_out_until_the_file_agrees(
            turns in prop::collection::vec((any::<[bool; 4]>(), prop::option::of(0u8..4)), 1..12)
        ) {
            let mut in_force = InForce::none(config(&[]));
            let mut out = [false; 4];
            let mut generation = 0;
            for (listed, revoked) in turns {
                in_force.adopt(config(&listed));
                for number in 0..4 {
                    out[number] &= listed[number];
                }
                if let Some(number) = revoked {
                    in_force.revoke(&NAMES[usize::from(number)].parse().unwrap(), &client(number));
                    out[usize::from(number)] = true;
                }
                for number in 0u8..4 {
                    let is_in = in_force.config.clients.values().any(|client| client.address == address(number));
                    let at = usize::from(number);
                    prop_assert_eq!(is_in, listed[at] && !out[at], "client {}", NAMES[at]);
                }
                prop_assert!(in_force.generation >= generation);
                generation = in_force.generation;
                prop_assert_eq!(in_force.problems().count(), in_force.revoked.len());
            }
        }
    }
}
