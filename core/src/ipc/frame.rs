//! Frames: a length of four bytes, big-endian, then that many bytes of JSON.

// It reads what anyone with the socket may write: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// The longest frame that a server takes, in bytes: a request with an invite is under 2 KiB.
pub const MAX_REQUEST: u32 = 256 * 1024;
/// The longest frame that a client takes, in bytes: a status with a thousand exports and imports is under 1 MiB.
pub const MAX_RESPONSE: u32 = 8 * 1024 * 1024;

/// Writes one frame.
pub async fn write<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let mut bytes = Zeroizing::new(vec![0; 4]);
    serde_json::to_writer(&mut *bytes, message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    if let Some(head) = bytes.first_chunk_mut() {
        *head = length.to_be_bytes();
    }
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads one frame of at most `max` bytes; none at the end of the stream.
///
/// Errors: `InvalidData` for a frame that is too long (before it is read) or no such message.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    max: u32,
) -> io::Result<Option<T>> {
    let length = match stream.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
    }
    // Grows with what really arrives, so that a length alone claims no memory.
    let mut bytes = Zeroizing::new(Vec::new());
    stream.take(length.into()).read_to_end(&mut bytes).await?;
    if bytes.len() != length as usize {
        return Ok(None);
    }
    let message = serde_json::from_slice(&bytes);
    // Serde's message may quote the value, which may be a secret.
    message
        .map(Some)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the frame holds no known message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_round_trip_and_end() {
        let (mut a, mut b) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move { write(&mut a, &vec!["x".repeat(1000)]).await });
        assert_eq!(read::<Vec<String>>(&mut b, 2000).await.unwrap(), Some(vec!["x".repeat(1000)]));
        writer.await.unwrap().unwrap();
        assert_eq!(read::<Vec<String>>(&mut b, 2000).await.unwrap(), None);
    }

    #[tokio::test]
    async fn hostile_frames_are_refused() {
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 1][..], &[0, 0, 0, 2, b'{', b'x'], &[0, 0, 0, 1, 0xff]] {
            let error = read::<Vec<String>>(&mut &*bytes, 2000).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(read::<Vec<String>>(&mut &[0, 0, 0, 9, b'['][..], 2000).await.unwrap(), None);
    }

    #[test]
    fn fuzzed_frames_are_read_or_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let frame =
            |json: &str| [&u32::try_from(json.len()).unwrap().to_be_bytes()[..], json.as_bytes()].concat();
        let samples = [
            frame("\"status\""),
            frame(r#"{"add-client":{"name":"laptop","ports":null,"expires":"2030-01-31","request":null}}"#),
            frame(r#"{"edit":{"add-export":{"port":22,"target":"127.0.0.1:22","allow-lan":false}}}"#),
            frame(r#"{"hello":{"protocol":1,"version":"0.1.0"}}"#),
            frame(r#"{"refused":{"code":"other","message":"x","hint":"y"}}"#),
            frame(r#"{"status":{"agent":null,"exports":[],"clients":[],"remotes":[],"problems":[]}}"#),
        ];
        support::fuzz("frames of the local protocol", &samples, |bytes| {
            runtime.block_on(async {
                let mut rest = bytes;
                let _ = read::<crate::ipc::Request>(&mut rest, MAX_REQUEST).await;
                let mut rest = bytes;
                let _ = read::<crate::ipc::Response>(&mut rest, MAX_RESPONSE).await;
            });
        });
    }
}
