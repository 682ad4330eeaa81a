//! One end alone, frame by frame.

use super::*;

const LUCK: Luck = Luck(0);

fn at(millis: u64) -> Moment {
    Duration::from_millis(millis)
}

/// An importer with so many links, each of 300 ms, and a stream that was opened over the first.
fn importer(links: u32) -> (Session, StreamId) {
    let limits = Limits { widen: [Duration::ZERO; 3], links: links as usize, ..Limits::default() };
    let mut session = Session::importer(SessionId([1; 16]), Secret([2; 32]), limits, at(0));
    let stream = session.open(22, at(0)).unwrap();
    for link in 0..links {
        session.waited = Some(at(0));
        session.handle_timeout(LUCK, at(0));
        session.link_connected(LinkId(link), at(0));
    }
    for link in 0..links {
        session.poll_transmit(LinkId(link), 1000, at(0), &mut Vec::new());
        give(&mut session, link, &Frame::Welcome { is_new: link == 0, received: Vec::new() }, 300);
    }
    give(&mut session, 0, &Frame::Ack { frames: 1, bulk_waits: false }, 300);
    assert_eq!(session.standing().links, links as usize);
    (session.bulk, session.waited) = (None, None);
    (session, stream)
}

fn give(session: &mut Session, link: u32, frame: &Frame<'_>, millis: u64) {
    let mut bytes = Vec::new();
    frame.write(&mut bytes);
    session.input(LinkId(link), &bytes, LUCK, at(millis));
}

/// What a link says, in short.
fn says(session: &mut Session, link: u32, room: usize, millis: u64) -> Vec<String> {
    let mut out = Vec::new();
    session.poll_transmit(LinkId(link), room, at(millis), &mut out);
    let (mut frames, mut rest) = (Vec::new(), &out[..]);
    while let Some((frame, length)) = codec::read(rest).unwrap() {
        frames.push(match frame {
            Frame::Open(stream, _) => format!("open {}", stream.0),
            Frame::Data { stream, offset, bytes, is_end } => {
                format!("data {} {offset}+{}{}", stream.0, bytes.len(), if is_end { " end" } else { "" })
            }
            other => format!("{other:?}"),
        });
        rest = &rest[length..];
    }
    frames
}

#[test]
fn a_stream_and_its_first_bytes_go_behind_the_hello_in_one_flight() {
    let mut session = Session::importer(SessionId([1; 16]), Secret([2; 32]), Limits::default(), at(0));
    let stream = session.open(22, at(0)).unwrap();
    assert_eq!(session.write(stream, b"hello"), Ok(5));
    session.finish(stream).unwrap();
    assert_eq!(session.poll_timeout(at(0)), Some(at(0)));
    session.handle_timeout(LUCK, at(0));
    assert_eq!(session.poll_event(), Some(Event::Dial(LinkId(0))));
    session.link_connected(LinkId(0), at(500));
    let said = says(&mut session, 0, 1000, 500);
    assert!(said[0].starts_with("Hello") && !said[0].contains("[2"), "{said:?}");
    assert_eq!(said[1..], ["open 0", "data 0 0+5 end"]);
}

#[test]
fn bytes_never_come_before_their_opening_whatever_is_lost() {
    let (mut session, _) = importer(3);
    let stream = session.open(22, at(300)).unwrap();
    session.write(stream, &[7; 60_000]).unwrap();
    assert_eq!(says(&mut session, 0, 20_000, 300)[..2], ["open 1", "data 1 0+16384"]);
    session.link_lost(LinkId(0), LUCK, at(400));
    // There is room for the opening alone on one link; the other one has much.
    assert_eq!(says(&mut session, 1, 70, 400), ["open 1"]);
    assert_eq!(says(&mut session, 1, 0, 400), [""; 0]);
    assert_eq!(says(&mut session, 2, 100_000, 400), [""; 0]);
    give(&mut session, 1, &Frame::Ack { frames: 1, bulk_waits: false }, 700);
    assert_eq!(says(&mut session, 1, 0, 700), [""; 0]);
    let said = says(&mut session, 2, 100_000, 700);
    assert!(said[0].starts_with("data 1 "), "{said:?}");
}

#[test]
fn what_a_dead_link_had_delivered_is_not_sent_again() {
    let (mut session, stream) = importer(2);
    session.write(stream, &[7; 3000]).unwrap();
    assert_eq!(says(&mut session, 0, 1100, 300), ["data 0 0+1084"]);
    assert_eq!(says(&mut session, 0, 1100, 300), ["data 0 1084+1084"]);
    session.link_lost(LinkId(0), LUCK, at(400));
    // Another link joins, and the exporter says that it has the opening and one frame more of the first.
    session.waited = Some(at(700));
    session.handle_timeout(LUCK, at(700));
    session.link_connected(LinkId(2), at(750));
    assert_eq!(says(&mut session, 2, 10_000, 750).len(), 1);
    let over = Count { link: LinkId(0), frames: 2, stands: Stands::Over };
    give(&mut session, 2, &Frame::Welcome { is_new: false, received: vec![over] }, 800);
    assert_eq!(says(&mut session, 2, 10_000, 800), ["data 0 1084+1084", "data 0 2168+832"]);
}

#[test]
fn a_silent_link_is_left_and_used_again_once_it_answers() {
    let (mut session, stream) = importer(2);
    session.write(stream, b"1").unwrap();
    assert_eq!(says(&mut session, 0, 1000, 300), ["data 0 0+1"]);
    let due = session.poll_timeout(at(300)).unwrap();
    assert!(due >= at(1300) && due < at(2500), "{due:?}");
    session.handle_timeout(LUCK, due);
    assert_eq!(session.standing().suspect, 1);
    let millis = due.as_millis() as u64;
    assert_eq!(says(&mut session, 0, 1000, millis), ["Ping(1)"]);
    assert_eq!(says(&mut session, 1, 1000, millis), ["data 0 0+1"]);
    give(&mut session, 0, &Frame::Ack { frames: 2, bulk_waits: false }, millis + 100);
    assert_eq!((session.standing().suspect, session.standing().links), (0, 2));
    give(&mut session, 1, &Frame::Ack { frames: 1, bulk_waits: false }, millis + 200);
    assert_eq!(session.standing().unacked, 0);
}

#[test]
fn a_key_press_is_written_and_sent_though_bulk_has_taken_all_there_is() {
    let (mut session, bulk) = importer(1);
    let keys = session.open(22, at(300)).unwrap();
    let others: Vec<StreamId> = (0..6).map(|_| session.open(22, at(300)).unwrap()).collect();
    for stream in others.iter().chain([&bulk]) {
        give(&mut session, 0, &Frame::Credit(*stream, 512 * 1024), 300);
        session.write(*stream, &[7; 512 * 1024]).unwrap();
    }
    let limits = Limits::default();
    let unacked = session.standing().unacked;
    assert!(unacked >= limits.session_unacked - limits.kept_for_small && unacked < limits.session_unacked);
    assert_eq!(session.write(bulk, b"more"), Ok(0));
    says(&mut session, 0, 200_000, 300);
    assert_eq!(session.write(keys, b"k"), Ok(1));
    assert_eq!(says(&mut session, 0, 1000, 300)[0], format!("data {} 0+1", keys.0));
}

#[test]
fn what_has_come_whole_can_be_read_after_the_session() {
    let (mut session, stream) = importer(1);
    session.finish(stream).unwrap();
    let cut = session.open(22, at(300)).unwrap();
    says(&mut session, 0, 1000, 300);
    let data = Frame::Data { stream, offset: 0, is_end: true, bytes: b"all" };
    give(&mut session, 0, &data, 600);
    give(&mut session, 0, &Frame::Ack { frames: 3, bulk_waits: false }, 600);
    give(&mut session, 0, &Frame::Goodbye(Farewell::Leaving), 600);
    let events: Vec<Event> = std::iter::from_fn(|| session.poll_event()).collect();
    assert!(events.contains(&Event::Reset(cut, Cut::Leaving)));
    assert!(!events.contains(&Event::Reset(stream, Cut::Leaving)));
    let mut buffer = [0; 9];
    assert_eq!(session.read(stream, &mut buffer), Ok(Read::Bytes(3)));
    assert_eq!(session.read(stream, &mut buffer), Ok(Read::End));
    assert_eq!(session.read(stream, &mut buffer), Err(NoStream));
    assert_eq!(session.open(22, at(700)), None);
}

#[test]
fn dials_have_a_limit_and_follow_each_other_with_a_pause() {
    let mut session = Session::importer(SessionId([1; 16]), Secret([2; 32]), Limits::default(), at(0));
    session.open(22, at(0)).unwrap();
    session.handle_timeout(LUCK, at(0));
    assert_eq!(session.poll_event(), Some(Event::Dial(LinkId(0))));
    assert_eq!(session.poll_timeout(at(0)), Some(at(12_000)));
    session.handle_timeout(Luck(32_768), at(12_000));
    assert_eq!(session.poll_event(), Some(Event::Close(LinkId(0))));
    assert_eq!(session.poll_event(), None);
    assert_eq!(session.poll_timeout(at(12_000)), Some(at(12_500)));
    session.handle_timeout(LUCK, at(12_500));
    assert_eq!(session.poll_event(), Some(Event::Dial(LinkId(1))));
    session.dial_failed(LinkId(1), Luck(65_535), at(13_000));
    let next = session.poll_timeout(at(13_000)).unwrap();
    assert!(next > at(14_499) && next <= at(14_500), "{next:?}");
    session.probe();
    assert!(session.poll_timeout(at(13_000)).unwrap() <= at(13_000));
}

#[test]
fn an_exporter_holds_for_as_long_as_its_importer_wishes_but_no_longer_than_a_day() {
    for (hold, expected) in [(0, 0), (7200, 7200), (u32::MAX, 86_400)] {
        let (session, secret) = (SessionId([1; 16]), Secret([2; 32]));
        let hello = Hello { session, secret, is_fresh: true, hold, link: LinkId(0), received: Vec::new() };
        let mut session = Session::exporter(&hello, Limits::default(), at(0)).unwrap();
        session.join(&hello, LUCK, at(0)).unwrap();
        assert_eq!(session.poll_timeout(at(0)), None);
        session.link_lost(LinkId(0), LUCK, at(1000));
        assert_eq!(session.poll_timeout(at(1000)), Some(at(1000 + expected * 1000)));
    }
}

#[test]
fn a_link_that_is_over_for_the_importer_makes_room_for_another_one() {
    let hello = |link, received| {
        let (session, secret) = (SessionId([1; 16]), Secret([2; 32]));
        Hello { session, secret, is_fresh: true, hold: 900, link: LinkId(link), received }
    };
    let mut session = Session::exporter(&hello(0, Vec::new()), Limits::default(), at(0)).unwrap();
    for link in 0..LINKS_SERVED as u32 {
        session.join(&hello(link, Vec::new()), LUCK, at(0)).unwrap();
    }
    assert_eq!(session.join(&hello(8, Vec::new()), LUCK, at(0)), Err(TurnedAway::Full));
    let over = Count { link: LinkId(3), frames: 0, stands: Stands::Over };
    assert_eq!(session.join(&hello(8, vec![over]), LUCK, at(0)), Ok(LinkId(8)));
    assert_eq!(session.poll_event(), Some(Event::Close(LinkId(3))));
    // One that is only suspect stays, and what is on its way goes another way.
    give(&mut session, 8, &Frame::Open(StreamId(0), 22), 0);
    session.accept(StreamId(0)).unwrap();
    assert_eq!(says(&mut session, 0, 1000, 0).len(), 2);
    session.link_lost(LinkId(1), LUCK, at(0));
    let suspect = Count { link: LinkId(0), frames: 0, stands: Stands::Suspect };
    assert_eq!(session.join(&hello(9, vec![suspect]), LUCK, at(0)), Ok(LinkId(9)));
    assert_eq!(session.standing().suspect, 1);
    assert!(says(&mut session, 2, 1000, 0).contains(&"Accept(StreamId(0))".to_owned()));
}

#[test]
fn what_went_behind_an_unanswered_hello_goes_over_the_first_link_that_is_let_in() {
    let (mut session, stream) = importer(1);
    session.link_lost(LinkId(0), LUCK, at(6000));
    session.handle_timeout(LUCK, at(6000));
    session.link_connected(LinkId(1), at(6000));
    session.write(stream, b"1").unwrap();
    assert!(says(&mut session, 1, 1000, 6000).contains(&"data 0 0+1".to_owned()));
    session.handle_timeout(LUCK, at(10_000));
    session.link_connected(LinkId(2), at(10_000));
    assert_eq!(says(&mut session, 2, 1000, 10_000).len(), 1);
    give(&mut session, 2, &Frame::Welcome { is_new: false, received: Vec::new() }, 10_300);
    assert_eq!(says(&mut session, 2, 1000, 10_300), ["data 0 0+1"]);
}

#[test]
fn many_streams_with_a_little_each_leave_the_way_to_a_key_press() {
    let (mut session, keys) = importer(1);
    for _ in 0..100 {
        let stream = session.open(22, at(300)).unwrap();
        session.write(stream, &[7; 16_000]).unwrap();
    }
    let mut out = Vec::new();
    session.poll_transmit(LinkId(0), 4_000_000, at(300), &mut out);
    assert!(out.len() > 100_000 && out.len() < 200_000, "{} bytes", out.len());
    session.write(keys, b"k").unwrap();
    assert_eq!(says(&mut session, 0, 1000, 300), ["data 0 0+1"]);
}

#[test]
fn an_idle_link_is_asked_and_used_again_when_it_answers_late() {
    let (mut session, _) = importer(1);
    assert_eq!(session.poll_timeout(at(300)), Some(at(15_300)));
    session.handle_timeout(LUCK, at(15_300));
    assert_eq!(says(&mut session, 0, 1000, 15_300), ["Ping(1)"]);
    let due = session.poll_timeout(at(15_300)).unwrap();
    assert!(due < at(18_000), "{due:?}");
    session.handle_timeout(LUCK, due);
    assert_eq!(session.standing().suspect, 1);
    let millis = due.as_millis() as u64 + 1;
    assert_eq!(says(&mut session, 0, 1000, millis), ["Ping(2)"]);
    give(&mut session, 0, &Frame::Pong(2), millis + 300);
    assert_eq!((session.standing().suspect, session.standing().links), (0, 1));
}

/// An exporter with one link.
fn exporter() -> Session {
    let (session, secret) = (SessionId([1; 16]), Secret([2; 32]));
    let hello = Hello { session, secret, is_fresh: true, hold: 900, link: LinkId(0), received: Vec::new() };
    let mut session = Session::exporter(&hello, Limits::default(), at(0)).unwrap();
    session.join(&hello, LUCK, at(0)).unwrap();
    says(&mut session, 0, 1000, 0);
    session
}

#[test]
fn a_stream_is_accepted_though_its_first_bytes_came_with_its_opening() {
    let mut session = exporter();
    give(&mut session, 0, &Frame::Open(StreamId(0), 22), 0);
    let data = Frame::Data { stream: StreamId(0), offset: 0, is_end: false, bytes: b"question" };
    give(&mut session, 0, &data, 0);
    session.accept(StreamId(0)).unwrap();
    assert!(says(&mut session, 0, 1000, 0).contains(&"Accept(StreamId(0))".to_owned()));
}

#[test]
fn applications_that_come_and_go_while_there_is_no_link_cost_no_connection_its_hold() {
    let (mut session, stream) = importer(1);
    session.link_lost(LinkId(0), LUCK, at(400));
    let mut more = 0;
    while let Some(stream) = session.open(22, at(500)) {
        session.reset(stream, Cut::Application);
        more += 1;
        assert!(more < WAITING, "there is no bound");
    }
    session.handle_timeout(LUCK, at(6000));
    session.link_connected(LinkId(1), at(6000));
    give(&mut session, 1, &Frame::Welcome { is_new: false, received: Vec::new() }, 6300);
    let all = says(&mut session, 1, 1_000_000, 6300).len() as u64 - 1;
    give(&mut session, 1, &Frame::Ack { frames: all, bulk_waits: false }, 6600);
    assert!(!session.has_ended());
    session.write(stream, b"1").unwrap();
    assert_eq!(says(&mut session, 1, 1000, 6600), ["data 0 0+1"]);
    assert!(session.open(22, at(6600)).is_some());
}

/// What became of streams and of the session.
fn outcome(session: &mut Session) -> Vec<Event> {
    let events = std::iter::from_fn(|| session.poll_event());
    events.filter(|event| !matches!(event, Event::Close(_) | Event::Dial(_) | Event::Accepted(_))).collect()
}

#[test]
fn where_the_far_side_lets_no_link_in_it_is_said_that_nothing_has_arrived() {
    let line = b"{\"ormesh\":1,\"error\":\"no sessions\"}\n";
    let mut no = Vec::new();
    Frame::No(TurnedAway::Full).write(&mut no);
    for (answer, why) in [(&line[..], Farewell::NotOffered), (&no, Farewell::Other)] {
        let mut session = Session::importer(SessionId([1; 16]), Secret([2; 32]), Limits::default(), at(0));
        let stream = session.open(22, at(0)).unwrap();
        session.write(stream, b"question").unwrap();
        session.handle_timeout(LUCK, at(0));
        session.link_connected(LinkId(0), at(0));
        assert_eq!(says(&mut session, 0, 1000, 0).len(), 3);
        session.input(LinkId(0), answer, LUCK, at(300));
        assert_eq!(outcome(&mut session), [Event::NotTaken(stream), Event::Ended(why, None)]);
    }
}

#[test]
fn what_an_unanswered_link_has_carried_is_not_taken_for_undelivered() {
    let mut session = Session::importer(SessionId([1; 16]), Secret([2; 32]), Limits::default(), at(0));
    let stream = session.open(22, at(0)).unwrap();
    session.handle_timeout(LUCK, at(0));
    session.link_connected(LinkId(0), at(0));
    says(&mut session, 0, 1000, 0);
    session.link_lost(LinkId(0), LUCK, at(6000));
    let later = session.open(22, at(6000)).unwrap();
    session.handle_timeout(LUCK, at(9000));
    session.link_connected(LinkId(1), at(9000));
    assert_eq!(says(&mut session, 1, 1000, 9000).len(), 1);
    session.input(LinkId(1), b"{", LUCK, at(9300));
    let expected =
        [Event::NotTaken(later), Event::Reset(stream, Cut::Other), Event::Ended(Farewell::NotOffered, None)];
    assert_eq!(outcome(&mut session), expected);
    // Nor is anything of a session that stood.
    let (mut session, stream) = importer(1);
    session.link_lost(LinkId(0), LUCK, at(400));
    session.handle_timeout(LUCK, at(3000));
    session.link_connected(LinkId(1), at(3000));
    session.input(LinkId(1), b"{", LUCK, at(3300));
    let expected = [Event::Reset(stream, Cut::Other), Event::Ended(Farewell::NotOffered, None)];
    assert_eq!(outcome(&mut session), expected);
}

#[test]
fn what_a_link_was_to_say_whose_dial_came_to_nothing_was_shown_to_nobody() {
    for (is_sent, more, expected) in
        [(false, vec!["open 0", "data 0 0+8"], vec![]), (true, vec![], vec![Cut::Forgotten])]
    {
        let mut session = Session::importer(SessionId([1; 16]), Secret([2; 32]), Limits::default(), at(0));
        let stream = session.open(22, at(0)).unwrap();
        session.write(stream, b"question").unwrap();
        session.handle_timeout(LUCK, at(0));
        session.link_begins(LinkId(0), at(0));
        assert_eq!(says(&mut session, 0, 1000, 0)[1..], ["open 0", "data 0 0+8"]);
        if is_sent {
            assert!(session.link_connected(LinkId(0), at(3000)));
        }
        session.link_lost(LinkId(0), LUCK, at(6000));
        assert!(!session.link_connected(LinkId(0), at(6000)), "nothing more may leave for it");
        session.handle_timeout(LUCK, at(9000));
        session.link_begins(LinkId(1), at(9000));
        assert_eq!(says(&mut session, 1, 1000, 9000)[1..], more);
        session.link_connected(LinkId(1), at(9100));
        give(&mut session, 1, &Frame::Welcome { is_new: true, received: Vec::new() }, 9300);

        let expected: Vec<_> = expected.into_iter().map(|why| Event::Reset(stream, why)).collect();
        assert_eq!(outcome(&mut session), expected);
        assert_eq!(session.has_stream(stream), !is_sent);
    }
}

#[test]
fn an_acknowledgement_costs_no_more_than_what_it_settles() {
    const MANY: u32 = 8000;
    let mut session = exporter();
    for stream in (0..MANY).map(StreamId) {
        give(&mut session, 0, &Frame::Open(stream, 22), 0);
        session.refuse(stream, Refusal::NotGranted);
        session.poll_transmit(LinkId(0), 1000, at(0), &mut Vec::new());
    }
    let suspect = Count { link: LinkId(0), frames: 0, stands: Stands::Suspect };
    let (id, secret) = (SessionId([1; 16]), Secret([2; 32]));
    let hello =
        Hello { session: id, secret, is_fresh: false, hold: 900, link: LinkId(1), received: vec![suspect] };
    session.join(&hello, LUCK, at(0)).unwrap();
    assert_eq!(session.pending.bare(), MANY as usize, "all were moved away");
    for _ in 0..100_000 {
        give(&mut session, 0, &Frame::Ack { frames: 0, bulk_waits: false }, 0);
    }
    assert_eq!(session.pending.looked_at, 0);
    for frames in 1..=u64::from(MANY) {
        give(&mut session, 0, &Frame::Ack { frames, bulk_waits: false }, 0);
    }
    assert_eq!((session.pending.looked_at, session.pending.bare()), (MANY as usize, 0));
    assert!(!session.has_ended());
}

#[test]
fn no_secret_is_shown() {
    let mut session = Session::importer(SessionId([1; 16]), Secret([2; 32]), Limits::default(), at(0));
    session.open(22, at(0)).unwrap();
    session.handle_timeout(LUCK, at(0));
    session.link_connected(LinkId(0), at(0));
    let shown = format!("{session:?}");
    assert!(shown.contains("Greeting") && !shown.contains("2, 2, 2"), "{shown}");
}
