//! The control connection with a peer that may send anything.

use super::*;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

const GENEROUS: Duration = Duration::from_secs(60);

fn pair() -> (Control, Events, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (control, events) = open(Stream::Pipe(ours));
    (control, events, theirs)
}

/// Says this to one who has subscribed to events and asked for nothing, then closes; tells what came of it.
async fn after(bytes: &[u8]) -> (Vec<Vec<String>>, ControlError) {
    let (control, mut events, mut tor) = pair();
    control.expect_events();
    let bytes = bytes.to_vec();
    let said = tokio::spawn(async move {
        // The connection may be closed before all of it was taken.
        let _ = tor.write_all(&bytes).await;
    });
    let mut all = Vec::new();
    let end = loop {
        match tokio::time::timeout(GENEROUS, events.next()).await.expect("it ends") {
            Ok(lines) => all.push(lines),
            Err(error) => break error,
        }
    };
    drop(events);
    said.await.unwrap();
    (all, end)
}

#[tokio::test]
async fn replies_come_in_order_and_events_between_them() {
    let (control, mut events, mut tor) = pair();
    control.expect_events();
    let mut batch = Batch::one("ONE");
    batch.push("TWO");
    let asked = tokio::spawn(async move { control.ask(batch, "count").await });
    let mut written = [0; 10];
    tor.read_exact(&mut written).await.unwrap();
    for byte in b"650 FIRST\r\n250-a\r\n250 OK\r\n650+SECOND\r\nx\r\n.\r\n650 OK\r\n552 no\r\n" {
        tor.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }

    let replies = asked.await.unwrap().unwrap();

    assert_eq!(&written, b"ONE\r\nTWO\r\n");
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [250, 552]);
    assert_eq!(replies[0].lines, ["a", "OK"]);
    assert_eq!(events.next().await.unwrap(), ["FIRST"]);
    assert_eq!(events.next().await.unwrap(), ["SECOND\r\nx", "OK"]);
}

#[tokio::test]
async fn values_are_read_in_both_forms() {
    let (control, _events, mut tor) = pair();
    tor.write_all(b"").await.unwrap();
    let both = tokio::spawn(async move {
        let one = control.get_info("version").await;
        (one, control.get_info("circuit-status").await, control.get_info("version").await)
    });
    let mut buffer = [0; 100];
    let _ = tor.read(&mut buffer).await.unwrap();
    tor.write_all(b"250-version=0.4.9.11\r\n250 OK\r\n").await.unwrap();
    let _ = tor.read(&mut buffer).await.unwrap();
    tor.write_all(b"250+circuit-status=\r\n1 BUILT\r\n2 BUILT\r\n.\r\n250 OK\r\n").await.unwrap();
    let _ = tor.read(&mut buffer).await.unwrap();
    tor.write_all(b"250 OK\r\n").await.unwrap();

    let (one, data, other) = both.await.unwrap();

    assert_eq!(one.as_deref(), Ok("0.4.9.11"));
    assert_eq!(data.as_deref(), Ok("1 BUILT\r\n2 BUILT"));
    assert!(matches!(other, Err(EngineError::Refused { code: 250, .. })), "{other:?}");
}

#[tokio::test]
async fn an_endless_line_ends_it() {
    let line = [b"650 ".to_vec(), vec![b'x'; 3 << 20]].concat();

    assert_eq!(after(&line).await, (vec![], ControlError::Protocol("a reply without end")));
}

#[tokio::test]
async fn a_reply_of_endless_lines_ends_it() {
    let lines = b"650-\r\n".repeat(1 << 20);

    assert_eq!(after(&lines).await, (vec![], ControlError::Protocol("a reply without end")));
}

#[tokio::test]
async fn a_long_answer_is_read_whole_and_one_without_measure_in_part() {
    for (lines, is_whole) in [(10_000, true), (40_000, false)] {
        let (control, mut events, mut tor) = pair();
        control.expect_events();
        let data = |n: usize| format!("{n} BUILT {}", "x".repeat(300));
        let said = tokio::spawn(async move {
            let mut buffer = [0; 100];
            let _ = tor.read(&mut buffer).await.unwrap();
            tor.write_all(b"650 BEFORE\r\n250+circuit-status=\r\n").await.unwrap();
            for n in 0..lines {
                tor.write_all(format!("{}\r\n", data(n)).as_bytes()).await.unwrap();
            }
            tor.write_all(b".\r\n250 OK\r\n650 AFTER\r\n").await.unwrap();
            let _ = tor.read(&mut buffer).await.unwrap();
            tor.write_all(b"250-version=1\r\n250 OK\r\n").await.unwrap();
            tor
        });

        let answer = control.get_info("circuit-status").await.unwrap();

        let read: Vec<&str> = answer.split("\r\n").collect();
        assert_eq!(read.len() == lines, is_whole, "{}", read.len());
        assert!(read.iter().enumerate().all(|(n, line)| *line == data(n)));
        assert_eq!(control.get_info("version").await.as_deref(), Ok("1"));
        assert_eq!(events.next().await.unwrap(), ["BEFORE"]);
        assert_eq!(events.next().await.unwrap(), ["AFTER"]);
        said.await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_waits_for_the_reader() {
    let (control, mut events, mut tor) = pair();
    control.expect_events();
    let flood = tokio::spawn(async move {
        for n in 0_u32.. {
            if tor.write_all(format!("650 EVENT {n}\r\n").as_bytes()).await.is_err() {
                return n;
            }
        }
        0
    });

    for n in 0..10_000 {
        assert_eq!(events.next().await.unwrap(), [format!("EVENT {n}")]);
    }
    drop(events);

    // What was taken beyond what was read is bounded by the channel, the buffer and this test's pipe.
    let written = tokio::time::timeout(GENEROUS, flood).await.unwrap().unwrap();
    assert!(written < 10_000 + 256 + 20_000, "{written}");
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_it() {
    for (bytes, why) in [
        (&b"250 OK\r\n"[..], ControlError::Protocol("an answer that nobody asked for")),
        (b"650 \xff\r\n", ControlError::Protocol("a byte that is not ASCII")),
        (b"HTTP/1.1 200 OK\r\n", ControlError::Protocol("a reply of another form")),
        (b"650-a\r\n651 b\r\n", ControlError::Protocol("a reply with two codes")),
        (b"650 cut", ControlError::Closed),
        (b"", ControlError::Closed),
    ] {
        assert_eq!(after(bytes).await, (vec![], why), "{bytes:?}");
    }
}

#[tokio::test]
async fn events_before_the_subscription_end_it() {
    let (_control, mut events, mut tor) = pair();
    tor.write_all(b"650 HELLO\r\n").await.unwrap();

    assert_eq!(events.next().await, Err(ControlError::Protocol("an event that nobody subscribed to")));
}

#[tokio::test]
async fn who_waits_is_told_of_the_end() {
    let (control, events, mut tor) = pair();
    let asked = tokio::spawn({
        let control = control.clone();
        async move { control.tell("ONE", "count").await.map(drop) }
    });
    let mut written = [0; 5];
    tor.read_exact(&mut written).await.unwrap();
    drop(tor);

    assert_eq!(asked.await.unwrap(), Err(EngineError::NotRunning));
    assert_eq!(control.tell("TWO", "count").await.map(drop), Err(EngineError::NotRunning));
    drop(events);
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_and_a_late_answer_goes_to_nobody_else() {
    let (control, _events, mut tor) = pair();

    let error = control.tell("ONE", "count").await.map(drop);
    control.stuck().await;
    tor.write_all(b"551 late\r\n").await.unwrap();
    let next = tokio::spawn(async move { control.tell("TWO", "count").await.map(|reply| reply.code) });
    let mut written = [0; 10];
    tor.read_exact(&mut written).await.unwrap();
    tor.write_all(b"250 OK\r\n").await.unwrap();

    assert_eq!(error, Err(EngineError::TimedOut(DEADLINE, "count")));
    assert_eq!(next.await.unwrap(), Ok(250));
}

#[tokio::test(start_paused = true)]
async fn a_tor_that_tells_of_itself_and_answers_nothing_is_stuck() {
    let (control, mut events, mut tor) = pair();
    control.expect_events();
    let asked = tokio::spawn({
        let control = control.clone();
        async move { control.tell("ONE", "count").await.map(drop) }
    });
    let told = tokio::spawn(async move {
        while tor.write_all(b"650 EVENT\r\n").await.is_ok() {
            tokio::time::sleep(DEADLINE / 10).await;
        }
    });
    let heard = tokio::spawn(async move { while events.next().await.is_ok() {} });

    assert_eq!(tokio::time::timeout(10 * DEADLINE, control.stuck()).await, Ok(None));

    assert_eq!(asked.await.unwrap(), Err(EngineError::TimedOut(DEADLINE, "count")));
    heard.abort();
    told.await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_end_in_words(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // The pipe closes after the bytes, so it must end; `after` has a deadline.
        runtime.block_on(after(&bytes));
    }
}

#[test]
fn fuzzed_bytes_of_a_control_port_end_in_words() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let samples = [
        "250 OK\r\n",
        "250-version=0.4.9.11\r\n250 OK\r\n",
        "250+circuit-status=\r\n5 BUILT $A~a PURPOSE=GENERAL\r\n..x\r\n.\r\n250 OK\r\n",
        "650 HS_DESC UPLOADED x UNKNOWN $AB~r1 x\r\n650 ORCONN $A~a CONNECTED ID=7\r\n",
        "650+NS\r\nr x\r\n.\r\n650 OK\r\n",
        "551 Internal error\r\n515 Bad authentication\r\n",
    ];
    support::fuzz("bytes of a control port", &samples, |bytes| {
        let (_, error) = runtime.block_on(after(bytes));
        assert!(!error.to_string().is_empty());
    });
}
