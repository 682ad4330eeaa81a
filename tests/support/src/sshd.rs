//! A real sshd on loopback with keys of its own, and what a client needs to log in to it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::patience::until;
use crate::ports::free_address;
use crate::processes::Running;

/// A running sshd, killed when dropped.
#[derive(Debug)]
pub struct Sshd {
    /// Where it listens.
    pub addr: SocketAddr,
    dir: PathBuf,
    process: Running,
}

impl Sshd {
    /// Starts one whose files are in `dir`, which is made.
    pub fn start(dir: &Path) -> Self {
        Self::start_by(dir, |program| Command::new(in_path(program)))
    }

    /// The same by programs that are found otherwise.
    ///
    /// # Panics
    ///
    /// When it can't be started, or does not listen in time.
    pub fn start_by(dir: &Path, command: impl Fn(&str) -> Command) -> Self {
        DirBuilder::new().mode(0o700).create(dir).unwrap();
        for key in ["host", "login"] {
            let mut make = command("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key));
            assert!(make.status().unwrap().success());
        }
        let addr = free_address();
        let own = dir.display();
        let config = format!(
            "ListenAddress {addr}\nHostKey {own}/host\nAuthorizedKeysFile {own}/login.pub\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\nMaxStartups 100\n\
             Subsystem sftp internal-sftp\n"
        );
        fs::write(dir.join("config"), config).unwrap();
        // It starts itself again for each connection, so it wants its absolute path.
        let mut command = command("sshd");
        command.args([OsStr::new("-D"), OsStr::new("-e"), OsStr::new("-f")]).arg(dir.join("config"));
        let log = File::create(dir.join("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let sshd = Self { addr, dir: dir.to_owned(), process: Running(process) };
        until("sshd listens", || TcpStream::connect(addr).is_ok());
        sshd
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Lines for the stanza of an ssh_config(5) by which the login works and nobody is asked.
    pub fn stanza_lines(&self, host: &str) -> String {
        let known = self.dir.join("known_hosts");
        let key = fs::read_to_string(self.dir.join("host.pub")).unwrap();
        fs::write(&known, format!("{host} {key}")).unwrap();
        format!(
            "  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n  BatchMode yes\n",
            self.dir.join("login").display(),
            known.display()
        )
    }
}

fn in_path(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is not in PATH: `cargo xtask test` puts it there"))
}
