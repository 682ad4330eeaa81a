//! Tests of sessions on links that are pipes: an importer's pool, an exporter's gates, and what lies between them. What must never be comes
//! first.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::channel::{Channel, CutOff};
use super::driven::{Driven, Task, Word};
use super::pool::{ASKS, DialLink, Link, Pool};
use super::served::Served;
use crate::engine::{DialError, EngineState};
use crate::forward::calendar::Calendar;
use crate::forward::gate::{ClientSessions, Gate, GateContext};
use crate::forward::sockets::Abort as _;
use crate::forward::testing::{onion, other_onion, port, soon, until};
use crate::model::address::{Host, Target};
use crate::model::onion::OnionAddress;
use crate::session::codec::{Frame, Hello};
use crate::session::limits::Limits;
use crate::session::words::{Cut, Farewell, LinkId, Refusal, Secret, SessionId, StreamId};
use std::sync::Arc;

const HOLD: Duration = Duration::from_secs(15 * 60);

/// The network between two agents.
#[derive(Default)]
struct Network {
    served: Mutex<Option<Arc<Served>>>,
    is_down: AtomicBool,
    /// The exporter's sessions are switched off.
    is_off: AtomicBool,
    /// The exporter hears what comes and ends before it has answered.
    is_deaf: AtomicBool,
    dials: AtomicUsize,
    links: Mutex<Vec<AbortHandle>>,
}

impl Network {
    /// All links die.
    fn cut(&self) {
        self.links.lock().unwrap().drain(..).for_each(|link| link.abort());
    }

    fn go_down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
        self.cut();
    }

    fn come_back(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }
}

struct Dials(Arc<Network>);

#[async_trait]
impl DialLink for Dials {
    async fn dial_link(
        &self,
        _remote: &OnionAddress,
        _group: &str,
        first: Vec<u8>,
        _speaks: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(Box<dyn Link>, Vec<u8>), DialError> {
        self.0.dials.fetch_add(1, Ordering::Relaxed);
        if self.0.is_down.load(Ordering::Relaxed) {
            return Err(DialError::Gone);
        }
        let (near, far) = duplex(64 * 1024);
        let served = Arc::clone(self.0.served.lock().unwrap().as_ref().unwrap());
        let offered = !self.0.is_off.load(Ordering::Relaxed);
        let is_deaf = self.0.is_deaf.load(Ordering::Relaxed);
        let link = tokio::spawn(async move {
            let mut far = far;
            let mut asks = vec![0; ASKS.len()];
            far.read_exact(&mut asks).await.unwrap();
            assert_eq!(asks, ASKS);
            if is_deaf {
                return;
            }
            served.serve(far, Vec::new(), offered).await;
        });
        self.0.links.lock().unwrap().push(link.abort_handle());
        Ok((Box::new(near), first))
    }

    fn forget(&self, _remote: &OnionAddress, _group: &str) {}

    fn state(&self) -> watch::Receiver<EngineState> {
        watch::channel(EngineState::Ready).1
    }
}

struct Bench {
    _dir: TempDir,
    context: GateContext,
    backend: TcpListener,
    target: Target,
    clients: Arc<ClientSessions>,
    network: Arc<Network>,
    served: Arc<Served>,
    pool: Pool,
}

async fn bench(cap: u64) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = backend.local_addr().unwrap();
    let clients = clients_of(onion(), cap);
    let served = Served::new(Arc::clone(&clients));
    let network = Arc::new(Network::default());
    *network.served.lock().unwrap() = Some(Arc::clone(&served));
    let pool = Pool::new({
        let network = Arc::clone(&network);
        move || Some(Arc::new(Dials(Arc::clone(&network))) as Arc<dyn DialLink>)
    });
    pool.announced(&onion(), Some(super::pool::VERSION));
    let target = Target::Tcp(Host::Ip(addr.ip()), port(addr.port()));
    Bench {
        context: GateContext::new(dir.path()),
        _dir: dir,
        backend,
        target,
        clients,
        network,
        served,
        pool,
    }
}

fn clients_of(address: OnionAddress, cap: u64) -> Arc<ClientSessions> {
    let events = mpsc::unbounded_channel().0;
    ClientSessions::new(address, "laptop".parse().unwrap(), false, events, cap, Calendar::system())
}

impl Bench {
    async fn gate(&self, number: u16) -> Gate {
        let clients = Arc::clone(&self.clients);
        Gate::open(&self.context, port(number), self.target.clone(), clients).await.unwrap()
    }

    fn open(&self, number: u16) -> Channel {
        self.pool.open(&onion(), port(number), HOLD, "import-0").unwrap()
    }

    /// A stream and the backend's end of it.
    async fn connected(&self, number: u16) -> (Channel, TcpStream) {
        let mut channel = self.open(number);
        assert_eq!(word(&mut channel).await, Word::Accepted);
        let (backend, _) = soon(self.backend.accept()).await.unwrap();
        (channel, backend)
    }
}

async fn word(channel: &mut Channel) -> Word {
    soon(std::future::poll_fn(|cx| channel.poll_word(cx))).await
}

/// Why reading breaks.
async fn cut(channel: &mut Channel) -> Cut {
    let broken = soon(channel.read_to_end(&mut Vec::new())).await.expect_err("it should have been cut off");
    broken.get_ref().and_then(|why| why.downcast_ref::<CutOff>()).unwrap().0
}

/// Whether a backend sees its connection end.
async fn ends(backend: &mut TcpStream) -> bool {
    matches!(soon(backend.read(&mut [0; 1000])).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn a_port_without_an_open_gate_is_refused_though_the_session_stands() {
    let bench = bench(10).await;
    let gate = bench.gate(22).await;
    let (_kept, _backend) = bench.connected(22).await;
    for closed in [23, 1, 65535] {
        assert_eq!(word(&mut bench.open(closed)).await, Word::Refused(Refusal::NotGranted), "{closed}");
    }

    gate.close_all().await;

    assert_eq!(word(&mut bench.open(22)).await, Word::Refused(Refusal::NotGranted));
    let _again = bench.gate(22).await;
    let (_channel, _backend) = bench.connected(22).await;
}

#[tokio::test]
async fn closing_a_gate_ends_its_streams_at_once_whether_there_is_a_link_or_not() {
    for is_held in [false, true] {
        let bench = bench(100).await;
        let (gate, other) = (bench.gate(22).await, bench.gate(23).await);
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(bench.connected(22).await);
        }
        let (mut stays, mut stays_behind) = bench.connected(23).await;
        if is_held {
            bench.network.go_down();
        }

        gate.close_all().await;

        for (_, backend) in &mut streams {
            assert!(ends(backend).await);
        }
        assert_eq!(bench.clients.stats().open, 1);
        bench.network.come_back();
        for (channel, _) in &mut streams {
            assert_eq!(cut(channel).await, Cut::Revoked);
        }
        stays_behind.write_all(b"still here").await.unwrap();
        let mut heard = [0; 10];
        soon(stays.read_exact(&mut heard)).await.unwrap();
        drop(other);
        assert!(ends(&mut stays_behind).await, "a gate that is dropped ends its streams");
    }
}

#[tokio::test]
async fn what_both_ends_have_said_last_is_not_delivered_any_more_once_its_port_is_taken_away() {
    let bench = bench(10).await;
    let gate = bench.gate(22).await;
    let (mut channel, mut backend) = bench.connected(22).await;
    channel.shutdown().await.unwrap();
    assert_eq!(soon(backend.read(&mut [0])).await.unwrap(), 0);
    bench.network.go_down();
    until(|| bench.pool.standing(&onion(), HOLD).unwrap().holding_since.is_some()).await;
    backend.write_all(&[7; 40_000]).await.unwrap();
    drop(backend);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.clients.stats().open, 1, "its place lasts as long as its bytes");

    gate.close_all().await;

    bench.network.come_back();
    assert_eq!(cut(&mut channel).await, Cut::Revoked);
    assert_eq!(bench.clients.stats().open, 0);
}

#[tokio::test]
async fn a_half_that_is_left_over_ends_once_the_other_end_is_gone() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (mut channel, mut backend) = bench.connected(22).await;
    channel.shutdown().await.unwrap();
    assert_eq!(soon(backend.read(&mut [0])).await.unwrap(), 0);
    // It neither says nor ends anything, and its importer's application is gone.
    drop(channel);
    until(|| bench.clients.stats().open == 0).await;
    assert!(ends(&mut backend).await);
}

#[tokio::test]
async fn no_backend_hears_of_a_stream_that_was_reset_before_it_was_taken() {
    let bench = bench(1000).await;
    let _gate = bench.gate(22).await;
    let mut bytes = hello(1, 1, true, 0);
    for stream in (0..200).map(StreamId) {
        Frame::Open(stream, 22).write(&mut bytes);
        Frame::Reset(stream, Cut::Application).write(&mut bytes);
    }
    Frame::Open(StreamId(200), 22).write(&mut bytes);
    let mut near = link(&bench.served, &bytes);
    let _backend = soon(bench.backend.accept()).await.unwrap();
    answer(&mut near).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), bench.backend.accept()).await.is_err());
}

#[tokio::test]
async fn a_client_whose_access_ends_has_no_session_any_more_and_gets_no_other() {
    for is_held in [false, true] {
        let bench = bench(100).await;
        let _gate = bench.gate(22).await;
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(bench.connected(22).await);
        }
        if is_held {
            bench.network.go_down();
        }

        bench.served.close(Farewell::Revoked).await;

        for (_, backend) in &mut streams {
            assert!(ends(backend).await);
        }
        until(|| bench.clients.stats().open == 0).await;
        if !is_held {
            for (channel, _) in &mut streams {
                assert_eq!(cut(channel).await, Cut::Revoked);
            }
        }
        // Neither the old session nor a new one is let in, though the gate is open still.
        bench.network.come_back();
        assert_eq!(answer(&mut link(&bench.served, &hello(9, 9, true, 0))).await, "No(Other)");
        let _again = bench.open(22);
        assert!(tokio::time::timeout(Duration::from_millis(100), bench.backend.accept()).await.is_err());
    }
}

#[tokio::test]
async fn what_is_dropped_leaves_no_stream_behind() {
    let mut bench = bench(100).await;
    let _gate = bench.gate(22).await;
    let (_channel, mut backend) = bench.connected(22).await;
    bench.network.go_down();
    *bench.network.served.lock().unwrap() = None;

    bench.served = Served::new(clients_of(other_onion(), 1));

    assert!(ends(&mut backend).await);
}

/// A link of one who says this.
fn link(served: &Arc<Served>, says: &[u8]) -> DuplexStream {
    let (near, far) = duplex(64 * 1024);
    let (served, heard) = (Arc::clone(served), says.to_vec());
    tokio::spawn(async move { served.serve(far, heard, true).await });
    near
}

fn hello(session: u8, secret: u8, is_fresh: bool, link: u32) -> Vec<u8> {
    let (session, secret) = (SessionId([session; 16]), Secret([secret; 32]));
    let mut bytes = Vec::new();
    Frame::Hello(Hello { session, secret, is_fresh, hold: 900, link: LinkId(link), received: Vec::new() })
        .write(&mut bytes);
    bytes
}

/// What a link is told first.
async fn answer(link: &mut DuplexStream) -> String {
    let mut heard = Vec::new();
    loop {
        if let Some((frame, _)) = crate::session::codec::read(&heard).unwrap() {
            return format!("{frame:?}");
        }
        let mut more = [0; 100];
        let read = soon(link.read(&mut more)).await.unwrap();
        if read == 0 {
            return "nothing".to_owned();
        }
        heard.extend_from_slice(&more[..read]);
    }
}

#[tokio::test]
async fn nobody_joins_a_session_without_its_secret_or_at_another_clients_door() {
    let bench = bench(10).await;
    let mut first = link(&bench.served, &hello(1, 1, true, 0));
    assert!(answer(&mut first).await.starts_with("Welcome"));

    for (session, secret, is_fresh) in [(1, 2, true), (1, 2, false), (2, 1, false)] {
        let mut thief = link(&bench.served, &hello(session, secret, is_fresh, 1));
        assert_eq!(answer(&mut thief).await, "No(Unknown)");
    }
    // With the secret, but through the door of another client: that client has no such session.
    let other = Served::new(clients_of(other_onion(), 10));
    let mut thief = link(&other, &hello(1, 1, false, 1));
    assert_eq!(answer(&mut thief).await, "No(Unknown)");
    let mut thief = link(&other, &hello(1, 1, true, 1));
    assert!(answer(&mut thief).await.contains("is_new: true"), "it is another session of this name");
    // A link that came before is replayed.
    let mut replayed = link(&bench.served, &hello(1, 1, true, 0));
    assert_eq!(answer(&mut replayed).await, "No(Full)");

    let mut second = link(&bench.served, &hello(1, 1, false, 1));
    assert!(answer(&mut second).await.contains("is_new: false"));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_says_nothing_or_nonsense_is_closed_and_disturbs_nobody() {
    let bench = bench(10).await;
    let mut first = link(&bench.served, &hello(1, 1, true, 0));
    answer(&mut first).await;
    assert_eq!(answer(&mut link(&bench.served, b"GET / HTTP/1.1\r\n\r\n")).await, "No(Other)");
    let before = Instant::now();
    let mut silent = link(&bench.served, &hello(1, 1, false, 1)[..10]);
    assert_eq!(answer(&mut silent).await, "nothing");
    assert!(before.elapsed() <= Duration::from_secs(11));

    let mut second = link(&bench.served, &hello(1, 1, false, 1));
    assert!(answer(&mut second).await.starts_with("Welcome"));
}

#[tokio::test]
async fn of_too_many_sessions_the_one_that_is_held_longest_gives_way_and_none_that_lives() {
    let bench = bench(10).await;
    let mut lives: Vec<_> = (1..=3).map(|session| link(&bench.served, &hello(session, 1, true, 0))).collect();
    for link in &mut lives {
        assert!(answer(link).await.starts_with("Welcome"));
    }
    let mut held = link(&bench.served, &hello(4, 1, true, 0));
    answer(&mut held).await;
    drop(held);
    // Its end has to be seen.
    let mut fifth = String::new();
    for _ in 0..100 {
        fifth = answer(&mut link(&bench.served, &hello(5, 1, true, 0))).await;
        if fifth.starts_with("Welcome") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(fifth.starts_with("Welcome"), "{fifth}");
    let mut gone = link(&bench.served, &hello(4, 1, false, 1));
    assert_eq!(answer(&mut gone).await, "No(Unknown)");
    let mut first = link(&bench.served, &hello(1, 1, false, 1));
    assert!(answer(&mut first).await.contains("is_new: false"));
}

#[tokio::test]
async fn each_side_ends_in_its_own_time_and_bytes_are_counted() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (mut channel, mut backend) = bench.connected(22).await;
    channel.write_all(b"question").await.unwrap();
    channel.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon(backend.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"question");
    tokio::time::sleep(Duration::from_millis(50)).await;
    backend.write_all(b"answer").await.unwrap();
    drop(backend);
    let mut heard = Vec::new();
    soon(channel.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"answer");
    drop(channel);

    until(|| bench.clients.stats().open == 0).await;
    let stats = bench.clients.stats();
    assert_eq!((stats.bytes_in, stats.bytes_out), (8, 6));
    assert!(stats.last_seen.is_some());

    // The other way round.
    let (mut channel, mut backend) = bench.connected(22).await;
    backend.write_all(b"banner").await.unwrap();
    backend.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon(channel.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"banner");
    channel.write_all(b"thanks").await.unwrap();
    channel.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon(backend.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"thanks");
}

#[tokio::test]
async fn a_reset_is_a_reset_at_the_other_end() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (channel, mut backend) = bench.connected(22).await;
    channel.abort("its application is gone");
    assert!(soon(backend.read(&mut [0; 10])).await.is_err());

    let (mut channel, backend) = bench.connected(22).await;
    socket2::SockRef::from(&backend).set_linger(Some(Duration::ZERO)).unwrap();
    drop(backend);
    assert_eq!(cut(&mut channel).await, Cut::Application);
}

#[tokio::test]
async fn a_backend_that_is_not_there_and_a_client_without_room_are_told_apart() {
    let bench = bench(1).await;
    let _gate = bench.gate(22).await;
    let (_first, _backend) = bench.connected(22).await;
    assert_eq!(word(&mut bench.open(22)).await, Word::Refused(Refusal::Full));

    let bench = self::bench(10).await;
    let _gate = bench.gate(22).await;
    let target = bench.backend.local_addr().unwrap();
    drop(bench.backend);
    let mut channel = bench.pool.open(&onion(), port(22), HOLD, "import-0").unwrap();
    assert_eq!(word(&mut channel).await, Word::Refused(Refusal::Unreachable), "{target}");
}

/// Bytes that tell where each belongs.
fn pattern(many: usize, seed: u64) -> Vec<u8> {
    (0..many as u64).map(|at| ((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) ^ seed) as u8).collect()
}

#[tokio::test]
async fn transfers_both_ways_outlive_links_that_die_without_a_byte_lost_or_doubled() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (channel, backend) = bench.connected(22).await;
    let many = 3_000_000;
    let (mut read, mut write) = tokio::io::split(channel);
    let (mut far_read, mut far_write) = backend.into_split();
    let up = tokio::spawn(async move {
        write.write_all(&pattern(many, 1)).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let down = tokio::spawn(async move {
        far_write.write_all(&pattern(many, 2)).await.unwrap();
        far_write.shutdown().await.unwrap();
    });
    let network = Arc::clone(&bench.network);
    let weather = tokio::spawn(async move {
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            network.cut();
        }
    });
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        far_read.read_to_end(&mut heard).await.unwrap();
        heard
    });
    let mut answer = Vec::new();
    soon(read.read_to_end(&mut answer)).await.unwrap();
    assert!(answer == pattern(many, 2), "{} bytes", answer.len());
    assert!(soon(heard).await.unwrap() == pattern(many, 1));
    soon(async { tokio::join!(up, down, weather) }).await.0.unwrap();
    assert!(bench.network.dials.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn a_stream_is_held_while_there_is_no_way_and_goes_on_after_it() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (mut channel, mut backend) = bench.connected(22).await;
    bench.network.go_down();
    channel.write_all(b"typed meanwhile").await.unwrap();
    until(|| bench.pool.standing(&onion(), HOLD).unwrap().holding_since.is_some()).await;
    let read = tokio::time::timeout(Duration::from_millis(300), backend.read(&mut [0; 10])).await;
    assert!(read.is_err(), "{read:?}");

    bench.network.come_back();

    let mut heard = [0; 15];
    soon(backend.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"typed meanwhile");
    assert_eq!(bench.pool.standing(&onion(), HOLD).unwrap().holding_since, None);
}

#[tokio::test]
async fn switched_off_at_the_exporter_what_is_open_goes_on_and_what_is_new_is_not_taken() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (mut channel, mut backend) = bench.connected(22).await;
    bench.network.is_off.store(true, Ordering::Relaxed);
    bench.network.cut();
    channel.write_all(b"goes on").await.unwrap();
    soon(backend.read_exact(&mut [0; 7])).await.unwrap();

    let mut other = bench.pool.open(&onion(), port(22), HOLD * 2, "import-1").unwrap();
    other.write_all(b"question").await.unwrap();

    assert_eq!(word(&mut other).await, Word::NotTaken);
    until(|| !bench.pool.may(&onion())).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), bench.backend.accept()).await.is_err());
    channel.write_all(b"goes on").await.unwrap();
    soon(backend.read_exact(&mut [0; 7])).await.unwrap();
}

#[tokio::test]
async fn a_backend_that_only_listens_is_known_to_be_connected() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let mut channel = bench.open(22);
    channel.write_all(b"a long upload").await.unwrap();
    assert_eq!(word(&mut channel).await, Word::Accepted);
}

#[tokio::test]
async fn there_is_no_session_for_each_of_many_times_to_hold() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    for hold in 1..=4 {
        let mut channel = bench.pool.open(&onion(), port(22), HOLD * hold, "import-0").unwrap();
        assert_eq!(word(&mut channel).await, Word::Accepted);
    }
    assert!(bench.pool.open(&onion(), port(22), HOLD * 5, "import-0").is_none());
    assert!(bench.pool.open(&onion(), port(22), HOLD, "import-0").is_some());
}

#[tokio::test]
async fn who_opens_and_resets_faster_than_streams_are_taken_is_refused() {
    const STREAMS: u32 = 5000;
    let mut bytes = hello(1, 1, true, 0);
    let Ok(Some((hello, length))) = crate::session::door::knock(&bytes) else { panic!() };
    let driven = Driven::exporter(&hello, Limits::default()).unwrap();
    let link = driven.join(&hello).unwrap();
    bytes.drain(..length);
    for stream in (0..STREAMS).map(StreamId) {
        Frame::Open(stream, 22).write(&mut bytes);
        Frame::Reset(stream, Cut::Application).write(&mut bytes);
    }
    // Nobody takes what is to be done meanwhile.
    let (near, mut far) = duplex(64 * 1024);
    drop(near);
    driven.carry(link, &mut far, &bytes, Vec::new()).await;
    let mut taken = Vec::new();
    while let Ok(task) = tokio::time::timeout(Duration::from_millis(10), driven.next()).await {
        assert!(matches!(task, Task::Opened(..)), "{task:?}");
        taken.push(task);
    }
    assert!(taken.len() > 200 && taken.len() < 1000, "{}", taken.len());
}

#[tokio::test]
async fn a_remote_that_is_deleted_or_switched_off_gets_no_session() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (mut channel, mut backend) = bench.connected(22).await;
    bench.pool.allow(false);
    assert!(bench.pool.open(&onion(), port(22), HOLD, "import-0").is_none(), "it is switched off");
    bench.pool.allow(true);
    bench.pool.announced(&onion(), None);
    assert!(bench.pool.open(&onion(), port(22), HOLD, "import-0").is_none(), "it is not offered any more");
    bench.pool.announced(&onion(), Some(super::pool::VERSION + 1));
    assert!(bench.pool.open(&onion(), port(22), HOLD, "import-0").is_none(), "it is another version");
    bench.pool.announced(&onion(), Some(super::pool::VERSION));
    assert!(!bench.pool.may(&other_onion()), "it was not asked yet");

    bench.pool.keep([other_onion()].into());

    assert_eq!(cut(&mut channel).await, Cut::Deleted);
    assert!(ends(&mut backend).await);
    assert!(bench.pool.open(&onion(), port(22), HOLD, "import-0").is_none());
}

#[tokio::test]
async fn what_a_dial_that_came_to_nothing_was_to_carry_goes_over_the_next_and_what_has_left_does_not() {
    for has_left in [false, true] {
        let bench = bench(10).await;
        let _gate = bench.gate(22).await;
        bench.network.is_down.store(!has_left, Ordering::Relaxed);
        bench.network.is_deaf.store(has_left, Ordering::Relaxed);

        let mut channel = bench.open(22);
        channel.write_all(b"question").await.unwrap();
        until(|| bench.network.dials.load(Ordering::Relaxed) > 0).await;
        // The second one finds an exporter that knows nothing of the first.
        bench.network.is_deaf.store(false, Ordering::Relaxed);
        bench.network.come_back();

        if has_left {
            assert_eq!(cut(&mut channel).await, Cut::Forgotten, "it may have been delivered");
        } else {
            assert_eq!(word(&mut channel).await, Word::Accepted);
            let (mut backend, _) = soon(bench.backend.accept()).await.unwrap();
            let mut heard = [0; 8];
            soon(backend.read_exact(&mut heard)).await.unwrap();
            assert_eq!(&heard, b"question");
        }
    }
}

#[tokio::test]
async fn an_agent_that_ends_says_so() {
    let bench = bench(10).await;
    let _gate = bench.gate(22).await;
    let (mut channel, _backend) = bench.connected(22).await;
    bench.served.close(Farewell::Leaving).await;
    assert_eq!(cut(&mut channel).await, Cut::Leaving);

    let bench = self::bench(10).await;
    let _gate = bench.gate(22).await;
    let (_channel, mut backend) = bench.connected(22).await;
    bench.pool.leave().await;
    assert!(ends(&mut backend).await);
}
