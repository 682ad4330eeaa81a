//! Tests of `responder`: both ends, each with a hostile other.

use crate::forward::calendar::Calendar;
use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::duplex;
use tokio::net::{TcpListener, UnixStream};

use super::*;
use crate::forward::testing::{onion, port, read_all, soon};
use crate::model::address::Host;

fn sessions() -> Arc<ClientSessions> {
    let events = tokio::sync::mpsc::unbounded_channel().0;
    ClientSessions::new(onion(), "laptop".parse().unwrap(), true, events, 512, Calendar::system())
}

async fn open_responder(
    context: &GateContext,
    told: watch::Receiver<Arc<Grants>>,
) -> Result<Responder, ListenError> {
    Responder::open(context, &onion(), told, sessions(), Arc::default()).await
}

fn shared(grants: Grants) -> Shared {
    let (_, grants) = watch::channel(Arc::new(grants));
    let sessions = sessions();
    let served = Served::new(Arc::clone(&sessions));
    Shared { served, grants, sessions, prober: Arc::default(), tor: TorProcess::default() }
}

/// What a responder with nothing to grant answers to some bytes and an end.
async fn answers_to(bytes: &[u8]) -> String {
    let (mut client, server) = duplex(1 << 20);
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let _ = soon(answer_all(&shared(Grants::default()), server)).await;
    String::from_utf8(read_all(&mut client).await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_documented_lines_are_those_spoken() {
    let cases = [
        ("{\"ormesh\":1,\"ask\":\"info\"}\n", "{\"ormesh\":1,\"ports\":[]}\n"),
        ("{\"ormesh\":1,\"ask\":\"echo\",\"data\":\"x\"}\n", "{\"ormesh\":1,\"echo\":\"x\",\"ports\":[]}\n"),
        ("{\"ormesh\":1,\"ask\":\"later\"}\n", "{\"ormesh\":1,\"error\":\"unknown question\"}\n"),
        ("{\"ormesh\":2,\"ask\":\"info\",\"new\":[]}\n", "{\"ormesh\":1,\"ports\":[]}\n"),
        ("GET / HTTP/1.1\r\n", "{\"ormesh\":1,\"error\":\"not a question\"}\n"),
        ("{\"ormesh\":1,\"ask\":\"info\"}", ""),
        ("", ""),
    ];
    for (question, answer) in cases {
        assert_eq!(answers_to(question.as_bytes()).await, answer, "{question:?}");
    }
}

#[tokio::test]
async fn questions_are_bounded_in_length_and_number() {
    let long = format!("{{\"ormesh\":1,\"ask\":\"echo\",\"data\":\"{}\"}}\n", "x".repeat(ASK_LIMIT));
    assert_eq!(answers_to(long.as_bytes()).await, "");

    let many = "{\"ormesh\":1,\"ask\":\"info\"}\n".repeat(ASKS + 10);
    assert_eq!(answers_to(many.as_bytes()).await.lines().count(), ASKS);
}

proptest! {
    #[test]
    fn no_bytes_make_the_responder_panic_or_hang(bytes in vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(answers_to(&bytes));
        assert!(answer.lines().all(|line| line.starts_with("{\"ormesh\":1,")));
    }

    #[test]
    fn no_answer_makes_the_asker_panic_or_hang(bytes in vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(ask_of(&bytes)).is_err());
    }
}

/// Asks for information where some bytes and an end are the answer.
async fn ask_of(answer: &[u8]) -> Result<Info, AskError> {
    let (client, mut server) = duplex(1 << 20);
    server.write_all(answer).await.unwrap();
    server.shutdown().await.unwrap();
    soon(ask_info(client)).await
}

#[tokio::test]
async fn answers_are_taken_strictly() {
    let good =
        b"{\"ormesh\":1,\"ports\":[{\"port\":22,\"open\":true,\"new\":1}],\"expires\":\"2026-12-31\"}\n";
    let info = ask_of(good).await.unwrap();
    assert_eq!(info.port(port(22)), Some(PortInfo { full: None, port: port(22), open: true }));
    assert_eq!((info.port(port(80)), info.expires), (None, Some("2026-12-31".parse().unwrap())));

    let too_many: Vec<String> = (1..=1025).map(|n| format!("{{\"port\":{n},\"open\":true}}")).collect();
    let too_many = format!("{{\"ormesh\":1,\"ports\":[{}]}}\n", too_many.join(","));
    let nonsense: [&[u8]; 8] = [
        b"{\"ormesh\":1}\n",
        b"{\"ports\":[]}\n",
        b"{\"ormesh\":1,\"ports\":[{\"port\":0,\"open\":true}]}\n",
        b"{\"ormesh\":1,\"ports\":[{\"port\":70000,\"open\":true}]}\n",
        b"{\"ormesh\":1,\"ports\":[{\"port\":22,\"open\":true},{\"port\":22,\"open\":false}]}\n",
        b"{\"ormesh\":1,\"ports\":[],\"expires\":\"soon\"}\n",
        b"{\"ormesh\":1,\"error\":\"\\u001b[2J\"}\n",
        too_many.as_bytes(),
    ];
    for answer in nonsense {
        let error = ask_of(answer).await.unwrap_err();
        assert!(matches!(error, AskError::Nonsense), "{error}");
    }
    assert!(matches!(ask_of(b"{\"ormesh\":7,\"ports\":1}\n").await, Err(AskError::Version(7))));
    assert!(matches!(ask_of(&vec![b'x'; ANSWER_LIMIT + 1]).await, Err(AskError::TooLong)));
    assert!(matches!(ask_of(b"{\"ormesh\":1").await, Err(AskError::Ended(_))));
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_waited_for() {
    let (client, _server) = duplex(1024);
    assert!(matches!(soon(ask_echo(client)).await, Err(AskError::TimedOut)));

    let (_client, server) = duplex(1024);
    let ended = soon(answer_all(&shared(Grants::default()), server)).await;
    assert!(matches!(ended, Err(AskError::TimedOut)));
}

fn target(addr: std::net::SocketAddr) -> Target {
    Target::Tcp(Host::Ip(addr.ip()), port(addr.port()))
}

#[tokio::test]
async fn a_host_tells_which_backends_accept() {
    let dir = tempfile::tempdir().unwrap();
    let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let ports = [(port(22), target(open.local_addr().unwrap())), (port(80), target(closed))];
    let (grants, told) =
        watch::channel(Arc::new(Grants { ports: ports.into(), expires: None, sessions: true }));
    let responder = open_responder(&GateContext::new(dir.path()), told).await.unwrap();
    let GateAddr::Unix(name) = responder.addr() else { panic!("not a Unix socket") };
    let dial = || UnixStream::connect(dir.path().join(name));

    let info = ask_info(dial().await.unwrap()).await.unwrap();

    assert_eq!(
        info.ports,
        [
            PortInfo { full: None, port: port(22), open: true },
            PortInfo { full: None, port: port(80), open: false }
        ]
    );
    // What is granted is read anew each time.
    grants.send_replace(Arc::default());
    assert_eq!(ask_info(dial().await.unwrap()).await.unwrap().ports, []);
    ask_echo(dial().await.unwrap()).await.unwrap();
    soon(responder.close_all()).await;
    dial().await.unwrap_err();
}

#[tokio::test]
async fn backends_are_not_probed_at_each_question() {
    let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let ports = [(port(22), target(open.local_addr().unwrap()))];
    let shared = shared(Grants { ports: ports.into(), expires: None, sessions: true });

    for _ in 0..10 {
        assert!(shared.info().await.ports[0].open);
    }

    soon(open.accept()).await.unwrap();
    assert!(timeout(Duration::from_millis(50), open.accept()).await.is_err());
}

#[tokio::test]
async fn many_who_ask_at_once_make_one_connection_to_a_backend() {
    let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let grants = Grants {
        ports: [(port(22), target(open.local_addr().unwrap()))].into(),
        expires: None,
        sessions: true,
    };
    let (one, other) = (shared(grants.clone()), shared(grants));
    // Two clients of one host.
    let other = Shared { prober: Arc::clone(&one.prober), ..other };
    let mut asking = tokio::task::JoinSet::new();
    for shared in [Arc::new(one), Arc::new(other)] {
        for _ in 0..16 {
            let shared = Arc::clone(&shared);
            asking.spawn(async move { shared.info().await });
        }
    }

    for info in soon(asking.join_all()).await {
        assert!(info.ports[0].open);
    }

    soon(open.accept()).await.unwrap();
    assert!(timeout(Duration::from_millis(50), open.accept()).await.is_err());
}

#[tokio::test]
async fn a_client_has_a_bounded_number_of_connections() {
    let dir = tempfile::tempdir().unwrap();
    let (_grants, told) = watch::channel(Arc::default());
    let responder = open_responder(&GateContext::new(dir.path()), told).await.unwrap();
    let GateAddr::Unix(name) = responder.addr() else { panic!("not a Unix socket") };
    let mut open = Vec::new();
    for _ in 0..SESSIONS {
        open.push(UnixStream::connect(dir.path().join(name)).await.unwrap());
    }

    let mut one_too_many = UnixStream::connect(dir.path().join(name)).await.unwrap();

    assert_eq!(soon(read_all(&mut one_too_many)).await.unwrap(), b"");
}

#[test]
fn fuzzed_questions_and_answers_are_taken_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let samples = [
        "{\"ormesh\":1,\"ask\":\"info\"}\n",
        "{\"ormesh\":1,\"ask\":\"echo\",\"data\":\"x\"}\n{\"ormesh\":1,\"ask\":\"info\"}\n",
        "{\"ormesh\":1,\"ports\":[{\"port\":22,\"open\":true,\"full\":[384,512]}],\"expires\":\"2030-01-31\"}\n",
        "{\"ormesh\":1,\"error\":\"not a question\"}\n",
    ];
    support::fuzz("lines of a responder", &samples, |bytes| {
        runtime.block_on(async {
            let answer = answers_to(bytes).await;
            assert!(answer.lines().all(|line| line.starts_with("{\"ormesh\":1,")));
            let _ = ask_of(bytes).await;
        });
    });
}

#[tokio::test]
async fn a_session_is_refused_where_they_are_not_offered() {
    let question = pool::ASKS;
    let refused = "{\"ormesh\":1,\"error\":\"no sessions\"}\n";
    assert_eq!(answers_to(question).await, refused);
    let (mut client, server) = duplex(1 << 20);
    client.write_all(question).await.unwrap();
    let on = shared(Grants { sessions: true, ..Grants::default() });
    assert!(soon(answer_all(&on, server)).await.unwrap().is_some());
}
