//! Decides when to try each remote, so that circuits are ready before they are needed and its state is known.

use std::sync::Arc;

use super::crowds::Crowds;
use super::endpoints::Endpoints;
use super::warm::Warmers;
use crate::forward::dialler::Dialler;
use crate::forward::warm::Peer;
use crate::model::config::Config;
use crate::model::onion::OnionAddress;
use crate::plan::{Moment, Observed};

/// What is being done to reach remotes. Dropping it ends that.
pub(super) struct Remotes {
    dialler: Arc<Dialler>,
    warmers: Warmers,
    crowds: Crowds,
}

impl Remotes {
    /// Remotes that are reached by this dialler.
    pub(super) fn new(dialler: Arc<Dialler>) -> Self {
        Self { dialler, warmers: Warmers::default(), crowds: Crowds::default() }
    }

    /// Warms a remote until it was reached once.
    pub(super) fn warm(&mut self, config: &Config, endpoints: &Endpoints, address: OnionAddress) {
        let plain = config.remote_at(&address).is_some_and(|(_, remote)| remote.plain_tor);
        let peer = if plain { Peer::PlainTor } else { Peer::Ormesh };
        self.warmers.start(&self.dialler, address, endpoints.groups(&address), peer);
    }

    /// Asks a remote with a port that was found to be full, until it has room. A remote that runs no ormesh is not asked.
    pub(super) fn ask_full(&mut self, config: &Config, address: OnionAddress) {
        if config.remote_at(&address).is_some_and(|(_, remote)| !remote.plain_tor) {
            self.crowds.ask(&self.dialler, address);
        }
    }

    /// Warms the remotes of which tor has the key and whose state, as far as it is known, is one of these.
    pub(super) fn try_again(
        &mut self,
        config: &Config,
        observed: &Observed,
        endpoints: &Endpoints,
        which: impl Fn(Option<bool>) -> bool,
    ) {
        for address in observed.keys.keys() {
            if which(observed.health.is_reached(address)) && !self.warmers.is_busy(address) {
                self.warm(config, endpoints, *address);
            }
        }
    }

    /// Has the state of each remote proven again that is due for it, since somebody looks. One that runs no ormesh is sent nothing.
    pub(super) fn confirm(
        &mut self,
        config: &Config,
        observed: &Observed,
        endpoints: &Endpoints,
        now: Moment,
    ) {
        for remote in config.remotes.values() {
            let address = remote.address;
            if !observed.keys.contains_key(&address) || !observed.health.is_to_be_tried(&address, now) {
                continue;
            }
            if self.warmers.is_busy(&address) {
                self.warmers.hurry(&address);
            } else if !remote.plain_tor {
                let group = endpoints.groups(&address).into_iter().take(1).collect();
                self.warmers.start(&self.dialler, address, group, Peer::Ormesh);
            }
        }
    }

    /// Forgets a remote that is not wanted any more.
    pub(super) fn forget(&mut self, address: &OnionAddress) {
        self.warmers.stop(address);
        self.crowds.forget(address);
        self.dialler.forget(address);
    }

    /// Stops all warming, until a remote is to be warmed again.
    pub(super) fn stop(&mut self) {
        self.warmers.stop_all();
    }
}
