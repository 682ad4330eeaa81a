//! A host for tests: a directory of its own, and the command run in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The command under test.
pub(crate) const ORMESH: &str = env!("CARGO_BIN_EXE_ormesh");

/// The help of OpenBSD's nc, as far as it matters.
const NC: &str =
    "#!/bin/sh\necho 'usage: nc [-X proxy_protocol] [-x proxy_address[:port]] [destination] [port]' >&2\n";

/// A host's home, removed at the end.
pub(crate) struct Host {
    home: TempDir,
}

impl Host {
    /// One on which nothing is set up; its `nc` is OpenBSD's by its help.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("nc"), NC).unwrap();
        fs::set_permissions(bin.join("nc"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { home }
    }

    /// Where its configuration is.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("config.toml")
    }

    /// Where everything else is.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// A program that runs on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let own = [self.home.path().join("bin"), Path::new(ORMESH).parent().unwrap().to_owned()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).env("HOME", self.home.path());
        command
            .env("ORMESH_CONFIG", self.config())
            .env("ORMESH_STATE", self.state())
            .env("ORMESH_SECRETS", "file");
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs `ormesh` with these arguments.
    pub(crate) fn ormesh(&self, args: &[&str]) -> Ran {
        self.command(ORMESH).args(args).output().unwrap().into()
    }

    /// Runs a line by the shell.
    pub(crate) fn shell(&self, line: &str) -> Ran {
        self.command("sh").args(["-c", line]).output().unwrap().into()
    }

    /// Runs `ormesh`, which must succeed, and gives what it printed.
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let ran = self.ormesh(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Every byte that is kept: the configuration and the secrets.
    pub(crate) fn kept(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut kept = BTreeMap::new();
        if let Ok(bytes) = fs::read(self.config()) {
            kept.insert(self.config(), bytes);
        }
        collect(&self.state().join("secrets"), &mut kept);
        kept
    }
}

fn collect(directory: &Path, kept: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => collect(&path, kept),
            false => {
                kept.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

/// Asserts that a command failed as commands do: nothing on standard output, one sentence, one hint.
pub(crate) fn assert_refused(ran: &Ran, code: i32, what: &str) {
    assert_eq!(ran.code, code, "{what}: {ran:?}");
    assert_eq!(ran.stdout, "", "{what}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let [sentence, hint] = lines[..] else { panic!("{what}: not two lines: {:?}", ran.stderr) };
    assert!(sentence.starts_with("ormesh: ") && sentence.len() > 12, "{what}: {sentence}");
    assert!(hint.starts_with("hint: ") && hint.len() > 8, "{what}: {hint}");
}
