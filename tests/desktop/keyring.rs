//! A real GNOME keyring on a bus of the test's own, that can be locked and unlocked.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::OwnedObjectPath;

use crate::driver::until;
use crate::screen::{Bus, end};

const PASSWORD: &[u8] = b"a test's own";

/// A keyring, ended with this value and its directory removed.
pub(crate) struct Keyring {
    daemon: Child,
    bus: String,
    connection: Connection,
    home: TempDir,
}

impl Keyring {
    /// Starts one, unlocked.
    pub(crate) fn on(bus: &Bus) -> Self {
        let home = tempfile::tempdir().unwrap();
        let connection = Builder::address(bus.address()).and_then(Builder::build).unwrap();
        let daemon = start(bus.address(), &home, true);
        let keyring = Self { daemon, bus: bus.address().to_owned(), connection, home };
        keyring.wait_until_locked_is(false);
        keyring
    }

    /// Locks it, as it is before anyone has logged in.
    pub(crate) fn lock(&mut self) {
        self.restart(false);
    }

    /// Unlocks it by its password.
    pub(crate) fn unlock(&mut self) {
        self.restart(true);
    }

    fn restart(&mut self, unlocked: bool) {
        end(&mut self.daemon);
        self.daemon = start(&self.bus, &self.home, unlocked);
        self.wait_until_locked_is(!unlocked);
    }

    fn wait_until_locked_is(&self, locked: bool) {
        until("the keyring is in the state that was asked for", || {
            (self.is_locked()? == locked).then_some(())
        });
    }

    /// What the default collection says of itself (Secret Service API, `org.freedesktop.Secret.Collection`).
    fn is_locked(&self) -> Option<bool> {
        const NAME: &str = "org.freedesktop.secrets";
        let service =
            Proxy::new(&self.connection, NAME, "/org/freedesktop/secrets", "org.freedesktop.Secret.Service");
        let default: OwnedObjectPath = service.ok()?.call("ReadAlias", &("default",)).ok()?;
        let collection = Proxy::new(&self.connection, NAME, default, "org.freedesktop.Secret.Collection");
        collection.ok()?.get_property("Locked").ok()
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        end(&mut self.daemon);
    }
}

fn start(bus: &str, home: &TempDir, unlocked: bool) -> Child {
    let mut command = Command::new("gnome-keyring-daemon");
    command.args(["--foreground", "--components=secrets"]);
    if unlocked {
        command.arg("--unlock");
    }
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path()).env("DBUS_SESSION_BUS_ADDRESS", bus);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("gnome-keyring-daemon is there: cargo xtask setup");
    child.stdin.take().unwrap().write_all(if unlocked { PASSWORD } else { b"" }).unwrap();
    child
}
