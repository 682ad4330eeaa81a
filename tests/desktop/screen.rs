//! A display of its own for each test, and a session bus where one is wanted.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A virtual display, ended with this value.
pub(crate) struct Screen {
    server: Child,
    name: String,
}

impl Screen {
    /// Starts an X server on the first free display.
    pub(crate) fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed: cargo xtask setup --desktop");
        let number = first_line(&mut server);
        Self { server, name: format!(":{number}") }
    }

    /// What `DISPLAY` is set to.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        end(&mut self.server);
    }
}

/// A session bus, ended with this value.
pub(crate) struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    /// Starts a bus that nobody else is on.
    pub(crate) fn start() -> Self {
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed: cargo xtask setup");
        let address = first_line(&mut daemon);
        Self { daemon, address }
    }

    /// What `DBUS_SESSION_BUS_ADDRESS` is set to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        end(&mut self.daemon);
    }
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Ends a child by its own id.
pub(crate) fn end(child: &mut Child) {
    // It fails only if it has ended.
    let _ = child.kill();
    let _ = child.wait();
}
