//! Imports at their limits, in a process of their own: many idle connections cost little, and wanting more than there are descriptors ends nothing.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use ormesh_core::engine::stream::Stream;
use ormesh_core::engine::{
    Attempt, AwaitReply, DialError, EngineError, EngineEvent, EngineState, OnionEngine, ServiceSpec,
};
use ormesh_core::forward::dialler::{Dialler, Rekey};
use ormesh_core::forward::import::{ImportListener, ImportSpec};
use ormesh_core::forward::reports::Reports;
use ormesh_core::model::address::{ListenAddr, Port};
use ormesh_core::model::config::{HalfClose, Users};
use ormesh_core::model::keys::{ClientKey, ServiceKey};
use ormesh_core::model::onion::OnionAddress;
use ormesh_core::model::status::TorStatus;
use support::{figure, times, until};
use tokio::sync::{mpsc, watch};

/// Open at a time in every run, and in a soak: what one of two imports can have of 20,000 descriptors.
const IDLE: (usize, usize) = (1_000, 5_700);
/// Connections that come and go, and those that are aborted.
const TURNOVER: (usize, usize) = (2_000, 100_000);
const ABORTED: (usize, usize) = (500, 10_000);
/// So many at a time.
const WORKERS: usize = 8;

/// Tells the child where its remote is.
const BACKEND: &str = "ORMESH_TEST_BACKEND";
/// Tells the child how many descriptors it may have.
const NOFILE: &str = "ORMESH_TEST_NOFILE";

/// The port that is never reached: a dial to it goes on until it is given up, after a minute.
const AWAY: u16 = 23;

/// A remote that is a TCP address.
struct Direct {
    backend: SocketAddr,
    state: watch::Sender<EngineState>,
}

struct Connected(Stream);

#[async_trait]
impl AwaitReply for Connected {
    async fn send_early(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        tokio::io::AsyncWriteExt::write_all(&mut self.0, bytes)
            .await
            .map_err(|error| DialError::Broken(error.to_string()))
    }
    async fn reply(self: Box<Self>) -> Result<Stream, DialError> {
        Ok(self.0)
    }
}

#[async_trait]
impl OnionEngine for Direct {
    fn state(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }
    fn clock_warning(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }
    fn info(&self) -> Option<TorStatus> {
        None
    }
    fn events(&self) -> Option<mpsc::UnboundedReceiver<EngineEvent>> {
        None
    }
    async fn run(&self, _on: bool) {}
    async fn publish(&self, _service: &ServiceSpec, _key: &ServiceKey) -> Result<(), EngineError> {
        Ok(())
    }
    async fn replace(&self, _service: &ServiceSpec, _key: &ServiceKey) -> Result<(), EngineError> {
        Ok(())
    }
    async fn withdraw(&self, _address: &OnionAddress) -> Result<(), EngineError> {
        Ok(())
    }
    async fn add_client_key(&self, _address: &OnionAddress, _key: &ClientKey) -> Result<(), EngineError> {
        Ok(())
    }
    async fn remove_client_key(&self, _address: &OnionAddress) -> Result<(), EngineError> {
        Ok(())
    }
    async fn has_client_key(&self, _address: &OnionAddress) -> Result<bool, EngineError> {
        Ok(true)
    }
    async fn fetch_descriptor(&self, _address: &OnionAddress) -> Result<(), EngineError> {
        Ok(())
    }
    async fn dial(
        &self,
        _address: &OnionAddress,
        port: Port,
        _isolation: &str,
    ) -> Result<Attempt, DialError> {
        if port.get() == AWAY {
            return std::future::pending().await;
        }
        let stream = tokio::net::TcpStream::connect(self.backend).await;
        let stream = stream.map_err(|error| DialError::Broken(error.to_string()))?;
        Ok(Box::new(Connected(Stream::Tcp(stream))))
    }
}

struct NoKeys;

#[async_trait]
impl Rekey for NoKeys {
    async fn rekey(&self, _address: &OnionAddress) -> bool {
        false
    }
}

#[test]
#[ignore = "the other tests run it as a process of its own"]
fn child() {
    let backend = std::env::var(BACKEND).unwrap().parse().unwrap();
    if let Ok(limit) = std::env::var(NOFILE) {
        let limit = Some(limit.parse().unwrap());
        let limit = rustix::process::Rlimit { current: limit, maximum: limit };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Direct { backend, state: watch::Sender::new(EngineState::Ready) };
        let dialler = Dialler::new(Arc::new(engine), Arc::new(NoKeys), Reports::nowhere());
        let spec = |port: u16| ImportSpec {
            listen: ListenAddr::Tcp(([127, 0, 0, 1], 0).into()),
            remote: "website".parse().unwrap(),
            address: "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion".parse().unwrap(),
            port: Port::new(port).unwrap(),
            half_close: HalfClose::Hold,
            by: ormesh_core::forward::reach::By::default(),
            users: Users::All,
        };
        let import = ImportListener::open(spec(22), Arc::clone(&dialler)).await.unwrap();
        let away = ImportListener::open(spec(AWAY), dialler).await.unwrap();
        println!("listening {} {}", import.tcp_addr().unwrap(), away.tcp_addr().unwrap());
        // Until the parent ends or has had enough.
        let stdin = thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
        while !stdin.is_finished() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        import.close().await;
        away.close().await;
    });
}

/// A child with two imports; it ends with this value.
struct Import {
    process: Child,
    addr: SocketAddr,
    /// Of the one whose remote is away.
    away: SocketAddr,
}

impl Import {
    fn start(backend: SocketAddr, nofile: Option<u32>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(BACKEND, backend.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(limit) = nofile {
            command.env(NOFILE, limit.to_string());
        }
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // The test harness writes its own words ahead of the child's on the same line.
        let listening = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once("listening ").map(|(_, addrs)| addrs.trim().to_owned()))
            .expect("the child should have said where it listens");
        let (addr, away) = listening.split_once(' ').unwrap();
        Self { process, addr: addr.parse().unwrap(), away: away.parse().unwrap() }
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// Resident memory that is its own, in bytes.
    fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Sends each connection's bytes back; returns its address.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    // One that is aborted is no matter here.
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
    });
    addr
}

/// Lets this process, and those that it starts, have as many descriptors as it may.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

fn connect(import: &Import) -> TcpStream {
    let stream = TcpStream::connect(import.addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Whether a byte sent comes back.
fn echoes(mut stream: &TcpStream) -> bool {
    let mut back = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut back).is_ok() && &back == b"x"
}

#[test]
fn a_thousand_idle_connections_cost_two_descriptors_and_little_memory_each() {
    raise_descriptors();
    let many = times(IDLE.0, IDLE.1);
    let import = Import::start(echo_server(), None);
    // What is needed once, such as the shared buffer, is there after the first.
    let descriptors = import.descriptors();
    assert!((0..10).all(|_| echoes(&connect(&import))));
    until("the first connections should end", || import.descriptors() == descriptors);
    let memory = import.memory();

    let open: Vec<TcpStream> = (0..many).map(|_| connect(&import)).collect();
    assert_eq!(open.iter().take_while(|stream| echoes(stream)).count(), many);

    let each = (import.memory() - memory) / many;
    figure(&format!("bytes a connection, of {many}"), each);
    assert_eq!(import.descriptors() - descriptors, 2 * many);
    // 3 KiB is the goal; an unoptimised build and the allocator's pages get a little more room.
    assert!(each <= 4 * 1024, "{each} bytes a connection");

    drop(open);
    until("all descriptors should be given back", || import.descriptors() == descriptors);
}

/// Connects so often; each transfers a byte and ends in order, or is reset.
fn come_and_go(import: &Import, many: usize, aborted: bool) {
    let one = || {
        let stream = connect(import);
        assert!(echoes(&stream));
        if aborted {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| (0..many / WORKERS).for_each(|_| one()));
        }
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let (many, aborted) = (times(TURNOVER.0, TURNOVER.1), times(ABORTED.0, ABORTED.1));
    let import = Import::start(echo_server(), None);
    let descriptors = import.descriptors();
    // What is needed once is there after some.
    come_and_go(&import, 1_000, false);
    come_and_go(&import, 500, true);
    until("the first connections should end", || import.descriptors() == descriptors);
    let memory = import.memory();

    come_and_go(&import, many, false);
    come_and_go(&import, aborted, true);

    until("all descriptors should be given back", || import.descriptors() == descriptors);
    let grown = import.memory().saturating_sub(memory);
    figure(&format!("memory grown by {many} connections and {aborted} aborted ones, KiB"), grown / 1024);
    assert!(grown < 1024 * 1024, "{grown} bytes");
}

#[test]
fn more_connections_than_descriptors_end_nothing_and_are_recovered_from() {
    let mut import = Import::start(echo_server(), Some(64));
    let first = connect(&import);
    assert!(echoes(&first));

    // The system accepts them for the import, which has room for ten.
    let many: Vec<TcpStream> = (0..300).map(|_| connect(&import)).collect();
    assert!(many[..9].iter().all(echoes));
    assert!(import.descriptors() < 60, "some descriptors should be left");

    // One that waits gets through once another has ended.
    let (last, others) = many.split_last().unwrap();
    for other in others {
        other.shutdown(Shutdown::Both).unwrap();
    }
    assert!(echoes(last));
    assert!(echoes(&first) && echoes(&connect(&import)));
    assert!(import.is_running());
}

#[test]
fn an_import_whose_remote_is_away_can_not_starve_another() {
    let import = Import::start(echo_server(), Some(256));
    // Each is dialled for a minute. There is room for 98 sessions in all.
    let before = import.descriptors();
    let waiting: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(import.away).unwrap()).collect();
    until("they should have been accepted", || import.descriptors() >= before + 60);

    let served: Vec<TcpStream> = (0..16).map(|_| connect(&import)).collect();

    assert!(served.iter().all(echoes));
    drop(waiting);
}
