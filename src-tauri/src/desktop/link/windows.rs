//! The channel on Windows: the window's standard input and output.

use std::io;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{Child, Command};

/// Starts a program with the other end of a new channel.
pub(super) fn start(
    command: &mut Command,
) -> io::Result<(Child, impl AsyncRead + Unpin + use<>, impl AsyncWrite + Unpin + use<>)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    match (child.stdout.take(), child.stdin.take()) {
        (Some(read), Some(write)) => Ok((child, read, write)),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// The end that this program was started with.
pub(super) fn own() -> io::Result<(impl AsyncRead + Unpin, impl AsyncWrite + Unpin)> {
    Ok((tokio::io::stdin(), tokio::io::stdout()))
}
