//! What the invariants are checked against: the files by a reading of their own, and what shells and hands were told or have done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::paper::{Client, Paper, RESPONDER};
use crate::model::keys::ClientPublicKey;
use crate::model::onion::OnionAddress;
use crate::secrets::SecretId;

/// A command that wants a client to be gone, or to have other keys.
pub(super) struct Want {
    pub(super) number: u64,
    pub(super) name: String,
    /// Who was there, under any name, when it began: whoever came after that may be meant.
    pub(super) there: BTreeSet<OnionAddress>,
    /// Whether it may look for the name later than it began.
    pub(super) is_late: bool,
}

/// See the file's sentence.
#[derive(Default)]
pub(super) struct Model {
    pub(super) text: Option<String>,
    pub(super) paper: Paper,
    /// Whether a hand has spoilt the file, so that the last good one is in force.
    pub(super) is_spoilt: bool,
    /// Which state of the files, and which hour, it is read from; what is said above and below stands until one of these changes.
    pub(super) read: Option<(u64, u64)>,
    /// The ports of each service that are granted.
    pub(super) granted: BTreeSet<(OnionAddress, u16)>,
    /// When each one that is not granted was granted last.
    pub(super) ended: BTreeMap<(OnionAddress, u16), Duration>,
    /// When this was looked at last.
    pub(super) looked: Duration,
    /// The state of files and stores in which the secrets were found to be right.
    pub(super) right: Option<(u64, u64)>,
    pub(super) keys: BTreeMap<OnionAddress, BTreeSet<ClientPublicKey>>,
    pub(super) ports: BTreeSet<u16>,
    /// The gates that these services and ports can have, by name.
    pub(super) gates: BTreeMap<String, (OnionAddress, u16)>,
    pub(super) journal: (Vec<u8>, BTreeSet<SecretId>),
    /// Services that must not be reachable from a time on, for ever.
    pub(super) gone: BTreeMap<OnionAddress, Duration>,
    /// How many renames of clients have begun or ended.
    pub(super) renames: u64,
    /// The renames that are under way, by who gets another name and which.
    pub(super) renaming: Vec<(OnionAddress, String)>,
    /// When the last rename of a client began or ended, as `renames` counts.
    pub(super) renamed: BTreeMap<OnionAddress, u64>,
    /// The clients that a command or a hand wanted to be gone, or to have other keys, so far.
    pub(super) meant: BTreeSet<OnionAddress>,
    /// How many commands have wanted that.
    pub(super) wants: u64,
    /// The commands under way that want somebody to be gone or to have other keys.
    pub(super) wanting: Vec<Want>,
    /// A client that is gone though nobody wanted that.
    pub(super) lost: Option<String>,
    pub(super) paused: Option<Duration>,
    /// Clients whose access the agent has said to be over, by their service, and the end that it had: over, whatever the clock says.
    pub(super) over: BTreeMap<OnionAddress, u64>,
    /// The latest time of day that there ever was.
    pub(super) latest: u64,
    /// When the calendar last jumped: a date may be looked at late after it.
    pub(super) jumped: Duration,
    /// What can't be held against the program: keys whose deletion a full disk kept from being noted.
    pub(super) excused: BTreeSet<SecretId>,
    /// When tor was not ready last.
    pub(super) unready: Duration,
    /// Since when this host has no network.
    pub(super) outage: Option<Duration>,
    /// How often somebody asked for a client's keys, or all that are not needed, to be erased, or for all to be moved.
    pub(super) prunes: u64,
}

impl Model {
    /// Takes in what the file says, by this time of day; `last` is when that was done before.
    pub(super) fn take(&mut self, text: String, unix: u64, last: Duration) {
        if !self.is_spoilt && self.text.as_ref() != Some(&text) {
            if let Some(paper) = Paper::read(&text) {
                let old = std::mem::replace(&mut self.paper, paper);
                let is_new_to = |want: &Want, name: &str, address: &OnionAddress| {
                    want.name == name && !want.there.contains(address)
                };
                let is_lost = |name: &str, client: &Client| {
                    let address = &client.address;
                    self.paper.client_at(address).is_none()
                        && !self.meant.contains(address)
                        && !self.wanting.iter().any(|want| is_new_to(want, name, address))
                };
                let lost = old.clients.iter().find(|(name, client)| is_lost(name, client));
                self.lost = lost
                    .map(|(name, _)| format!("{name} is gone, and nobody wanted that"))
                    .or(self.lost.take());
            }
            self.text = Some(text);
            let clients: Vec<_> =
                self.paper.clients.values().map(|client| (client.address, client.key)).collect();
            for (address, key) in clients {
                self.keys.entry(address).or_default().insert(key);
            }
            let ports: Vec<u16> = self.paper.exports.keys().copied().chain([RESPONDER]).collect();
            self.ports.extend(ports);
            let Self { keys, ports, gates, .. } = &mut *self;
            if keys.len() * ports.len() > gates.len() {
                let all = keys.keys().flat_map(|address| ports.iter().map(|port| (*address, *port)));
                gates.extend(all.map(|(address, port)| (gate_name(&address, port), (address, port))));
            }
        }
        let mut services = self.paper.services(unix);
        let Self { paper, over, .. } = &mut *self;
        // Until another end is given. Who is taken out may come back.
        over.retain(|address, ends| paper.client_at(address).is_none_or(|client| client.ends == Some(*ends)));
        services.retain(|address, _| !over.contains_key(address));
        let granted =
            services.iter().flat_map(|(address, (_, ports))| ports.iter().map(|port| (*address, *port)));
        let before = std::mem::replace(&mut self.granted, granted.collect());
        let Self { granted, ended, .. } = &mut *self;
        ended.extend(before.difference(granted).map(|place| (*place, last)));
    }
}

/// The name of a service's gate, as ARCHITECTURE has it: the same each time.
pub(super) fn gate_name(address: &OnionAddress, port: u16) -> String {
    let hash = Sha256::new().chain_update(address.public_key()).chain_update(port.to_be_bytes()).finalize();
    format!("g-{}", data_encoding::HEXLOWER.encode(&hash[..6]))
}
