//! The log's output, written by a thread of its own, so that a slow or missing reader neither stops nor delays the agent.
//!
//! A reader that is gone or a disk that is full loses lines; a reader that stands still loses those that no longer fit. How many were
//! lost is said in the log as soon as it can be written again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

/// Lines that may wait for their reader.
const WAITING: usize = 8192;
/// How long the last lines are waited for at the end.
const FLUSH: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Takes lines, each in one write. It never fails and never waits.
#[derive(Clone)]
pub struct Lines {
    messages: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// Dropped, it waits until the lines before are written, at most a second.
pub struct Flush(SyncSender<Message>);

/// Starts the thread that writes to `out`.
///
/// Errors: the system gives no thread.
pub fn start(out: impl Write + Send + 'static) -> io::Result<(Lines, Flush)> {
    let (messages, waiting) = mpsc::sync_channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&lost);
    std::thread::Builder::new().name("log".into()).spawn(move || write_all(&waiting, out, &counted))?;
    Ok((Lines { messages: messages.clone(), lost }, Flush(messages)))
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.messages.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH;
        let (written, done) = mpsc::sync_channel(1);
        let mut flush = Message::Flush(written);
        while let Err(TrySendError::Full(again)) = self.0.try_send(flush) {
            if Instant::now() >= deadline {
                return;
            }
            flush = again;
            std::thread::sleep(LOOK);
        }
        // Time's up for a reader that stands still; the thread ends with the process.
        let _: Result<(), RecvTimeoutError> =
            done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn write_all(waiting: &Receiver<Message>, mut out: impl Write, lost: &AtomicU64) {
    // Whether the last line may be there in part only.
    let mut torn = false;
    for message in waiting {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(written) => {
                // Whoever asked may have given up.
                let _ = written.try_send(());
                continue;
            }
        };
        let missing = lost.load(Ordering::Relaxed);
        let mut text = if torn { b"\n".to_vec() } else { Vec::new() };
        if missing > 0 {
            text.extend(
                format!("{missing} lines of the log are missing here: they could not be written\n").bytes(),
            );
        }
        text.extend(line);
        match out.write_all(&text).and_then(|()| out.flush()) {
            Ok(()) => {
                torn = false;
                lost.fetch_sub(missing, Ordering::Relaxed);
            }
            Err(_) => {
                torn = true;
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// What a reader does: takes all, refuses all, or stands still.
    #[derive(Clone, Copy, PartialEq)]
    enum Does {
        Read,
        Refuse,
        Stand,
    }

    #[derive(Clone)]
    struct Reader(Arc<Shared>);

    struct Shared {
        state: Mutex<(Does, Vec<u8>)>,
        changed: Condvar,
    }

    impl Reader {
        fn new(does: Does) -> Self {
            Self(Arc::new(Shared { state: Mutex::new((does, Vec::new())), changed: Condvar::new() }))
        }

        fn now(&self, does: Does) {
            self.0.state.lock().unwrap().0 = does;
            self.0.changed.notify_all();
        }

        fn has(&self) -> String {
            String::from_utf8(self.0.state.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let state = self.0.state.lock().unwrap();
            let mut state = self.0.changed.wait_while(state, |state| state.0 == Does::Stand).unwrap();
            match state.0 {
                Does::Refuse => Err(io::ErrorKind::StorageFull.into()),
                _ => state.1.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let reader = Reader::new(Does::Read);
        let (mut lines, flush) = start(reader.clone()).unwrap();
        for n in 0..1000 {
            writeln!(lines, "{n}").unwrap();
        }

        drop(flush);

        assert_eq!(reader.has().lines().last(), Some("999"));
        assert_eq!(reader.has().lines().count(), 1000);
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_learns_what_it_missed() {
        let reader = Reader::new(Does::Stand);
        let (mut lines, flush) = start(reader.clone()).unwrap();
        // One more is in the thread's hands.
        for _ in 0..WAITING + 1 + 5 {
            lines.write_all(b"x\n").unwrap();
        }
        drop(flush);
        assert_eq!(reader.has(), "");

        reader.now(Does::Read);
        while lines.lost.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert!(reader.has().contains(" lines of the log are missing here"), "{}", reader.has());
    }

    #[test]
    fn a_full_disk_is_told_once_there_is_room_again() {
        let reader = Reader::new(Does::Refuse);
        let (mut lines, flush) = start(reader.clone()).unwrap();
        lines.write_all(b"a\n").unwrap();
        lines.write_all(b"b\n").unwrap();
        while lines.lost.load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }

        reader.now(Does::Read);
        lines.write_all(b"c\n").unwrap();
        drop(flush);

        assert_eq!(reader.has(), "\n2 lines of the log are missing here: they could not be written\nc\n");
    }
}
