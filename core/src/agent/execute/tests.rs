//! Tests of `execute`: what each Step does to gates, listeners and the engine, and what is said where it fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

use super::super::bench::{Host, address, client, client_key, config, port, service_key, soon, until};
use super::super::wires::AskAgain;
use super::*;
use crate::engine::fake::{FakeEngine, Faults};
use crate::engine::stream::Stream;
use crate::forward::reports::Reports;
use crate::forward::responder;
use crate::plan;

/// How long news of a socket is waited for before its Step is repeated all the same.
const LOOK: Duration = Duration::from_millis(20);

struct Bench {
    host: Host,
    executor: Executor,
    engine: Arc<FakeEngine>,
    vault: Arc<Vault>,
    config: Config,
    gate_events: mpsc::UnboundedReceiver<GateEvent>,
    fetched: mpsc::UnboundedReceiver<Fetched>,
    backend: TcpListener,
}

/// A host with one client, to whom it exports a port with a backend, and another one without.
async fn bench() -> Bench {
    let host = Host::new();
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (engine, vault) = (host.engine(), host.vault());
    engine.run(true).await;
    let asks = Arc::new(AskAgain(mpsc::unbounded_channel().0));
    let dialler = Dialler::new(Arc::clone(&engine) as _, asks, Reports::nowhere());
    let context = GateContext::new(&host.paths.run);
    let (gate_tx, gate_events) = mpsc::unbounded_channel();
    let (fetched_tx, fetched) = mpsc::unbounded_channel();
    let calendar = host.world().calendar;
    let executor = Executor::new(
        Arc::clone(&engine) as _,
        dialler,
        Arc::clone(&vault),
        context,
        calendar,
        gate_tx,
        fetched_tx,
    );
    let target = backend.local_addr().unwrap();
    let mut config = config(&format!(
        "[[export]]\ntarget = \"{target}\"\nport = 22\n[[export]]\ntarget = \"127.0.0.1:9\"\nport = 80\n"
    ));
    config.clients.insert("laptop".parse().unwrap(), client(1));
    Bench { host, executor, engine, vault, config, gate_events, fetched, backend }
}

impl Bench {
    /// Repeats a Step until something came of it.
    async fn comes_of(&mut self, step: &Step) -> Result<(), Problem> {
        soon(async {
            loop {
                match self.executor.execute(&self.config, 1, step).await {
                    Outcome::Done => return Ok(()),
                    Outcome::Failed(problem) => return Err(problem),
                    Outcome::Waiting => {
                        let fetched = self.fetched.recv().await.unwrap();
                        self.executor.keys.take(fetched, &self.config)?;
                    }
                    // As the loop does.
                    _ => drop(tokio::time::timeout(LOOK, self.executor.openings.news()).await),
                }
            }
        })
        .await
    }

    fn gate(&self, number: u16) -> Step {
        let behind = match self.config.exports.get(&port(number)) {
            Some(export) => Behind::Target(export.target.clone()),
            None => Behind::Responder,
        };
        let door = plan::Door { key: client_key(1).public(), behind };
        Step::OpenGate(address(1), port(number), "laptop".parse().unwrap(), door)
    }

    async fn open(&mut self, numbers: &[u16]) {
        for number in numbers {
            let step = self.gate(*number);
            self.comes_of(&step).await.unwrap();
        }
    }

    async fn close(&mut self, number: u16) {
        self.comes_of(&Step::CloseGate(address(1), port(number))).await.unwrap();
    }

    fn publish(&self, numbers: &[u16]) -> Step {
        Step::Publish(address(1), client_key(1).public(), numbers.iter().copied().map(port).collect())
    }

    fn path(&self, number: u16) -> std::path::PathBuf {
        match self.executor.endpoints.doors[&(address(1), port(number))].addr() {
            GateAddr::Unix(name) => self.host.paths.run.join(name),
            GateAddr::Tcp(port) => panic!("{port} is no Unix socket"),
        }
    }

    /// A session of the client, as tor brings it, that has come to the backend.
    async fn session(&self, number: u16) -> (UnixStream, tokio::net::TcpStream) {
        let tor = UnixStream::connect(self.path(number)).await.unwrap();
        (tor, soon(self.backend.accept()).await.unwrap().0)
    }

    async fn keep_key(&self) {
        let store = self.host.stores.files.secrets(crate::model::store_kind::StoreKind::File);
        store.set(SecretId::Service(address(1)), service_key(1).to_secret()).await.unwrap();
    }

    fn sessions(&self) -> Option<&Arc<ClientSessions>> {
        self.executor.endpoints.sessions.get(&address(1))
    }
}

#[tokio::test]
async fn all_gates_of_a_client_count_its_sessions_together_until_the_last_is_closed() {
    let mut bench = bench().await;
    bench.open(&[22, 80, 1]).await;
    let first = Arc::clone(bench.sessions().unwrap());
    let (tor, _backend) = bench.session(22).await;
    assert_eq!(bench.executor.endpoints.open_sessions(), 1);
    assert_eq!(bench.executor.endpoints.client_traffic()[&address(1)].sessions, 1);

    bench.close(80).await;
    assert!(Arc::ptr_eq(&first, bench.sessions().unwrap()), "a door is open still");
    bench.open(&[80]).await;
    assert!(Arc::ptr_eq(&first, bench.sessions().unwrap()));
    for number in [22, 80, 1] {
        bench.close(number).await;
    }
    assert!(bench.sessions().is_none(), "the next gate may be another client's");
    assert_eq!(first.stats().open, 0, "its session goes on");
    drop(tor);

    bench.open(&[22]).await;
    assert!(!Arc::ptr_eq(&first, bench.sessions().unwrap()));
}

#[tokio::test]
async fn a_closed_gate_lets_nobody_in_and_others_go_on() {
    let mut bench = bench().await;
    bench.config.exports.get_mut(&port(80)).unwrap().target = bench.config.exports[&port(22)].target.clone();
    bench.open(&[22, 80]).await;
    let (closed, (mut tor, _far)) = (bench.path(22), bench.session(22).await);
    let (mut bystander, mut its_backend) = bench.session(80).await;

    bench.close(22).await;

    assert_eq!(soon(tor.read(&mut [0])).await.unwrap(), 0);
    UnixStream::connect(&closed).await.unwrap_err();
    bystander.write_all(b"x").await.unwrap();
    soon(its_backend.read_exact(&mut [0])).await.unwrap();
}

#[tokio::test]
async fn when_a_client_was_seen_last_outlives_its_gates_if_it_has_connected_before() {
    for is_known in [true, false] {
        let mut bench = bench().await;
        if is_known {
            bench.vault.clients.saw(address(1), 5).await;
        }
        bench.open(&[22]).await;
        bench.host.clock.store(70, Ordering::Relaxed);
        let _session = bench.session(22).await;
        assert_eq!(bench.executor.endpoints.last_seen().collect::<Vec<_>>(), [(address(1), 70)]);
        bench.host.clock.store(77, Ordering::Relaxed);

        bench.close(22).await;

        // Of the other one the first session was told, and whoever was told writes it down.
        assert_eq!(bench.vault.clients.last_seen(&address(1)), is_known.then_some(77));
        assert_eq!(bench.gate_events.try_recv().is_ok(), !is_known);
    }
}

#[tokio::test]
async fn a_client_reaches_what_was_published_for_it_and_no_other_key_does() {
    let mut bench = bench().await;
    bench.keep_key().await;
    bench.open(&[22, 1]).await;
    bench.comes_of(&bench.publish(&[22, 1])).await.unwrap();
    let published = bench.host.network.services();
    assert_eq!(published[0].client, client_key(1).public());
    assert_eq!(published[0].ports.keys().copied().collect::<Vec<_>>(), [port(1), port(22)]);

    let theirs = bench.host.other_engine();
    theirs.run(true).await;
    theirs.add_client_key(&address(1), &client_key(2)).await.unwrap();
    let dial = async || theirs.dial(&address(1), port(22), "").await.unwrap().reply().await;
    assert!(dial().await.is_err());
    theirs.add_client_key(&address(1), &client_key(1)).await.unwrap();
    let mut stream = dial().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    let (mut far, _) = soon(bench.backend.accept()).await.unwrap();
    soon(far.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"hello");

    // Its sessions go on when the ports are others, and its key is not fetched again.
    bench.host.stores.files.set_locked(true);
    bench.open(&[80]).await;
    let ports = [1, 22, 80].map(port).into();
    bench.comes_of(&Step::Replace(address(1), client_key(1).public(), ports)).await.unwrap();
    assert_eq!(bench.host.network.services()[0].ports.len(), 3);
    assert_eq!(bench.sessions().unwrap().stats().open, 1);
    stream.write_all(b"x").await.unwrap();
    soon(far.read_exact(&mut [0])).await.unwrap();
}

#[tokio::test]
async fn a_service_is_not_published_with_a_gate_too_few_or_without_its_key() {
    let mut bench = bench().await;
    bench.open(&[22]).await;
    let missing = bench.comes_of(&bench.publish(&[22])).await.unwrap_err();
    assert_eq!(missing.code, Code::KeyMissing);

    bench.keep_key().await;
    let too_few = bench.comes_of(&bench.publish(&[22, 80])).await.unwrap_err();

    assert_eq!(too_few.code, Code::GateFailed);
    assert_eq!(bench.host.network.services(), []);
}

#[tokio::test]
async fn after_a_withdrawal_the_key_is_fetched_anew() {
    let mut bench = bench().await;
    bench.keep_key().await;
    bench.open(&[22]).await;
    bench.comes_of(&bench.publish(&[22])).await.unwrap();
    bench.close(22).await;

    bench.comes_of(&Step::Withdraw(address(1))).await.unwrap();

    assert_eq!(bench.host.network.services(), []);
    assert!(bench.executor.keys.services.is_empty(), "it is no more needed");
}

#[tokio::test]
async fn what_the_engine_refuses_has_a_code_for_each_kind_of_thing() {
    let mut bench = bench().await;
    bench.keep_key().await;
    bench.open(&[22]).await;
    let key = client_key(3);
    bench.executor.keys.clients.insert(key.public(), client_key(3));
    bench.engine.set_faults(Faults { command: Some(EngineError::NotRunning), ..Faults::default() });
    let ports: BTreeSet<Port> = [port(22)].into();
    let cases = [
        (bench.publish(&[22]), Code::ServiceFailed),
        (Step::Replace(address(1), client_key(1).public(), ports), Code::ServiceFailed),
        (Step::Withdraw(address(1)), Code::WithdrawalFailed),
        (Step::AddKey(address(9), key.public()), Code::RemoteKeyFailed),
        (Step::RemoveKey(address(9)), Code::RemoteKeyKept),
    ];
    for (step, code) in &cases {
        assert_eq!(bench.comes_of(step).await.map_err(|problem| problem.code), Err(*code), "{step:?}");
    }
    bench.engine.set_faults(Faults::default());
    for (step, _) in cases {
        assert_eq!(bench.comes_of(&step).await, Ok(()), "{step:?}");
    }
}

#[tokio::test]
async fn another_configuration_holds_for_gates_that_are_open() {
    let mut bench = bench().await;
    bench.open(&[22, 80, 1]).await;
    let told = async |bench: &Bench| {
        let stream = UnixStream::connect(bench.path(1)).await.unwrap();
        let info = soon(responder::ask_info(Stream::Unix(stream))).await.unwrap();
        info.ports.iter().map(|info| (info.port.get(), info.open)).collect::<Vec<_>>()
    };
    assert_eq!(told(&bench).await, [(22, true), (80, false)], "from its beginning");

    let mut laptop = bench.config.clients.remove(&"laptop".parse().unwrap()).unwrap();
    laptop.ports = Some([port(22)].into());
    bench.config.clients.insert("notebook".parse().unwrap(), laptop);
    bench.config.agent.max_sessions = 1;
    bench.executor.configure(&bench.config);

    assert_eq!(told(&bench).await, [(22, true)]);
    let _first = bench.session(22).await;
    let mut second = UnixStream::connect(bench.path(22)).await.unwrap();
    assert_eq!(soon(second.read(&mut [0])).await.unwrap(), 0, "it is one too many");
    let GateEvent::FirstStream { client, .. } = soon(bench.gate_events.recv()).await.unwrap();
    assert_eq!(client.to_string(), "notebook");
    let full = bench.executor.endpoints.full_for();
    assert_eq!(full[&address(1)], [port(22)]);
    let problems = bench.executor.endpoints.problems(&bench.config);
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.message.contains("notebook") && problem.message.contains("1 of 1"), "{problem:?}");
}

#[tokio::test]
async fn the_socket_of_a_gate_that_was_removed_is_missed_and_made_again_for_the_same_sessions() {
    let mut bench = bench().await;
    bench.keep_key().await;
    bench.open(&[22, 1]).await;
    bench.comes_of(&bench.publish(&[22, 1])).await.unwrap();
    let (mut tor, mut far) = bench.session(22).await;
    for number in [22, 1] {
        std::fs::remove_file(bench.path(number)).unwrap();
    }
    tokio::time::pause();
    let gone = soon(bench.executor.sockets.gone()).await;
    tokio::time::resume();
    assert_eq!(gone, [1, 22].map(|number| Socket::Gate(address(1), port(number))).into());

    bench.open(&[22, 1]).await;

    let _another = bench.session(22).await;
    let stream = UnixStream::connect(bench.path(1)).await.unwrap();
    soon(responder::ask_echo(Stream::Unix(stream))).await.unwrap();
    tor.write_all(b"x").await.unwrap();
    soon(far.read_exact(&mut [0])).await.unwrap();
    assert_eq!(bench.sessions().unwrap().stats().open, 2);
    // Nobody misses the socket of a gate that was closed.
    bench.close(22).await;
    bench.close(1).await;
    let missed = tokio::time::timeout(Duration::from_millis(50), bench.executor.sockets.gone()).await;
    assert!(missed.is_err());
}

#[tokio::test]
async fn where_nothing_can_listen_it_is_said_why_and_what_helps() {
    let mut bench = bench().await;
    let taken = bench.backend.local_addr().unwrap();
    let listener = |listen: &ListenAddr| {
        let listener = plan::Listener {
            remote: "website".parse().unwrap(),
            address: address(9),
            key: client_key(9).public(),
            port: port(22),
            half_close: Default::default(),
            users: Default::default(),
            hold: Some(Default::default()),
        };
        Step::OpenListener(listen.clone(), listener)
    };
    let in_use = ListenAddr::Tcp(taken);
    let no_directory = ListenAddr::Unix(bench.host.dir.path().join("missing/socket"));
    for (listen, code) in [(&in_use, Code::AddressInUse), (&no_directory, Code::CannotListen)] {
        let problem = bench.comes_of(&listener(listen)).await.unwrap_err();
        assert_eq!(problem.id(), (code, Some(&problem::Subject::Import(listen.clone()))));
        assert!(!problem.hint.is_empty());
    }
    let socks = |addr| Step::OpenSocks(Socks { addr, users: Default::default() });
    let problem = bench.comes_of(&socks(taken)).await.unwrap_err();
    assert_eq!(problem.id(), (Code::AddressInUse, Some(&problem::Subject::Socks)));
    assert!(problem.hint.starts_with("ormesh config set agent.socks-addr 127.0.0.1:"), "{}", problem.hint);
    // An address of no interface (RFC 5737): another port would not help.
    let problem = bench.comes_of(&socks(([192, 0, 2, 1], 9250).into())).await.unwrap_err();
    assert_eq!(problem.code, Code::CannotListen);
    assert!(!problem.hint.contains("config set"), "{}", problem.hint);
    assert_eq!(bench.executor.endpoints.open_sessions(), 0);

    let path = bench.host.dir.path().join("socket");
    bench.comes_of(&listener(&ListenAddr::Unix(path.clone()))).await.unwrap();
    let app = UnixStream::connect(&path).await.unwrap();
    until(|| bench.executor.endpoints.open_sessions() == 1).await;
    bench.open(&[22]).await;
    let of_a_client = bench.session(22).await;
    assert_eq!(bench.executor.endpoints.open_sessions(), 2, "imports and clients count together");
    drop(of_a_client);
    let endpoints = &bench.executor.endpoints;
    until(|| endpoints.open_sessions() == 1).await;
    endpoints.refuse();
    until(|| std::os::unix::net::UnixStream::connect(&path).is_err()).await;
    assert_eq!(endpoints.open_sessions(), 1, "what is open goes on");
    drop(app);
}
