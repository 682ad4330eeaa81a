//! Tests of `gate`: sessions are counted, capped and closed; backends are checked each time.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::*;
use crate::forward::testing::{onion, other_onion, port, read_all, soon, until};
use crate::model::address::Host;

const SESSION_CAP: u64 = 512;

struct Bench {
    dir: TempDir,
    context: GateContext,
    backend: TcpListener,
    target: Target,
    sessions: Arc<ClientSessions>,
    events: mpsc::UnboundedReceiver<GateEvent>,
}

async fn bench(cap: u64) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = backend.local_addr().unwrap();
    let (sender, events) = mpsc::unbounded_channel();
    let sessions =
        ClientSessions::new(onion(), "laptop".parse().unwrap(), false, sender, cap, Calendar::system());
    let target = Target::Tcp(Host::Ip(addr.ip()), port(addr.port()));
    Bench { context: GateContext::new(dir.path()), dir, backend, target, sessions, events }
}

impl Bench {
    async fn gate(&self, number: u16) -> Gate {
        Gate::open(&self.context, port(number), self.target.clone(), Arc::clone(&self.sessions))
            .await
            .unwrap()
    }

    /// As tor does: from the run directory.
    async fn dial(&self, gate: &Gate) -> UnixStream {
        let GateAddr::Unix(name) = gate.addr() else { panic!("not a Unix socket") };
        UnixStream::connect(self.dir.path().join(name)).await.unwrap()
    }
}

#[tokio::test]
async fn a_session_reaches_the_backend_and_is_counted() {
    let mut bench = bench(SESSION_CAP).await;
    let gate = bench.gate(22).await;
    assert_eq!(bench.sessions.stats().last_seen, None, "it was never here");
    let mut tor = bench.dial(&gate).await;
    tor.write_all(b"hello").await.unwrap();
    let (mut backend, _) = soon(bench.backend.accept()).await.unwrap();
    let mut heard = [0; 5];
    backend.read_exact(&mut heard).await.unwrap();
    backend.write_all(b"good-bye").await.unwrap();
    assert_eq!(bench.sessions.stats().open, 1);
    drop(backend);

    assert_eq!(soon(read_all(&mut tor)).await.unwrap(), b"good-bye");

    drop(tor);
    until(|| bench.sessions.stats().open == 0).await;
    let stats = bench.sessions.stats();
    assert_eq!((stats.bytes_in, stats.bytes_out), (5, 8));
    assert!(stats.last_seen.is_some());
    let first = GateEvent::FirstStream { address: onion(), client: "laptop".parse().unwrap() };
    assert_eq!(bench.events.try_recv().unwrap(), first);
}

#[tokio::test]
async fn a_client_that_got_another_name_is_told_of_by_it() {
    let mut bench = bench(SESSION_CAP).await;
    let gate = bench.gate(22).await;
    bench.sessions.rename(&"desk".parse().unwrap());
    let _tor = bench.dial(&gate).await;
    soon(bench.backend.accept()).await.unwrap();
    let first = GateEvent::FirstStream { address: onion(), client: "desk".parse().unwrap() };
    assert_eq!(bench.events.try_recv().unwrap(), first);
}

#[tokio::test]
async fn a_backends_failure_is_told_for_a_while() {
    let mut bench = bench(SESSION_CAP).await;
    bench.target = Target::Unix(bench.dir.path().join("nobody"));
    let gate = bench.gate(22).await;
    assert_eq!((gate.port(), gate.backend_error()), (port(22), None), "nobody has tried it");
    let _tor = bench.dial(&gate).await;
    until(|| gate.backend_error().is_some()).await;

    tokio::time::pause();
    let (at, _) = gate.last().unwrap();
    tokio::time::advance(ERROR_LIFE - at.elapsed() - Duration::from_nanos(1)).await;
    assert!(
        gate.backend_error().is_some_and(|why| why.contains("No such file")),
        "{:?}",
        gate.backend_error()
    );
    tokio::time::advance(Duration::from_nanos(1)).await;
    assert_eq!(gate.backend_error(), None);
}

#[tokio::test]
async fn the_first_stream_is_told_once_for_all_gates_and_never_for_a_known_client() {
    let mut bench = bench(SESSION_CAP).await;
    let (ssh, web) = (bench.gate(22).await, bench.gate(80).await);
    for gate in [&ssh, &web, &ssh] {
        let _tor = bench.dial(gate).await;
        soon(bench.backend.accept()).await.unwrap();
    }
    assert!(bench.events.try_recv().is_ok());
    assert!(bench.events.try_recv().is_err());

    let (sender, mut events) = mpsc::unbounded_channel();
    let known = ClientSessions::new(
        other_onion(),
        "known".parse().unwrap(),
        true,
        sender,
        SESSION_CAP,
        Calendar::system(),
    );
    let gate = Gate::open(&bench.context, port(22), bench.target.clone(), known).await.unwrap();
    let _tor = bench.dial(&gate).await;
    soon(bench.backend.accept()).await.unwrap();
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn sockets_are_private_and_one_for_each_client_and_port() {
    let bench = bench(SESSION_CAP).await;
    let (sender, _events) = mpsc::unbounded_channel();
    let other = ClientSessions::new(
        other_onion(),
        "other".parse().unwrap(),
        false,
        sender,
        SESSION_CAP,
        Calendar::system(),
    );
    let gates = [
        bench.gate(22).await,
        bench.gate(80).await,
        Gate::open(&bench.context, port(22), bench.target.clone(), other).await.unwrap(),
    ];

    let names: std::collections::BTreeSet<_> =
        gates.iter().map(|gate| format!("{:?}", gate.addr())).collect();

    assert_eq!(names.len(), 3);
    for gate in &gates {
        let GateAddr::Unix(name) = gate.addr() else { panic!("not a Unix socket") };
        assert!(name.is_relative() && name.as_os_str().len() == 14);
        assert_eq!(fs::metadata(bench.dir.path().join(name)).unwrap().mode() & 0o777, 0o600);
    }
    // Closed and opened again, say by the next agent, it has the same name.
    let was = gates[0].addr().clone();
    gates[0].close_all().await;
    assert_eq!(bench.gate(22).await.addr(), &was);
}

#[tokio::test]
async fn closing_ends_fifty_sessions_at_both_ends_and_lets_no_one_in() {
    let bench = bench(SESSION_CAP).await;
    let (gate, other) = (bench.gate(22).await, bench.gate(80).await);
    let mut ends = Vec::new();
    for _ in 0..50 {
        let tor = bench.dial(&gate).await;
        ends.push((tor, soon(bench.backend.accept()).await.unwrap().0));
    }
    let mut bystander = (bench.dial(&other).await, soon(bench.backend.accept()).await.unwrap().0);
    let GateAddr::Unix(name) = gate.addr().clone() else { panic!("not a Unix socket") };

    soon(gate.close_all()).await;

    for (mut tor, mut backend) in ends {
        assert_eq!(soon(read_all(&mut tor)).await.unwrap(), b"");
        let error = soon(read_all(&mut backend)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "what it has may be a part");
    }
    UnixStream::connect(bench.dir.path().join(name)).await.unwrap_err();
    bystander.0.write_all(b"x").await.unwrap();
    soon(bystander.1.read_exact(&mut [0])).await.unwrap();
    assert_eq!(bench.sessions.stats().open, 1);
}

#[tokio::test]
async fn another_cap_holds_from_the_next_session_on() {
    let bench = bench(1).await;
    let gate = bench.gate(22).await;
    let _first = bench.dial(&gate).await;
    soon(bench.backend.accept()).await.unwrap();
    assert_eq!(soon(read_all(&mut bench.dial(&gate).await)).await.unwrap(), b"");

    bench.sessions.set_cap(2);

    let mut second = bench.dial(&gate).await;
    tokio::select! {
        accepted = soon(bench.backend.accept()) => drop(accepted.unwrap()),
        _ = read_all(&mut second) => panic!("it was turned away"),
    }
    until(|| bench.sessions.stats().open == 2).await;
}

#[tokio::test]
async fn sessions_over_the_cap_are_closed_at_once_over_all_gates() {
    let bench = bench(3).await;
    let gates = [bench.gate(22).await, bench.gate(80).await];
    let mut open = Vec::new();
    for n in 0..3 {
        let tor = bench.dial(&gates[n % 2]).await;
        open.push((tor, soon(bench.backend.accept()).await.unwrap().0));
    }

    for gate in &gates {
        let mut one_too_many = bench.dial(gate).await;
        assert_eq!(soon(read_all(&mut one_too_many)).await.unwrap(), b"");
    }

    assert_eq!(bench.sessions.stats().open, 3);
    let refused = bench.sessions.crowded();
    let refused: Vec<_> = refused.iter().map(|(port, crowded)| (port.get(), crowded.refused)).collect();
    assert_eq!(refused, [(22, 1), (80, 1)]);
    drop(open.pop());
    until(|| bench.sessions.stats().open == 2).await;
    let _tor = bench.dial(&gates[0]).await;
    soon(bench.backend.accept()).await.unwrap();
}

#[tokio::test]
async fn a_closed_backend_closes_the_session_at_once_and_is_remembered() {
    let mut bench = bench(SESSION_CAP).await;
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    bench.target = Target::Tcp(Host::Ip(closed.ip()), port(closed.port()));
    let gate = bench.gate(22).await;
    let mut tor = bench.dial(&gate).await;

    assert_eq!(soon(read_all(&mut tor)).await.unwrap(), b"");
    until(|| gate.backend_error().is_some_and(|why| why.contains("does not accept"))).await;

    // Once the backend is there, the same gate works.
    let backend = TcpListener::bind(closed).await.unwrap();
    let _tor = bench.dial(&gate).await;
    soon(backend.accept()).await.unwrap();
    until(|| gate.backend_error().is_none()).await;
}

#[tokio::test]
async fn of_a_port_it_counts_which_client_found_what_last() {
    let mut bench = bench(SESSION_CAP).await;
    let (sender, _events) = mpsc::unbounded_channel();
    let other = ClientSessions::new(
        other_onion(),
        "desktop".parse().unwrap(),
        true,
        sender,
        SESSION_CAP,
        Calendar::system(),
    );
    let other = Gate::open(&bench.context, port(22), bench.target.clone(), other).await.unwrap();
    bench.target = Target::Unix(bench.dir.path().join("nobody"));
    let gate = bench.gate(22).await;
    let error = || Gate::last_used([&gate, &other].into_iter())[&port(22)].backend_error();
    let _first = bench.dial(&gate).await;
    until(|| error().is_some()).await;

    let _second = bench.dial(&other).await;

    until(|| error().is_none()).await;
    assert!(gate.backend_error().is_some());
}

#[tokio::test]
async fn a_backend_may_be_a_unix_socket() {
    let mut bench = bench(SESSION_CAP).await;
    let path = bench.dir.path().join("backend");
    let backend = UnixListener::bind(&path).unwrap();
    bench.target = Target::Unix(path);
    let gate = bench.gate(22).await;
    let mut tor = bench.dial(&gate).await;
    let (mut backend, _) = soon(backend.accept()).await.unwrap();
    backend.write_all(b"x").await.unwrap();

    soon(tor.read_exact(&mut [0])).await.unwrap();
}

#[tokio::test]
async fn another_socket_in_the_place_of_one_that_was_removed_serves_the_same_sessions() {
    let bench = bench(SESSION_CAP).await;
    let mut gate = bench.gate(22).await;
    let mut tor = bench.dial(&gate).await;
    let (mut backend, _) = soon(bench.backend.accept()).await.unwrap();
    let socket = gate.socket().unwrap().clone();
    assert!(!socket.is_gone());
    let GateAddr::Unix(name) = gate.addr().clone() else { panic!("not a Unix socket") };
    fs::remove_file(bench.dir.path().join(name)).unwrap();
    assert!(socket.is_gone());

    let (bound, addr) = open_socket(&bench.context, &onion(), port(22)).await.unwrap();
    gate.renew(bound, addr);

    assert!(gate.socket().is_some_and(|new| *new != socket && !new.is_gone()));
    let _another = bench.dial(&gate).await;
    soon(bench.backend.accept()).await.unwrap();
    tor.write_all(b"x").await.unwrap();
    soon(backend.read_exact(&mut [0])).await.unwrap();
    assert_eq!(bench.sessions.stats().open, 2);
}

#[tokio::test]
async fn only_the_gate_that_turned_somebody_away_is_told_and_only_while_it_is_open() {
    let bench = bench(1).await;
    let (full, other) = (bench.gate(22).await, bench.gate(80).await);
    let _first = bench.dial(&full).await;
    soon(bench.backend.accept()).await.unwrap();
    assert_eq!(bench.sessions.crowded(), []);

    assert_eq!(soon(read_all(&mut bench.dial(&full).await)).await.unwrap(), b"");

    let crowded: Vec<_> = bench.sessions.crowded().into_iter().map(|(port, _)| port.get()).collect();
    assert_eq!(crowded, [22]);
    soon(full.close_all()).await;
    drop(full);
    until(|| bench.sessions.crowded().is_empty()).await;
    drop(other);
}

#[test]
fn all_gates_know_which_process_is_tor_and_whether_one_is() {
    let (tor, at_a_gate) = (TorProcess::default(), TorProcess::default());
    assert_eq!(tor.get(), None);
    let shared = tor.clone();
    tor.set(Some(7));
    assert_eq!((shared.get(), at_a_gate.get()), (Some(7), None));
    tor.set(None);
    assert_eq!(shared.get(), None);
}
