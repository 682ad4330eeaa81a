//! Frames there and back, in pieces, and bytes that are none.

use super::*;
use crate::session::limits::PAST_LINKS;

fn count(link: u32) -> Count {
    let stands = [Stands::Sound, Stands::Suspect, Stands::Over][link as usize % 3];
    Count { link: LinkId(link), frames: u64::from(link) << 33, stands }
}

fn examples() -> Vec<(Frame<'static>, usize)> {
    let counts: Counts = (0..8).map(count).collect();

    let hello = |received: Counts| {
        let (session, secret) = (SessionId([7; 16]), Secret([9; 32]));
        Frame::Hello(Hello { session, secret, is_fresh: true, hold: 900, link: LinkId(3), received })
    };
    let data =
        |bytes: &'static [u8], is_end| Frame::Data { stream: StreamId(5), offset: 1 << 40, is_end, bytes };
    vec![
        (hello(Vec::new()), 62),
        (hello(counts.clone()), 62 + 8 * 13),
        (Frame::Welcome { is_new: true, received: counts }, 5 + 8 * 13),
        (Frame::No(TurnedAway::Unknown), 4),
        (Frame::Open(StreamId(u32::MAX), 65_535), 9),
        (Frame::Accept(StreamId(1)), 7),
        (Frame::Refuse(StreamId(1), Refusal::NotGranted), 8),
        (data(b"x", false), 17),
        (data(b"", true), 16),
        (data(&[3; CHUNK], true), LONGEST),
        (Frame::Credit(StreamId(1), 1 << 62), 15),
        (Frame::Reset(StreamId(1), Cut::HoldOver), 8),
        (Frame::Ack { frames: 77, bulk_waits: true }, 12),
        (Frame::Ping(1), 7),
        (Frame::Pong(u32::MAX), 7),
        (Frame::Goodbye(Farewell::Revoked), 4),
    ]
}

fn written(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = vec![0xff];
    frame.write(&mut out);
    out.remove(0);
    out
}

#[test]
fn each_frame_is_read_as_it_was_written_and_no_sooner_than_it_is_whole() {
    for (frame, length) in examples() {
        let bytes = written(&frame);
        assert_eq!(bytes.len(), length, "{frame:?}");
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end]), Ok(None)), "{frame:?} of {end} bytes");
        }
        let mut more = bytes.clone();
        more.extend([1, 2, 3]);
        let (again, read) = read(&more).unwrap().unwrap();
        assert_eq!(read, length);
        assert_eq!(format!("{again:?}"), format!("{frame:?}"));
        assert_eq!(written(&again), bytes);
    }
}

/// Two agents of different releases must understand each other.
#[test]
fn the_bytes_of_frames_are_these() {
    let hex = |frame: Frame<'_>| written(&frame).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(Frame::Open(StreamId(1), 22)), "040006000000010016");
    let data = Frame::Data { stream: StreamId(2), offset: 3, is_end: true, bytes: b"hi" };
    assert_eq!(hex(data), "07000f000000020000000000000003016869");
    assert_eq!(hex(Frame::Ack { frames: 258, bulk_waits: false }), "0a0009000000000000010200");
    assert_eq!(
        hex(Frame::Welcome { is_new: true, received: vec![count(1)] }),
        "02000f010100000001000000020000000001"
    );
}

#[test]
fn what_is_too_long_or_too_short_is_refused_before_it_has_come() {
    for (bytes, why) in [
        (&[0][..], Violation::UnknownFrame),
        (&[14], Violation::UnknownFrame),
        (&[7, 0, 12], Violation::Length),
        (&[7, 0xff, 0xff], Violation::Length),
        (&[1, 1, 0], Violation::Length),
        (&[11, 0, 5], Violation::Length),
        (&[4, 0, 6, 0, 0, 0, 1, 0, 0], Violation::Number),
        (&[7, 0, 13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], Violation::Length),
        (&[7, 0, 13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2], Violation::Number),
        (&[8, 0, 12, 0, 0, 0, 1, 0xff, 0, 0, 0, 0, 0, 0, 0], Violation::Number),
        (&[2, 0, 2, 0, 9], Violation::Number),
        (&[2, 0, 2, 0, 1], Violation::Length),
        (&[2, 0, 3, 0, 0, 0], Violation::Length),
    ] {
        assert_eq!(read(bytes).err(), Some(why), "{bytes:?}");
    }
    let (mut hello, _) = (written(&examples()[0].0), ());
    hello[3] = VERSION + 1;
    assert_eq!(read(&hello).err(), Some(Violation::Version));
    assert!(written(&examples()[1].0).len() == 3 + 59 + 13 * PAST_LINKS);
}

/// Random bytes, and frames with some bytes changed: read or refused, never more than there is.
#[test]
fn no_bytes_do_harm() {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let examples: Vec<Vec<u8>> = examples().iter().map(|(frame, _)| written(frame)).collect();
    for _ in 0..support::times(20_000, 2_000_000) {
        let mut bytes = examples[next() % examples.len()].clone();
        bytes.truncate(200);
        for _ in 0..next() % 4 {
            let place = next() % bytes.len();
            bytes[place] = next() as u8;
        }
        bytes.truncate(next() % (bytes.len() + 1));
        if let Ok(Some((frame, length))) = read(&bytes) {
            assert!(length <= bytes.len());
            let again = written(&frame);
            // Codes that are not known are not kept.
            assert_eq!(again.len(), length);
        }
    }
}
