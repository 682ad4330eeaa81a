//! Tests of `dialler`: when it tries again, when it must not, and what it remembers.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::*;
use crate::forward::reports::Reported;
use crate::forward::sockets::Abort;
use crate::forward::testing::{Act, Dialled, Keys, NOW, Peer, Script, onion, other_onion, port, soon, until};

struct Bench {
    engine: Arc<Script>,
    keys: Arc<Keys>,
    dialler: Arc<Dialler>,
    peers: mpsc::UnboundedReceiver<Peer>,
    reported: Reported,
}

fn bench(acts: impl IntoIterator<Item = Act>, otherwise: Act) -> Bench {
    bench_with(acts, otherwise, Keys::default())
}

fn bench_with(acts: impl IntoIterator<Item = Act>, otherwise: Act, keys: Keys) -> Bench {
    let (engine, peers) = Script::new(acts, otherwise);
    let keys = Arc::new(keys);
    let (reports, reported) = Reports::new();
    let dialler = Dialler::new(Arc::clone(&engine) as _, Arc::clone(&keys) as _, reports);
    Bench { engine, keys, dialler, peers, reported }
}

fn fail(error: DialError) -> Act {
    Act::Fail(Duration::from_millis(100), error)
}

impl Bench {
    async fn connect(&self, early: Early<'_>) -> Result<Connected, ConnectError> {
        soon(self.dialler.connect(&onion(), port(80), "g", early)).await
    }

    /// Makes the group's circuit known to work.
    async fn warm_up(&mut self) {
        self.connect(Early::none()).await.unwrap();
        self.peers.recv().await.unwrap();
        assert!(self.dialler.is_warm(&onion(), "g"));
    }

    /// How the attempts ended that were reported since the last look.
    fn told(&mut self) -> Vec<Result<(), DialError>> {
        let mut told = Vec::new();
        while let Ok((_, Report::Dialled { outcome, .. })) = self.reported.try_recv() {
            told.push(outcome);
        }
        told
    }

    fn isolations(&self) -> Vec<String> {
        self.engine.dials().into_iter().map(|dial| dial.isolation).collect()
    }
}

/// An application that has said something already.
async fn app_saying(words: &[u8]) -> (DuplexStream, DuplexStream) {
    let (mut app, near) = duplex(64 * 1024);
    app.write_all(words).await.unwrap();
    (app, near)
}

#[tokio::test(start_paused = true)]
async fn a_cold_circuit_gets_no_early_bytes_and_keeps_them_for_later() {
    let mut bench = bench([], Act::Accept(Duration::from_secs(3)));
    let (_app, mut near) = app_saying(b"GET /").await;

    let connected = bench.connect(Early::of(&mut near)).await.unwrap();

    assert_eq!((connected.unsent.as_slice(), connected.sent_early), (&b"GET /"[..], 0));
    assert_eq!(bench.engine.dials(), [Dialled { isolation: "g".into(), early: vec![] }]);
    assert_eq!(connected.round_trip, Duration::from_secs(3));
    assert_eq!(bench.peers.recv().await.unwrap().port, port(80));
}

#[tokio::test(start_paused = true)]
async fn a_link_asks_before_it_sends_ahead_and_sends_nothing_ahead_where_it_may_not() {
    for (is_warm, may, times, ahead) in
        [(false, true, 0, &b""[..]), (true, true, 1, b"hello"), (true, false, 1, b"")]
    {
        let mut bench = bench([], Act::Accept(Duration::from_millis(300)));
        if is_warm {
            bench.warm_up().await;
        }
        let asked = AtomicUsize::new(0);
        let speaks = || {
            asked.fetch_add(1, Ordering::Relaxed);
            may
        };

        let (_, rest) = bench.dialler.dial_link(&onion(), "g", b"hello".to_vec(), &speaks).await.unwrap();

        assert_eq!(asked.load(Ordering::Relaxed), times);
        assert_eq!(bench.engine.dials().last().unwrap().early, ahead);
        assert_eq!(rest.len(), 5 - ahead.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_warm_circuit_gets_the_first_bytes_before_its_reply() {
    let mut bench = bench([], Act::Accept(Duration::from_millis(300)));
    bench.warm_up().await;
    let (_app, mut near) = app_saying(b"GET /").await;

    let connected = bench.connect(Early::of(&mut near)).await.unwrap();

    assert_eq!((connected.unsent.len(), connected.sent_early), (0, 5));
    assert_eq!(bench.engine.dials()[1].early, b"GET /");
    let mut request = [0; 5];
    bench.peers.recv().await.unwrap().stream.read_exact(&mut request).await.unwrap();
    assert_eq!(&request, b"GET /");
}

#[tokio::test(start_paused = true)]
async fn connecting_never_waits_for_an_application_that_listens_first() {
    let mut bench = bench([], Act::Accept(Duration::from_millis(300)));
    bench.warm_up().await;
    let (_app, mut near) = duplex(64);
    let began = Instant::now();

    let connected = bench.connect(Early::of(&mut near)).await.unwrap();

    assert_eq!(connected.unsent.len() + connected.sent_early, 0);
    assert!(began.elapsed() <= Duration::from_millis(330), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_left_is_never_sent_twice() {
    let lost = [
        DialError::Failed,
        DialError::TimedOut,
        DialError::PortNotExported(port(80)),
        DialError::Code(0xf7),
        DialError::Broken("end of file".into()),
    ];
    for error in lost {
        let mut bench = bench([Act::Accept(NOW), fail(error.clone())], Act::Accept(NOW));
        bench.warm_up().await;
        let (_app, mut near) = app_saying(b"POST /").await;

        let refused = bench.connect(Early::of(&mut near)).await.unwrap_err();

        assert_eq!(refused, ConnectError::Uncertain(error));
        assert_eq!(bench.engine.dials().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_lost_to_a_hanging_reply_is_not_sent_twice_either() {
    let mut bench = bench([Act::Accept(NOW), Act::Hang], Act::Accept(NOW));
    bench.warm_up().await;
    let (_app, mut near) = app_saying(b"POST /").await;

    let refused = bench.connect(Early::of(&mut near)).await.unwrap_err();

    assert_eq!(refused, ConnectError::Uncertain(DialError::TimedOut));
    assert_eq!(bench.engine.dials().len(), 2);
    // The next one gets another circuit.
    bench.connect(Early::none()).await.unwrap();
    assert_eq!(bench.isolations(), ["g", "g", "g~1"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_lost_to_a_restart_of_tor_is_not_sent_twice_either() {
    let mut bench = bench([Act::Accept(NOW), Act::Hang], Act::Accept(NOW));
    bench.warm_up().await;
    let (_app, mut near) = app_saying(b"POST /").await;
    let (engine, state) = (Arc::clone(&bench.engine), EngineState::Starting);
    tokio::spawn(async move {
        until(|| engine.dials().get(1).is_some_and(|dial| !dial.early.is_empty())).await;
        engine.state.send_replace(state);
    });

    let refused = bench.connect(Early::of(&mut near)).await.unwrap_err();

    assert_eq!(refused, ConnectError::Uncertain(DialError::NotReady));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_provably_did_not_leave_is_sent_again_whole() {
    for error in [DialError::NotPublished, DialError::Gone] {
        let mut bench = bench([Act::Accept(NOW), fail(error)], Act::Accept(NOW));
        bench.warm_up().await;
        let (_app, mut near) = app_saying(b"POST /").await;

        let connected = bench.connect(Early::of(&mut near)).await.unwrap();

        // The circuit failed, so the second attempt counts as cold.
        assert_eq!(connected.unsent, b"POST /");
        assert_eq!(bench.engine.dials().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_not_yet_published_is_tried_again_until_it_is() {
    let not_yet = || fail(DialError::NotPublished);
    let bench = bench([not_yet(), not_yet(), not_yet()], Act::Accept(NOW));
    let began = Instant::now();

    bench.connect(Early::none()).await.unwrap();

    assert_eq!(bench.engine.dials().len(), 4);
    assert_eq!(began.elapsed(), Duration::from_millis(500 + 1000 + 2000));
}

#[tokio::test(start_paused = true)]
async fn whoever_connects_to_a_remote_that_is_known_to_be_away_waits_half_as_long_and_can_be_told_why() {
    let bench = bench([], Act::Fail(NOW, DialError::NotPublished));
    let wait = async || {
        let began = Instant::now();
        bench.dialler.connect(&onion(), port(80), "g", Early::none()).await.unwrap_err();
        began.elapsed()
    };
    assert_eq!(bench.dialler.lost(&onion()), None);
    assert_eq!(wait().await, Limits::default().overall);
    assert_eq!(bench.dialler.lost(&onion()), Some(DialError::NotPublished));
    assert_eq!(wait().await, Limits::default().lost);
    assert_eq!(bench.dialler.lost(&other_onion()), None);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_stays_away_is_given_up_after_the_overall_time_with_its_reason() {
    let mut bench = bench([], fail(DialError::NotPublished));
    let began = Instant::now();

    let refused = bench.connect(Early::none()).await.unwrap_err();

    assert_eq!(refused, ConnectError::Dial(DialError::NotPublished));
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    let told = bench.told();
    assert!(told.iter().all(|outcome| *outcome == Err(DialError::NotPublished)), "{told:?}");
    // The same again is said every few seconds, not each time.
    assert!((2..=60 / 5).contains(&told.len()), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_followed_by_one_over_another_circuit() {
    let bench = bench([Act::Hang, Act::Hang], Act::Accept(NOW));
    let began = Instant::now();

    bench.connect(Early::none()).await.unwrap();

    // The second one is beside the first; both are given up together.
    assert_eq!(bench.isolations(), ["g", "g~1", "g~2"]);
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    // Later connections use the circuit that worked.
    bench.connect(Early::none()).await.unwrap();
    assert_eq!(bench.isolations().last().unwrap(), "g~2");
}

#[tokio::test(start_paused = true)]
async fn many_that_hang_at_once_move_to_one_new_circuit() {
    let bench = bench(vec![Act::Hang; 10], Act::Accept(NOW));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let dialler = Arc::clone(&bench.dialler);
        all.spawn(async move { dialler.connect(&onion(), port(80), "g", Early::none()).await.map(drop) });
    }

    for result in soon(all.join_all()).await {
        result.unwrap();
    }

    assert_eq!(bench.isolations()[10..], ["g~1"; 10]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_is_not_tried_again() {
    for error in [DialError::KeyRefused, DialError::Malformed, DialError::PortNotExported(port(80))] {
        let bench = bench([fail(error.clone())], Act::Accept(NOW));

        assert_eq!(bench.connect(Early::none()).await.unwrap_err(), ConnectError::Dial(error));

        assert_eq!(bench.engine.dials().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_backend_gets_a_second_look_not_a_minute() {
    let bench = bench([], fail(DialError::Failed));
    let began = Instant::now();

    assert_eq!(bench.connect(Early::none()).await.unwrap_err(), ConnectError::Dial(DialError::Failed));

    assert_eq!(bench.engine.dials().len(), 3);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_is_handed_over_once() {
    let mut has =
        bench_with([fail(DialError::KeyMissing)], Act::Accept(NOW), Keys { has: true, ..Keys::default() });
    has.connect(Early::none()).await.unwrap();
    assert_eq!(has.told(), [Ok(())], "what mends at once is not told");
    assert_eq!((*has.keys.asked.lock().unwrap(), has.engine.dials().len()), (1, 2));

    let mut has_not = bench_with([], fail(DialError::KeyMissing), Keys::default());
    let missing = ConnectError::Dial(DialError::KeyMissing);
    assert_eq!(has_not.connect(Early::none()).await.unwrap_err(), missing);
    assert_eq!((*has_not.keys.asked.lock().unwrap(), has_not.engine.dials().len()), (1, 1));
    assert_eq!(has_not.told(), [Err(DialError::KeyMissing)]);

    let mut in_vain = bench_with([], fail(DialError::KeyMissing), Keys { has: true, ..Keys::default() });
    assert_eq!(in_vain.connect(Early::none()).await.unwrap_err(), missing);
    assert_eq!((*in_vain.keys.asked.lock().unwrap(), in_vain.engine.dials().len()), (1, 2));
    assert_eq!(in_vain.told(), [Err(DialError::KeyMissing)]);
}

#[tokio::test(start_paused = true)]
async fn a_tor_that_is_not_ready_is_waited_for_without_an_attempt() {
    let bench = bench([], Act::Accept(NOW));
    bench.engine.state.send_replace(EngineState::Starting);
    let engine = Arc::clone(&bench.engine);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(engine.dials(), []);
        engine.state.send_replace(EngineState::Ready);
    });

    bench.connect(Early::none()).await.unwrap();

    assert_eq!(bench.engine.dials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tor_that_never_gets_ready_is_given_up_and_no_remote_blamed() {
    let mut bench = bench([], Act::Accept(NOW));
    bench.engine.state.send_replace(EngineState::Starting);
    let began = Instant::now();

    assert_eq!(bench.connect(Early::none()).await.unwrap_err(), ConnectError::Dial(DialError::NotReady));

    assert_eq!(began.elapsed(), Duration::from_secs(60));
    assert_eq!(bench.told(), []);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_dropped_when_tor_restarts_and_begun_again_once_it_is_ready() {
    for lost_only in [false, true] {
        let bench = bench([Act::Hang], Act::Accept(NOW));
        let (engine, dialler) = (Arc::clone(&bench.engine), Arc::clone(&bench.dialler));
        tokio::spawn(async move {
            until(|| engine.dials().len() == 1).await;
            if lost_only {
                return dialler.engine_lost();
            }
            engine.state.send_replace(EngineState::Starting);
            tokio::time::sleep(Duration::from_secs(2)).await;
            engine.state.send_replace(EngineState::Ready);
        });
        let began = Instant::now();

        bench.connect(Early::none()).await.unwrap();

        // Long before the attempt's own limit, and over the same circuit name: tor has forgotten the old one.
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(bench.isolations(), ["g", "g"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_engine_leaves_no_circuit_warm() {
    let mut bench = bench([], Act::Accept(NOW));
    bench.warm_up().await;

    bench.dialler.engine_lost();

    assert!(!bench.dialler.is_warm(&onion(), "g"));
}

#[tokio::test(start_paused = true)]
async fn warmth_ends_with_the_circuits_life_and_is_the_groups_own() {
    let mut bench = bench([], Act::Accept(NOW));
    bench.warm_up().await;
    assert!(!bench.dialler.is_warm(&onion(), "another"));

    tokio::time::advance(Limits::default().circuit_life).await;

    assert!(!bench.dialler.is_warm(&onion(), "g"));
}

#[tokio::test(start_paused = true)]
async fn an_application_that_resets_ends_the_dialling() {
    struct Reset;
    impl tokio::io::AsyncRead for Reset {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
        }
    }
    impl Abort for Reset {
        fn reset_on_close(&self, _on: bool) {}
    }
    let bench = bench([], Act::Hang);

    assert_eq!(bench.connect(Early::of(&mut Reset)).await.unwrap_err(), ConnectError::AppGone);
}

/// An application that says this and no more. When it is gone that can be seen.
struct Left {
    says: &'static [u8],
    is_gone: bool,
}

impl tokio::io::AsyncRead for Left {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        buf.put_slice(std::mem::take(&mut self.says));
        std::task::Poll::Ready(Ok(()))
    }
}

impl Abort for Left {
    fn reset_on_close(&self, _on: bool) {}

    fn is_gone(&mut self) -> bool {
        self.is_gone
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_has_left_without_a_word_is_connected_no_more() {
    for (says, is_gone, is_let_go) in [("", true, true), ("", false, false), ("last words", true, false)] {
        let bench = bench([], Act::Hang);
        let began = Instant::now();

        let mut app = Left { says: says.as_bytes(), is_gone };
        let refused = bench.connect(Early::of(&mut app)).await.unwrap_err();

        assert_eq!(refused == ConnectError::AppGone, is_let_go, "{says:?} {is_gone}: {refused}");
        assert_eq!(began.elapsed() < Duration::from_secs(5), is_let_go, "{says:?} {is_gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_has_left_is_let_go_while_tor_is_waited_for() {
    let bench = bench([], Act::Hang);
    bench.engine.state.send_replace(EngineState::Starting);
    let mut app = Left { says: b"", is_gone: true };

    let began = Instant::now();
    assert_eq!(bench.connect(Early::of(&mut app)).await.unwrap_err(), ConnectError::AppGone);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_reported_and_not_each_connection() {
    let mut bench =
        bench([Act::Accept(NOW), Act::Accept(NOW), fail(DialError::KeyRefused)], Act::Accept(NOW));

    bench.connect(Early::none()).await.unwrap();
    assert_eq!(bench.told(), [Ok(())]);
    bench.connect(Early::none()).await.unwrap();
    assert_eq!(bench.told(), []);
    bench.connect(Early::none()).await.unwrap_err();
    assert_eq!(bench.told(), [Err(DialError::KeyRefused)]);
    bench.connect(Early::none()).await.unwrap();
    assert_eq!(bench.told(), [Ok(())]);
    tokio::time::advance(Duration::from_secs(5)).await;
    bench.connect(Early::none()).await.unwrap();
    assert_eq!(bench.told(), [Ok(())], "it is proven again");
    bench.dialler.engine_lost();
    bench.connect(Early::none()).await.unwrap();
    assert_eq!(bench.told(), [Ok(())], "nobody knows it any more");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_why_it_takes_long() {
    let bench = bench([fail(DialError::NotPublished), fail(DialError::TimedOut)], Act::Accept(NOW));
    let failed = watch::Sender::default();
    let mut heard = failed.subscribe();
    let remote = onion();
    let connecting = bench.dialler.connect_telling(&remote, port(80), "g", Early::none(), &failed);
    let listening = async {
        let mut said = Vec::new();
        while said.len() < 2 && heard.changed().await.is_ok() {
            said.extend(heard.borrow_and_update().clone());
        }
        said
    };

    let (connected, said) = soon(async { tokio::join!(connecting, listening) }).await;

    assert!(connected.is_ok());
    assert_eq!(said, [DialError::NotPublished, DialError::TimedOut]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_little_is_read_ahead() {
    let bench = bench([], Act::Accept(Duration::from_secs(1)));
    let (_app, mut near) = app_saying(&vec![7; 60_000]).await;

    let connected = bench.connect(Early::of(&mut near)).await.unwrap();

    assert_eq!(connected.unsent.len(), 16 * 1024);
    let mut rest = vec![0; 60_000 - 16 * 1024];
    near.read_exact(&mut rest).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_late_attempt_gets_another_beside_it_by_a_new_descriptor_and_the_first_answer_wins() {
    for (slow, fast, wins) in [(30_000, 100, "g~1"), (7_000, 5_000, "g")] {
        let accept = |after| Act::Accept(Duration::from_millis(after));
        let bench = bench([accept(slow), accept(fast)], Act::Accept(NOW));
        let began = Instant::now();
        let (dialler, engine) = (Arc::clone(&bench.dialler), Arc::clone(&bench.engine));
        tokio::spawn(async move {
            until(|| *engine.fetched.lock().unwrap() == 1).await;
            assert_eq!(engine.dials().len(), 1, "the descriptor comes first");
            tokio::time::sleep(Duration::from_millis(300)).await;
            dialler.descriptor_came(&onion());
        });

        bench.connect(Early::none()).await.unwrap();

        // Nothing is known of this remote: five seconds are late.
        assert_eq!(bench.isolations(), ["g", "g~1"]);
        assert!(began.elapsed() < Duration::from_millis(7_100), "{:?}", began.elapsed());
        bench.connect(Early::none()).await.unwrap();
        assert_eq!(bench.isolations()[2], wins, "later connections use the circuit that worked");
    }
}

#[tokio::test(start_paused = true)]
async fn many_late_attempts_take_few_descriptors_and_circuits_beside_their_own() {
    const MANY: usize = 300;
    let (bench, began) = (bench([], Act::Hang), Instant::now());
    bench.dialler.remotes().succeeded(&onion(), "g", "g", NOW, false);
    let connecting: Vec<_> = (0..MANY)
        .map(|_| {
            let dialler = Arc::clone(&bench.dialler);
            tokio::spawn(async move { dialler.connect(&onion(), port(80), "g", Early::none()).await })
        })
        .collect();

    // They are late after four seconds, and each is given up after eight and tried again.
    for (seconds, own) in [(7, MANY), (9, 2 * MANY)] {
        tokio::time::sleep_until(began + Duration::from_secs(seconds)).await;
        let beside = bench.engine.dials().len() - own;
        assert!((1..=64).contains(&beside), "{beside} more connections to tor after {seconds} s");
    }
    connecting.into_iter().for_each(|connecting| connecting.abort());
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_delivered_is_sent_over_no_second_circuit_but_the_next_one_gets_another() {
    let mut bench = bench([Act::Accept(NOW), Act::Hang], Act::Accept(NOW));
    bench.warm_up().await;
    let (_app, mut near) = app_saying(b"POST /").await;
    let dialler = Arc::clone(&bench.dialler);
    let next = tokio::spawn(async move {
        // After four seconds it is late.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let began = Instant::now();
        dialler.connect(&onion(), port(80), "g", Early::none()).await.unwrap();
        began.elapsed()
    });

    let refused = bench.connect(Early::of(&mut near)).await.unwrap_err();

    assert_eq!(refused, ConnectError::Uncertain(DialError::TimedOut));
    assert!(next.await.unwrap() < Duration::from_secs(1), "it did not wait for the one that hangs");
    assert_eq!(bench.isolations(), ["g", "g", "g~1"]);
}

#[tokio::test(start_paused = true)]
async fn descriptors_are_fetched_seldom_while_nothing_answers_and_at_once_after_something_did() {
    let mut bench = bench([], Act::Hang);
    let fetched = |bench: &Bench| *bench.engine.fetched.lock().unwrap();
    let began = Instant::now();
    let mut in_the_first_minute = 0;
    for _ in 0..15 {
        if began.elapsed() <= Duration::from_secs(60) {
            in_the_first_minute = fetched(&bench);
        }
        // Many at once are no more reason than one.
        let (one, other) = tokio::join!(bench.connect(Early::none()), bench.connect(Early::none()));
        assert!(one.is_err() && other.is_err());
    }
    assert!(in_the_first_minute >= 4, "a host that publishes again is found: {in_the_first_minute}");
    // A quarter of an hour.
    assert!((4..=8).contains(&fetched(&bench)), "{}", fetched(&bench));

    let before = fetched(&bench);
    bench.dialler.remotes().succeeded(&onion(), "g", "g", NOW, false);
    bench.connect(Early::none()).await.unwrap_err();
    assert!(fetched(&bench) > before);
    assert!(bench.told().contains(&Err(DialError::TimedOut)));
}

#[test]
fn late_is_by_what_a_remote_takes_within_bounds() {
    let mut remotes = Remotes::default();
    let late = |remotes: &Remotes| [true, false].map(|warm| remotes.late(&onion(), warm).as_millis());
    assert_eq!(late(&remotes), [4000, 5000], "nothing is known");

    remotes.succeeded(&onion(), "g", "g", Duration::from_millis(200), true);
    remotes.succeeded(&onion(), "g", "g", Duration::from_millis(900), false);
    assert_eq!(late(&remotes), [2100, 3200]);

    remotes.succeeded(&onion(), "g", "g", Duration::from_millis(10), true);
    remotes.succeeded(&onion(), "g", "g", Duration::from_secs(9), false);
    assert_eq!(late(&remotes), [1500, 5000]);
}
