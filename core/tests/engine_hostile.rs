//! Whoever answers in tor's place gets nothing from us, and a tor that goes mad is replaced: a scripted program plays it.
//!
//! Byte by byte, replies and SOCKS answers are covered beside `control` and `socks`; here it is the whole life of the process.
#![cfg(unix)]

mod engine_support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXUPPER;
use engine_support::{events_until, key_pair, pid_of, service, settings, state_where, wait_for};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ormesh_core::engine::ctor::{CTor, Finder};
use ormesh_core::engine::{EngineError, EngineEvent, EngineState, OnionEngine as _};
use sha2::Sha256;

/// An engine whose tor follows a script.
struct Host {
    engine: Arc<CTor>,
    dir: tempfile::TempDir,
}

impl Host {
    async fn start(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("fake-tor");
        let text = format!(
            "#!/bin/sh\n\
             [ \"$1\" = --version ] && {{ echo 'Tor version 0.4.9.11.'; exit; }}\n\
             echo \"$$\" >> '{dir}/starts'\n\
             FAKE_TOR='{script}' FAKE_TOR_DIR='{dir}' exec '{exe}' --exact plays_tor --ignored --nocapture\n",
            dir = dir.path().display(),
            exe = std::env::current_exe().unwrap().display(),
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let finder = Finder { env: Some(program), ..Finder::default() };
        let engine = CTor::new(settings(dir.path(), None), finder);
        engine.run(true).await;
        Self { engine, dir }
    }

    fn starts(&self) -> usize {
        self.read("starts").lines().count()
    }

    /// The commands that it was sent, without arguments.
    fn heard(&self) -> Vec<String> {
        self.read("heard").lines().map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    async fn failed(&self) -> String {
        match state_where(&*self.engine, |state| matches!(state, EngineState::Failed { .. })).await {
            EngineState::Failed { why, retry_in: Some(_), .. } => why,
            other => panic!("{other:?}"),
        }
    }

    async fn stop(self) {
        self.engine.run(false).await;
        for pid in self.read("starts").lines() {
            assert!(!engine_support::is_alive(pid.parse().unwrap()), "{pid} is left");
        }
        assert_eq!(pid_of(&settings(self.dir.path(), None)), None);
    }
}

/// Plays the tor of one test.
#[test]
#[ignore = "started by the other tests, as a process of its own"]
fn plays_tor() {
    let Some(script) = std::env::var_os("FAKE_TOR") else { return };
    let dir = std::env::var_os("FAKE_TOR_DIR").unwrap();
    play(script.to_str().unwrap(), Path::new(&dir));
}

fn play(script: &str, dir: &Path) {
    if script == "dies" {
        println!("Nov 22 15:00:00.000 [err] The cached-certs file is beyond repair");
        std::process::exit(1);
    }
    if script == "never listens" {
        std::thread::sleep(std::time::Duration::MAX);
    }
    let cookie = [7; 32];
    fs::write(settings(dir, None).data_dir.join("control_auth_cookie"), cookie).unwrap();
    // Started in the run directory.
    let listener = UnixListener::bind("tor-control").unwrap();
    let (stream, _) = listener.accept().unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut heard = fs::OpenOptions::new().create(true).append(true).open(dir.join("heard")).unwrap();
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        let verb = line.split(' ').next().unwrap();
        writeln!(heard, "{verb}").unwrap();
        // The other end may have closed; then there are no more lines either.
        let _ = writer.write_all(&answer(script, &line, &cookie, &mut writer.try_clone().unwrap()));
    }
    // As tor does, which was told to end with its owner.
}

fn answer(script: &str, line: &str, cookie: &[u8], writer: &mut UnixStream) -> Vec<u8> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (script, verb) {
        ("garbage", _) => b"250 \xff\xfe\r\n".to_vec(),
        ("http", _) => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        ("closes at once", _) => {
            writer.shutdown(std::net::Shutdown::Both).unwrap();
            Vec::new()
        }
        ("tells events first", "PROTOCOLINFO") => b"650 HS_DESC x\r\n250 OK\r\n".to_vec(),
        ("stranger", "AUTHCHALLENGE") => challenge(b"another cookie", rest),
        (_, "AUTHCHALLENGE") => challenge(cookie, rest),
        ("busy", "GETINFO") if rest == "circuit-status" => circuits(10_000),
        ("collides", "GETINFO") if rest == "circuit-status" => circuits(1),
        ("endless circuits", "GETINFO") if rest == "circuit-status" => {
            let _ = writer.write_all(b"250+circuit-status=\r\n");
            while writer.write_all(&CIRCUIT.repeat(100)).is_ok() {}
            Vec::new()
        }
        ("hides circuits" | "collides and hides circuits", "GETINFO") if rest == "circuit-status" => b"551 no\r\n".to_vec(),
        ("collides" | "collides and hides circuits", "ADD_ONION") if !DELETED.load(Ordering::SeqCst) => {
            b"550 Onion address collision\r\n".to_vec()
        }
        ("collides" | "collides and hides circuits", "ADD_ONION") => {
            let client = rest.split(' ').find(|word| word.starts_with("ClientAuthV3=")).unwrap();
            format!("250-ServiceID=x\r\n250-{client}\r\n250 OK\r\n").into_bytes()
        }
        ("collides" | "collides and hides circuits", "DEL_ONION") => {
            DELETED.store(true, Ordering::SeqCst);
            b"250 OK\r\n".to_vec()
        }
        (_, "GETINFO") => {
            b"250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\"\r\n250 OK\r\n"
                .to_vec()
        }
        ("endless line", "ADD_ONION") => {
            while writer.write_all(&[b'2'; 4096]).is_ok() {}
            Vec::new()
        }
        ("endless events", "ADD_ONION") => {
            // Whoever reads them is as busy as it can be, and still has to answer.
            let flood = b"650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=100 SUMMARY=\"x\"\r\n".repeat(100);
            while writer.write_all(&flood).is_ok() {}
            Vec::new()
        }
        ("answers twice", "ADD_ONION") => b"551 no\r\n551 no\r\n".to_vec(),
        ("publishes for all", "ADD_ONION") => b"250-ServiceID=x\r\n250 OK\r\n".to_vec(),
        ("half an answer", "ADD_ONION") => {
            writer.write_all(b"250-Service").unwrap();
            writer.shutdown(std::net::Shutdown::Both).unwrap();
            Vec::new()
        }
        _ => b"250 OK\r\n".to_vec(),
    }
}

/// Whether the script's tor was told to delete a service.
static DELETED: AtomicBool = AtomicBool::new(false);

const CIRCUIT: &[u8] = b"7 BUILT $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA~a,$BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB~b,\
    $CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC~c BUILD_FLAGS=IS_INTERNAL,NEED_CAPACITY PURPOSE=HS_CLIENT_REND \
    HS_STATE=HSCR_JOINED REND_QUERY=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaad TIME_CREATED=x\r\n";

/// What a busy tor tells of its circuits: many of others, and one of the service with the first key.
fn circuits(others: usize) -> Vec<u8> {
    let ours = format!(
        "5 BUILT $A~a PURPOSE=HS_SERVICE_REND REND_QUERY={}\r\n",
        key_pair(1).0.address().service_id()
    );
    [
        b"250+circuit-status=\r\n".to_vec(),
        CIRCUIT.repeat(others),
        ours.into_bytes(),
        b".\r\n250 OK\r\n".to_vec(),
    ]
    .concat()
}

fn challenge(cookie: &[u8], arguments: &str) -> Vec<u8> {
    let nonce = HEXUPPER.decode(arguments.split(' ').nth(1).unwrap().as_bytes()).unwrap();
    let key = b"Tor safe cookie authentication server-to-controller hash";
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    [cookie, &nonce, &[9; 32]].iter().for_each(|part| mac.update(part));
    let hash = HEXUPPER.encode(&mac.finalize().into_bytes());
    format!("250 AUTHCHALLENGE SERVERHASH={hash} SERVERNONCE={}\r\n", HEXUPPER.encode(&[9; 32])).into_bytes()
}

#[tokio::test]
async fn a_stranger_in_tors_place_hears_nothing() {
    let host = Host::start("stranger").await;

    let why = host.failed().await;
    wait_for("another start", || host.starts() >= 2).await;

    assert!(why.contains("not the tor that was started"), "{why}");
    let allowed = ["PROTOCOLINFO", "AUTHCHALLENGE"];
    assert!(host.heard().iter().all(|verb| allowed.contains(&verb.as_str())), "{:?}", host.heard());
    host.stop().await;
}

#[tokio::test]
async fn what_is_not_a_control_connection_is_replaced() {
    for script in ["garbage", "http", "closes at once", "tells events first"] {
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
    for script in ["endless line", "answers twice", "half an answer"] {
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
    let host = Host::start("endless events").await;
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
    let host = Host::start("publishes for all").await;
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
    for (script, closes) in [("busy", true), ("hides circuits", false)] {
        let host = Host::start(script).await;
        state_where(&*host.engine, EngineState::is_ready).await;

        let closed = || host.heard().iter().filter(|verb| *verb == "CLOSECIRCUIT").count();

        let result = host.engine.withdraw(&key_pair(1).0.address()).await;

        assert_eq!(result, Ok(()), "{script}");
        assert_eq!(host.heard().last().map(String::as_str), Some("DEL_ONION"), "{script}");
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
    let host = Host::start("endless circuits").await;
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
    let host = Host::start("collides").await;
    state_where(&*host.engine, EngineState::is_ready).await;
    let (key, client) = key_pair(1);

    let result = host.engine.publish(&service(&key, &client, &[(80, "gate")]), &key).await;

    assert_eq!(result, Ok(()));
    assert_eq!(host.heard().iter().filter(|verb| *verb == "DEL_ONION").count(), 1);
    host.stop().await;
}

#[tokio::test]
async fn a_service_whose_old_circuits_may_be_open_is_not_published_again() {
    let host = Host::start("collides and hides circuits").await;
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
    let host = Host::start("dies").await;
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
    let host = Host::start("never listens").await;
    wait_for("the start", || host.starts() == 1).await;

    host.stop().await;
}
