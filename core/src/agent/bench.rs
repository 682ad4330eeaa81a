//! What tests of this room share: a host in a directory of its own, with secret stores in memory, a clock that they set, and an engine without
//! tor.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;

use super::random::Random;
use super::vault::Vault;
use super::world::World;
use crate::engine::fake::{FakeEngine, FakeNetwork};
use crate::forward::calendar::Calendar;
use crate::forward::ports::SystemPorts;
use crate::model::address::Port;
use crate::model::config::{self, Client, Config, InstanceId};
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::store_kind::StoreKind;
use crate::secrets::memory::MemoryStore;
use crate::secrets::worker::perform;
use crate::secrets::{Answer, Front, Op, Secrets, Stores};
use crate::store::files::Files;
use crate::store::paths::Paths;
use crate::store::private;

/// Both stores, in memory. They answer at once, so they don't mind a clock that is paused.
#[derive(Default)]
pub(super) struct Both {
    pub(super) files: MemoryStore,
    pub(super) keyring: MemoryStore,
    /// How often one was asked for something.
    pub(super) asked: Arc<AtomicUsize>,
    /// How often one was opened.
    pub(super) opened: AtomicUsize,
}

impl Stores for Both {
    fn open(&self, kind: StoreKind, _instance: &str) -> Secrets {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let store = match kind {
            StoreKind::File => self.files.clone(),
            StoreKind::OsKeyring => self.keyring.clone(),
        };
        Secrets::by(kind, Arc::new(AtOnce { store, asked: Arc::clone(&self.asked) }))
    }

    fn preferred(&self) -> Result<Option<StoreKind>, Problem> {
        Ok(None)
    }
}

struct AtOnce {
    store: MemoryStore,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Front for AtOnce {
    async fn ask(&self, op: Op, _deadline: Duration) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        perform(&mut self.store.clone(), op)
    }
}

/// See the file's sentence.
pub(super) struct Host {
    pub(super) dir: TempDir,
    pub(super) paths: Paths,
    pub(super) stores: Arc<Both>,
    /// The time of day, in seconds since 1970.
    pub(super) clock: Arc<AtomicU64>,
    pub(super) network: FakeNetwork,
}

impl Host {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("config.toml"), dir.path().join("state")).unwrap();
        private::ensure_dir(&paths.state).unwrap();
        private::ensure_dir(&paths.run).unwrap();
        let (stores, clock) = (Arc::default(), Arc::new(AtomicU64::new(1_000)));
        Self { dir, paths, stores, clock, network: FakeNetwork::new() }
    }

    pub(super) fn world(&self) -> World {
        let clock = Arc::clone(&self.clock);
        World {
            files: Files::default(),
            stores: Arc::clone(&self.stores) as Arc<dyn Stores>,
            ports: Arc::new(SystemPorts),
            calendar: Calendar::over(move || clock.load(Ordering::Relaxed)),
            random: Random::system(),
            network: None,
        }
    }

    /// The vault of an agent that starts now.
    pub(super) fn vault(&self) -> Arc<Vault> {
        Arc::new(Vault::new(&self.paths, &self.world()))
    }

    /// The engine of this host. It does not run yet.
    pub(super) fn engine(&self) -> Arc<FakeEngine> {
        self.network.engine(&self.paths.run)
    }

    /// The engine of another host.
    pub(super) fn other_engine(&self) -> Arc<FakeEngine> {
        self.network.engine(&PathBuf::from("/other"))
    }
}

pub(super) fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

/// The key of a service, one for each number.
pub(super) fn service_key(number: u8) -> ServiceKey {
    ServiceKey::from_seed(&zeroize::Zeroizing::new([number; 32]))
}

pub(super) fn address(number: u8) -> OnionAddress {
    service_key(number).address()
}

/// The key of a client, one for each number.
pub(super) fn client_key(number: u8) -> ClientKey {
    ClientKey::from_bytes(&[number; 32]).unwrap()
}

/// A client with the service and the key of this number.
pub(super) fn client(number: u8) -> Client {
    Client::new(address(number), client_key(number).public())
}

/// What a configuration says. Its keys are in files.
pub(super) fn config(text: &str) -> Config {
    let text = format!("[agent]\nsecrets = \"file\"\nsocks-addr = \"off\"\n{text}");
    config::parse(&text, &InstanceId::from_random([7; 10])).unwrap()
}

/// Fails a test that would wait for ever.
pub(super) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), work).await.expect("it should have come to pass")
}

/// Waits until something holds; other tasks run meanwhile.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
