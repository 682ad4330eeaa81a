//! Observed: what runs, as far as is known, and how a Step that was done or failed changes that.
//!
//! Invariant: what may still be with tor is never taken for gone. Only its end, or its own word, says so.

use std::collections::{BTreeMap, BTreeSet};

use super::backoff::{Backoff, Moment};
use super::chronicle::Chronicle;
use super::desired::{Desired, Door, Listener, Socks};
use super::health::{Health, Report};
use super::step::{Step, Subject};
use crate::model::address::{ListenAddr, Port};
use crate::model::expired::Expired;
use crate::model::keys::ClientPublicKey;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, ProblemKind};

/// What runs, as far as is known.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// What is known of tor, of services that it was given, and of remotes.
    pub health: Health,
    /// The gates that are open, by service and port.
    pub gates: BTreeMap<(OnionAddress, Port), Door>,
    /// What tor was given.
    pub published: BTreeMap<OnionAddress, Published>,
    /// The remotes whose key tor holds.
    pub keys: BTreeMap<OnionAddress, ClientPublicKey>,
    /// What listens.
    pub listeners: BTreeMap<ListenAddr, Listener>,
    /// Of the gates and listeners that are open, those whose socket is not where it was made any more: nobody finds them.
    pub gone: BTreeSet<Socket>,
    /// The SOCKS server that listens.
    pub socks: Option<Socks>,
    /// What failed lately, and when it may be tried again.
    pub failures: BTreeMap<Subject, Backoff>,
    /// When each client was last seen, in seconds since 1970: who used it last is published first.
    pub last_seen: BTreeMap<OnionAddress, u64>,
    /// Whose access was seen to be over.
    pub expired: Expired,
    /// When the last service was handed to tor.
    pub last_publish: Option<Moment>,
    /// When this host was online and offline, and which remotes it has lost and found.
    pub chronicle: Chronicle,
}

/// A service that tor was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Whose key restricts it.
    pub key: ClientPublicKey,
    /// The virtual ports it was given with; none when it is not known what tor has.
    pub ports: BTreeSet<Port>,
    /// When.
    pub at: Moment,
}

/// A socket in the file system on which the agent listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    /// A gate's.
    Gate(OnionAddress, Port),
    /// An import's.
    Listener(ListenAddr),
}

impl Socket {
    /// What the Step that makes it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Gate(address, _) => Subject::Service(*address),
            Self::Listener(listen) => Subject::Listener(listen.clone()),
        }
    }
}

impl Observed {
    /// The secret store answers again: what it kept from being done is due.
    pub fn store_answers(&mut self, now: Moment) {
        let due = self.failures.values_mut().filter(|backoff| {
            backoff.problem.kind == ProblemKind::Secrets && backoff.problem.code != Code::KeyMissing
        });
        due.for_each(|backoff| backoff.retry_at = backoff.retry_at.min(now));
    }

    /// A Step was carried out.
    pub fn done(&mut self, step: &Step, now: Moment) {
        self.failures.remove(&step.subject());
        match step {
            Step::CloseListener(listen) => {
                self.listeners.remove(listen);
                self.gone.remove(&Socket::Listener(listen.clone()));
            }
            Step::CloseSocks => self.socks = None,
            Step::CloseGate(address, port) => {
                self.gates.remove(&(*address, *port));
                self.gone.remove(&Socket::Gate(*address, *port));
            }
            Step::Withdraw(address) => {
                self.published.remove(address);
                self.health.report(Report::Withdrawn(*address), now);
            }
            Step::RemoveKey(address) => {
                self.keys.remove(address);
                self.health.report(Report::KeyRemoved(*address), now);
            }
            Step::OpenGate(address, port, _, door) => {
                self.gates.insert((*address, *port), door.clone());
                self.gone.remove(&Socket::Gate(*address, *port));
            }
            Step::Publish(address, key, ports) | Step::Replace(address, key, ports) => {
                let published = Published { key: *key, ports: ports.clone(), at: now };
                let before = self.published.insert(*address, published);
                if before.is_some_and(|before| before.key == *key && before.ports == *ports) {
                    self.health.report(Report::Renewed(*address), now);
                }
                self.health.report(Report::Given(*address), now);
                self.last_publish = Some(now);
                self.failures.remove(&Subject::Withdrawal(*address));
            }
            Step::OpenListener(listen, listener) => {
                self.listeners.insert(listen.clone(), listener.clone());
                self.gone.remove(&Socket::Listener(listen.clone()));
            }
            Step::OpenSocks(addr) => self.socks = Some(*addr),
            Step::AddKey(address, key) => {
                self.keys.insert(*address, *key);
                self.failures.remove(&Subject::KeyRemoval(*address));
            }
        }
    }

    /// A Step failed, or nobody knows what became of it. The failure itself is noted by the caller.
    pub fn failed(&mut self, step: &Step, now: Moment) {
        // tor may have the service all the same, with ports that nobody knows: it is to be replaced, or withdrawn.
        if let Step::Publish(address, key, _) | Step::Replace(address, key, _) = step {
            let published = Published { key: *key, ports: BTreeSet::new(), at: now };
            self.published.insert(*address, published);
            self.health.report(Report::Given(*address), now);
        }
        // Nor is it known whether tor has one that it was to take down: where it is wanted again, it is to be replaced.
        if let Step::Withdraw(address) = step
            && let Some(published) = self.published.get_mut(address)
        {
            published.ports.clear();
            self.health.report(Report::Given(*address), now);
        }
    }

    /// Forgets the failures of what is no longer wanted: they would be shown for ever.
    pub fn forget_unwanted(&mut self, desired: &Desired) {
        let Self { published, keys, listeners, socks, .. } = self;
        self.failures.retain(|subject, _| match subject {
            Subject::Service(address) => desired.services.contains_key(address),
            Subject::Withdrawal(address) => published.contains_key(address),
            Subject::Key(address) => desired.remotes.contains_key(address),
            Subject::KeyRemoval(address) => keys.contains_key(address),
            Subject::Listener(listen) => {
                desired.listeners.contains_key(listen) || listeners.contains_key(listen)
            }
            Subject::Socks => desired.socks.is_some() || socks.is_some(),
        });
    }

    /// tor has ended, or dropped all it was given.
    pub fn lost(&mut self, now: Moment) {
        self.health.report(Report::Lost, now);
        self.published.clear();
        self.keys.clear();
        self.failures
            .retain(|subject, _| !matches!(subject, Subject::Withdrawal(_) | Subject::KeyRemoval(_)));
    }
}
