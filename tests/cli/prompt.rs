//! The hidden prompt on a real terminal: what is typed is not shown, and the terminal is as it was on every way out.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::host::{Host, ORMESH};

/// Long enough for the slowest machine; nothing waits for it when all is well.
const DEADLINE: Duration = Duration::from_secs(60);

/// A terminal, with `ormesh remote add web` in it.
struct Terminal {
    master: File,
    /// Kept open, so that the modes can still be read when the command has ended.
    slave: OwnedFd,
    child: Child,
    shown: String,
}

impl Terminal {
    /// Starts the command and waits until it asks.
    fn asking(host: &Host) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        assert!(is_plain(&slave));
        let end = || Stdio::from(slave.try_clone().unwrap());
        // A session of its own, whose terminal this is.
        let mut command = host.command("setsid");
        command.args(["--ctty", ORMESH, "remote", "add", "web"]).stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        drop(command);
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        let mut terminal = Self { master: File::from(master), slave, child, shown: String::new() };
        terminal.until("it asks", |terminal| terminal.shown.contains("invite (not shown): "));
        assert!(!modes(&terminal.slave).contains(LocalModes::ECHO));
        terminal
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut bytes = [0; 1024];
            if let Ok(count) = self.master.read(&mut bytes) {
                self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            if is_so(self) {
                return;
            }
            assert!(Instant::now() < deadline, "never: {what}: {:?}", self.shown);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the command's end; gives its exit code and what was shown.
    #[track_caller]
    fn ended(mut self) -> (Option<i32>, String) {
        self.until("it ends", |terminal| terminal.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code();
        self.until("the rest is shown", |_| true);
        assert!(is_plain(&self.slave), "the terminal was left as {:?}", modes(&self.slave));
        (code, self.shown)
    }
}

fn modes(terminal: impl std::os::fd::AsFd) -> LocalModes {
    tcgetattr(terminal.as_fd()).unwrap().local_modes
}

/// Whether a terminal is as it is at first: what is typed is shown, and Ctrl-C is a signal.
fn is_plain(terminal: &OwnedFd) -> bool {
    modes(terminal.as_fd()).contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
}

fn invite() -> String {
    Host::new().good(&["client", "add", "a"]).trim().to_owned()
}

#[test]
fn the_terminal_is_restored_whatever_ends_the_prompt() {
    let host = Host::new();
    for (key, code) in [("\x03", 130), ("\x04", 2), ("\r", 2), ("nonsense\r\r", 2)] {
        let mut terminal = Terminal::asking(&host);
        terminal.type_in(key);
        assert_eq!(terminal.ended().0, Some(code), "{key:?}");
    }
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let mut terminal = Terminal::asking(&host);
        terminal.type_in("half an inv");
        kill_process(Pid::from_child(&terminal.child), signal).unwrap();
        assert_eq!(terminal.ended().0, Some(code), "{signal:?}");
    }
    assert_eq!(host.good(&["remote", "list"]), "");
}

#[test]
fn an_invite_is_taken_and_never_shown() {
    let host = Host::new();
    let invite = invite();
    let mut terminal = Terminal::asking(&host);
    terminal.type_in(&format!("{invite}\r"));
    let (code, shown) = terminal.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(!shown.contains("ormesh1") && shown.contains("added web"), "{shown:?}");
    assert!(host.good(&["remote", "list"]).starts_with("web "));
}

#[test]
fn a_pasted_mail_is_read_to_where_the_invite_ends() {
    let host = Host::new();
    let invite = invite();
    let mut terminal = Terminal::asking(&host);
    terminal.type_in(&format!("Here is it:\r> {}\r> {}\r", &invite[..60], &invite[60..]));
    let (code, shown) = terminal.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(!shown.contains(&invite[10..30]) && !shown.contains(&invite[70..90]), "{shown:?}");
}
