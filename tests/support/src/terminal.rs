//! A terminal as a person sits before it: what is shown there, and what is typed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// A pseudoterminal. Its far end is kept open, so that its modes can be read when a program has ended.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    slave: OwnedFd,
    shown: String,
}

impl Terminal {
    /// Opens one.
    #[expect(clippy::new_without_default, reason = "it opens a device")]
    pub fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        Self { master: File::from(master), slave, shown: String::new() }
    }

    /// What a program gets as its input, output or standard error.
    pub fn end(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    /// What was shown so far.
    pub fn shown(&mut self) -> &str {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = self.master.read(&mut bytes) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        &self.shown
    }

    /// Types something.
    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Its modes.
    pub fn modes(&self) -> LocalModes {
        tcgetattr(&self.slave).unwrap().local_modes
    }

    /// Whether it is as it is at first: what is typed is shown, and Ctrl-C is a signal.
    pub fn is_plain(&self) -> bool {
        self.modes().contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }
}
