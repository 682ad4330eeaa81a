//! The hidden prompt on a real terminal: what is typed is not shown, and the terminal is as it was on every way out.

use rustix::termios::LocalModes;
use support::{Running, Signal, Terminal, send, until};

use crate::refused::{Host, ORMESH};

/// A terminal, with `ormesh remote add web` in it.
struct Asking {
    terminal: Terminal,
    command: Running,
}

impl Asking {
    /// Starts the command and waits until it asks.
    fn on(host: &Host) -> Self {
        let mut terminal = Terminal::new();
        assert!(terminal.is_plain());
        // A session of its own, whose terminal this is.
        let mut command = host.command("setsid");
        command.args(["--ctty", ORMESH, "remote", "add", "web"]);
        command.stdin(terminal.end()).stdout(terminal.end()).stderr(terminal.end());
        let command = Running(command.spawn().unwrap());
        until("it asks", || terminal.shown().contains("invite (not shown): "));
        assert!(!terminal.modes().contains(LocalModes::ECHO));
        Self { terminal, command }
    }

    /// Waits for the command's end; gives its exit code and what was shown.
    #[track_caller]
    fn ended(mut self) -> (Option<i32>, String) {
        // What is shown is read meanwhile: a terminal that is full holds a command up.
        let status = until("it ends", || {
            self.terminal.shown();
            self.command.0.try_wait().unwrap()
        });
        assert!(self.terminal.is_plain(), "the terminal was left as {:?}", self.terminal.modes());
        (status.code(), self.terminal.shown().to_owned())
    }
}

fn invite() -> String {
    Host::new().good(&["client", "add", "a"]).trim().to_owned()
}

#[test]
fn the_terminal_is_restored_whatever_ends_the_prompt() {
    let host = Host::new();
    for (key, code) in [("\x03", 130), ("\x04", 2), ("\r", 2), ("nonsense\r\r", 2)] {
        let mut asking = Asking::on(&host);
        asking.terminal.type_in(key);
        assert_eq!(asking.ended().0, Some(code), "{key:?}");
    }
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let mut asking = Asking::on(&host);
        asking.terminal.type_in("half an inv");
        send(asking.command.id(), signal);
        assert_eq!(asking.ended().0, Some(code), "{signal:?}");
    }
    assert_eq!(host.good(&["remote", "list"]), "");
}

#[test]
fn an_invite_is_taken_and_never_shown() {
    let host = Host::new();
    let invite = invite();
    let mut asking = Asking::on(&host);
    asking.terminal.type_in(&format!("{invite}\r"));
    let (code, shown) = asking.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(!shown.contains("ormesh1") && shown.contains("added web"), "{shown:?}");
    assert!(host.good(&["remote", "list"]).starts_with("web "));
}

#[test]
fn a_pasted_mail_is_read_to_where_the_invite_ends() {
    let host = Host::new();
    let invite = invite();
    let mut asking = Asking::on(&host);
    asking.terminal.type_in(&format!("Here is it:\r> {}\r> {}\r", &invite[..60], &invite[60..]));
    let (code, shown) = asking.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(!shown.contains(&invite[10..30]) && !shown.contains(&invite[70..90]), "{shown:?}");
}
