//! The promises, one a function; each takes two running engines on one network and leaves them running.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use ormesh_core::engine::stream::Stream;
use ormesh_core::engine::{
    DialError, EngineError, EngineEvent, EngineState, GateAddr, OnionEngine, ServiceSpec,
};
use ormesh_core::model::address::Port;
use ormesh_core::model::keys::{ClientKey, ServiceKey};
use ormesh_core::model::onion::OnionAddress;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine_support::{GENEROUS, events_until, key_pair, state_where, wait_for};

/// One attempt; a dial towards a host that ended can hang for minutes.
const ATTEMPT: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(300);

/// One host.
pub(crate) struct End {
    pub(crate) engine: Arc<dyn OnionEngine>,
    pub(crate) events: UnboundedReceiver<EngineEvent>,
    pub(crate) run_dir: PathBuf,
    /// Ends its tor as an accident would.
    pub(crate) kill: Box<dyn Fn()>,
    pub(crate) _dir: tempfile::TempDir,
}

/// Two hosts.
pub(crate) struct Pair {
    pub(crate) exporter: End,
    pub(crate) importer: End,
}

/// A service of the exporter with its gate.
struct Exported {
    key: ServiceKey,
    client: ClientKey,
    gate: Gate,
    spec: ServiceSpec,
}

/// Gives back what it gets, and counts who came and who is there.
struct Gate {
    name: String,
    accepted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    fn open(end: &End, name: &str) -> Self {
        let listener = UnixListener::bind(end.run_dir.join(name)).unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let (count, count_ended) = (Arc::clone(&accepted), Arc::clone(&ended));
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let count_ended = Arc::clone(&count_ended);
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    // It ends with the connection, either way.
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                    count_ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { name: name.to_owned(), accepted, ended, task }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes a service that no other test has, with an echo behind port 80.
async fn export(pair: &Pair) -> Exported {
    static SEED: AtomicU8 = AtomicU8::new(10);
    let seed = SEED.fetch_add(1, Ordering::SeqCst);
    let (key, client) = key_pair(seed);
    let gate = Gate::open(&pair.exporter, &format!("gate-{seed}"));
    let spec = ServiceSpec {
        address: key.address(),
        client: client.public(),
        ports: [(port(80), GateAddr::Unix(gate.name.clone().into()))].into(),
    };
    pair.exporter.engine.publish(&spec, &key).await.unwrap();
    Exported { key, client, gate, spec }
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("attempt-{}", NEXT.fetch_add(1, Ordering::SeqCst))
}

/// One dial, with a limit.
async fn attempt(end: &End, address: &OnionAddress, port: Port, early: &[u8]) -> Result<Stream, DialError> {
    let dial = async {
        let mut attempt = end.engine.dial(address, port, &fresh_name()).await?;
        if !early.is_empty() {
            attempt.send_early(early).await?;
        }
        attempt.reply().await
    };
    tokio::time::timeout(ATTEMPT, dial).await.unwrap_or(Err(DialError::TimedOut))
}

/// Dials until it ends otherwise than with a service that is not there yet.
async fn settle(end: &End, address: &OnionAddress, port: Port, early: &[u8]) -> Result<Stream, DialError> {
    let deadline = tokio::time::Instant::now() + GENEROUS;
    loop {
        match attempt(end, address, port, early).await {
            Err(DialError::NotPublished | DialError::Gone | DialError::TimedOut | DialError::Code(_))
                if tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            other => return other,
        }
    }
}

/// Dials until it succeeds.
async fn reach(end: &End, address: &OnionAddress) -> Stream {
    match settle(end, address, port(80), b"").await {
        Ok(stream) => stream,
        Err(error) => panic!("not reached: {error}"),
    }
}

async fn echoes(stream: &mut Stream, text: &[u8]) {
    let echo = async {
        stream.write_all(text).await.unwrap();
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, text);
    };
    tokio::time::timeout(GENEROUS, echo).await.expect("the echo comes");
}

async fn ends(stream: &mut Stream) {
    let mut rest = Vec::new();
    // An error ends it as well.
    let end = tokio::time::timeout(GENEROUS, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the session goes on");
}

async fn ready_again(end: &mut End) {
    events_until(&mut end.events, |event| *event == EngineEvent::Lost).await;
    state_where(&*end.engine, EngineState::is_ready).await;
}

pub(crate) async fn a_service_is_reached_by_its_client(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    events_until(&mut pair.exporter.events, |event| *event == EngineEvent::Uploaded(address)).await;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    assert_eq!(pair.importer.engine.has_client_key(&address).await, Ok(true));

    echoes(&mut reach(&pair.importer, &address).await, b"hello").await;
    let mut early = settle(&pair.importer, &address, port(80), b"early").await.unwrap();
    let mut back = [0; 5];
    early.read_exact(&mut back).await.unwrap();

    assert_eq!(&back, b"early");
    assert!(service.gate.accepted.load(Ordering::SeqCst) >= 2);
}

pub(crate) async fn nobody_else_gets_in(pair: &mut Pair) {
    let (service, other) = (export(pair).await, export(pair).await);
    let address = service.spec.address;
    let (_, never_let_in) = key_pair(9);
    let refused = async |end: &End| settle(end, &address, port(80), b"").await.map(drop);

    let without = refused(&pair.importer).await;
    pair.importer.engine.add_client_key(&address, &never_let_in).await.unwrap();
    let wrong = refused(&pair.importer).await;
    pair.importer.engine.add_client_key(&address, &other.client).await.unwrap();
    let of_another = refused(&pair.importer).await;
    let at_home = refused(&pair.exporter).await;

    assert_eq!(without, Err(DialError::KeyMissing));
    assert_eq!(wrong, Err(DialError::KeyRefused));
    assert_eq!(of_another, Err(DialError::KeyRefused));
    assert_eq!(at_home, Err(DialError::KeyMissing), "the exporter's own tor");
    assert_eq!(service.gate.accepted.load(Ordering::SeqCst), 0);
    // And the right one, so that the refusals above were of a service that works.
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    echoes(&mut reach(&pair.importer, &address).await, b"hello").await;
}

pub(crate) async fn other_ports_are_refused(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();

    let refused = settle(&pair.importer, &address, port(81), b"").await.map(drop);

    assert_eq!(refused, Err(DialError::PortNotExported(port(81))));
    assert_eq!(service.gate.accepted.load(Ordering::SeqCst), 0);
}

pub(crate) async fn a_closed_gate_is_a_failure(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    std::fs::remove_file(pair.exporter.run_dir.join(&service.gate.name)).unwrap();

    let refused = settle(&pair.importer, &address, port(80), b"").await.map(drop);

    assert_eq!(refused, Err(DialError::Failed));
}

pub(crate) async fn a_replaced_service_keeps_its_sessions(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    let mut open = reach(&pair.importer, &address).await;
    echoes(&mut open, b"before").await;
    let gate = Gate::open(&pair.exporter, &format!("{}-b", service.gate.name));
    let mut spec = service.spec.clone();
    spec.ports = [(port(8080), GateAddr::Unix(gate.name.clone().into()))].into();

    pair.exporter.engine.replace(&spec, &service.key).await.unwrap();

    echoes(&mut open, b"after").await;
    let mut new = settle(&pair.importer, &address, port(8080), b"").await.unwrap();
    echoes(&mut new, b"new").await;
    let old = settle(&pair.importer, &address, port(80), b"").await.map(drop);
    assert_eq!(old, Err(DialError::PortNotExported(port(80))));
    assert_eq!(gate.accepted.load(Ordering::SeqCst), 1);
}

pub(crate) async fn a_withdrawn_service_closes_its_sessions(pair: &mut Pair) {
    let (service, other) = (export(pair).await, export(pair).await);
    for exported in [&service, &other] {
        pair.importer.engine.add_client_key(&exported.spec.address, &exported.client).await.unwrap();
    }
    let address = service.spec.address;
    let mut open = reach(&pair.importer, &address).await;
    let mut untouched = reach(&pair.importer, &other.spec.address).await;
    echoes(&mut open, b"before").await;

    pair.exporter.engine.withdraw(&address).await.unwrap();

    // At the exporter's end; the client hears of it when the relays come to it.
    let gate = &service.gate;
    let open_ones = || gate.accepted.load(Ordering::SeqCst) - gate.ended.load(Ordering::SeqCst);
    wait_for("the session to end", || open_ones() == 0).await;
    echoes(&mut untouched, b"still there").await;
    let again = attempt(&pair.importer, &address, port(80), b"").await;
    assert!(
        matches!(again, Err(DialError::NotPublished | DialError::Gone | DialError::TimedOut)),
        "{again:?}"
    );
    pair.exporter.engine.publish(&service.spec, &service.key).await.unwrap();
}

pub(crate) async fn a_service_published_anew_takes_the_place_of_the_old(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    let mut open = reach(&pair.importer, &address).await;
    echoes(&mut open, b"before").await;
    let (_, other) = key_pair(6);
    let spec = ServiceSpec { client: other.public(), ..service.spec.clone() };

    pair.exporter.engine.publish(&spec, &service.key).await.unwrap();

    let gate = &service.gate;
    let open_ones = || gate.accepted.load(Ordering::SeqCst) - gate.ended.load(Ordering::SeqCst);
    wait_for("the session of the old one to end", || open_ones() == 0).await;
    pair.importer.engine.add_client_key(&address, &other).await.unwrap();
    echoes(&mut reach(&pair.importer, &address).await, b"after").await;
}

pub(crate) async fn what_is_not_there_can_be_removed(pair: &mut Pair) {
    let (key, _) = key_pair(8);
    let address = key.address();

    pair.exporter.engine.withdraw(&address).await.unwrap();
    pair.importer.engine.remove_client_key(&address).await.unwrap();

    assert_eq!(pair.importer.engine.has_client_key(&address).await, Ok(false));
}

pub(crate) async fn a_descriptor_is_fetched_ahead(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    events_until(&mut pair.exporter.events, |event| *event == EngineEvent::Uploaded(address)).await;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    let (missing, _) = key_pair(7);
    let missing = missing.address();

    pair.importer.engine.fetch_descriptor(&address).await.unwrap();
    events_until(&mut pair.importer.events, |event| *event == EngineEvent::Received(address)).await;
    pair.importer.engine.fetch_descriptor(&missing).await.unwrap();
    events_until(
        &mut pair.importer.events,
        |event| matches!(event, EngineEvent::FetchFailed(address, _) if *address == missing),
    )
    .await;
}

pub(crate) async fn a_killed_exporter_starts_empty(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    let mut open = reach(&pair.importer, &address).await;
    echoes(&mut open, b"before").await;

    (pair.exporter.kill)();
    ready_again(&mut pair.exporter).await;
    // Not refused as one that is there.
    pair.exporter.engine.publish(&service.spec, &service.key).await.unwrap();

    echoes(&mut reach(&pair.importer, &address).await, b"after").await;
}

pub(crate) async fn a_killed_importer_starts_empty(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    let mut open = reach(&pair.importer, &address).await;

    (pair.importer.kill)();
    ends(&mut open).await;
    ready_again(&mut pair.importer).await;

    assert_eq!(pair.importer.engine.has_client_key(&address).await, Ok(false));
    pair.importer.engine.add_client_key(&address, &service.client).await.unwrap();
    echoes(&mut reach(&pair.importer, &address).await, b"after").await;
}

pub(crate) async fn off_is_off(pair: &mut Pair) {
    let service = export(pair).await;
    let address = service.spec.address;

    pair.exporter.engine.run(false).await;
    pair.exporter.engine.run(false).await;

    assert_eq!(*pair.exporter.engine.state().borrow(), EngineState::Stopped);
    let lost = |event: &EngineEvent| *event == EngineEvent::Lost;
    events_until(&mut pair.exporter.events, lost).await;
    assert_eq!(pair.exporter.engine.publish(&service.spec, &service.key).await, Err(EngineError::NotRunning));
    assert_eq!(attempt(&pair.exporter, &address, port(80), b"").await.map(drop), Err(DialError::NotReady));
    pair.exporter.engine.run(true).await;
    state_where(&*pair.exporter.engine, EngineState::is_ready).await;
    pair.exporter.engine.publish(&service.spec, &service.key).await.unwrap();
    pair.exporter.engine.run(false).await;
    pair.importer.engine.run(false).await;
}
