//! Files as Windows' programs leave them: with other line ends, and held open.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use support::until;

use crate::host::{Windows, wine};

/// A script that holds a file open so that nobody else may even rename it, says so, and ends when its standard input does.
const HOLDER: &str = "holder.exe";

/// A program that holds a file of a host open.
struct Holder(Child);

impl Holder {
    fn of(host: &Windows, name: &str) -> Self {
        let program = std::path::Path::new(&crate::named("ORMESH_WINDOWS_HELPERS")).join(HOLDER);
        let mut command = wine(program);
        command.arg(host.windows_path(name)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = [0; 4];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"held");
        Self(child)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_that_is_held_for_a_moment_is_changed_all_the_same() {
    let host = Windows::new("host");
    host.good(&["export", "add", "22"]);
    let holder = Holder::of(&host, "config.toml");

    let change = thread::scope(|scope| {
        let change = scope.spawn(|| host.ormesh(&["export", "add", "80"]));
        // What is to take its place is there, so it has been tried, or is about to be.
        until("the change is written", || host.path(".config.toml.new").exists());
        thread::sleep(Duration::from_millis(300));
        assert!(!change.is_finished(), "the change did not wait");
        holder.let_go();
        change.join().unwrap()
    });

    assert_eq!(change.code, 0, "{}", change.stderr);
    assert!(host.good(&["export", "list"]).contains("80"));
}

#[test]
fn a_file_that_stays_held_is_said_to_be_and_nothing_is_lost() {
    let host = Windows::new("host");
    host.good(&["export", "add", "22"]);
    let before = fs::read(host.config()).unwrap();
    let holder = Holder::of(&host, "config.toml");

    let change = host.ormesh(&["export", "add", "80"]);
    holder.let_go();

    assert_eq!(change.code, 1, "{}", change.stderr);
    assert!(change.stderr.contains("another program holds the file open"), "{}", change.stderr);
    assert_eq!(fs::read(host.config()).unwrap(), before);
    until("the file can be changed again", || host.ormesh(&["export", "add", "80"]).code == 0);
}

#[test]
fn line_ends_and_a_mark_stay_as_they_were() {
    let host = Windows::new("host");
    fs::write(host.config(), "# mine\r\nversion = 1\r\n\r\n[[export]]\r\ntarget = \"127.0.0.1:22\"\r\n")
        .unwrap();

    host.good(&["export", "add", "80"]);

    let text = fs::read_to_string(host.config()).unwrap();
    assert!(text.starts_with("# mine\r\n"), "{text:?}");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
}
