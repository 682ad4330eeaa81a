//! Tests of `backend`: what may be connected to, and in which order.

use tokio::net::TcpListener;

use super::*;
use crate::forward::testing::{port, soon};

#[tokio::test]
async fn forbidden_targets_are_refused_at_the_dial_too() {
    // However they came into the configuration: parsing refuses them.
    for ip in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::"] {
        let target = Target::Tcp(Host::Ip(ip.parse().unwrap()), port(80));

        let refused = connect(&target).await.unwrap_err();

        assert!(matches!(refused, BackendError::NoAddress(_)), "{ip}: {refused}");
    }
}

#[tokio::test]
async fn names_are_resolved_at_each_dial() {
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let number = port(backend.local_addr().unwrap().port());

    connect(&Target::Tcp(Host::Name("localhost".into()), number)).await.unwrap();
    // `.invalid` never resolves (RFC 6761 §6.4).
    let refused = connect(&Target::Tcp(Host::Name("ormesh.invalid".into()), number)).await.unwrap_err();
    assert!(matches!(refused, BackendError::Resolve(..)), "{refused}");
}

#[tokio::test]
async fn localhost_is_the_loopback_of_either_family() {
    for ip in ["127.0.0.1", "::1"] {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let number = port(listener.local_addr().unwrap().port());
        let target: Target = format!("localhost:{number}").parse().unwrap();
        assert!(target.is_local());

        connect(&target).await.unwrap();

        soon(listener.accept()).await.unwrap();
        drop(listener);
        let refused = connect(&target).await.unwrap_err();
        assert!(matches!(refused, BackendError::Connect(..)), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_answer_costs_the_next_one_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let accepts = listener.local_addr().unwrap();
    let [hangs, refuses]: [SocketAddr; 2] = ["192.0.2.1:1", "192.0.2.2:1"].map(|addr| addr.parse().unwrap());
    let dial = move |addr: SocketAddr| async move {
        match addr {
            _ if addr == hangs => std::future::pending().await,
            _ if addr == refuses => Err(std::io::ErrorKind::ConnectionRefused.into()),
            other => TcpStream::connect(other).await,
        }
    };
    let began = tokio::time::Instant::now();

    // Far more of them than there would be time for one after the other.
    connect_any(vec![hangs, hangs, refuses, hangs, accepts], dial).await.unwrap();

    assert!(began.elapsed() < 5 * HEAD_START, "{:?}", began.elapsed());
    let error = connect_any(vec![refuses, refuses], dial).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
