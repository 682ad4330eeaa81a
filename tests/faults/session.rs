//! A desktop session of a test's own: a message bus and a GNOME keyring, neither of which is the user's.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Host, ORMESH, Ran, until};

const PASSWORD: &str = "a test's own";

/// No directories of services: nothing is started by the bus, so a keyring is there exactly when a test starts one.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=@PATH@</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"#;

const NEEDS: &str =
    "these tests need dbus-daemon and gnome-keyring-daemon in PATH; `cargo xtask test` provides them";

/// A child process, killed at the end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a host's commands find at the address of the session bus.
pub(crate) struct Session {
    dir: PathBuf,
    address: String,
    bus: Option<Killed>,
    _silent: Option<UnixListener>,
    keyring: Option<Killed>,
}

/// How a keyring is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lock {
    /// Unlocked by its password, which makes its collection at the first time.
    Open,
    /// As it is found before anyone has logged in.
    Closed,
}

impl Session {
    /// One without a bus.
    pub(crate) fn none(host: &Host) -> Self {
        let dir = host.home().join("session");
        fs::create_dir_all(&dir).unwrap();
        let address = format!("unix:path={}", dir.join("bus").display());
        Self { dir, address, bus: None, _silent: None, keyring: None }
    }

    /// One whose bus takes connections and never answers.
    pub(crate) fn silent(host: &Host) -> Self {
        let session = Self::none(host);
        Self { _silent: Some(UnixListener::bind(session.dir.join("bus")).unwrap()), ..session }
    }

    /// One with a bus on which nobody keeps secrets.
    pub(crate) fn bare(host: &Host) -> Self {
        let mut session = Self::none(host);
        let path = session.dir.join("bus");
        let config = session.dir.join("bus.conf");
        fs::write(&config, BUS.replace("@PATH@", &path.display().to_string())).unwrap();
        let mut command = session.command("dbus-daemon");
        command.arg("--config-file").arg(config).args(["--nofork", "--print-address"]);
        let mut bus =
            command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{error}: {NEEDS}"));
        let mut line = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("unix:"), "the bus did not start: {line}");
        session.bus = Some(Killed(bus));
        session
    }

    /// One with a keyring in the state `lock`.
    pub(crate) fn with_keyring(host: &Host, lock: Lock) -> Self {
        let mut session = Self::bare(host);
        session.restart(lock);
        session
    }

    /// The address of its bus.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends the keyring, and starts it anew in this state.
    pub(crate) fn restart(&mut self, lock: Lock) {
        self.keyring = None;
        let mut command = self.command("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).stdin(Stdio::piped()).stdout(Stdio::null());
        if lock == Lock::Open {
            command.arg("--unlock");
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}: {NEEDS}"));
        let password = if lock == Lock::Open { PASSWORD } else { "" };
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        self.keyring = Some(Killed(child));
        // Ready when the store is no longer absent, and in the state that was asked for.
        until("the keyring answers", || {
            let code = self.probe().code;
            code == if lock == Lock::Open { 0 } else { 5 } && !self.probe().stderr.contains("no secret store")
        });
    }

    /// Makes a client on a host of its own, whose store is the keyring.
    fn probe(&self) -> Ran {
        let dir = tempfile::tempdir_in(&self.dir).unwrap();
        let mut command = self.command(ORMESH);
        command.args(["client", "add", "probe"]).env("ORMESH_SECRETS", "os-keyring");
        command.env("ORMESH_CONFIG", dir.path().join("c.toml")).env("ORMESH_STATE", dir.path().join("state"));
        command.stderr(Stdio::piped()).output().unwrap().into()
    }

    /// The secrets of ormesh that are in the keyring, whatever ormesh itself says.
    pub(crate) fn entries(&self) -> usize {
        let mut command = self.command("secret-tool");
        command.args(["search", "--all", "service", "ormesh"]).stderr(Stdio::piped());
        let found = command.output().unwrap_or_else(|error| panic!("secret-tool: {error}: {NEEDS}"));
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        said.lines().filter(|line| line.starts_with("[/")).count()
    }

    /// A program in this session, with nothing of the session in which the tests run.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.dir).env("XDG_RUNTIME_DIR", &self.dir);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A command of the host, in this session. The store is whatever the host has chosen, or will choose.
    pub(crate) fn ormesh(&self, host: &Host, args: &[&str]) -> Ran {
        let mut command = host.command(ORMESH);
        command.args(args).env_remove("ORMESH_LOG").env_remove("ORMESH_SECRETS");
        command.env("HOME", &self.dir).env("XDG_RUNTIME_DIR", &self.dir);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address).output().unwrap().into()
    }

    /// The environment that an agent in this session has.
    pub(crate) fn environment(&self) -> [(&str, &str); 4] {
        let dir = self.dir.to_str().unwrap();
        [
            ("HOME", dir),
            ("XDG_RUNTIME_DIR", dir),
            ("DBUS_SESSION_BUS_ADDRESS", self.address()),
            ("ORMESH_SECRETS", ""),
        ]
    }
}
