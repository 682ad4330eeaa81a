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

/// A Unix socket whose program accepts nobody, and whose queue is full.
fn hung(dir: &std::path::Path) -> (socket2::Socket, Target, Vec<socket2::Socket>) {
    use socket2::{Domain, SockAddr, Socket, Type};
    let path = dir.join("hung");
    let addr = SockAddr::unix(&path).unwrap();
    let open = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let listener = open();
    listener.bind(&addr).unwrap();
    listener.listen(1).unwrap();
    let mut queued = Vec::new();
    loop {
        let socket = open();
        match socket.connect(&addr) {
            Ok(()) => queued.push(socket),
            Err(_) => return (listener, Target::Unix(path), queued),
        }
    }
}

#[tokio::test]
async fn a_unix_socket_whose_program_hangs_is_given_up_after_ten_seconds_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (_listener, target, _queued) = hung(dir.path());
    let began = tokio::time::Instant::now();
    let ticks = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };

    let (failed, ()) = tokio::join!(connect(&target), ticks);

    let failed = failed.unwrap_err();
    assert!(matches!(failed, BackendError::TimedOut(_)), "{failed}");
    assert!(began.elapsed() >= BACKEND_LIMIT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_unix_socket_whose_queue_is_full_for_a_moment_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, target, queued) = hung(dir.path());
    let full = tokio::spawn(async move { connect(&target).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!full.is_finished(), "given up at once");

    for _ in 0..queued.len() {
        listener.accept().unwrap();
    }

    soon(full).await.unwrap().unwrap();
}
