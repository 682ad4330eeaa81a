//! The channel on Unix: a pair of sockets, of which the window has one as its standard input. Nothing else that the window's libraries
//! print or start gets in between.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// Starts a program with the other end of a new channel.
pub(super) fn start(
    command: &mut Command,
) -> io::Result<(Child, impl AsyncRead + Unpin + use<>, impl AsyncWrite + Unpin + use<>)> {
    let (ours, theirs) = Socket::pair()?;
    let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    let (read, write) = stream(ours)?;
    Ok((child, read, write))
}

/// The end that this program was started with.
pub(super) fn own() -> io::Result<(impl AsyncRead + Unpin, impl AsyncWrite + Unpin)> {
    stream(Socket::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn stream(socket: Socket) -> io::Result<(impl AsyncRead + Unpin, impl AsyncWrite + Unpin)> {
    socket.set_nonblocking(true)?;
    Ok(UnixStream::from_std(socket)?.into_split())
}
