//! Tests of `linux`: what the real kernel says of real sockets, and what an answer proves.

use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};

use rustix::process::geteuid;
use socket2::{Domain, Socket, Type};

use super::*;

fn me() -> u32 {
    geteuid().as_raw()
}

async fn owner_of(listener: &TcpListener) -> Result<User, String> {
    let (accepted, peer) = listener.accept().unwrap();
    owner(peer, accepted.local_addr().unwrap()).await
}

#[tokio::test]
async fn our_own_sockets_are_ours_over_both_families_and_between_them() {
    for addr in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let listener = TcpListener::bind(addr).unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = if addr.starts_with('[') { "::1" } else { "127.0.0.1" };
        let app = TcpStream::connect((host, port)).unwrap();
        assert_eq!(owner_of(&listener).await, Ok(User::Me), "{addr}");
        drop(app);
    }
    // An IPv6 socket that connects over IPv4.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    let mapped = "127.0.0.1".parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped();
    let port = listener.local_addr().unwrap().port();
    app.connect(&SocketAddr::from((mapped as Ipv6Addr, port)).into()).unwrap();
    assert_eq!(owner_of(&listener).await, Ok(User::Me));
}

#[tokio::test]
async fn a_half_closed_socket_has_an_owner_and_a_closed_one_has_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    app.shutdown(Shutdown::Write).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let local = accepted.local_addr().unwrap();
    assert_eq!(owner(peer, local).await, Ok(User::Me));
    assert!(!has_closed(peer, local));

    drop(app);
    assert!(has_closed(peer, local));
    // The kernel says uid 0 of it: who is root must not be let in by that, either.
    let why = owner(peer, local).await.unwrap_err();
    assert!(why.contains("closed") || why.contains("no open"), "{why}");
}

#[tokio::test]
async fn a_listener_is_not_taken_for_a_connection_and_another_machine_has_no_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (listening, local) = (listener.local_addr().unwrap(), other.local_addr().unwrap());
    assert!(owner(listening, local).await.unwrap_err().contains("no open"));
    assert!(owner("192.0.2.1:4321".parse().unwrap(), local).await.unwrap_err().contains("no open"));
    assert!(!has_closed(listening, local) && !has_closed("192.0.2.1:4321".parse().unwrap(), local));
}

#[test]
fn an_answer_proves_an_owner_only_when_it_is_about_that_open_connection() {
    let (peer, local): (SocketAddr, SocketAddr) =
        ("127.0.0.1:4000".parse().unwrap(), "127.0.0.1:9250".parse().unwrap());
    let answer = |uid, state, inode, port| InetResponseHeader {
        family: AF_INET,
        state,
        timer: None,
        socket_id: SocketId {
            source_port: port,
            destination_port: 9250,
            source_address: peer.ip(),
            destination_address: local.ip(),
            interface_id: 0,
            cookie: NO_COOKIE,
        },
        recv_queue: 0,
        send_queue: 0,
        uid,
        inode,
    };
    let judged = |answer: InetResponseHeader, me| judge(&answer, peer, local, me);
    assert_eq!(judged(answer(1000, TCP_ESTABLISHED, 7, 4000), 1000), Ok(User::Me));
    assert_eq!(judged(answer(0, TCP_ESTABLISHED, 7, 4000), 1000), Ok(User::Root));
    assert_eq!(judged(answer(0, TCP_ESTABLISHED, 7, 4000), 0), Ok(User::Me));
    assert_eq!(judged(answer(1001, TCP_ESTABLISHED, 7, 4000), 1000), Ok(User::Other("user 1001".into())));
    assert_eq!(judged(answer(1001, TCP_ESTABLISHED, 7, 4000), 0), Ok(User::Other("user 1001".into())));
    for (what, answer) in [
        ("closed", answer(0, TCP_FIN_WAIT1, 0, 4000)),
        ("time-wait", answer(0, 6, 0, 4000)),
        ("listening", answer(1000, 10, 7, 4000)),
        ("connecting", answer(1000, 2, 7, 4000)),
        ("another socket", answer(1000, TCP_ESTABLISHED, 7, 4001)),
    ] {
        assert!(judged(answer, 1000).is_err(), "{what}");
    }
    // In a user namespace it is everyone who is not known there.
    assert!(judged(answer(65_534, TCP_ESTABLISHED, 7, 4000), 65_534).is_err());
    assert_eq!(me(), geteuid().as_raw());
}
