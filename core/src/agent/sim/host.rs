//! A simulated host: what survives its agent, how an agent is started on it, and its peers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::super::commands::Commands;
use super::super::life::Life;
use super::super::random::Random;
use super::super::vault::Vault;
use super::super::world::World;
use super::chance::Dice;
use super::ground::Ground;
use super::keyrings::Keyrings;
use super::sockets::Sockets;
use super::tor::Tor;
use super::truths::{Scene, Truths};
use crate::engine::fake::{FakeEngine, FakeNetwork, Faults};
use crate::engine::{OnionEngine as _, ServiceSpec};
use crate::forward::calendar::Calendar;
use crate::forward::gate::{ClientSessions, GateContext};
use crate::forward::ports::Ports;
use crate::forward::responder::{Grants, Prober, Responder};
use crate::model::address::Port;
use crate::model::config::InstanceId;
use crate::model::invite::{Invite, InviteKey};
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::secrets::Stores;
use crate::store::files::{Files, Ways};
use crate::store::paths::Paths;
use crate::store::{ConfigStore, private};

/// How many hosts there are to be remotes.
pub(super) const PEERS: u64 = 2;
/// What they export.
pub(super) const PEER_PORT: u16 = 22;
/// From a dial to its answer.
const WAY: Duration = Duration::from_millis(80);

/// See the file's sentence.
pub(super) struct Host {
    pub(super) seed: u64,
    pub(super) ground: Arc<Ground>,
    pub(super) sockets: Arc<Sockets>,
    pub(super) keyrings: Arc<Keyrings>,
    pub(super) truths: Arc<Truths>,
    pub(super) paths: Paths,
    /// The keys that clients got by invites, by service.
    guests: Mutex<BTreeMap<OnionAddress, [u8; 32]>>,
}

/// An agent that was just started, and what surrounds it.
pub(super) struct Started {
    pub(super) life: Life,
    pub(super) tor: Arc<Tor>,
    pub(super) peers: Vec<Peer>,
    /// The client of everyone who was invited.
    pub(super) visitor: Arc<FakeEngine>,
}

/// Another host, with its service.
pub(super) struct Peer {
    pub(super) engine: Arc<FakeEngine>,
    key: ServiceKey,
    spec: ServiceSpec,
    _responder: Responder,
}

fn bytes(dice: &mut Dice) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&dice.next().to_le_bytes()));
    bytes
}

fn port(number: u16) -> Port {
    Port::new(number).expect("not zero")
}

impl Host {
    pub(super) fn new(seed: u64, root: &std::path::Path) -> Arc<Self> {
        let ground = Ground::new(seed, root);
        let paths = Paths::new(root.join("config.toml"), root.join("state")).expect("it is absolute");
        private::ensure_dir(&paths.state).expect("it can be made");
        private::ensure_dir(&paths.run).expect("it can be made");
        let sockets = Sockets::new(&ground);
        let keyrings = Keyrings::new(&ground);
        let truths = Truths::new(&ground, &sockets, &keyrings, &paths);
        Arc::new(Self { seed, ground, sockets, keyrings, truths, paths, guests: Mutex::default() })
    }

    pub(super) fn guests(&self) -> MutexGuard<'_, BTreeMap<OnionAddress, [u8; 32]>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer_key(&self, number: u64) -> ServiceKey {
        ServiceKey::from_seed(&zeroize::Zeroizing::new(bytes(&mut Dice::new(
            self.seed,
            &format!("peer {number}"),
        ))))
    }

    fn key_for_peer(&self, number: u64) -> ClientKey {
        ClientKey::from_bytes(&bytes(&mut Dice::new(self.seed, &format!("for peer {number}"))))
            .expect("32 bytes")
    }

    /// The invite that a peer's owner gave us.
    pub(super) fn invite(&self, number: u64) -> zeroize::Zeroizing<String> {
        let invite = Invite {
            address: self.peer_key(number).address(),
            key: InviteKey::Private(self.key_for_peer(number)),
            expires: None,
            ports: Some([port(PEER_PORT)].into()),
        };
        invite.to_text()
    }

    fn files(&self) -> Files {
        Files::over(Arc::clone(&self.ground) as Arc<dyn Ways>)
    }

    fn world(&self) -> World {
        let (clock, chance) = (Arc::clone(&self.ground), Arc::clone(&self.ground));
        World {
            files: self.files(),
            stores: Arc::clone(&self.keyrings) as Arc<dyn Stores>,
            ports: Arc::clone(&self.sockets) as Arc<dyn Ports>,
            calendar: Calendar::over(move || clock.unix()),
            random: Random::over(move |into| {
                *into = bytes(&mut chance.draw("key"));
                Ok(())
            }),
            network: None,
        }
    }

    fn store(&self) -> ConfigStore {
        ConfigStore::over(&self.paths, self.files(), InstanceId::from_random([7; 10]))
    }

    /// What a command does by itself when no agent runs.
    pub(super) fn without_agent(&self) -> Commands {
        let world = self.world();
        let vault = Arc::new(Vault::local(&self.paths, &world));
        Commands::new(self.store(), vault, world)
    }

    /// Starts an agent, in the same order as `run` does.
    pub(super) async fn start(&self) -> Result<Started, Problem> {
        let network = FakeNetwork::over(Arc::clone(&self.sockets) as _);
        let engine = network.engine(&self.paths.run);
        engine.set_faults(Faults { delay: WAY, ..Faults::default() });
        let visitor = network.engine(&PathBuf::from("/visitor"));
        visitor.set_faults(Faults { delay: WAY, ..Faults::default() });
        visitor.run(true).await;
        let mut peers = Vec::new();
        for number in 0..PEERS {
            peers.push(self.peer(&network, number).await);
        }
        self.truths.set_scene(Some(Scene {
            network,
            tor: Arc::clone(&engine),
            peers: peers.iter().map(|peer| peer.spec.address).collect(),
        }));
        let (world, store) = (self.world(), self.store());
        store.apart(ConfigStore::start).await?;
        let vault = Arc::new(Vault::new(&self.paths, &world));
        let tor = Tor::new(&self.ground, engine);
        self.ground.say("the agent starts");
        let life = Life::begin(&self.paths, world, store, vault, Arc::clone(&tor) as _).await;
        Ok(Started { life, tor, peers, visitor })
    }

    async fn peer(&self, network: &FakeNetwork, number: u64) -> Peer {
        let dir = PathBuf::from(format!("/peer{number}"));
        let (engine, key) = (network.engine(&dir), self.peer_key(number));
        let context = GateContext::over(&dir, Arc::clone(&self.sockets) as Arc<dyn Ports>);
        let grants = Grants {
            ports: [(port(PEER_PORT), "127.0.0.1:22".parse().expect("a target"))].into(),
            expires: None,
            sessions: false,
        };
        let ground = Arc::clone(&self.ground);
        let calendar = Calendar::over(move || ground.unix());
        let (events, us) = (mpsc::unbounded_channel().0, "us".parse().expect("a name"));
        let sessions = ClientSessions::new(key.address(), us, true, events, 100, calendar);
        let prober = Arc::new(Prober::over(Arc::clone(&self.sockets) as Arc<dyn Ports>));
        let (_, grants) = watch::channel(Arc::new(grants));
        let responder =
            Responder::open(&context, &key.address(), grants, sessions, prober).await.expect("it is free");
        let spec = ServiceSpec {
            address: key.address(),
            client: self.key_for_peer(number).public(),
            ports: [(Port::RESPONDER, responder.addr().clone())].into(),
        };
        let peer = Peer { engine, key, spec, _responder: responder };
        peer.set_up(true).await;
        peer
    }
}

impl Peer {
    /// It goes up or down.
    pub(super) async fn set_up(&self, is_up: bool) {
        self.engine.run(is_up).await;
        if is_up {
            self.engine.publish(&self.spec, &self.key).await.expect("it runs");
        }
    }
}
