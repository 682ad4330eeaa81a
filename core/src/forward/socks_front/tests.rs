//! Tests of `socks_front`: who is let through, and what everyone else is told.

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::forward::reports::Reports;
use crate::forward::testing::{
    Act, Keys, NOW, Peer, Script, onion, other_onion, port, read_all, soon, until,
};

async fn front(act: Act) -> (SocksFront, Arc<Script>, mpsc::UnboundedReceiver<Peer>) {
    let (engine, peers) = Script::new([], act);
    let dialler = Dialler::new(Arc::clone(&engine) as _, Arc::new(Keys::default()), Reports::nowhere());
    let table = RemoteTable::from_iter([("website".parse().unwrap(), onion())]);
    let (_, remotes) = watch::channel(Arc::new(table));
    let front = SocksFront::open(([127, 0, 0, 1], 0).into(), Users::Me, remotes, dialler).await.unwrap();
    (front, engine, peers)
}

fn request(command: u8, host: &str, port: u16) -> Vec<u8> {
    let mut bytes = vec![5, command, 0, 3, host.len() as u8];
    bytes.extend_from_slice(host.as_bytes());
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes
}

/// Greets, asks, and reads the reply.
async fn ask(front: &SocksFront, request: &[u8]) -> (TcpStream, u8) {
    let mut app = TcpStream::connect(front.addr()).await.unwrap();
    app.write_all(&[5, 1, 0]).await.unwrap();
    let greeting: [u8; 2] = soon(take(&mut app)).await.unwrap();
    assert_eq!(greeting, [5, 0]);
    app.write_all(request).await.unwrap();
    let reply: [u8; 10] = soon(take(&mut app)).await.unwrap();
    assert_eq!((reply[0], &reply[2..]), (5, &[0, 1, 0, 0, 0, 0, 0, 0][..]));
    (app, reply[1])
}

#[tokio::test]
async fn a_remote_is_reached_by_address_and_by_name() {
    let (front, _, mut peers) = front(Act::Accept(NOW)).await;
    for host in
        [onion().to_string(), onion().to_string().to_uppercase(), "website".into(), "Website.ormesh".into()]
    {
        let (mut app, reply) = ask(&front, &request(1, &host, 22)).await;
        assert_eq!(reply, 0, "{host}");
        let mut peer = soon(peers.recv()).await.unwrap();
        assert_eq!(peer.port, port(22));
        app.write_all(b"hello").await.unwrap();
        peer.stream.read_exact(&mut [0; 5]).await.unwrap();
        peer.stream.write_all(b"good-bye").await.unwrap();
        drop(peer);
        assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"good-bye");
    }
    assert_eq!((front.stats().bytes_out, front.stats().bytes_in), (20, 32));
}

#[tokio::test]
async fn all_else_is_refused_without_a_dial() {
    let (front, engine, _peers) = front(Act::Accept(NOW)).await;
    let other = other_onion().to_string();
    let ipv4 = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &22u16.to_be_bytes()].concat();
    let ipv6 = [&[5, 1, 0, 4][..], &[0; 16], &22u16.to_be_bytes()].concat();
    let cases = [
        (request(1, &other, 22), 2),
        (request(1, "example.org", 22), 2),
        (request(1, "localhost", 22), 2),
        (request(1, "", 22), 2),
        (request(1, "website", 0), 2),
        (request(1, "website.onion", 22), 2),
        (request(1, &"x".repeat(255), 22), 2),
        (ipv4, 2),
        (ipv6, 2),
        (request(2, "website", 22), 7),
        (request(3, "website", 22), 7),
        (request(0xf0, "website", 22), 7),
        (vec![5, 1, 0, 9, 1, 2, 3], 8),
    ];
    for (request, code) in cases {
        let (mut app, reply) = ask(&front, &request).await;
        assert_eq!(reply, code, "{request:?}");
        assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"");
    }
    let not_utf8 = [5, 1, 0, 3, 2, 0xff, 0xfe, 0, 22];
    assert_eq!(ask(&front, &not_utf8).await.1, 2);
    assert_eq!(engine.dials(), []);
}

#[tokio::test]
async fn a_dial_that_fails_is_told_by_its_code() {
    for (error, code) in [
        (DialError::PortNotExported(port(22)), 5),
        (DialError::KeyRefused, 2),
        (DialError::KeyMissing, 2),
        (DialError::Malformed, 1),
    ] {
        let (front, ..) = front(Act::Fail(NOW, error.clone())).await;
        assert_eq!(ask(&front, &request(1, "website", 22)).await.1, code, "{error}");
    }
    for error in [DialError::NotPublished, DialError::Gone, DialError::TimedOut, DialError::NotReady] {
        assert_eq!(Reply::to(&error), Reply::HostUnreachable);
    }
}

#[tokio::test]
async fn success_is_not_told_before_it_is_one() {
    let (front, engine, _peers) = front(Act::Hang).await;
    let mut app = TcpStream::connect(front.addr()).await.unwrap();
    app.write_all(&[5, 1, 0]).await.unwrap();
    let _greeting: [u8; 2] = soon(take(&mut app)).await.unwrap();
    app.write_all(&request(1, "website", 22)).await.unwrap();
    until(|| engine.dials().len() == 1).await;

    let reply = timeout(Duration::from_millis(50), take::<10, _>(&mut app)).await;

    assert!(reply.is_err(), "{reply:?}");
}

#[tokio::test]
async fn a_handshake_cut_or_spoiled_at_any_byte_ends_quietly() {
    let whole = [&[5, 1, 0][..], &request(1, "website", 22)].concat();
    for len in 0..whole.len() {
        let outcome = shake(&whole[..len]).await;
        assert_eq!(outcome.unwrap_err(), Refusal::Silent, "cut at {len}");
    }
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut spoiled = whole.clone();
            spoiled[at] = byte;
            // Whatever comes of it, it comes to an end; and only host and port may change and still lead somewhere.
            let outcome = shake(&spoiled).await;
            let harmless = spoiled == whole || at >= 7;
            assert!(outcome.is_err() || harmless, "{spoiled:?} gave {outcome:?}");
        }
    }
    assert_eq!(shake(&whole).await.unwrap(), ("website".to_owned(), port(22)));
    // An application that offers a password first is let in without one.
    let offers_more = [&[5, 2, 2, 0][..], &request(1, "website", 22)].concat();
    assert!(shake(&offers_more).await.is_ok());
    // One that insists on it is told no.
    assert_eq!(shake(&[5, 1, 2]).await.unwrap_err(), Refusal::Silent);
}

/// Sends bytes and ends.
async fn shake(bytes: &[u8]) -> Result<(String, Port), Refusal> {
    let (mut app, mut near) = tokio::io::duplex(1024);
    app.write_all(bytes).await.unwrap();
    app.shutdown().await.unwrap();
    soon(handshake(&mut near)).await
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_is_ended() {
    let (front, ..) = front(Act::Accept(NOW)).await;
    let mut app = TcpStream::connect(front.addr()).await.unwrap();
    app.write_all(&[5]).await.unwrap();

    assert_eq!(soon(read_all(&mut app)).await.unwrap(), b"");
}

#[test]
fn names_are_found_as_programs_write_them() {
    let table =
        RemoteTable::from_iter([("Web".parse().unwrap(), onion()), ("web".parse().unwrap(), other_onion())]);
    assert_eq!(table.resolve("Web"), Some(onion()));
    assert_eq!(table.resolve("web"), Some(other_onion()));
    assert_eq!(table.resolve("WEB"), None);
    assert_eq!(table.resolve("web.ormesh"), Some(other_onion()));
    assert_eq!(table.resolve("web."), Some(other_onion()));
    assert_eq!(table.resolve(&format!("{}.", onion())), Some(onion()));
    assert_eq!(table.resolve(".ormesh"), None);
    assert_eq!(table.resolve("ééé.ormesh"), None);
    assert_eq!(table.resolve(""), None);
    assert_eq!(RemoteTable::default().resolve(&onion().to_string()), None);
}

#[test]
fn fuzzed_requests_are_taken_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let table = RemoteTable::from_iter([("website".parse().unwrap(), onion())]);
    let whole = |first: &[u8], host: &str| [first, &request(1, host, 22)].concat();
    let samples = [
        whole(&[5, 1, 0], "website"),
        whole(&[5, 2, 2, 0], &onion().to_string()),
        vec![5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80],
        vec![5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80],
        b"GET / HTTP/1.1\r\n".to_vec(),
    ];
    support::fuzz("SOCKS requests", &samples, |bytes| {
        // More is never read.
        let bytes = &bytes[..bytes.len().min(1024)];
        if let Ok((host, _)) = runtime.block_on(shake(bytes)) {
            table.resolve(&host);
        }
    });
}
