//! Tests of `relay`: the right bytes, the close policy, the bounds.

use std::sync::atomic::AtomicUsize;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::engine::stream::Stream;
use crate::forward::holds::HOLD_LIMIT;
use crate::forward::testing::{read_all, soon, tcp_pair, until};

/// A relay between two pipes; returns the outer ends and the relay's task.
fn piped(
    rule: OnNearEnd,
    room: usize,
) -> (DuplexStream, DuplexStream, Arc<Traffic>, tokio::task::JoinHandle<Ending>) {
    let (app, near) = duplex(room);
    let (far, tor) = duplex(room);
    let traffic = Arc::new(Traffic::default());
    let task = tokio::spawn(run(near, far, Vec::new(), rule, Arc::clone(&traffic)));
    (app, tor, traffic, task)
}

fn hold() -> OnNearEnd {
    OnNearEnd::Hold(Holds::new(HOLD_LIMIT))
}

async fn talk(stream: impl AsyncRead + AsyncWrite, says: Vec<Vec<u8>>, hears: usize, gulp: usize) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let speak = async {
        for words in says {
            writer.write_all(&words).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let listen = async {
        let mut heard = Vec::new();
        let mut buffer = vec![0; gulp];
        while heard.len() < hears {
            let n = reader.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0, "it ended early");
            heard.extend_from_slice(&buffer[..n]);
            tokio::task::yield_now().await;
        }
        heard
    };
    tokio::join!(speak, listen).1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_right_bytes_come_out_whatever_the_sizes_and_stalls(
        up in vec(vec(any::<u8>(), 0..3000), 0..40),
        down in vec(vec(any::<u8>(), 0..3000), 0..40),
        first in vec(any::<u8>(), 0..200),
        rooms in (1usize..5000, 1usize..5000),
        gulps in (1usize..5000, 1usize..5000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (app, near) = duplex(rooms.0);
            let (far, tor) = duplex(rooms.1);
            let traffic = Arc::new(Traffic::default());
            tokio::spawn(run(near, far, first.clone(), hold(), Arc::clone(&traffic)));

            let (sent_up, sent_down) = ([first.clone(), up.concat()].concat(), down.concat());
            let (heard_down, heard_up) = soon(async {
                tokio::join!(talk(app, up, sent_down.len(), gulps.0), talk(tor, down, sent_up.len(), gulps.1))
            })
            .await;

            assert!(heard_up == sent_up && heard_down == sent_down, "bytes differ");
            assert_eq!(traffic.up(), (sent_up.len() - first.len()) as u64);
            assert_eq!(traffic.down(), sent_down.len() as u64);
        });
    }
}

#[tokio::test]
async fn many_megabytes_pass_over_tcp_both_ways_at_once() {
    const SIZE: usize = 20 << 20;
    let (app, near) = tcp_pair().await;
    let (far, tor) = tcp_pair().await;
    tokio::spawn(run(Stream::Tcp(near), Stream::Tcp(far), Vec::new(), hold(), Arc::new(Traffic::default())));
    let data = |seed: u8| (0..SIZE).map(|i| (i.wrapping_mul(31) >> 3) as u8 ^ seed).collect::<Vec<u8>>();
    let (up, down) = (data(1), data(2));

    let (heard_down, heard_up) = soon(async {
        tokio::join!(talk(app, vec![up.clone()], SIZE, 100_000), talk(tor, vec![down.clone()], SIZE, 100_000))
    })
    .await;

    assert!(heard_up == up && heard_down == down, "bytes differ");
}

#[tokio::test(start_paused = true)]
async fn a_held_end_waits_for_a_reply_that_takes_minutes() {
    let (mut app, mut tor, _, task) = piped(hold(), 4096);
    app.write_all(b"request").await.unwrap();
    app.shutdown().await.unwrap();
    let mut request = [0; 7];
    tor.read_exact(&mut request).await.unwrap();

    for _ in 0..3 {
        tokio::time::sleep(HOLD_QUIET - Duration::from_secs(1)).await;
        tor.write_all(b"reply").await.unwrap();
    }
    tor.shutdown().await.unwrap();

    assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"replyreplyreply");
    assert!(matches!(soon(task).await.unwrap(), Ending::Far));
}

#[tokio::test(start_paused = true)]
async fn a_held_end_that_nothing_answers_is_reset_in_the_end() {
    for reply in [&b""[..], b"reply"] {
        let ((mut app, near), (far, mut tor)) = (tcp_pair().await, tcp_pair().await);
        let task =
            tokio::spawn(run(Stream::Tcp(near), Stream::Tcp(far), Vec::new(), hold(), Traffic::default()));
        tor.write_all(reply).await.unwrap();
        app.read_exact(&mut vec![0; reply.len()]).await.unwrap();
        let began = Instant::now();
        app.shutdown().await.unwrap();

        let error = timeout(2 * HOLD_QUIET, read_all(&mut app)).await.unwrap().unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(task.await.unwrap(), Ending::Quiet(_)));
        assert_eq!(began.elapsed().as_secs(), HOLD_QUIET.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_reader_that_is_slow_still_gets_all() {
    let (mut app, mut tor, _, _task) = piped(hold(), 1000);
    app.write_all(b"request").await.unwrap();
    app.shutdown().await.unwrap();
    tor.read_exact(&mut [0; 7]).await.unwrap();
    let reply: Vec<u8> = (0..30_000).map(|i| (i % 251) as u8).collect();
    let sent = reply.clone();
    tokio::spawn(async move { tor.write_all(&sent).await.map(|()| tor) });

    let mut heard = Vec::new();
    let mut buffer = [0; 1000];
    while heard.len() < reply.len() {
        // Longer than the silence that would end it.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let n = app.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "cut off after {} bytes", heard.len());
        heard.extend_from_slice(&buffer[..n]);
    }

    assert!(heard == reply, "bytes differ");
}

#[tokio::test]
async fn the_held_end_quiet_longest_gives_way_to_one_too_many() {
    let holds = Holds::new(2);
    let mut open = Vec::new();
    for n in 1..=3 {
        let ((mut app, near), (far, tor)) = (tcp_pair().await, tcp_pair().await);
        let rule = OnNearEnd::Hold(Arc::clone(&holds));
        let task =
            tokio::spawn(run(Stream::Tcp(near), Stream::Tcp(far), Vec::new(), rule, Traffic::default()));
        app.shutdown().await.unwrap();
        until(|| holds.held() == n.min(2) && (n < 3 || open.iter().any(is_over))).await;
        open.push((app, tor, task));
        if n == 2 {
            // The first one is held longest, and from now on the second one is quiet longest.
            open[0].1.write_all(b"still here").await.unwrap();
            soon(open[0].0.read_exact(&mut [0; 10])).await.unwrap();
        }
    }

    let over: Vec<bool> = open.iter().map(is_over).collect();
    assert_eq!(over, [false, true, false]);
    let (mut app, _tor, task) = open.remove(1);
    assert_eq!(soon(read_all(&mut app)).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(task.await.unwrap(), Ending::Ousted));

    drop(open);
    until(|| holds.held() == 0).await;
}

fn is_over<A, B>(open: &(A, B, tokio::task::JoinHandle<Ending>)) -> bool {
    open.2.is_finished()
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_held_end_of_an_application_that_is_gone_ends_at_the_far_side_too() {
    let unix = tokio::net::UnixStream::pair().unwrap();
    let tcp = tcp_pair().await;
    for (mut app, near) in
        [(Stream::Unix(unix.0), Stream::Unix(unix.1)), (Stream::Tcp(tcp.0), Stream::Tcp(tcp.1))]
    {
        let (far, mut tor) = tcp_pair().await;
        let task = tokio::spawn(run(near, Stream::Tcp(far), Vec::new(), hold(), Traffic::default()));
        app.write_all(b"last words").await.unwrap();
        app.shutdown().await.unwrap();
        tor.read_exact(&mut [0; 10]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!task.is_finished(), "it only closed its side");

        let began = Instant::now();
        drop(app);

        assert_eq!(soon(read_all(&mut tor)).await.unwrap(), b"");
        assert!(began.elapsed() <= hold::LOOK.1, "{:?}", began.elapsed());
        drop(tor);
        assert!(matches!(soon(task).await.unwrap(), Ending::Near));
    }
}

#[tokio::test]
async fn an_end_that_is_passed_reaches_the_far_side_and_the_reply_still_comes() {
    let (mut app, mut tor, _, _task) = piped(OnNearEnd::Pass, 4096);
    app.write_all(b"request").await.unwrap();
    app.shutdown().await.unwrap();

    assert_eq!(soon(read_all(&mut tor)).await.unwrap(), b"request");
    tor.write_all(b"reply").await.unwrap();
    tor.shutdown().await.unwrap();

    assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"reply");
}

#[tokio::test]
async fn a_gate_passes_the_backends_end_at_once_with_all_its_bytes() {
    // More than the pipes hold, to a reader that is slow: the end must wait for the bytes.
    let (mut tor, mut backend, _, task) = piped(OnNearEnd::End, 700);
    let reply: Vec<u8> = (0..50_000).map(|i| (i % 253) as u8).collect();
    let sent = reply.clone();
    tokio::spawn(async move {
        backend.write_all(&sent).await.unwrap();
        backend.shutdown().await.unwrap();
        // It goes on listening, as backends with a half-closed connection do.
        std::future::pending::<()>().await;
    });

    assert!(soon(read_all(&mut tor)).await.unwrap() == reply, "bytes differ");
    drop(tor);
    assert!(matches!(soon(task).await.unwrap(), Ending::Far));
}

#[tokio::test]
async fn a_gate_ends_the_backend_when_tor_ends() {
    let (mut tor, mut backend, _, task) = piped(OnNearEnd::End, 700);
    tor.write_all(b"last words").await.unwrap();
    tor.shutdown().await.unwrap();

    assert_eq!(soon(read_all(&mut backend)).await.unwrap(), b"last words");
    drop(backend);
    assert!(matches!(soon(task).await.unwrap(), Ending::Near));
}

#[tokio::test]
async fn bytes_before_an_end_survive_an_application_that_still_sends() {
    let (mut app, near) = tcp_pair().await;
    let (far, mut tor) = tcp_pair().await;
    let task = tokio::spawn(run(
        Stream::Tcp(near),
        Stream::Tcp(far),
        Vec::new(),
        hold(),
        Arc::new(Traffic::default()),
    ));
    // Unread bytes in a socket that is closed make a reset, which would destroy the reply on its way.
    app.write_all(&vec![0; 100_000]).await.unwrap();
    tor.write_all(b"HTTP/1.1 413 too large").await.unwrap();
    drop(tor);
    app.write_all(b"more").await.unwrap();

    assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"HTTP/1.1 413 too large");
    drop(app);
    soon(task).await.unwrap();
}

#[tokio::test]
async fn a_reset_on_one_side_is_a_reset_on_the_other() {
    let (app, near) = tcp_pair().await;
    let (far, mut tor) = tcp_pair().await;
    let task = tokio::spawn(run(
        Stream::Tcp(near),
        Stream::Tcp(far),
        Vec::new(),
        hold(),
        Arc::new(Traffic::default()),
    ));
    Stream::Tcp(app).abort("test");

    let error = soon(read_all(&mut tor)).await.unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(soon(task).await.unwrap(), Ending::NearBroke(_)));
}

#[tokio::test(start_paused = true)]
async fn who_speaks_on_to_a_side_that_has_ended_is_reset_after_its_end() {
    let (mut app, near) = tcp_pair().await;
    let (far, mut tor) = tcp_pair().await;
    tokio::spawn(run(Stream::Tcp(near), Stream::Tcp(far), Vec::new(), hold(), Traffic::default()));
    tor.write_all(b"good-bye").await.unwrap();
    drop(tor);
    assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"good-bye");

    app.write_all(b"but wait").await.unwrap();

    // What was said last is lost, and its speaker must know.
    until(|| app.take_error().unwrap().is_some()).await;
}

#[tokio::test]
async fn dropping_a_relay_resets_both_sides() {
    let (mut app, near) = tcp_pair().await;
    let (far, mut tor) = tcp_pair().await;
    let task = tokio::spawn(run(Stream::Tcp(near), Stream::Tcp(far), Vec::new(), hold(), Traffic::default()));
    app.write_all(b"x").await.unwrap();
    tor.read_exact(&mut [0]).await.unwrap();

    task.abort();

    for side in [&mut app, &mut tor] {
        assert_eq!(soon(read_all(side)).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

/// A source that never ends and a sink that never takes: what is kept between them?
struct Flood {
    given: Arc<AtomicUsize>,
    takes: bool,
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = buffer.remaining();
        buffer.initialize_unfilled();
        buffer.advance(n);
        self.given.fetch_add(n, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes { Poll::Ready(Ok(bytes.len())) } else { Poll::Pending }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Abort for Flood {
    fn reset_on_close(&self, _on: bool) {}
}

#[tokio::test]
async fn no_more_than_a_chunk_a_direction_is_kept_for_a_stalled_reader() {
    let given: [Arc<AtomicUsize>; 2] = Default::default();
    let flood = |n: usize| Flood { given: Arc::clone(&given[n]), takes: false };
    let task = tokio::spawn(run(flood(0), flood(1), Vec::new(), hold(), Arc::new(Traffic::default())));
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }

    assert_eq!(given.each_ref().map(|n| n.load(Ordering::Relaxed)), [CHUNK, CHUNK]);
    task.abort();
}

#[tokio::test]
async fn a_relay_that_could_go_on_for_ever_lets_others_run() {
    let given: [Arc<AtomicUsize>; 2] = Default::default();
    let flood = |n: usize| Flood { given: Arc::clone(&given[n]), takes: true };
    let mut relay = pin!(run(flood(0), flood(1), Vec::new(), hold(), Arc::new(Traffic::default())));

    let one_poll = relay.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));

    assert!(one_poll.is_pending());
    assert_eq!(given.each_ref().map(|n| n.load(Ordering::Relaxed)), [way::BUDGET * CHUNK; 2]);
}

#[tokio::test]
async fn an_idle_relay_holds_no_buffer() {
    let (_app, near) = tcp_pair().await;
    let (far, _tor) = tcp_pair().await;
    let relay = run(Stream::Tcp(near), Stream::Tcp(far), Vec::new(), hold(), Arc::new(Traffic::default()));

    // With two sockets of some 400 bytes each and the task's own bookkeeping that stays below 3 KiB.
    assert!(size_of_val(&relay) <= 1200, "{} bytes", size_of_val(&relay));
}

#[test]
fn how_a_connection_broke_is_told_with_whose_it_was() {
    let ours = Ending::FarBroke(io::Error::other("the remote is gone"));
    let system = Ending::FarBroke(io::ErrorKind::ConnectionReset.into());
    assert_eq!(ours.to_string(), "the remote is gone");
    assert!(system.to_string().starts_with("the far side's connection broke: "), "{system}");
}

/// A side that says nothing and takes everything, and whose end is taken when it closes.
struct Side {
    closes: bool,
    /// How often its end was passed on.
    ends: usize,
}

impl AsyncRead for Side {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Side {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ends += 1;
        if self.closes { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Abort for Side {
    fn reset_on_close(&self, _on: bool) {}
}

/// How a direction ended, in a word.
fn end(word: &str) -> Option<way::End> {
    let error = || io::ErrorKind::BrokenPipe.into();
    match word {
        "" => None,
        "eof" => Some(way::End::Eof),
        "read" => Some(way::End::Read(error())),
        "write" => Some(way::End::Write(error())),
        other => panic!("{other}"),
    }
}

/// What comes of these ends at once, and how long it takes until something does.
async fn settled(rule: OnNearEnd, up: &str, down: &str) -> (bool, String, Duration) {
    let (mut near, mut far) = (Side { closes: true, ends: 0 }, Side { closes: true, ends: 0 });
    let mut relay = Relay::new(&mut near, &mut far, Vec::new(), rule, Traffic::default());
    (relay.up.end, relay.down.end) = (end(up), end(down));
    let began = Instant::now();
    let at_once = relay.settle(&mut Context::from_waker(std::task::Waker::noop())).is_ready();
    (relay.up.end, relay.down.end) = (end(up), end(down));
    let ending = timeout(2 * CARRY_QUIET, poll_fn(|cx| relay.settle(cx))).await;
    let said = ending.map_or_else(|_| "goes on".to_owned(), |ending| format!("{ending:?}"));
    (at_once, said.split('(').next().unwrap().to_owned(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_each_pair_of_ends() {
    let at_once = Some(Duration::ZERO);
    for (rule, up, down, ending, after) in [
        ("any", "", "", "goes on", None),
        ("any", "", "read", "FarBroke", at_once),
        ("any", "read", "", "NearBroke", at_once),
        ("any", "read", "read", "FarBroke", at_once),
        ("any", "eof", "read", "FarBroke", at_once),
        ("any", "write", "read", "FarBroke", at_once),
        ("any", "read", "write", "NearBroke", at_once),
        ("any", "write", "write", "FarBroke", at_once),
        // One side takes no more, and what it said before is waited for.
        ("any", "write", "", "FarBroke", Some(LAST_WORDS)),
        ("any", "", "write", "NearBroke", Some(LAST_WORDS)),
        ("plain", "", "eof", "Far", at_once),
        ("plain", "eof", "eof", "Far", at_once),
        ("plain", "read", "eof", "Far", at_once),
        ("plain", "write", "eof", "Far", at_once),
        ("plain", "eof", "write", "Near", at_once),
        ("hold", "eof", "", "Quiet", Some(HOLD_QUIET)),
        ("end", "eof", "", "Near", at_once),
        ("pass", "eof", "", "goes on", None),
        ("carry", "eof", "", "Quiet", Some(CARRY_QUIET)),
        ("carry", "", "eof", "goes on", None),
        ("carry", "eof", "eof", "Both", at_once),
        ("carry", "read", "eof", "NearBroke", at_once),
        ("carry", "write", "eof", "FarBroke", at_once),
        ("carry", "eof", "write", "NearBroke", at_once),
    ] {
        let rules = [
            ("hold", hold()),
            ("end", OnNearEnd::End),
            ("pass", OnNearEnd::Pass),
            ("carry", OnNearEnd::Carry),
        ];
        for (name, its) in rules {
            if rule == name || rule == "any" || rule == "plain" && name != "carry" {
                let (was_at_once, said, took) = settled(its, up, down).await;
                assert_eq!(said, ending, "{name}: {up:?} up, {down:?} down");
                assert_eq!(was_at_once, after == at_once, "{name}: {up:?} up, {down:?} down");
                // A timer is up to a millisecond late.
                let exact = after.is_none_or(|after| took - after <= Duration::from_millis(2));
                assert!(exact, "{name}: {up:?} up, {down:?} down took {took:?}");
            }
        }
    }
}

#[tokio::test]
async fn bytes_are_lost_that_were_read_and_not_written_or_that_nobody_takes() {
    let (mut near, mut far) = (Side { closes: true, ends: 0 }, Side { closes: true, ends: 0 });
    let mut relay = Relay::new(&mut near, &mut far, Vec::new(), hold(), Traffic::default());
    assert!(!relay.lost());
    relay.up.end = end("eof");
    assert!(!relay.lost());
    for word in ["read", "write"] {
        (relay.up.end, relay.down.end) = (None, end(word));
        assert_eq!(relay.lost(), word == "write");
        (relay.up.end, relay.down.end) = (end(word), None);
        assert_eq!(relay.lost(), word == "write");
    }
    relay.up.end = None;
    relay.down.kept = b"x".to_vec();
    assert!(relay.lost());
}

#[tokio::test]
async fn a_meter_is_told_of_bytes_and_of_nothing_else() {
    #[derive(Default)]
    struct Calls(AtomicUsize);
    impl Meter for Calls {
        fn count_up(&self, _: usize) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn count_down(&self, _: usize) {
            self.0.fetch_add(100, Ordering::Relaxed);
        }
    }
    let ((mut app, mut near), (mut far, mut tor)) = (duplex(100), duplex(100));
    let calls = Arc::new(Calls::default());
    let mut relay = pin!(Relay::new(&mut near, &mut far, Vec::new(), hold(), Arc::clone(&calls)));
    let mut told = || {
        assert!(relay.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        calls.0.swap(0, Ordering::Relaxed)
    };
    assert_eq!(told(), 0);
    app.write_all(b"x").await.unwrap();
    assert_eq!(told(), 1);
    tor.write_all(b"x").await.unwrap();
    assert_eq!(told(), 100);
    assert_eq!(told(), 0);
}

#[tokio::test]
async fn an_end_is_passed_on_once_it_is_there_and_once_and_both_count_when_they_are_taken() {
    let (mut near, mut far) = (Side { closes: false, ends: 0 }, Side { closes: true, ends: 0 });
    let mut relay = Relay::new(&mut near, &mut far, Vec::new(), OnNearEnd::Carry, Traffic::default());
    let settle = |relay: &mut Relay<'_, _, _, _>, up: &str, down: &str| {
        (relay.up.end, relay.down.end) = (end(up), end(down));
        relay.settle(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    };
    assert!(!settle(&mut relay, "", ""));
    assert_eq!((relay.near.ends, relay.far.ends), (0, 0));
    assert!(!settle(&mut relay, "eof", "") && !settle(&mut relay, "eof", ""));
    assert_eq!((relay.near.ends, relay.far.ends), (0, 1));
    assert!(!settle(&mut relay, "eof", "eof"), "the near side has not taken its end");
    relay.near.closes = true;
    assert!(settle(&mut relay, "eof", "eof"));
    assert_eq!((relay.near.ends, relay.far.ends), (2, 1));

    let mut relay = Relay::new(&mut near, &mut far, Vec::new(), OnNearEnd::Pass, Traffic::default());
    relay.far.closes = false;
    assert!(!settle(&mut relay, "eof", "") && !settle(&mut relay, "eof", ""));
    relay.far.closes = true;
    assert!(!settle(&mut relay, "eof", "") && !settle(&mut relay, "eof", ""));
    assert_eq!(relay.far.ends, 1 + 3);
}

#[test]
fn the_near_side_is_cut_off_where_it_has_not_ended_it() {
    let broken = || io::ErrorKind::BrokenPipe.into();
    for (ending, is_cut) in [
        (Ending::Near, false),
        (Ending::Far, false),
        (Ending::Both, false),
        (Ending::NearBroke(broken()), false),
        (Ending::FarBroke(broken()), true),
        (Ending::Quiet(HOLD_QUIET), true),
        (Ending::Ousted, true),
    ] {
        assert_eq!(ending.is_cut(), is_cut, "{ending:?}");
    }
}
