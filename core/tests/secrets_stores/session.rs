//! Cases of the keyring, each in a desktop session of its own.
//!
//! The address of the bus is in the environment, which belongs to a process: so each case runs in a process of its own, which is this
//! test binary again, told to run one of its ignored tests.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Keyring, Lock, Session, until};

/// Set in the processes of [`Home::run`]: the cases refuse to touch the keyring of whoever runs ignored tests by hand.
const MARK: &str = "ORMESH_TEST_SESSION";

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
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(dir.path().join("run")).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs the ignored test of this name in a session, and fails where it fails.
    #[track_caller]
    pub(crate) fn run(&self, case: &str, bus: &Bus) {
        let home = self.path();
        let session = matches!(bus, Bus::Private).then(|| Session::bare(home));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", &format!("keyring::{case}")]);
        command.env_clear().env(MARK, home).env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        match bus {
            Bus::Private => command.envs(session.iter().map(|session| (BUS, session.address()))),
            Bus::At(address) => command.env(BUS, address),
            Bus::Missing => &mut command,
        };
        let log = home.join(format!("{case}.log"));
        let out = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).process_group(0);
        let mut child = command.spawn().unwrap();
        let status = until(case, || child.try_wait().unwrap());
        // Whatever the case has started and left is in its process group.
        let group = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(status.success() && text.contains("1 passed"), "{case}: {status}\n{text}");
    }
}

const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";

/// The home of the session that this process is a case of.
pub(crate) fn own_home() -> PathBuf {
    std::env::var_os(MARK).expect("run by another test, in a session of its own").into()
}

/// Starts a keyring in the session that this process is a case of.
pub(crate) fn daemon(lock: Lock) -> Keyring {
    Keyring::start(&own_home(), &std::env::var(BUS).unwrap(), lock)
}
