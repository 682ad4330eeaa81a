//! The tor of a simulated host: the fake engine with delays, refusals, late and lost events, outages of its network, and crashes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::ground::{Ground, Mood};
use crate::engine::fake::{FakeEngine, Faults, Link};
use crate::engine::{Attempt, DialError, EngineError, EngineEvent, EngineState, OnionEngine, ServiceSpec};
use crate::model::address::Port;
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::status::TorStatus;

/// After this time a command that tor does not answer is given up.
const COMMAND: Duration = Duration::from_secs(10);
/// The introduction points of a new service stand after this time at most; then its descriptor is uploaded.
const STANDS: Duration = Duration::from_secs(3);
/// tor uploads a descriptor again after this time, whatever became of the first.
const AGAIN: Duration = Duration::from_secs(60);

/// See the file's sentence.
pub(super) struct Tor {
    me: Weak<Self>,
    ground: Arc<Ground>,
    inner: Arc<FakeEngine>,
    /// Which process of it this is.
    process: AtomicU64,
    is_wanted: AtomicBool,
    /// Which state of its network this is.
    outage: AtomicU64,
    /// Whether its services lose their introduction points for good in this outage.
    burns: AtomicBool,
    /// Whether each upload is quick from now on, and its word is not lost.
    is_punctual: AtomicBool,
    told: mpsc::UnboundedSender<EngineEvent>,
    events: Mutex<Option<mpsc::UnboundedReceiver<EngineEvent>>>,
}

/// The beginning of an address, for the trace. Without its checksum, which takes time.
pub(super) fn short(address: &OnionAddress) -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(&address.public_key()[..4]).to_ascii_lowercase();
    text.truncate(6);
    text
}

impl Tor {
    pub(super) fn new(ground: &Arc<Ground>, inner: Arc<FakeEngine>) -> Arc<Self> {
        let (told, events) = mpsc::unbounded_channel();
        let tor = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            ground: Arc::clone(ground),
            inner,
            process: AtomicU64::new(0),
            is_wanted: AtomicBool::new(false),
            outage: AtomicU64::new(0),
            burns: AtomicBool::new(false),
            is_punctual: AtomicBool::new(false),
            told,
            events: Mutex::new(Some(events)),
        });
        let mut events = tor.inner.events().expect("it is taken once");
        let teller = Arc::downgrade(&tor);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let Some(tor) = teller.upgrade() else { return };
                tor.tell(event);
            }
        });
        tor
    }

    /// Tells an event: an upload takes its time, and its word may be lost; then another one comes later.
    fn tell(&self, event: EngineEvent) {
        let EngineEvent::Uploaded(address) = event else {
            if event == EngineEvent::Lost {
                self.ground.say("tor has lost everything");
            }
            if event != EngineEvent::NetworkProven || *self.inner.link().borrow() == Link::Up {
                let _ = self.told.send(event);
            }
            return;
        };
        let mut dice = self.ground.draw(&format!("upload {}", short(&address)));
        let is_punctual = self.is_punctual.load(Ordering::SeqCst);
        let takes = match dice.below(20) {
            0 if !is_punctual => AGAIN,
            1..4 if !is_punctual => dice.millis(5_000, 20_000),
            _ => dice.millis(200, 3_000),
        };
        let (me, process) = (Weak::clone(&self.me), self.process.load(Ordering::SeqCst));
        tokio::spawn(async move {
            let Some(tor) = me.upgrade() else { return };
            let is_it = || tor.process.load(Ordering::SeqCst) == process;
            let stands = takes.min(STANDS);
            tor.ground.turn(&format!("introduced {}", short(&address)), stands).await;
            if is_it() && *tor.inner.link().borrow() != Link::Up {
                tor.has_network().await;
                tor.ground.turn(&format!("introduced late {}", short(&address)), stands).await;
            }
            if is_it() {
                tor.tell_introductions();
            }
            tor.ground.turn(&format!("uploaded {}", short(&address)), takes - stands).await;
            while is_it() && *tor.inner.link().borrow() != Link::Up {
                tor.has_network().await;
                tor.ground.turn(&format!("uploaded late {}", short(&address)), stands).await;
            }
            if is_it() {
                tor.ground.say(&format!("uploaded {}", short(&address)));
                let _ = tor.told.send(EngineEvent::Uploaded(address));
            }
        });
    }

    fn end_process(&self) -> u64 {
        self.process.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn start(&self) {
        let process = self.end_process();
        let mut dice = self.ground.draw("tor starts");
        self.inner.pretend(EngineState::Starting);
        let me = Weak::clone(&self.me);
        tokio::spawn(async move {
            let is_it = || me.upgrade().filter(|tor| tor.process.load(Ordering::SeqCst) == process);
            let Some(tor) = is_it() else { return };
            tor.ground.turn("tor bootstraps", dice.millis(100, 1_500)).await;
            drop(tor);
            let Some(tor) = is_it() else { return };
            let doing = "Asking for relays".to_owned();
            tor.inner.pretend(EngineState::Bootstrapping { percent: 45, doing, warning: None });
            tor.ground.turn("tor comes up", dice.millis(100, 4_000)).await;
            drop(tor);
            let Some(tor) = is_it() else { return };
            tor.has_network().await;
            tor.ground.turn("tor is connected", dice.millis(100, 500)).await;
            drop(tor);
            let Some(tor) = is_it() else { return };
            tor.inner.recover();
            tor.ground.say("tor is ready");
        });
    }

    /// Waits until its network is there.
    async fn has_network(&self) {
        // Its engine lives as long as it does.
        let _ = self.inner.link().wait_for(|link| *link == Link::Up).await;
    }

    /// Uploads are as quick from now on as they mostly are.
    pub(super) fn be_punctual(&self) {
        self.is_punctual.store(true, Ordering::SeqCst);
    }

    fn tell_introductions(&self) {
        let _ = self.told.send(EngineEvent::Introductions(self.inner.introductions()));
    }

    /// Its network goes away in one way or another, or comes back. It is told so a while later. While relays refuse, tor may use up the tries
    /// of its services.
    pub(super) fn set_link(&self, link: Link) {
        let mut dice = self.ground.draw("the network");
        self.inner.set_link(link);
        let burns = match link {
            Link::Cut => dice.percent(50),
            _ => self.burns.load(Ordering::SeqCst),
        };
        if burns {
            self.inner.deafen();
        }
        self.burns.store(burns && link != Link::Up, Ordering::SeqCst);
        self.ground.say(&format!("the network is {link:?}; services are deaf: {burns}"));
        let notices = match link {
            Link::Up => dice.millis(100, 4_000),
            Link::Cut => dice.millis(500, 4_000),
            // Some are over before anybody has noticed.
            Link::Silent => dice.millis(4_000, 25_000),
        };
        let (me, outage) = (Weak::clone(&self.me), self.outage.fetch_add(1, Ordering::SeqCst) + 1);
        tokio::spawn(async move {
            let Some(tor) = me.upgrade() else { return };
            tor.ground.turn("the network is noticed", notices).await;
            if tor.outage.load(Ordering::SeqCst) != outage {
                return;
            }
            let state = tor.inner.state().borrow().clone();
            match (link, state) {
                (Link::Up, EngineState::Offline { .. }) => tor.inner.recover(),
                (Link::Cut | Link::Silent, EngineState::Ready) => {
                    tor.inner.pretend(EngineState::Offline { why: "no relay answers".to_owned() });
                }
                _ => {}
            }
            tor.ground.say(&format!("it is noticed that the network is {link:?}"));
            tor.tell_introductions();
        });
    }

    /// It dies, and is started again after a while, as its supervisor does.
    pub(super) fn die(&self) {
        if matches!(*self.inner.state().borrow(), EngineState::Stopped) {
            return;
        }
        self.ground.say("tor dies");
        let process = self.end_process();
        self.inner.lose();
        let (me, waits) = (Weak::clone(&self.me), self.ground.draw("tor is missed").millis(300, 4_000));
        tokio::spawn(async move {
            sleep(waits).await;
            let Some(tor) = me.upgrade() else { return };
            if tor.process.load(Ordering::SeqCst) == process && tor.is_wanted.load(Ordering::SeqCst) {
                tor.start();
            }
        });
    }

    /// It asks nobody for a key any more, or does again.
    pub(super) fn let_strangers_in(&self, lets_in: bool) {
        self.ground.say(&format!("tor lets strangers in: {lets_in}"));
        self.inner.set_faults(Faults { asks_no_key: lets_in, ..Faults::default() });
    }

    /// It forgets its client keys, as after SETCONF; it does not say so.
    pub(super) fn forget_keys(&self) {
        self.ground.say("tor forgets its client keys");
        self.inner.forget_keys();
    }

    async fn command<T>(
        &self,
        what: &'static str,
        of: &OnionAddress,
        act: impl Future<Output = Result<T, EngineError>> + Send,
    ) -> Result<T, EngineError> {
        let name = format!("{what} {}", short(of));
        self.ground.tally(&name);
        let mut dice = self.ground.draw(&name);
        self.ground.alive(&name, dice.millis(1, 40)).await;
        let result = match self.ground.weather().tor {
            Mood::Refuses if dice.percent(50) => {
                Err(EngineError::Refused { action: what, code: 551, text: "Internal error".to_owned() })
            }
            Mood::Hangs if dice.percent(30) => {
                if dice.percent(50) {
                    let _ = act.await;
                }
                sleep(COMMAND).await;
                Err(EngineError::TimedOut(COMMAND, what))
            }
            _ => act.await,
        };
        let said = result.as_ref().err().map_or_else(|| "done".to_owned(), ToString::to_string);
        self.ground.say(&format!("{name}: {said}"));
        self.ground.alive(&format!("the answer to {name}"), Duration::ZERO).await;
        result
    }
}

#[async_trait]
impl OnionEngine for Tor {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.inner.state()
    }

    fn info(&self) -> Option<TorStatus> {
        self.inner.info()
    }

    fn events(&self) -> Option<mpsc::UnboundedReceiver<EngineEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn watched(&self) {
        self.inner.watched();
    }

    async fn run(&self, on: bool) {
        self.ground.tally(if on { "tor on" } else { "tor off" });
        self.ground.alive(if on { "tor on" } else { "tor off" }, Duration::ZERO).await;
        self.is_wanted.store(on, Ordering::SeqCst);
        let is_down =
            matches!(*self.inner.state().borrow(), EngineState::Stopped | EngineState::Failed { .. });
        match on {
            true if is_down => self.start(),
            true => {}
            false => {
                self.ground.turn("tor ends", self.ground.draw("tor ends").millis(0, 200)).await;
                self.end_process();
                self.inner.run(false).await;
            }
        }
    }

    async fn publish(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError> {
        self.command("publish", &service.address, self.inner.publish(service, key)).await
    }

    async fn replace(&self, service: &ServiceSpec, key: &ServiceKey) -> Result<(), EngineError> {
        self.command("replace", &service.address, self.inner.replace(service, key)).await
    }

    async fn withdraw(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.command("withdraw", address, self.inner.withdraw(address)).await
    }

    async fn add_client_key(&self, address: &OnionAddress, key: &ClientKey) -> Result<(), EngineError> {
        self.command("add key", address, self.inner.add_client_key(address, key)).await
    }

    async fn remove_client_key(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.command("remove key", address, self.inner.remove_client_key(address)).await
    }

    async fn has_client_key(&self, address: &OnionAddress) -> Result<bool, EngineError> {
        self.inner.has_client_key(address).await
    }

    async fn fetch_descriptor(&self, address: &OnionAddress) -> Result<(), EngineError> {
        self.inner.fetch_descriptor(address).await
    }

    async fn dial(&self, address: &OnionAddress, port: Port, isolation: &str) -> Result<Attempt, DialError> {
        self.ground.tally(&format!("dial {} {port}", short(address)));
        self.ground.turn(&format!("dial {} {isolation}", short(address)), Duration::ZERO).await;
        self.inner.dial(address, port, isolation).await
    }
}
