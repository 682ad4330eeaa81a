//! A desktop session of a test's own: a message bus and a GNOME keyring, neither of which is the user's.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::OwnedObjectPath;

use crate::host::{Host, Ran};
use crate::patience::until;
use crate::processes::Running;
use crate::programs::ormesh;

/// What opens a keyring that a test has made.
pub const PASSWORD: &str = "a test's own";

/// No directories of services: nothing is started by the bus, so a keyring is there exactly when a test starts one.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=@PATH@</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"#;

const NEEDS: &str =
    "these tests need dbus-daemon and gnome-keyring-daemon in PATH; `cargo xtask test` provides them";

/// How a keyring is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Unlocked by its password, which makes its collection at the first time.
    Open,
    /// As it is found before anyone has logged in.
    Closed,
}

/// What programs find at the address of the session bus.
pub struct Session {
    dir: PathBuf,
    address: String,
    keyring: Option<Keyring>,
    _bus: Option<Running>,
    _silent: Option<UnixListener>,
}

impl Session {
    /// One without a bus; `home` is a directory that is there, and its keyring's.
    pub fn none(home: &Path) -> Self {
        let dir = home.join("session");
        fs::create_dir_all(&dir).unwrap();
        let address = format!("unix:path={}", dir.join("bus").display());
        Self { dir, address, keyring: None, _bus: None, _silent: None }
    }

    /// One whose bus takes connections and never answers: they wait in the listener's queue.
    pub fn silent(home: &Path) -> Self {
        let session = Self::none(home);
        Self { _silent: Some(UnixListener::bind(session.dir.join("bus")).unwrap()), ..session }
    }

    /// One with a bus on which nobody keeps secrets.
    pub fn bare(home: &Path) -> Self {
        let session = Self::none(home);
        let config = session.dir.join("bus.conf");
        let path = session.dir.join("bus");
        fs::write(&config, BUS.replace("@PATH@", &path.display().to_string())).unwrap();
        let mut command = command("dbus-daemon", &session.dir, &session.address);
        command.arg("--config-file").arg(config).args(["--nofork", "--print-address"]);
        let mut bus =
            command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{error}: {NEEDS}"));
        let mut line = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("unix:"), "the bus did not start: {line}");
        Self { _bus: Some(Running(bus)), ..session }
    }

    /// One with a keyring in the state `lock`.
    pub fn with_keyring(home: &Path, lock: Lock) -> Self {
        let mut session = Self::bare(home);
        session.restart(lock);
        session
    }

    /// The address of its bus.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the keyring, and starts it anew in this state.
    pub fn restart(&mut self, lock: Lock) {
        self.keyring = None;
        self.keyring = Some(Keyring::start(&self.dir, &self.address, lock));
    }

    /// The secrets of ormesh that are in the keyring, whatever ormesh itself says.
    pub fn entries(&self) -> usize {
        let mut command = command("secret-tool", &self.dir, &self.address);
        command.args(["search", "--all", "service", "ormesh"]).stderr(Stdio::piped());
        let found = command.output().unwrap_or_else(|error| panic!("secret-tool: {error}: {NEEDS}"));
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        said.lines().filter(|line| line.starts_with("[/")).count()
    }

    /// Runs a host's `ormesh` in this session. The store is whatever the host has chosen, or will choose.
    pub fn ormesh(&self, host: &Host, args: &[&str]) -> Ran {
        let mut command = host.command(ormesh());
        command.args(args).env_remove("ORMESH_LOG").envs(self.environment()).output().unwrap().into()
    }

    /// The environment of what runs in this session. No store is asked for.
    pub fn environment(&self) -> [(&str, &str); 4] {
        let dir = self.dir.to_str().unwrap();
        [
            ("HOME", dir),
            ("XDG_RUNTIME_DIR", dir),
            ("DBUS_SESSION_BUS_ADDRESS", self.address()),
            ("ORMESH_SECRETS", ""),
        ]
    }
}

/// A program in a session, with nothing of the session in which the tests run.
fn command(program: &str, home: &Path, address: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("DBUS_SESSION_BUS_ADDRESS", address);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// A running GNOME keyring; it ends with this.
pub struct Keyring(#[expect(dead_code, reason = "it is held, and ends with this")] Running);

impl Keyring {
    /// Starts one on the bus at an address, and waits until it is in the state that is asked for. What it keeps is below `home`.
    pub fn start(home: &Path, address: &str, lock: Lock) -> Self {
        let mut command = command("gnome-keyring-daemon", home, address);
        command.args(["--foreground", "--components=secrets"]).stdin(Stdio::piped()).stdout(Stdio::null());
        if lock == Lock::Open {
            command.arg("--unlock");
        }
        let mut daemon = command.spawn().unwrap_or_else(|error| panic!("{error}: {NEEDS}"));
        let password = if lock == Lock::Open { PASSWORD } else { "" };
        daemon.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let keyring = Self(Running(daemon));
        let connection = Builder::address(address).and_then(Builder::build).unwrap();
        until("the keyring is in the state that was asked for", || state(&connection) == Some(lock));
        keyring
    }
}

/// What the default collection says of itself (Secret Service API, `org.freedesktop.Secret.Collection`). Where nobody has ever logged in
/// there is none, which is as good as closed.
fn state(connection: &Connection) -> Option<Lock> {
    const NAME: &str = "org.freedesktop.secrets";
    let service = Proxy::new(connection, NAME, "/org/freedesktop/secrets", "org.freedesktop.Secret.Service");
    let default: OwnedObjectPath = service.ok()?.call("ReadAlias", &("default",)).ok()?;
    if default.as_str() == "/" {
        return Some(Lock::Closed);
    }
    let collection = Proxy::new(connection, NAME, default, "org.freedesktop.Secret.Collection");
    let locked: bool = collection.ok()?.get_property("Locked").ok()?;
    Some(if locked { Lock::Closed } else { Lock::Open })
}
