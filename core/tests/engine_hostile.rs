//! Whoever answers in tor's place gets nothing from us, and a tor that goes mad is replaced: a scripted program plays it.
//!
//! Byte by byte, replies and SOCKS answers are covered beside `control` and `socks`; here it is the whole life of the process.
#![cfg(unix)]

mod engine_support;

use std::fs;
use std::sync::Arc;

use engine_support::{events_until, key_pair, pid_of, service, settings, state_where, wait_for};
use ormesh_core::engine::ctor::{CTor, Finder};
use ormesh_core::engine::{EngineError, EngineEvent, EngineState, OnionEngine as _};
use support::FakeTor;

/// An engine whose tor follows a script.
struct Host {
    engine: Arc<CTor>,
    dir: tempfile::TempDir,
    tor: FakeTor,
}

impl Host {
    async fn start(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tor = FakeTor::new(&dir.path().join("fake"), &dir.path().join("network"), "plays_tor");
        tor.script(script);
        let finder = Finder { env: Some(tor.program()), ..Finder::default() };
        let engine = CTor::new(settings(dir.path(), None), finder);
        engine.run(true).await;
        Self { engine, dir, tor }
    }

    fn starts(&self) -> usize {
        self.tor.starts()
    }

    /// The commands that it was sent, without arguments.
    fn heard(&self) -> Vec<String> {
        let verb = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        self.tor.heard().iter().map(verb).collect()
    }

    async fn failed(&self) -> String {
        match state_where(&*self.engine, |state| matches!(state, EngineState::Failed { .. })).await {
            EngineState::Failed { why, retry_in: Some(_), .. } => why,
            other => panic!("{other:?}"),
        }
    }

    async fn stop(self) {
        self.engine.run(false).await;
        for pid in self.tor.processes() {
            assert!(!support::is_running(pid), "{pid} is left");
        }
        assert_eq!(pid_of(&settings(self.dir.path(), None)), None);
    }
}

/// Plays the tor of one test.
#[test]
#[ignore = "started by the other tests, as a process of its own"]
fn plays_tor() {
    FakeTor::play();
}

const STRANGER: &str = "AUTHCHALLENGE: say 250 AUTHCHALLENGE \
    SERVERHASH=0000000000000000000000000000000000000000000000000000000000000000 \
    SERVERNONCE=0000000000000000000000000000000000000000000000000000000000000000\\r\\n";

/// A circuit of another's.
const CIRCUIT: &str = "7 BUILT $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA~a,$BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB~b,\
    $CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC~c BUILD_FLAGS=IS_INTERNAL,NEED_CAPACITY PURPOSE=HS_CLIENT_REND \
    HS_STATE=HSCR_JOINED REND_QUERY=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaad TIME_CREATED=x\\r\\n";

/// Whoever reads them is as busy as it can be, and still has to answer.
const ENDLESS_EVENTS: &str =
    "ADD_ONION: endless 650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=100 SUMMARY=\"x\"\\r\\n";

const COLLIDES: &str = "first 1 ADD_ONION: say 550 Onion address collision\\r\\n\n";
const HIDES_CIRCUITS: &str = "GETINFO circuit-status: say 551 no\\r\\n";

/// What a busy tor tells of its circuits: many of others, and one of the service with the first key.
fn busy() -> String {
    let ours = format!(
        "5 BUILT $A~a PURPOSE=HS_SERVICE_REND REND_QUERY={}\\r\\n",
        key_pair(1).0.address().service_id()
    );
    format!(
        "GETINFO circuit-status: say 250+circuit-status=\\r\\n; again 10000 {CIRCUIT}; say {ours}.\\r\\n250 OK\\r\\n"
    )
}

#[tokio::test]
async fn a_stranger_in_tors_place_hears_nothing() {
    let host = Host::start(STRANGER).await;

    let why = host.failed().await;
    wait_for("another start", || host.starts() >= 2).await;

    assert!(why.contains("not the tor that was started"), "{why}");
    let allowed = ["PROTOCOLINFO", "AUTHCHALLENGE"];
    assert!(host.heard().iter().all(|verb| allowed.contains(&verb.as_str())), "{:?}", host.heard());
    host.stop().await;
}

#[tokio::test]
async fn what_is_not_a_control_connection_is_replaced() {
    for script in [
        "any: say 250 \\xff\\xfe\\r\\n",
        "any: say HTTP/1.1 400 Bad Request\\r\\n\\r\\n",
        "any: close",
        "connected: close",
        "PROTOCOLINFO: say 650 HS_DESC x\\r\\n250 OK\\r\\n",
    ] {
        let host = Host::start(script).await;

        let why = host.failed().await;
        wait_for("another start", || host.starts() >= 2).await;

        assert!(why.contains("control connection") || why.contains("tor ended"), "{script}: {why}");
        assert!(host.heard().iter().all(|verb| verb == "PROTOCOLINFO"), "{script}: {:?}", host.heard());
        host.stop().await;
    }
}

#[tokio::test]
async fn a_tor_that_goes_mad_is_lost_and_replaced() {
    for script in [
        "ADD_ONION: endless 2",
        "ADD_ONION: say 551 no\\r\\n551 no\\r\\n",
        "ADD_ONION: say 250-Service; close",
    ] {
        let host = Host::start(script).await;
        let mut events = host.engine.events().unwrap();
        state_where(&*host.engine, EngineState::is_ready).await;
        let (key, client) = key_pair(1);
        let spec = service(&key, &client, &[(80, "gate")]);

        let result = host.engine.publish(&spec, &key).await;
        let lost = events_until(&mut events, |event| *event == EngineEvent::Lost).await;
        wait_for("another start", || host.starts() >= 2).await;
        state_where(&*host.engine, EngineState::is_ready).await;

        assert!(
            matches!(result, Err(EngineError::NotRunning | EngineError::Refused { code: 551, .. })),
            "{script}: {result:?}"
        );
        assert_eq!(lost, [EngineEvent::Lost], "{script}");
        host.stop().await;
    }
}

#[tokio::test]
async fn a_flood_of_events_delays_nobody_and_can_be_switched_off() {
    let host = Host::start(ENDLESS_EVENTS).await;
    state_where(&*host.engine, EngineState::is_ready).await;
    let (key, client) = key_pair(1);
    let spec = service(&key, &client, &[(80, "gate")]);

    let flooded = Arc::clone(&host.engine);
    let publishing = tokio::spawn(async move { flooded.publish(&spec, &key).await });
    wait_for("the flood", || host.heard().contains(&"ADD_ONION".to_owned())).await;
    host.engine.run(false).await;

    assert_eq!(publishing.await.unwrap(), Err(EngineError::NotRunning));
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_tor_does_not_confirm_as_closed_is_taken_down() {
    let host = Host::start("ADD_ONION: say 250-ServiceID=x\\r\\n250 OK\\r\\n").await;
    state_where(&*host.engine, EngineState::is_ready).await;
    let (key, client) = key_pair(1);

    let result = host.engine.publish(&service(&key, &client, &[(80, "gate")]), &key).await;

    assert!(result.is_err(), "{result:?}");
    // It is asked now and then how it stands.
    let heard = host.heard();
    let last = heard.iter().rfind(|verb| *verb != "GETINFO");
    assert_eq!(last.map(String::as_str), Some("DEL_ONION"));
    host.stop().await;
}

#[tokio::test]
async fn no_answer_of_a_busy_tor_ends_it_and_a_service_is_taken_down_whatever_it_tells() {
    for (script, closes) in [(busy(), true), (HIDES_CIRCUITS.to_owned(), false)] {
        let host = Host::start(&script).await;
        state_where(&*host.engine, EngineState::is_ready).await;

        let closed = || host.heard().iter().filter(|verb| *verb == "CLOSECIRCUIT").count();

        let result = host.engine.withdraw(&key_pair(1).0.address()).await;

        assert_eq!(result, Ok(()), "{script}");
        let heard = host.heard();
        let last = heard.iter().rfind(|verb| *verb != "GETINFO");
        assert_eq!(last.map(String::as_str), Some("DEL_ONION"), "{script}");
        assert_eq!(closed(), 0, "{script}: the ends of streams go with a circuit that is closed at once");
        match closes {
            // Half a minute later.
            true => wait_for("the circuits to be closed", || closed() == 1).await,
            false => {
                let (key, client) = key_pair(1);
                let again = host.engine.publish(&service(&key, &client, &[(80, "gate")]), &key).await;
                assert_eq!(again, Err(EngineError::CircuitsUnknown), "what may be open is published again");
            }
        }
        host.engine.survey().await;
        assert!(host.engine.state().borrow().is_ready() && host.starts() == 1, "{script}");
        host.stop().await;
    }
}

#[tokio::test]
async fn a_tor_whose_answer_never_ends_is_replaced() {
    let host =
        Host::start(&format!("GETINFO circuit-status: say 250+circuit-status=\\r\\n; endless {CIRCUIT}"))
            .await;
    state_where(&*host.engine, EngineState::is_ready).await;

    let (key, client) = key_pair(1);
    assert_eq!(host.engine.withdraw(&key.address()).await, Ok(()), "it is asked for circuits after that");
    // Its circuits are to be closed before.
    let again = host.engine.publish(&service(&key, &client, &[(80, "gate")]), &key).await;
    wait_for("another start", || host.starts() >= 2).await;

    assert!(matches!(again, Err(EngineError::NotRunning | EngineError::TimedOut(..))), "{again:?}");
    assert!(host.heard().iter().all(|verb| verb != "ADD_ONION"), "{:?}", host.heard());
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_is_in_the_way_is_replaced() {
    let host = Host::start(COLLIDES).await;
    state_where(&*host.engine, EngineState::is_ready).await;
    let (key, client) = key_pair(1);

    let result = host.engine.publish(&service(&key, &client, &[(80, "gate")]), &key).await;

    assert_eq!(result, Ok(()));
    assert_eq!(host.heard().iter().filter(|verb| *verb == "DEL_ONION").count(), 1);
    host.stop().await;
}

#[tokio::test]
async fn a_service_whose_old_circuits_may_be_open_is_not_published_again() {
    let host = Host::start(&format!("{COLLIDES}{HIDES_CIRCUITS}")).await;
    state_where(&*host.engine, EngineState::is_ready).await;
    let (key, client) = key_pair(1);
    let spec = service(&key, &client, &[(80, "gate")]);

    for publish in [true, true, false] {
        let result = match publish {
            true => host.engine.publish(&spec, &key).await,
            false => host.engine.replace(&spec, &key).await,
        };
        assert_eq!(result, Err(EngineError::CircuitsUnknown));
    }

    let heard = host.heard();
    assert_eq!(heard.iter().filter(|verb| *verb == "ADD_ONION").count(), 1, "{heard:?}");
    assert_eq!(heard.iter().filter(|verb| *verb == "DEL_ONION").count(), 3, "{heard:?}");
    host.stop().await;
}

#[tokio::test]
async fn caches_that_tor_ends_over_are_put_aside_and_nothing_else() {
    let host = Host::start("start: end The cached-certs file is beyond repair").await;
    let data_dir = settings(host.dir.path(), None).data_dir;
    wait_for("the directory", || data_dir.exists()).await;
    fs::write(data_dir.join("cached-certs"), "x").unwrap();
    fs::write(data_dir.join("other"), "x").unwrap();

    let why = host.failed().await;
    wait_for("the quarantine", || data_dir.join("cached-certs.broken").exists()).await;

    assert!(why.contains("beyond repair") || why == "tor has ended", "{why}");
    assert!(data_dir.join("other").exists());
    host.stop().await;
}

#[tokio::test]
async fn a_tor_that_never_listens_can_be_switched_off() {
    let host = Host::start("start: hang").await;
    wait_for("the start", || host.starts() == 1).await;

    host.stop().await;
}
