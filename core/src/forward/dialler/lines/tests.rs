//! Tests of `lines`: which connections end, when, and which don't.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::forward::dialler::{Dialler, Early};
use crate::forward::reports::Reports;
use crate::forward::testing::{Act, Keys, NOW, Peer, Script, onion, port};

const GROUP: &str = "g";
const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    engine: Arc<Script>,
    dialler: Arc<Dialler>,
    peers: mpsc::UnboundedReceiver<Peer>,
}

fn bench(acts: impl IntoIterator<Item = Act>, otherwise: Act) -> Bench {
    let (engine, peers) = Script::new(acts, otherwise);
    let dialler = Dialler::new(Arc::clone(&engine) as _, Arc::new(Keys::default()), Reports::new().0);
    Bench { engine, dialler, peers }
}

impl Bench {
    async fn open(&mut self) -> (Carried, Peer) {
        let connected = self.dialler.connect(&onion(), port(80), GROUP, Early::none()).await.unwrap();
        (connected.stream, self.peers.recv().await.unwrap())
    }

    fn isolations(&self) -> Vec<String> {
        self.engine.dials().into_iter().map(|dial| dial.isolation).collect()
    }
}

/// When it ended and how, if it did so in time.
async fn end(stream: &mut Carried, patience: Duration) -> Option<(Duration, io::ErrorKind)> {
    let began = Instant::now();
    let read = timeout(patience, stream.read_u8()).await.ok()?;
    Some((began.elapsed(), read.unwrap_err().kind()))
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_died_without_a_word_ends_its_connections_within_two_minutes() {
    let acts = [Act::Accept(NOW), Act::Accept(NOW), Act::Hang, Act::Hang, Act::Accept(NOW)];
    let mut bench = bench(acts, Act::Accept(NOW));
    bench.dialler.has_responder(&onion());
    let (mut first, _first) = bench.open().await;
    let (mut second, _second) = bench.open().await;

    let (after, how) = end(&mut first, 10 * MINUTE).await.unwrap();

    assert_eq!(how, io::ErrorKind::ConnectionAborted);
    assert!(after <= 2 * MINUTE, "{after:?}");
    assert_eq!(end(&mut second, MINUTE).await, Some((Duration::ZERO, io::ErrorKind::ConnectionAborted)));
    // The next one gets another circuit.
    let (mut next, _next) = bench.open().await;
    assert_eq!(bench.isolations(), ["g", "g", "g", "g", "g~beside0", "g~1"]);
    assert_eq!(end(&mut next, MINUTE).await, None);
}

#[tokio::test(start_paused = true)]
async fn where_a_new_connection_finds_the_host_gone_the_circuits_to_it_are_asked_at_once() {
    let acts = [Act::Accept(NOW), Act::Fail(NOW, DialError::Gone), Act::Hang, Act::Hang];
    let mut bench = bench(acts, Act::Fail(NOW, DialError::Gone));
    bench.dialler.has_responder(&onion());
    let (mut open, _peer) = bench.open().await;

    tokio::time::sleep(Duration::from_secs(1)).await;
    let gone = async {
        // One attempt.
        let connect = async { bench.dialler.connect(&onion(), port(80), "other", Early::none()).await };
        let _ = timeout(Duration::from_millis(100), connect).await;
        std::future::pending::<(Duration, io::ErrorKind)>().await
    };
    let (after, how) = tokio::select! {
        biased;
        ended = end(&mut open, 10 * MINUTE) => ended.unwrap(),
        never = gone => never,
    };

    assert_eq!(how, io::ErrorKind::ConnectionAborted);
    assert!(after <= MINUTE, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_answers_keeps_its_connections_and_is_asked_seldom() {
    let mut bench = bench([], Act::Accept(NOW));
    bench.dialler.has_responder(&onion());
    let (mut stream, _peer) = bench.open().await;

    assert_eq!(end(&mut stream, 60 * MINUTE).await, None);

    let asked = bench.isolations().len() - 1;
    assert!((10..=16).contains(&asked), "{asked}");
    drop(stream);
    assert_eq!(timeout(60 * MINUTE, std::future::pending::<()>()).await.ok(), None);
    assert_eq!(bench.isolations().len() - 1, asked, "asked for nobody");
}

#[tokio::test(start_paused = true)]
async fn where_the_far_side_speaks_nobody_asks() {
    let mut bench = bench([Act::Accept(NOW)], Act::Hang);
    bench.dialler.has_responder(&onion());
    let (mut stream, mut peer) = bench.open().await;
    for _ in 0..20 {
        tokio::time::sleep(QUIET.0 - Duration::from_secs(1)).await;
        peer.stream.write_u8(7).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
    }
    assert_eq!(bench.isolations().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_network_is_gone_nothing_ends_before_tcp_would_give_up() {
    for fails in [Act::Hang, Act::Fail(NOW, DialError::NotReady)] {
        let mut bench = bench([Act::Accept(NOW)], fails);
        bench.dialler.has_responder(&onion());
        let (mut stream, _peer) = bench.open().await;

        let (after, how) = end(&mut stream, 60 * MINUTE).await.unwrap();

        assert_eq!(how, io::ErrorKind::ConnectionAborted);
        assert!((GIVEN_UP..GIVEN_UP + 2 * MINUTE + QUIET.0).contains(&after), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_tor_is_asked_once_a_new_connection_hangs_and_not_before() {
    // The first time the whole network is silent.
    let mut acts = vec![Act::Accept(NOW), Act::Hang, Act::Accept(NOW)];
    acts.extend(vec![Act::Hang; 5]);
    let mut bench = bench(acts, Act::Fail(NOW, DialError::Gone));
    let (mut first, _first) = bench.open().await;
    assert_eq!(end(&mut first, 60 * MINUTE).await, None);
    assert_eq!(bench.isolations().len(), 1);

    let (mut second, _second) = bench.open().await;

    assert_eq!(end(&mut first, 4 * MINUTE).await.map(|(_, how)| how), Some(io::ErrorKind::ConnectionAborted));
    assert_eq!(end(&mut second, MINUTE).await, None);
    let asked = ["g", "g", "g~beside0", "g", "g", "g~beside1"];
    assert_eq!(bench.isolations(), [&["g", "g", "g~1"], &asked[..]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_port_that_hangs_by_itself_ends_nothing() {
    let acts = [Act::Accept(NOW), Act::Hang, Act::Accept(NOW)];
    for answer in [Act::Accept(NOW), Act::Fail(NOW, DialError::Failed)] {
        let mut bench = bench(acts.clone(), answer);
        let (mut first, _first) = bench.open().await;

        let (_second, _peer) = bench.open().await;

        assert_eq!(end(&mut first, 20 * MINUTE).await, None);
    }
}

/// Questions on the circuit hang, and those beside it are answered.
fn dead() -> Vec<Act> {
    let question = [Act::Hang, Act::Hang, Act::Accept(NOW)];
    [vec![Act::Accept(NOW)], question.iter().cycle().take(60).cloned().collect()].concat()
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_gets_on_slowly_goes_on_and_one_that_stands_still_does_not() {
    let mut bench = bench(dead(), Act::Hang);
    bench.dialler.has_responder(&onion());
    let (stream, mut peer) = bench.open().await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let uploading = tokio::spawn(async move { while writer.write_all(&[7; 4096]).await.is_ok() {} });

    // About 2 KB/s, and never a word from the far side.
    let mut taken = vec![0; 100 * 1024];
    for _ in 0..20 {
        let heard = timeout(Duration::from_secs(50), reader.read_u8()).await;
        assert!(heard.is_err(), "a live upload was ended: {heard:?}");
        peer.stream.read_exact(&mut taken).await.unwrap();
    }
    let stopped = Instant::now();
    let ended = timeout(10 * MINUTE, reader.read_u8()).await.expect("it ends").unwrap_err();

    assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted);
    assert!(stopped.elapsed() <= 2 * MINUTE + QUIET.0, "{:?}", stopped.elapsed());
    drop(reader);
    uploading.abort();
}

#[tokio::test(start_paused = true)]
async fn bytes_that_tor_only_keeps_hide_no_dead_circuit() {
    let mut bench = bench(dead(), Act::Hang);
    bench.dialler.has_responder(&onion());
    let (stream, _peer) = bench.open().await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let began = Instant::now();
    let typing = tokio::spawn(async move {
        while writer.write_all(b"ls\n").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });

    let ended = timeout(10 * MINUTE, reader.read_u8()).await.expect("it ends").unwrap_err();

    assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted);
    assert!(began.elapsed() <= 2 * MINUTE, "{:?}", began.elapsed());
    typing.abort();
}

#[tokio::test(start_paused = true)]
async fn what_leads_to_a_deleted_remote_ends_and_a_connection_that_comes_too_late_does_so_at_once() {
    let late = Act::Accept(Duration::from_secs(5));
    let mut bench = bench([Act::Accept(NOW), late], Act::Accept(NOW));
    bench.dialler.keep([onion()].into());
    let (mut open, mut peer) = bench.open().await;
    peer.stream.write_all(b"came too late").await.unwrap();
    let under_way = tokio::spawn({
        let dialler = Arc::clone(&bench.dialler);
        async move { dialler.connect(&onion(), port(80), GROUP, Early::none()).await.unwrap().stream }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;

    bench.dialler.keep([crate::forward::testing::other_onion()].into());

    // Before the other one comes.
    let read = timeout(Duration::from_secs(1), open.read_u8()).await.expect("it ends at once");
    assert_eq!(read.unwrap_err().to_string(), "its remote was deleted");
    let mut late = under_way.await.unwrap();
    for stream in [&mut open, &mut late] {
        let read = timeout(MINUTE, stream.read_u8()).await.expect("it ends").unwrap_err();
        assert_eq!(read.to_string(), "its remote was deleted");
        let written = stream.write_all(b"x").await.unwrap_err();
        assert_eq!(written.kind(), io::ErrorKind::ConnectionAborted);
    }
    // Added again, it is reached as before.
    bench.dialler.keep([onion()].into());
    let _ = bench.peers.recv().await;
    let (mut anew, mut peer) = bench.open().await;
    peer.stream.write_u8(7).await.unwrap();
    assert_eq!(anew.read_u8().await.unwrap(), 7);
}
