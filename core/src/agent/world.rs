//! What an agent needs from outside, in one place: files, secret stores, sockets, the date, and randomness. The engine is passed
//! separately.
//!
//! The real one is [`World::real`]; the simulation hands in one of its own. The code that uses it can't tell them apart. Monotonic time is
//! tokio's, which a test may pause.

use std::path::PathBuf;
use std::sync::Arc;

use super::random::Random;
use crate::forward::calendar::Calendar;
use crate::forward::ports::{Ports, SystemPorts};
use crate::secrets::{Stores, SystemStores};
use crate::store::files::Files;
use crate::store::paths::Paths;

/// See the file's sentence. Clones are the same world.
#[derive(Clone)]
pub(super) struct World {
    /// How files are worked on.
    pub(super) files: Files,
    /// Where keys are kept.
    pub(super) stores: Arc<dyn Stores>,
    /// Where is listened, and what gates lead to.
    pub(super) ports: Arc<dyn Ports>,
    /// The time of day.
    pub(super) calendar: Calendar,
    /// What keys are made of.
    pub(super) random: Random,
    /// The file that names another Tor network than the public one, for status.
    pub(super) network: Option<PathBuf>,
}

impl World {
    /// This machine.
    pub(super) fn real(paths: &Paths) -> Self {
        Self {
            files: Files::default(),
            stores: Arc::new(SystemStores { dir: paths.secrets() }),
            ports: Arc::new(SystemPorts),
            calendar: Calendar::system(),
            random: Random::system(),
            network: std::env::var_os("ORMESH_TOR_NETWORK")
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
        }
    }
}
