//! Plain tors that were not let in: without a key, with a wrong one, with that of another client.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use tornet::client::{Client, ClientAuth, DialError, Options};
use tornet::{Tools, shared};

use crate::support::{PATIENCE, echo, hosts, is_reachable, tor_places};

/// 32 bytes of 0x02: nobody's key here.
const WRONG_KEY: &str = "AIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBA";

#[test]
fn a_tor_without_the_right_key_is_refused_and_nothing_arrives() {
    let [mut server] = hosts(["server"]);
    let _tors = tor_places(3);
    let echo = echo();
    server.export(echo.addr, 80);
    server.good(&["client", "add", "anna"]);
    server.good(&["client", "add", "ben"]);
    let [anna, ben] = ["anna", "ben"].map(|name| {
        let line = server.good(&["client", "token", name, "--format", "auth-private"]);
        let (address, key) = line.trim().split_once(":descriptor:x25519:").unwrap();
        (format!("{address}.onion"), key.to_owned())
    });
    server.start();
    server.wait_until("anna's service is published", is_reachable("anna"));
    server.wait_until("ben's service is published", is_reachable("ben"));

    let start = |name: &str, keys: &[(&str, &str)]| {
        let auth = |(address, key): &(&str, &str)| ClientAuth {
            onion_address: (*address).to_owned(),
            private_key: (*key).to_owned(),
        };
        let options = Options { client_auth: keys.iter().map(auth).collect(), ..Options::default() };
        Client::start(shared(), &server.home().join(name), &Tools::find().unwrap(), &options).unwrap()
    };
    let mut stranger = start("stranger", &[]);
    let mut mistaken = start("mistaken", &[(&anna.0, WRONG_KEY)]);
    // Ben has his own key, which works, and tries it on anna's service.
    let mut other = start("other", &[(&ben.0, &ben.1), (&anna.0, &ben.1)]);

    for port in [80, 1, 81] {
        assert_eq!(refusal(&mut stranger, &anna.0, port), 0xf4, "no key, port {port}");
        assert_eq!(refusal(&mut mistaken, &anna.0, port), 0xf5, "wrong key, port {port}");
        assert_eq!(refusal(&mut other, &anna.0, port), 0xf5, "another client's key, port {port}");
    }
    assert_eq!(echo.accepted(), 0, "a stranger's connection arrived");
    assert!(server.status().clients.iter().all(|client| client.last_seen.is_none()));

    // The same tor with the right key shows that refusals were not for other reasons.
    let mut stream = other.dial_until(&ben.0, 80, PATIENCE).unwrap();
    let mut heard = [0; 5];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *b"hello");
    assert_eq!(refusal(&mut other, &ben.0, 81), 0x05, "a port that is not exported");
    assert_eq!(echo.accepted(), 1);
}

/// tor's refusal; an attempt before the descriptor can be found is made again.
fn refusal(tor: &mut Client, address: &str, port: u16) -> u8 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match tor.dial(address, port) {
            Err(DialError::Refused(code)) if code != 0xf0 => return code,
            Err(_) if Instant::now() < deadline => {}
            result => panic!("no refusal: {result:?}"),
        }
    }
}
