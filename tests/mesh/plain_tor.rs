//! A peer that is a plain tor: its service is imported by the line that its owner has, and nothing is sent to it unasked.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tornet::client::{Client, Options, Service};
use tornet::{Tools, shared};

use crate::support::{hosts, open_echo, serve, tor_places};

/// An x25519 pair in base32: 32 bytes of 0x01, and their public key.
const PRIVATE: &str = "AEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQ";
const PUBLIC: &str = "UTQJFEVWKHBHROLXFRLJ6X5JXMJ5SBVUNK3IZHPZ3QVUICPYUIEQ";

#[test]
fn a_service_of_a_plain_tor_is_imported() {
    let [mut laptop] = hosts(["laptop"]);
    let _tor = tor_places(1);
    let heard = Arc::new(AtomicUsize::new(0));
    let echo = serve({
        let heard = Arc::clone(&heard);
        move |mut stream| {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                heard.fetch_add(count, Ordering::SeqCst);
                let _ = stream.write_all(&bytes[..count]);
            }
        }
    });
    let service = Service { ports: vec![(80, echo.addr)], authorized: vec![PUBLIC.to_owned()] };
    let options = Options { service: Some(service), ..Options::default() };
    let tor = Client::start(shared(), &laptop.home().join("tor"), &Tools::find().unwrap(), &options).unwrap();
    let address = tor.onion_address().unwrap();

    let line = format!("{}:descriptor:x25519:{PRIVATE}", address.trim_end_matches(".onion"));
    laptop.add_remote("plain", &line);
    assert_eq!(laptop.good(&["remote", "export", "plain"]).trim(), line);
    let import = laptop.import("plain", 80);
    laptop.start_online();

    open_echo(import).bulk(100_000).unwrap();
    let said = heard.load(Ordering::SeqCst);
    assert_eq!(said, 100_000 + "turn \n".len() + 20, "something was sent to a plain tor unasked");
    // On a loaded machine one request was seen to make two connections, seldom.
    let accepted = echo.accepted();
    assert!(accepted <= 2, "{accepted}");
    let pong = laptop.good(&["ping", "plain", "80", "--count", "1"]);
    assert!(pong.contains("port 80 open"), "{pong}");
    let unasked = laptop.ormesh(&["ping", "plain", "--count", "1"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    let layers = laptop.good(&["doctor", "plain", "--json"]);
    let layers: Vec<serde_json::Value> = serde_json::from_str(&layers).unwrap();
    let of_remote = &layers[layers.len() - 3..];
    let verdicts: Vec<_> = of_remote.iter().map(|layer| layer["ok"].as_bool()).collect();
    assert_eq!(verdicts, [Some(true), Some(true), None], "{layers:#?}");
    assert_eq!(of_remote[2]["hint"], "`ormesh ping plain PORT` tries one");
    assert!(echo.accepted() <= accepted + 2, "only the ping came besides the import");
    assert_eq!(heard.load(Ordering::SeqCst), said, "a ping says nothing");
    let missing = laptop.ormesh(&["nc", "plain", "81"]);
    assert_eq!(missing.code, 4, "{missing:?}");
}
