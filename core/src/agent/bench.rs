//! What tests of this room share: a host in a directory of its own, with secret stores in memory, a clock that they set, and an engine without
//! tor.

#![cfg_attr(not(unix), allow(dead_code, reason = "the tests over Unix sockets use the rest"))]

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::life::Life;
use super::random::Random;
use super::vault::Vault;
use super::world::World;
use crate::engine::fake::{FakeEngine, FakeNetwork};
use crate::engine::{OnionEngine, ServiceSpec};
use crate::forward::calendar::Calendar;
use crate::forward::gate::{ClientSessions, Gate, GateContext};
use crate::forward::ports::SystemPorts;
use crate::forward::responder::{Grants, Responder};
pub(super) use crate::forward::testing::{soon, until};
use crate::model::address::{Port, Target};
use crate::model::config::{self, Client, Config, InstanceId};
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::store_kind::StoreKind;
use crate::secrets::memory::MemoryStore;
use crate::secrets::worker::{may_ask, perform};
use crate::secrets::{Answer, Front, Op, SecretId, Secrets, Stores};
use crate::store::ConfigStore;
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
    async fn ask(&self, op: Op, deadline: Duration) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        perform(&mut self.store.clone(), op, may_ask(deadline))
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

/// Another host, which runs a service for us: port 22, and its agent's own.
pub(super) struct Website {
    pub(super) engine: Arc<FakeEngine>,
    pub(super) sessions: Arc<ClientSessions>,
    pub(super) backend: TcpListener,
    key: ServiceKey,
    spec: ServiceSpec,
    _doors: (Gate, Responder),
    _dir: TempDir,
}

/// The number of its service and of our key for it.
pub(super) const WEBSITE: u8 = 9;

impl Website {
    /// It is up, for us, on this network.
    pub(super) async fn on(network: &FakeNetwork) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (key, context) = (service_key(WEBSITE), GateContext::new(dir.path()));
        let events = mpsc::unbounded_channel().0;
        let us = "us".parse().unwrap();
        let sessions = ClientSessions::new(key.address(), us, true, events, 100, Calendar::system());
        let target: Target = backend.local_addr().unwrap().to_string().parse().unwrap();
        let gate = Gate::open(&context, port(22), target.clone(), Arc::clone(&sessions)).await.unwrap();
        let grants = Grants { ports: [(port(22), target)].into(), expires: None, sessions: true };
        let (_, grants) = watch::channel(Arc::new(grants));
        let (theirs, prober) = (Arc::clone(&sessions), Arc::default());
        let responder = Responder::open(&context, &key.address(), grants, theirs, prober).await.unwrap();
        let ports = [(port(22), gate.addr().clone()), (Port::RESPONDER, responder.addr().clone())];
        let client = client_key(WEBSITE).public();
        let spec = ServiceSpec { address: key.address(), client, ports: ports.into() };
        let engine = network.engine(dir.path());
        let _doors = (gate, responder);
        let website = Self { engine, sessions, backend, key, spec, _doors, _dir: dir };
        website.set_up(true).await;
        website
    }

    /// It goes up or down.
    pub(super) async fn set_up(&self, is_up: bool) {
        self.engine.run(is_up).await;
        if is_up {
            self.engine.publish(&self.spec, &self.key).await.unwrap();
        }
    }
}

impl Host {
    /// An agent at its beginning, with this configuration besides the remote `website`, of which it has the key. Its loop does not run.
    pub(super) async fn agent(&self, text: &str) -> (Life, Arc<FakeEngine>) {
        let (address, key) = (address(WEBSITE), client_key(WEBSITE));
        let remote = format!("[remote.website]\naddress = \"{address}\"\nkey = \"{}\"\n", key.public());
        let text = format!("[agent]\nsecrets = \"file\"\nsocks-addr = \"off\"\n{remote}{text}");
        std::fs::write(&self.paths.config, text).unwrap();
        let store = self.stores.files.secrets(StoreKind::File);
        store.set(SecretId::Client(key.public()), key.to_secret()).await.unwrap();
        let (store, engine) = (ConfigStore::new(&self.paths).unwrap(), self.engine());
        store.start().unwrap();
        let as_engine = Arc::clone(&engine) as Arc<dyn OnionEngine>;
        let life = Life::begin(&self.paths, self.world(), store, self.vault(), as_engine).await;
        (life, engine)
    }
}

/// Runs an agent's loop while something is done.
pub(super) async fn during<T>(life: &mut Life, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = soon(work) => done,
        () = life.run() => panic!("nobody has stopped it"),
    }
}

/// The lines that are logged while something is done: the message first, then the fields.
pub(super) fn logged(work: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);
    #[derive(Default)]
    struct Words(String);
    impl Visit for Words {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            match field.name() {
                "message" => self.0 = format!("{value:?}{}", self.0),
                name => self.0 += &format!(" {name}={value:?}"),
            }
        }
    }
    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut words = Words::default();
            event.record(&mut words);
            self.0.lock().unwrap().push(words.0);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), work);
    std::mem::take(&mut *lines.0.lock().unwrap())
}
