//! Looks at addresses as a user of the laptop would: whether one answers, and what page it gives.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Whether something listens at `address`.
pub(super) fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// The body of the page at `address`, by HTTP/1.1 (RFC 9112).
///
/// # Errors
///
/// When there is no answer within `limit`, or not a whole one with status 200.
pub(super) fn get(address: SocketAddr, limit: Duration) -> Result<String> {
    let mut stream = open(address, "/", limit)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("failed to read from: {address}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("failed to fetch http://{address}/: empty reply");
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("failed to fetch http://{address}/: {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// Connects to `address` and asks for `path`; reading is limited to `limit`.
pub(super) fn open(address: SocketAddr, path: &str, limit: Duration) -> Result<TcpStream> {
    let what = || format!("failed to connect to: {address}");
    let mut stream = TcpStream::connect_timeout(&address, limit).with_context(what)?;
    stream.set_read_timeout(Some(limit)).with_context(what)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .with_context(what)?;
    Ok(stream)
}
