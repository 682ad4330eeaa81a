//! A peer that breaks the rules: it ends its own session, and nothing else happens.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dice::Dice;
use crate::session::codec::{Count, Frame, Hello, Stands};
use crate::session::door;
use crate::session::event::Event;
use crate::session::limits::{Limits, OUT_OF_ORDER, WAITING};
use crate::session::machine::Session;
use crate::session::words::{
    Code as _, Cut, Farewell, LinkId, Luck, Refusal, Secret, SessionId, StreamId, TurnedAway, Violation,
};

const START: Duration = Duration::ZERO;
const LUCK: Luck = Luck(0);

fn hello(link: u32) -> Hello {
    let (session, secret) = (SessionId([1; 16]), Secret([2; 32]));
    Hello { session, secret, is_fresh: true, hold: 900, link: LinkId(link), received: Vec::new() }
}

fn exporter() -> Session {
    let mut session = Session::exporter(&hello(0), Limits::default(), START).unwrap();
    session.join(&hello(0), LUCK, START).unwrap();
    session
}

fn importer() -> Session {
    let (id, secret) = (SessionId([1; 16]), Secret([2; 32]));
    let mut session = Session::importer(id, secret, Limits::default(), START);
    for _ in 0..8 {
        session.open(22, START).unwrap();
    }
    session.handle_timeout(LUCK, START);
    assert_eq!(session.poll_event(), Some(Event::Dial(LinkId(0))));
    session.link_connected(LinkId(0), START);
    give(&mut session, &Frame::Welcome { is_new: true, received: Vec::new() }, START);
    session
}

fn give(session: &mut Session, frame: &Frame<'_>, now: Duration) {
    let mut bytes = Vec::new();
    frame.write(&mut bytes);
    session.input(LinkId(0), &bytes, LUCK, now);
}

/// What it says it ended of, if it has ended.
fn verdict(session: &mut Session) -> Option<Violation> {
    std::iter::from_fn(|| session.poll_event()).find_map(|event| match event {
        Event::Ended(Farewell::Violation, violation) => violation,
        _ => None,
    })
}

/// Mostly what an end may say, so that something comes of it, and lies now and then.
fn random_frame<'a>(dice: &mut Dice, is_importer: bool, bytes: &'a [u8]) -> Frame<'a> {
    let lies = dice.once_in(150);
    let stream = StreamId(dice.between(0, if lies { 12 } else { 7 }) as u32);
    let many = dice.between(1, 300) as usize;
    let far = if lies { dice.next() >> 2 } else { dice.between(0, 65_000) };
    match dice.between(0, 60) {
        0 if lies => Frame::Hello(hello(1)),
        1 if lies => Frame::Welcome { is_new: false, received: Vec::new() },
        2 if lies => Frame::No(TurnedAway::Full),
        0..=5 if is_importer || lies => Frame::Open(stream, 22),
        0..=3 => Frame::Accept(stream),
        4 => Frame::Refuse(stream, Refusal::Full),
        6..=39 => {
            Frame::Data { stream, offset: far, is_end: lies || dice.once_in(300), bytes: &bytes[..many] }
        }
        40..=48 => Frame::Credit(stream, far),
        49 if dice.once_in(4) => Frame::Reset(stream, Cut::Application),
        50..=52 => Frame::Ack { frames: if lies { far } else { 0 }, bulk_waits: dice.once_in(2) },
        53..=56 => Frame::Ping(far as u32),
        57 if lies => Frame::Goodbye(Farewell::Leaving),
        _ => Frame::Pong(far as u32),
    }
}

#[test]
fn random_frames_end_a_session_at_most() {
    let mut seen = BTreeSet::new();
    let bytes = [7; 300];
    let mut frames = 0_u32;
    for seed in support::seeds(400, 100_000) {
        let mut dice = Dice::new(seed);
        let is_importer = seed % 2 == 0;
        let mut session = if is_importer { exporter() } else { importer() };
        if is_importer {
            (0..8).for_each(|stream| give(&mut session, &Frame::Open(StreamId(stream), 22), START));
        }
        let mut now = START;
        let mut ended = None;
        for _ in 0..200 {
            now += Duration::from_millis(dice.between(0, 40));
            give(&mut session, &random_frame(&mut dice, is_importer, &bytes), now);
            frames += 1;
            session.check();
            let stream = StreamId(dice.between(0, 9) as u32);
            match dice.between(0, 6) {
                0 => _ = session.accept(stream),
                1 => _ = session.write(stream, &bytes),
                2 => _ = session.read(stream, &mut [0; 200]),
                3 => _ = session.finish(stream),
                4 => session.refuse(stream, Refusal::Unreachable),
                _ => {}
            }
            let mut out = Vec::new();
            session.poll_transmit(LinkId(0), 40_000, now, &mut out);
            if session.poll_timeout(now).is_some_and(|at| at <= now) {
                session.handle_timeout(LUCK, now);
            }
            session.check();
            if session.has_ended() {
                ended = verdict(&mut session);
                break;
            }
        }
        seen.insert(format!("{ended:?}"));
    }
    eprintln!("{frames} frames: {seen:?}");
    for violation in
        [Violation::Unexpected, Violation::NoStream, Violation::Credit, Violation::End, Violation::Ack]
    {
        assert!(seen.contains(&format!("{:?}", Some(violation))), "{violation:?} was never found");
    }
}

#[test]
fn random_bytes_end_a_session_at_most() {
    for seed in 0..3000 {
        let mut dice = Dice::new(seed);
        let mut session = exporter();
        let mut good = Vec::new();
        for _ in 0..20 {
            random_frame(&mut dice, true, &[1; 300]).write(&mut good);
        }
        for _ in 0..dice.between(0, 5) {
            let place = dice.next() as usize % good.len();
            good[place] = dice.next() as u8;
        }
        for piece in good.chunks(dice.between(1, 100) as usize) {
            session.input(LinkId(0), piece, LUCK, START);
            session.check();
        }
        _ = door::knock(&good);
    }
}

#[test]
fn lies_are_found_out() {
    let data = |stream, offset, bytes| Frame::Data { stream: StreamId(stream), offset, is_end: false, bytes };
    let open = Frame::Open(StreamId(0), 22);
    for (frames, why) in [
        (vec![data(0, 0, b"x")], Violation::NoStream),
        (vec![open.clone(), data(0, 65_536, b"x")], Violation::Credit),
        (vec![open.clone(), Frame::Ack { frames: 1, bulk_waits: false }], Violation::Ack),
        (vec![Frame::Credit(StreamId(7), 9)], Violation::NoStream),
        (vec![Frame::Accept(StreamId(0))], Violation::Unexpected),
        (vec![Frame::Hello(hello(1))], Violation::Unexpected),
        (vec![Frame::Open(StreamId(u32::MAX), 22)], Violation::Number),
    ] {
        let mut session = exporter();
        for frame in &frames {
            give(&mut session, frame, START);
        }
        assert_eq!(verdict(&mut session), Some(why), "{frames:?}");
        let mut out = Vec::new();
        session.poll_transmit(LinkId(0), 1000, START, &mut out);
        assert_eq!(out, [13, 0, 1, Farewell::Violation.byte()], "{frames:?}");
        assert_eq!(session.poll_timeout(START), None);
    }
    let mut session = importer();
    give(&mut session, &Frame::Open(StreamId(0), 22), START);
    assert_eq!(verdict(&mut session), Some(Violation::Unexpected));
    let mut session = importer();
    give(&mut session, &Frame::Welcome { is_new: false, received: Vec::new() }, START);
    assert_eq!(verdict(&mut session), Some(Violation::Unexpected));
}

#[test]
fn a_flood_is_refused_and_then_ends_the_session() {
    let mut session = exporter();
    let limits = Limits::default();
    for stream in 0..limits.streams as u32 + 100 {
        give(&mut session, &Frame::Open(StreamId(stream), 22), START);
    }
    assert!(!session.has_ended());
    assert_eq!(session.standing().streams, limits.streams);
    for stream in 0..WAITING as u32 + 400 {
        give(&mut session, &Frame::Open(StreamId(1000 + stream), 22), START);
    }
    assert_eq!(verdict(&mut session), Some(Violation::Flood));

    let mut session = exporter();
    for stream in 0..OUT_OF_ORDER as u32 + 2 {
        give(&mut session, &Frame::Reset(StreamId(1 + stream * 2), Cut::Other), START);
    }
    assert_eq!(verdict(&mut session), Some(Violation::Flood));
}

/// An acknowledgement now and then lets the link pass for one that lives.
#[test]
fn a_peer_that_acknowledges_too_little_ends_its_session() {
    for opens_closed_ports in [false, true] {
        let mut session = exporter();
        let (mut opened, mut acked) = (0, 0);
        while !session.has_ended() && opened < 4 * WAITING as u32 {
            let now = Duration::from_millis(u64::from(opened) / 4);
            let stream = StreamId(opened);
            opened += 1;
            give(&mut session, &Frame::Open(stream, 22), now);
            match opens_closed_ports {
                true => session.refuse(stream, Refusal::NotGranted),
                false => {
                    _ = session.accept(stream);
                    give(&mut session, &Frame::Reset(stream, Cut::Application), now);
                }
            }
            session.poll_transmit(LinkId(0), 1000, now, &mut Vec::new());
            if opens_closed_ports && opened % 1000 == 0 {
                acked += 1;
                give(&mut session, &Frame::Ack { frames: acked, bulk_waits: false }, now);
            }
            if session.poll_timeout(now).is_some_and(|at| at <= now) {
                session.handle_timeout(LUCK, now);
            }
        }
        match opens_closed_ports {
            true => assert_eq!(verdict(&mut session), Some(Violation::Flood), "{opened} opened"),
            // What is not said yet of a stream that is gone is not said at all.
            false => assert!(!session.has_ended()),
        }
        assert!(opened > WAITING as u32, "{opened} opened");
    }
}

#[test]
fn nobody_joins_who_does_not_know_the_secret_or_comes_twice() {
    let mut session = exporter();
    let join = |session: &mut Session, hello: Hello| session.join(&hello, LUCK, START).err();
    let wrong = Hello { secret: Secret([3; 32]), ..hello(1) };
    assert_eq!(join(&mut session, wrong.clone()), Some(TurnedAway::Unknown));
    // What it says of links is not believed either.
    let over = Count { link: LinkId(0), frames: 1 << 40, stands: Stands::Over };
    assert_eq!(join(&mut session, Hello { received: vec![over], ..wrong }), Some(TurnedAway::Unknown));
    assert_eq!(session.standing().links, 1);
    let other = Hello { session: SessionId([9; 16]), ..hello(1) };
    assert_eq!(join(&mut session, other), Some(TurnedAway::Unknown));
    assert_eq!(join(&mut session, hello(0)), Some(TurnedAway::Full));
    session.link_lost(LinkId(0), LUCK, START);
    assert_eq!(join(&mut session, hello(0)), Some(TurnedAway::Full));
    assert_eq!(join(&mut session, hello(1)), None);
    let more = (2..20).filter(|link| join(&mut session, hello(*link)).is_none()).count();
    assert_eq!(more, 7);
    session.close(Farewell::Revoked);
    assert_eq!(join(&mut session, hello(30)), Some(TurnedAway::Unknown));
    let known = Hello { is_fresh: false, ..hello(0) };
    assert_eq!(Session::exporter(&known, Limits::default(), START).err(), Some(TurnedAway::Unknown));
}

#[test]
fn the_door_takes_a_hello_and_nothing_else() {
    let mut bytes = Vec::new();
    Frame::Hello(hello(3)).write(&mut bytes);
    for end in 0..bytes.len() {
        assert!(door::knock(&bytes[..end]).unwrap().is_none());
    }
    let length = bytes.len();
    bytes.extend(b"more");
    assert_eq!(
        door::knock(&bytes).unwrap().map(|(hello, length)| (hello.link, length)),
        Some((LinkId(3), length))
    );
    bytes[3] = 9;
    assert_eq!(door::knock(&bytes).err(), Some(TurnedAway::Version));
    assert_eq!(door::knock(b"GET / HTTP/1.1").err(), Some(TurnedAway::Other));
    assert_eq!(door::no(TurnedAway::Full), [3, 0, 1, 2]);
    assert_eq!(format!("{:?}", hello(1).secret), "Secret");
}

/// An application that has nothing to say costs no buffer.
#[test]
fn an_idle_stream_takes_little_memory() {
    let bytes = std::mem::size_of::<crate::session::stream::Stream>();
    eprintln!("a stream is {bytes} bytes");
    assert!(bytes <= 512);
}
