//! Splits a long reply of tor into parts, because torut fails above 1 MiB and the circuits of a busy tor can be more. `control` joins them.
//!
//! Invariant: what is kept of a reply is bounded; of a longer one the rest of the data is passed over, and that is said.

// It reads what tor says: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead as _, AsyncRead, BufReader, ReadBuf};

/// Bytes of a part, after which it ends with the next line. With one line more it is well below torut's limit.
const PART: usize = 256 * 1024;
/// Bytes of a reply that are kept: some twenty thousand circuits.
const WHOLE: usize = 8 * 1024 * 1024;
/// Events are short, and many of them wait at a time: these are never handed on in parts.
const EVENT: &[u8; 3] = b"650";

/// A reader of replies in parts. It never reads on beyond the end of a part before it is asked for the next.
pub(super) struct Parts<R> {
    inner: BufReader<R>,
    framing: Framing,
    /// Bytes that are to be handed on, and how many of them were.
    ready: Vec<u8>,
    given: usize,
}

impl<R: AsyncRead> Parts<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { inner: BufReader::new(reader), framing: Framing::default(), ready: Vec::new(), given: 0 }
    }

    /// Whether the reply that was read last goes on with the next one.
    pub(super) fn goes_on(&self) -> bool {
        self.framing.is_within
    }

    /// Whether lines of the reply that was read last were passed over.
    pub(super) fn was_cut(&self) -> bool {
        self.framing.was_cut
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Parts<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        loop {
            let rest = me.ready.get(me.given..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(rest.get(..count).unwrap_or_default());
                me.given += count;
                return Poll::Ready(Ok(()));
            }
            me.ready.clear();
            me.given = 0;
            let bytes = ready!(Pin::new(&mut me.inner).poll_fill_buf(context))?;
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut used = 0;
            for byte in bytes {
                used += 1;
                if me.framing.take(*byte, &mut me.ready) {
                    break;
                }
            }
            Pin::new(&mut me.inner).consume(used);
        }
    }
}

/// Where in a reply the next byte is (control-spec §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the code of a line, with so many of its digits.
    Code(usize),
    /// Behind the code.
    Kind,
    /// In a line's text.
    Text { is_last: bool },
    /// In the first line of a data reply.
    Head,
    /// In a data line: how much of the line that ends the data it is so far; none when it is another.
    Data { end: Option<usize> },
}

/// The line that ends the data.
const END: &[u8; 3] = b".\r\n";

/// Follows the framing byte by byte (pure). What is not the protocol is handed on as it is, for torut to refuse.
#[derive(Debug)]
struct Framing {
    at: At,
    code: [u8; 3],
    before: u8,
    part: usize,
    whole: usize,
    /// A part ended within the data of a reply.
    is_within: bool,
    /// The line is passed over, and so is the rest of the data.
    passes_over: bool,
    was_cut: bool,
}

impl Default for Framing {
    fn default() -> Self {
        Self {
            at: At::Code(0),
            code: *b"000",
            before: 0,
            part: 0,
            whole: 0,
            is_within: false,
            passes_over: false,
            was_cut: false,
        }
    }
}

impl Framing {
    /// Takes a byte and appends what is to be handed on; whether a reply, or a part of it, ends there.
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        if self.is_within {
            self.is_within = false;
            out.extend_from_slice(&self.code);
            out.extend_from_slice(b"+\r\n");
        }
        let is_line_end = self.before == b'\r' && byte == b'\n';
        self.before = byte;
        self.whole = self.whole.saturating_add(1);
        match self.at {
            At::Code(count) => {
                if self.whole == 1 {
                    self.was_cut = false;
                }
                if let Some(digit) = self.code.get_mut(count) {
                    *digit = byte;
                }
                self.at = if count + 1 < self.code.len() { At::Code(count + 1) } else { At::Kind };
            }
            At::Kind => {
                self.at = match byte {
                    b'+' => At::Head,
                    b'-' => At::Text { is_last: false },
                    _ => At::Text { is_last: true },
                };
            }
            At::Text { is_last: true } if is_line_end => {
                out.push(byte);
                let was_cut = self.was_cut;
                *self = Self { was_cut, ..Self::default() };
                return true;
            }
            At::Text { .. } if is_line_end => self.at = At::Code(0),
            At::Text { .. } => {}
            At::Head if is_line_end => self.at = At::Data { end: Some(0) },
            At::Head => {}
            At::Data { end } => return self.take_data(byte, end, is_line_end, out),
        }
        self.give(byte, out);
        false
    }

    fn take_data(&mut self, byte: u8, end: Option<usize>, is_line_end: bool, out: &mut Vec<u8>) -> bool {
        if let Some(count) = end
            && END.get(count) == Some(&byte)
        {
            // Held back until it is known what the line is.
            let is_end = count + 1 == END.len();
            self.at = if is_end { At::Code(0) } else { At::Data { end: Some(count + 1) } };
            if is_end {
                END.iter().for_each(|byte| self.give(*byte, out));
            }
            return false;
        }
        let held = end.and_then(|count| END.get(..count)).unwrap_or_default();
        self.at = At::Data { end: is_line_end.then_some(0) };
        if end.is_some() {
            self.passes_over = self.whole > WHOLE && self.code != *EVENT;
            self.was_cut |= self.passes_over;
        }
        if self.passes_over {
            return false;
        }
        held.iter().for_each(|byte| self.give(*byte, out));
        self.give(byte, out);
        if is_line_end && self.part >= PART && self.code != *EVENT {
            out.extend_from_slice(END);
            out.extend_from_slice(&self.code);
            out.extend_from_slice(b" \r\n");
            self.part = 0;
            self.is_within = true;
            return true;
        }
        false
    }

    fn give(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        self.part += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    /// What is handed on, part by part.
    fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut framing = Framing::default();
        let mut all = vec![Vec::new()];
        for byte in bytes {
            if framing.take(*byte, all.last_mut().unwrap()) {
                all.push(Vec::new());
            }
        }
        all
    }

    fn long(lines: usize) -> Vec<u8> {
        let data: String = (0..lines).map(|n| format!("{n} BUILT {}\r\n", "x".repeat(300))).collect();
        format!("250+circuit-status=\r\n{data}.\r\n250 OK\r\n").into_bytes()
    }

    #[test]
    fn short_replies_are_handed_on_as_they_are() {
        for reply in [
            "250 OK\r\n",
            "250-a\r\n250 OK\r\n",
            "250+a=\r\n.\r\n250 OK\r\n",
            "650+a\r\n.x\r\n..\r\n.\rx\r\n.\r\n650 OK\r\n",
        ] {
            assert_eq!(parts(reply.as_bytes()), [reply.as_bytes(), b""], "{reply}");
        }
    }

    #[test]
    fn a_long_reply_comes_in_parts_that_are_replies_each() {
        let all = parts(&long(10_000));

        assert!(all.len() > 10);
        for part in &all[..all.len() - 1] {
            assert!(part.starts_with(b"250+") && part.len() < 2 * PART);
        }
        for part in &all[..all.len() - 2] {
            assert!(part.ends_with(b"\r\n.\r\n250 \r\n"));
        }
        assert!(all[all.len() - 2].ends_with(b".\r\n250 OK\r\n"));
    }

    #[test]
    fn of_a_reply_without_measure_a_bounded_part_is_kept() {
        let mut framing = Framing::default();
        let mut out = Vec::new();
        let reply = long(100_000);
        assert!(reply.len() > 3 * WHOLE);

        for byte in &reply {
            framing.take(*byte, &mut out);
        }

        assert!(framing.was_cut && !framing.is_within);
        assert!(out.len() > WHOLE - PART && out.len() < WHOLE + PART, "{}", out.len());
        assert!(out.ends_with(b"x\r\n.\r\n250 OK\r\n"));
        // The next one is whole.
        out.clear();
        for byte in b"250 OK\r\n" {
            framing.take(*byte, &mut out);
        }
        assert!(!framing.was_cut && out == b"250 OK\r\n");
    }

    #[test]
    fn events_are_left_to_torut() {
        let event = [b"650+x\r\n".to_vec(), b"abc\r\n".repeat(PART), b".\r\n650 OK\r\n".to_vec()].concat();

        assert_eq!(parts(&event), [event, vec![]]);
    }

    proptest! {
        #[test]
        fn any_short_bytes_are_handed_on_as_they_are(bytes in "(250|650|[+ -]|\\.|\r\n|x|\r|\n){0,40}\r\n\\.\r\n250 x\r\n") {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut read = Vec::new();
            runtime.block_on(Parts::new(bytes.as_bytes()).read_to_end(&mut read)).unwrap();
            // A line that may yet end the data is held back.
            let held = bytes.len() - read.len();
            prop_assert!(held < END.len());
            prop_assert_eq!(&read[..], &bytes.as_bytes()[..read.len()]);
        }
    }

    #[test]
    fn fuzzed_long_replies_are_handed_on_in_bounded_parts() {
        let samples = [long(20), b"250-a\r\n250 OK\r\n".to_vec(), b"650+x\r\n..\r\n.\r\n650 OK\r\n".to_vec()];
        support::fuzz("long replies of tor", &samples, |bytes| {
            assert!(parts(bytes).iter().map(Vec::len).sum::<usize>() <= 2 * bytes.len() + 1024);
        });
    }
}
