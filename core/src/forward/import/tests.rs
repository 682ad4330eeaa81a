//! Tests of `import`: from an application's connection to the remote and back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::engine::{DialError, EngineState};
use crate::forward::reports::Reports;
use crate::forward::testing::{Act, Keys, NOW, Peer, Script, onion, port, read_all, soon, until};
use crate::store::apart::all_done;

async fn import(
    acts: impl IntoIterator<Item = Act>,
    otherwise: Act,
) -> (ImportListener, Arc<Script>, mpsc::UnboundedReceiver<Peer>) {
    let (engine, peers) = Script::new(acts, otherwise);
    let dialler = Dialler::new(Arc::clone(&engine) as _, Arc::new(Keys::default()), Reports::nowhere());
    let spec = ImportSpec {
        listen: ListenAddr::Tcp(([127, 0, 0, 1], 0).into()),
        remote: "website".parse().unwrap(),
        address: onion(),
        port: port(22),
        half_close: HalfClose::Hold,
        users: Users::All,
        by: crate::forward::reach::By::default(),
    };
    (ImportListener::open(spec, dialler).await.unwrap(), engine, peers)
}

async fn connect(import: &ImportListener) -> TcpStream {
    TcpStream::connect(import.tcp_addr().unwrap()).await.unwrap()
}

#[tokio::test]
async fn bytes_go_both_ways_and_are_counted() {
    let (import, engine, mut peers) = import([], Act::Accept(NOW)).await;
    assert_eq!(import.stats(), Stats::default());
    // The second time the circuit is warm, and the bytes are counted all the same.
    for round in 1..=2 {
        let mut app = connect(&import).await;
        app.write_all(b"hello").await.unwrap();
        let mut peer = soon(peers.recv()).await.unwrap();
        assert_eq!(peer.port, port(22));
        let mut heard = [0; 5];
        peer.stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        peer.stream.write_all(b"good-bye").await.unwrap();
        drop(peer);
        assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"good-bye");
        drop(app);
        until(|| import.stats().sessions_open == 0).await;

        let stats = import.stats();
        assert_eq!((stats.bytes_out, stats.bytes_in), (5 * round, 8 * round));
    }
    assert_eq!(engine.dials()[0].isolation, import.groups()[0]);
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let (import, _, mut peers) = import([], Act::Accept(NOW)).await;
    for _cold_then_warm in 0..2 {
        let mut app = connect(&import).await;
        let mut peer = soon(peers.recv()).await.unwrap();
        peer.stream.write_all(b"220 ready").await.unwrap();

        let mut heard = [0; 9];
        soon(app.read_exact(&mut heard)).await.unwrap();

        assert_eq!(&heard, b"220 ready");
    }
}

#[tokio::test]
async fn a_dial_that_fails_resets_the_application() {
    let (import, ..) = import([], Act::Fail(NOW, DialError::PortNotExported(port(22)))).await;
    let mut app = connect(&import).await;
    app.write_all(b"hello").await.unwrap();

    let error = soon(read_all(&mut app)).await.unwrap_err();

    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    until(|| import.stats().sessions_open == 0).await;
}

#[tokio::test]
async fn the_listener_accepts_while_tor_is_away_and_those_who_wait_get_through() {
    let (import, engine, mut peers) = import([], Act::Accept(NOW)).await;
    engine.state.send_replace(EngineState::Starting);
    let mut apps = Vec::new();
    for _ in 0..20 {
        apps.push(connect(&import).await);
    }
    until(|| import.stats().sessions_open == 20).await;
    assert_eq!(engine.dials().len(), 0);

    engine.state.send_replace(EngineState::Ready);

    for _ in 0..20 {
        soon(peers.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn closing_ends_listener_and_sessions_also_those_that_still_dial() {
    let (import, engine, mut peers) = import([Act::Accept(NOW)], Act::Hang).await;
    let addr = import.tcp_addr().unwrap();
    let mut open = connect(&import).await;
    let mut peer = soon(peers.recv()).await.unwrap();
    let mut dialling = connect(&import).await;
    until(|| engine.dials().len() == 2).await;

    soon(import.close()).await;

    for app in [&mut open, &mut dialling] {
        let error = soon(read_all(app)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it was not the remote's end");
    }
    assert_eq!(soon(read_all(&mut peer.stream)).await.unwrap(), b"");
    assert_eq!(import.stats().sessions_open, 0);
    TcpStream::connect(addr).await.unwrap_err();
}

#[tokio::test]
async fn an_application_that_goes_away_ends_the_dialling() {
    let (import, engine, _peers) = import([], Act::Hang).await;
    let app = connect(&import).await;
    until(|| engine.dials().len() == 1).await;

    Stream::Tcp(app).abort("test");

    until(|| import.stats().sessions_open == 0).await;
}

#[tokio::test]
async fn an_end_without_a_byte_is_a_reset_where_the_agent_there_says_that_its_port_is_full() {
    for (told, is_reset) in
        [(r#"{"port":22,"open":true,"full":[4,4]}"#, true), (r#"{"port":22,"open":true}"#, false)]
    {
        let (import, _, mut peers) = import([], Act::Accept(NOW)).await;
        import.shared.dialler.has_responder(&onion());
        let mut app = connect(&import).await;
        drop(soon(peers.recv()).await.unwrap());
        let asked = async {
            let mut agent = soon(peers.recv()).await.unwrap();
            assert_eq!(agent.port, Port::RESPONDER);
            let answer = format!("{{\"ormesh\":1,\"ports\":[{told}]}}\n");
            agent.stream.write_all(answer.as_bytes()).await.unwrap();
            agent
        };

        let (ended, _agent) = tokio::join!(read_all(&mut app), asked);

        assert_eq!(ended.is_err(), is_reset, "{ended:?}");
        let full = tokio::time::timeout(Duration::from_millis(1), import.shared.dialler.next_full()).await;
        assert_eq!(full.is_ok(), is_reset, "it is asked again while it is full");
    }
}

#[tokio::test]
async fn a_half_closed_request_gets_its_whole_reply() {
    const REPLY: usize = 1_000_000;
    let (import, _, mut peers) = import([], Act::Accept(NOW)).await;
    let mut app = connect(&import).await;
    app.write_all(b"request").await.unwrap();
    app.shutdown().await.unwrap();
    let mut peer = soon(peers.recv()).await.unwrap();
    tokio::spawn(async move {
        peer.stream.read_exact(&mut [0; 7]).await.unwrap();
        // Tor has no half-close: had the end been passed on, this is where the connection would be gone.
        let more = tokio::time::timeout(Duration::from_millis(50), peer.stream.read_u8()).await;
        assert!(more.is_err(), "the application's end was passed on");
        peer.stream.write_all(&vec![b'x'; REPLY]).await.unwrap();
    });

    assert_eq!(soon(read_all(&mut app)).await.unwrap().len(), REPLY);
}

#[cfg(unix)]
#[tokio::test]
async fn an_import_can_listen_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let (engine, mut peers) = Script::new([], Act::Accept(NOW));
    let dialler = Dialler::new(engine, Arc::new(Keys::default()), Reports::nowhere());
    let spec = ImportSpec {
        listen: ListenAddr::Unix(path.clone()),
        remote: "website".parse().unwrap(),
        address: onion(),
        port: port(22),
        half_close: HalfClose::Pass,
        users: Users::All,
        by: crate::forward::reach::By::default(),
    };
    let import = ImportListener::open(spec, dialler).await.unwrap();
    let mut app = tokio::net::UnixStream::connect(&path).await.unwrap();
    app.write_all(b"request").await.unwrap();
    app.shutdown().await.unwrap();
    let mut peer = soon(peers.recv()).await.unwrap();

    assert_eq!(soon(read_all(&mut peer.stream)).await.unwrap(), b"request");

    soon(import.close()).await;
    soon(all_done()).await;
    assert!(!path.exists());
}

/// Its agent was seen to have sessions before: it is an older one again, or they were switched off.
#[tokio::test]
async fn a_far_side_that_has_no_sessions_after_all_is_reached_plain() {
    let (import, engine, mut peers) = import([], Act::Accept(NOW)).await;
    let sessions = import.shared.dialler.sessions();
    sessions.announced(&onion(), Some(crate::forward::sessions::pool::VERSION));
    let mut app = connect(&import).await;
    app.write_all(b"question").await.unwrap();
    let mut responder = soon(peers.recv()).await.unwrap();
    assert_eq!(responder.port, Port::RESPONDER);
    let mut asked = [0; 20];
    soon(responder.stream.read_exact(&mut asked)).await.unwrap();
    assert!(crate::forward::sessions::pool::ASKS.starts_with(&asked));
    responder.stream.write_all(b"{\"ormesh\":1,\"error\":\"unknown question\"}\n").await.unwrap();
    drop(responder);

    let mut peer = soon(peers.recv()).await.unwrap();

    assert_eq!(peer.port, port(22));
    let mut heard = [0; 8];
    soon(peer.stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"question");
    peer.stream.write_all(b"answer").await.unwrap();
    drop(peer);
    assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"answer");
    // The next one does not even ask.
    until(|| !sessions.may(&onion())).await;
    let mut app = connect(&import).await;
    app.write_all(b"again").await.unwrap();
    assert_eq!(soon(peers.recv()).await.unwrap().port, port(22));
    assert_eq!(engine.dials().len(), 3);
}
