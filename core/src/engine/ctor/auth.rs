//! SAFECOOKIE authentication in both directions (control-spec §3.24): tor proves that it knows the cookie before it is told anything else.

// It reads what tor says: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::path::Path;

use data_encoding::HEXUPPER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::control::{Control, ControlError};
use crate::store::apart::apart;

const SERVER_KEY: &[u8] = b"Tor safe cookie authentication server-to-controller hash";
const CONTROLLER_KEY: &[u8] = b"Tor safe cookie authentication controller-to-server hash";
const ACTION: &str = "accept the control connection";

/// Authenticates, with the cookie in this file. Nothing secret was sent when it fails.
pub(super) async fn authenticate(control: &Control, cookie_file: &Path) -> Result<(), ControlError> {
    // tor listens before it has written the cookie, and answers after: so wait for an answer before reading the file.
    control.tell("PROTOCOLINFO 1", ACTION).await?;
    let cookie_file = cookie_file.to_owned();
    let cookie = apart(move || read_cookie(&cookie_file)).await?;
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| ControlError::Broken(error.to_string()))?;
    let challenge = format!("AUTHCHALLENGE SAFECOOKIE {}", HEXUPPER.encode(&nonce));
    let reply = control.tell(&challenge, ACTION).await?;
    let line = reply.lines.first().map(String::as_str).unwrap_or_default();
    let (hash, server_nonce) = parse_challenge(line).ok_or(ControlError::Stranger)?;
    let message = [cookie.as_slice(), &nonce, &server_nonce];
    keyed(SERVER_KEY, &message).verify_slice(&hash).map_err(|_| ControlError::Stranger)?;
    let proof = keyed(CONTROLLER_KEY, &message).finalize().into_bytes();
    control.tell(&format!("AUTHENTICATE {}", HEXUPPER.encode(&proof)), ACTION).await?;
    Ok(())
}

fn read_cookie(path: &Path) -> Result<Zeroizing<Vec<u8>>, ControlError> {
    let cookie = std::fs::read(path).map(Zeroizing::new);
    let cookie = cookie.map_err(|error| ControlError::Broken(format!("no cookie: {error}")))?;
    if cookie.len() == 32 { Ok(cookie) } else { Err(ControlError::Protocol("a cookie of another length")) }
}

fn keyed(key: &[u8], message: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    message.iter().for_each(|part| mac.update(part));
    mac
}

/// Reads `AUTHCHALLENGE SERVERHASH=<64 hex> SERVERNONCE=<64 hex>`.
fn parse_challenge(line: &str) -> Option<([u8; 32], [u8; 32])> {
    let rest = line.strip_prefix("AUTHCHALLENGE SERVERHASH=")?;
    let (hash, nonce) = rest.split_once(" SERVERNONCE=")?;
    let bytes = |text: &str| HEXUPPER.decode(text.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok();
    Some((bytes(hash)?, bytes(nonce)?))
}

#[cfg(test)]
mod tests {
    use super::super::control::open;
    use super::*;
    use crate::engine::stream::Stream;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    /// Plays a tor that proves its knowledge of this cookie; tells what it was sent after that.
    async fn play(cookie: Vec<u8>, stream: tokio::io::DuplexStream) -> Vec<String> {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut lines = BufReader::new(reader).lines();
        let mut after = Vec::new();
        let mut proof = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            let (verb, rest) = line.split_once(' ').unwrap();
            let answer = match verb {
                "PROTOCOLINFO" => "250-PROTOCOLINFO 1\r\n250 OK\r\n".to_owned(),
                "AUTHCHALLENGE" => {
                    let nonce = HEXUPPER.decode(rest.split_once(' ').unwrap().1.as_bytes()).unwrap();
                    let message: [&[u8]; 3] = [&cookie, &nonce, &[7; 32]];
                    let hash = keyed(SERVER_KEY, &message).finalize().into_bytes();
                    proof = HEXUPPER.encode(&keyed(CONTROLLER_KEY, &message).finalize().into_bytes());
                    let (hash, nonce) = (HEXUPPER.encode(&hash), HEXUPPER.encode(&[7; 32]));
                    format!("250 AUTHCHALLENGE SERVERHASH={hash} SERVERNONCE={nonce}\r\n")
                }
                "AUTHENTICATE" if rest == proof => "250 OK\r\n".to_owned(),
                _ => "515 no\r\n".to_owned(),
            };
            if !["PROTOCOLINFO", "AUTHCHALLENGE"].contains(&verb) {
                after.push(verb.to_owned());
            }
            let _ = writer.write_all(answer.as_bytes()).await;
        }
        after
    }

    async fn meet(our_cookie: &[u8], their_cookie: &[u8]) -> (Result<(), ControlError>, Vec<String>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), our_cookie).unwrap();
        let (ours, theirs) = tokio::io::duplex(4096);
        let tor = tokio::spawn(play(their_cookie.to_vec(), theirs));
        let (control, events) = open(Stream::Pipe(ours));

        let result = authenticate(&control, file.path()).await;

        drop((control, events));
        (result, tor.await.unwrap())
    }

    #[tokio::test]
    async fn both_sides_prove_that_they_know_the_cookie() {
        assert_eq!(meet(&[1; 32], &[1; 32]).await, (Ok(()), vec!["AUTHENTICATE".to_owned()]));
    }

    #[tokio::test]
    async fn nothing_is_said_to_a_stranger() {
        assert_eq!(meet(&[1; 32], &[2; 32]).await, (Err(ControlError::Stranger), vec![]));
    }

    #[tokio::test]
    async fn a_short_cookie_is_not_used() {
        let (result, said) = meet(&[1; 31], &[1; 31]).await;

        assert_eq!((result.is_err(), said), (true, vec![]));
    }

    #[test]
    fn challenges_of_another_form_are_refused() {
        let good = format!("AUTHCHALLENGE SERVERHASH={} SERVERNONCE={}", "0A".repeat(32), "ff".repeat(32));
        assert_eq!(parse_challenge(&good), Some(([10; 32], [255; 32])));
        for bad in [&good[..good.len() - 1], &good[1..], &good.replace("0A", "0G"), "", "AUTHCHALLENGE"] {
            assert_eq!(parse_challenge(bad), None, "{bad}");
        }
    }
}
