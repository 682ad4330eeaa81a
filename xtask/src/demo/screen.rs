//! How the demo looks: prompts, the output of commands, and the seconds that go by while one is waited for.

use std::io::{Write, stdout};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::say::{self, Colour};

/// Silence up to this long needs no comment.
const TICK: Duration = Duration::from_secs(3);

/// `host$ what is typed`.
pub(super) fn prompt(host: &str, colour: Colour, typed: &str) {
    println!("\n{} {typed}", say::paint(colour, &format!("{host}$")));
}

/// A piece of a command's output.
pub(super) fn output(text: &str) {
    print!("{text}");
    // Whoever watches sees it as it comes; a closed standard output is not the demo's concern.
    let _ = stdout().flush();
}

/// Does `work`, and says every few seconds how long it has taken.
pub(super) fn ticking<T>(work: impl FnOnce() -> T) -> T {
    let (done, ended) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let start = Instant::now();
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
                say::note(&format!("… {} s", start.elapsed().as_secs()));
            }
        });
        let result = work();
        drop(done);
        result
    })
}
