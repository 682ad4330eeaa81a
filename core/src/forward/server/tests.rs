//! Tests of `server`: it outlives failures to accept, and its sessions don't outlive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, duplex};
use tokio::sync::Mutex;
use tokio::sync::mpsc;

use super::*;
use crate::forward::testing::{read_all, soon, until};

/// Gives what a test puts in; counts the calls.
struct Scripted {
    next: Mutex<mpsc::UnboundedReceiver<io::Result<Stream>>>,
    calls: Arc<AtomicUsize>,
}

impl Accept for Scripted {
    type Conn = Stream;

    async fn accept(&mut self) -> io::Result<Stream> {
        let next = self.next.lock().await.recv().await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        match next {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }
}

fn scripted() -> (mpsc::UnboundedSender<io::Result<Stream>>, Arc<AtomicUsize>, Scripted) {
    let (give, next) = mpsc::unbounded_channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let scripted = Scripted { next: Mutex::new(next), calls: Arc::clone(&calls) };
    (give, calls, scripted)
}

#[tokio::test(start_paused = true)]
async fn failures_to_accept_are_paused_after_and_survived() {
    let (give, calls, listener) = scripted();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let _server = Server::start(listener, part(), AtBound::Wait, move |_, _| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let began = Instant::now();
    // "Too many open files": 10, 20, 40 … 640 ms, then a second each.
    for _ in 0..10 {
        give.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    }
    give.send(Ok(Stream::Pipe(duplex(1).0))).unwrap();

    until(|| served.load(Ordering::Relaxed) == 1).await;

    assert_eq!(calls.load(Ordering::Relaxed), 11);
    let pauses = Duration::from_millis(10 + 20 + 40 + 80 + 160 + 320 + 640 + 3 * 1000);
    assert!(began.elapsed() >= pauses, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn sessions_that_end_do_not_put_off_accepting() {
    let (give, _, listener) = scripted();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let _server = Server::start(listener, part(), AtBound::Wait, move |_, _| {
        let nth = count.fetch_add(1, Ordering::Relaxed);
        // They end one after the other, every 5 ms, for longer than any pause.
        async move { tokio::time::sleep(Duration::from_millis(5 * nth as u64)).await }
    });
    for _ in 0..1000 {
        give.send(Ok(Stream::Pipe(duplex(1).0))).unwrap();
    }
    give.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    give.send(Ok(Stream::Pipe(duplex(1).0))).unwrap();
    let began = Instant::now();

    until(|| served.load(Ordering::Relaxed) == 1001).await;

    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn refusing_ends_the_listener_only_and_closing_ends_all() {
    let (give, _, listener) = scripted();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let server = Server::start(listener, part(), AtBound::Wait, move |stream, _| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        }
    });
    let (mut app, near) = duplex(1);
    give.send(Ok(Stream::Pipe(near))).unwrap();
    until(|| served.load(Ordering::Relaxed) == 1).await;

    server.refuse();
    soon(give.closed()).await;
    let open = tokio::time::timeout(Duration::from_millis(20), app.read_u8()).await;
    assert!(open.is_err(), "the session ended with the listener");

    soon(server.close()).await;
    assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"");
    // Again, for whoever asks twice.
    soon(server.close()).await;
}

#[tokio::test]
async fn a_session_that_panics_takes_nothing_with_it() {
    let (give, _, listener) = scripted();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let server = Server::start(listener, part(), AtBound::Wait, move |_, _| {
        let nth = count.fetch_add(1, Ordering::Relaxed);
        async move { assert_ne!(nth, 0, "this panic is part of the test") }
    });
    for _ in 0..2 {
        give.send(Ok(Stream::Pipe(duplex(1).0))).unwrap();
    }

    until(|| served.load(Ordering::Relaxed) == 2).await;

    soon(server.close()).await;
}

#[tokio::test]
async fn dropping_it_closes_it() {
    let (give, _, listener) = scripted();
    let server = Server::start(listener, part(), AtBound::Wait, |_, _| std::future::pending());

    drop(server);

    soon(give.closed()).await;
}

fn part() -> Arc<Part> {
    Part::alone(&super::super::holds::Holds::new(1))
}

#[tokio::test(start_paused = true)]
async fn what_is_held_gives_way_however_long_the_listener_was_full() {
    let (give, _, listener) = scripted();
    let holds = super::super::holds::Holds::new(10);
    let part = Part::with_cap(&holds, 2);
    let begin = Arc::new(tokio::sync::Notify::new());
    let served = Arc::new(AtomicUsize::new(0));
    let (count, hold, each) = (Arc::clone(&served), Arc::clone(&begin), Arc::clone(&holds));
    let _server = Server::start(listener, part, AtBound::Wait, move |_, place| {
        count.fetch_add(1, Ordering::Relaxed);
        let (hold, each) = (Arc::clone(&hold), Arc::clone(&each));
        async move {
            let _place = place;
            hold.notified().await;
            // It has closed its side, and waits for an answer.
            let mut held = each.enter();
            std::future::poll_fn(|cx| held.poll_given_up(cx)).await;
        }
    });
    let apps: Vec<_> = (0..3)
        .map(|_| {
            let (app, near) = duplex(1);
            give.send(Ok(Stream::Pipe(near))).unwrap();
            app
        })
        .collect();
    tokio::time::sleep(3 * PATIENCE).await;
    assert_eq!(served.load(Ordering::Relaxed), 2, "it is full, and nothing is held");
    begin.notify_one();
    tokio::task::yield_now().await;

    give.send(Ok(Stream::Pipe(duplex(1).0))).unwrap();

    until(|| served.load(Ordering::Relaxed) == 3).await;
    assert_eq!(holds.held(), 0);
    drop(apps);
}
