//! A desktop session of a test's own: a private home, a message bus and a GNOME keyring, none of which is the user's.
//!
//! The address of the bus is in the environment, which belongs to a process: so each case runs in a process of its own, which is this
//! test binary again, told to run one of its ignored tests.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the processes of [`Session::run`]: the cases refuse to touch the keyring of whoever runs ignored tests by hand.
const MARK: &str = "ORMESH_TEST_SESSION";
const PATIENCE: Duration = Duration::from_secs(120);
/// No directories of services: nothing is started by the bus, so a keyring is there exactly when a case starts one.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:dir=@DIR@</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"#;

/// Which bus a case finds.
pub(crate) enum Bus {
    /// A bus of its own.
    Private,
    /// No address of one, and none at the usual place.
    Missing,
    /// This address.
    At(String),
}

/// A private home.
pub(crate) struct Session {
    home: tempfile::TempDir,
}

impl Session {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(home.path().join("run")).unwrap();
        Self { home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs the ignored test of this name in the session, and fails where it fails.
    #[track_caller]
    pub(crate) fn run(&self, case: &str, bus: &Bus) {
        let home = self.home.path();
        let exe = std::env::current_exe().unwrap();
        let mut command = match bus {
            Bus::Private => {
                let config = home.join("bus.conf");
                std::fs::write(&config, BUS.replace("@DIR@", &home.join("run").display().to_string()))
                    .unwrap();
                let mut command = Command::new("dbus-run-session");
                command.arg("--config-file").arg(config).arg("--").arg(exe);
                command
            }
            Bus::Missing | Bus::At(_) => Command::new(exe),
        };
        command.args(["--ignored", "--exact", "--nocapture", &format!("keyring::{case}")]);
        command.env_clear().env(MARK, home).env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Bus::At(address) = bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", address);
        }
        let log = home.join(format!("{case}.log"));
        let out = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).process_group(0);

        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{:?} could not be started ({error}): {NEEDS}", command.get_program()),
        };
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // Whatever the case has started and left is in its process group.
        let group = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = child.wait();
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        match status {
            Some(status) if status.success() && text.contains("1 passed") => {}
            Some(status) => panic!("{case}: {status}\n{text}"),
            None => panic!("{case}: not done after {PATIENCE:?}\n{text}"),
        }
    }
}

const NEEDS: &str = "these tests need dbus-run-session (Debian: dbus-daemon) and gnome-keyring-daemon (gnome-keyring) in PATH; \
                     `cargo xtask test` provides them";

/// The home of the session that this process is a case of.
pub(crate) fn own_home() -> PathBuf {
    std::env::var_os(MARK).expect("run by another test, in a session of its own").into()
}

/// A running GNOME keyring; it ends with this.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it, unlocked by this password (which makes a collection at the first time) or as it is found before anyone logs in.
    pub(crate) fn start(password: Option<&str>) -> Self {
        own_home();
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).stdin(Stdio::piped());
        if password.is_some() {
            command.arg("--unlock");
        }
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("gnome-keyring-daemon: {error}: {NEEDS}"));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(password.unwrap_or_default().as_bytes()).unwrap();
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
