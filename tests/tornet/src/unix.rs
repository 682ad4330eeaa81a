//! What Unix gives the network: a guard that outlives the owner by a moment, and directories that are private.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for a line on stdin; without one, at its end, which comes when the owner dies, kills the process. It ignores what a
/// terminal's Ctrl-C sends to all alike, for then there is work for it.
const SCRIPT: &str = r#"trap "" HUP INT TERM; read -r _ || kill -KILL "$1""#;

/// Kills a process at once when the owner of this value dies without dropping it.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Guards `pid`, a child of this process; drop the guard before waiting for that child, whose number is free thereafter.
    pub(crate) fn watch(pid: u32) -> io::Result<Self> {
        // No output of its own: it must not keep anyone's pipe open.
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "tornet-guard", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The line that dismisses it; should that fail, it is gone already.
        if let Some(mut stdin) = self.0.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.0.wait();
    }
}

/// Creates a directory, with those above it, that only its owner can read.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
