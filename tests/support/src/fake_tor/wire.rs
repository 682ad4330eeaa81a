//! One connection of a scripted tor: what a script's steps do there.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::script::Step;

/// tor's side of the SOCKS handshake, before the code of its reply and from there on.
const SOCKS: (&[u8], &[u8]) = (&[5, 2, 1, 0, 5], &[0, 1, 0, 0, 0, 0, 0, 0]);

/// A flood goes out in pieces of so many bytes.
const FLOOD: usize = 64 * 1024;

/// See the file's sentence.
#[derive(Debug)]
pub(crate) struct Wire(Mutex<Pen>);

#[derive(Debug)]
struct Pen {
    stream: UnixStream,
    /// Between two bytes; none where they go out together.
    pace: Option<Duration>,
}

impl Wire {
    /// At this connection.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self(Mutex::new(Pen { stream, pace: None }))
    }

    /// Says this, in one piece to all others who say something here.
    pub(crate) fn say(&self, bytes: &[u8]) -> io::Result<()> {
        let mut pen = self.pen();
        let Some(pace) = pen.pace else { return pen.stream.write_all(bytes) };
        for byte in bytes {
            pen.stream.write_all(&[*byte])?;
            thread::sleep(pace);
        }
        Ok(())
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        // The other end may have closed it.
        let _ = self.pen().stream.shutdown(Shutdown::Both);
    }

    /// Does what a script says; false where that closes the connection. `usual` makes what tor says.
    pub(crate) fn perform(&self, steps: Vec<Step>, mut usual: impl FnMut() -> Vec<u8>) -> io::Result<bool> {
        for step in steps {
            match step {
                Step::Usual(most) => self.say(part(&usual(), most))?,
                Step::Accept(most) => self.say(part(&socks_reply(0), most))?,
                Step::Refuse(code) => self.say(&socks_reply(code))?,
                Step::Say(bytes) => self.say(&bytes)?,
                Step::Again(times, bytes) => self.say(&bytes.repeat(times))?,
                Step::Endless(bytes) => {
                    let many = bytes.repeat((FLOOD / bytes.len().max(1)).max(1));
                    loop {
                        self.say(&many)?;
                    }
                }
                Step::Wait(time) => thread::sleep(time),
                Step::Slowly(pace) => self.pen().pace = Some(pace),
                Step::Close => {
                    self.close();
                    return Ok(false);
                }
                Step::Hang => thread::sleep(Duration::MAX),
                Step::End(text) => {
                    println!("Nov 22 15:00:00.000 [err] {text}");
                    std::process::exit(1);
                }
            }
        }
        Ok(true)
    }

    fn pen(&self) -> MutexGuard<'_, Pen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that tor says in a SOCKS handshake that ends with this code.
pub(crate) fn socks_reply(code: u8) -> Vec<u8> {
    [SOCKS.0, &[code], SOCKS.1].concat()
}

/// The first so many bytes, or all.
fn part(bytes: &[u8], most: Option<usize>) -> &[u8] {
    &bytes[..most.unwrap_or(bytes.len()).min(bytes.len())]
}
