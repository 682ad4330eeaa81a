//! The terminal's modes by termios, and the signals that end a process.

use std::fs::File;
use std::io;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// What shells give for a process that SIGINT has ended: 128 and the signal's number.
pub(super) const INTERRUPTED: i32 = 130;

/// A terminal that shows nothing of what is typed, until this is dropped.
pub(super) struct Terminal {
    tty: File,
    before: Termios,
}

/// Lets the terminal show nothing.
pub(super) fn hide() -> io::Result<Terminal> {
    let tty = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&tty)?;
    let mut modes = before.clone();
    // As the reader of the line has it: a change between two lines could lose what is pasted.
    modes.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON;
    tcsetattr(&tty, OptionalActions::Now, &modes)?;
    Ok(Terminal { tty, before })
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that has gone has no modes.
        let _ = tcsetattr(&self.tty, OptionalActions::Now, &self.before);
    }
}

/// Listens from now on; gives the exit code for the signal that came.
pub(super) fn ended() -> io::Result<impl Future<Output = i32>> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => INTERRUPTED,
            _ = term.recv() => 128 + SignalKind::terminate().as_raw_value(),
            _ = hup.recv() => 128 + SignalKind::hangup().as_raw_value(),
            _ = quit.recv() => 128 + SignalKind::quit().as_raw_value(),
        }
    })
}
