//! The suite over tor, on a private network; one pair of hosts for all of it, as starting them takes seconds.

use std::fs;
use std::path::{Path, PathBuf};

use ormesh_core::engine::ctor::CTor;
use ormesh_core::engine::{DialError, EngineEvent, EngineState, OnionEngine as _};
use ormesh_core::model::address::Port;
use rustix::process::{Pid, Signal, kill_process};

use crate::engine_support::{events_until, key_pair, pid_of, settings, state_where, tor_finder};
use crate::suite::{self, End, Pair};

/// Its name, and what it does to a file.
type Damage = (&'static str, fn(&Path));

async fn end() -> End {
    let network_lines = tornet::shared().torrc_lines().join("\n");
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), Some(network_lines));
    let engine = CTor::new(settings.clone(), tor_finder());
    engine.run(true).await;
    state_where(&*engine, EngineState::is_ready).await;
    let run_dir = settings.run_dir.clone();
    let kill = move || {
        let pid = pid_of(&settings).expect("tor runs");
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    };
    End { events: engine.events().unwrap(), engine, run_dir, kill: Box::new(kill), _dir: dir }
}

#[tokio::test]
async fn the_real_engine_keeps_the_contract() {
    // It may have to start the network first, which blocks.
    tokio::task::spawn_blocking(tornet::shared).await.unwrap();
    let mut pair = Pair { exporter: end().await, importer: end().await };
    let pair = &mut pair;
    macro_rules! hold {
        ($($promise:ident),* $(,)?) => {
            $(
                let begun = std::time::Instant::now();
                suite::$promise(pair).await;
                println!("{} ({:.1?})", stringify!($promise), begun.elapsed());
            )*
        };
    }
    hold!(
        a_service_is_reached_by_its_client,
        nobody_else_gets_in,
        other_ports_are_refused,
        a_closed_gate_is_a_failure,
        a_replaced_service_keeps_its_sessions,
        a_withdrawn_service_closes_its_sessions,
        a_service_published_anew_takes_the_place_of_the_old,
        what_is_not_there_can_be_removed,
        a_descriptor_is_fetched_ahead,
        a_killed_exporter_starts_empty,
        a_killed_importer_starts_empty,
        off_is_off,
    );
}

#[tokio::test]
async fn damaged_caches_and_state_heal() {
    let network = tokio::task::spawn_blocking(tornet::shared).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), Some(network.torrc_lines().join("\n")));
    let engine = CTor::new(settings.clone(), tor_finder());
    engine.run(true).await;
    state_where(&*engine, EngineState::is_ready).await;
    let damages: [Damage; 4] = [
        ("truncated", |file| {
            let length = fs::metadata(file).unwrap().len();
            fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length / 2).unwrap();
        }),
        ("overwritten", |file| fs::write(file, [0xff; 10_000]).unwrap()),
        ("deleted", |file| fs::remove_file(file).unwrap()),
        ("a directory", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
    ];
    for (how, damage) in damages {
        engine.run(false).await;
        let files = fs::read_dir(&settings.data_dir).unwrap().map(|entry| entry.unwrap().path());
        let cache = |file: &PathBuf| {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            file.is_file() && (name == "state" || name.starts_with("cached-")) && !name.ends_with(".broken")
        };
        let caches: Vec<_> = files.filter(cache).collect();
        assert!(caches.len() >= 3, "{how}: {caches:?}");
        caches.iter().for_each(|file| damage(file));

        let begun = std::time::Instant::now();
        engine.run(true).await;
        state_where(&*engine, EngineState::is_ready).await;
        println!("{how}: ready after {:.1?}", begun.elapsed());
    }
    engine.run(false).await;
}

#[tokio::test]
async fn a_socks_socket_that_is_removed_comes_back_with_a_new_tor() {
    let network = tokio::task::spawn_blocking(tornet::shared).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), Some(network.torrc_lines().join("\n")));
    let engine = CTor::new(settings.clone(), tor_finder());
    let mut events = engine.events().unwrap();
    engine.run(true).await;
    state_where(&*engine, EngineState::is_ready).await;
    let (socket, address) = (settings.run_dir.join("tor-socks"), key_pair(1).0.address());
    fs::remove_file(&socket).unwrap();

    let refused = engine.dial(&address, Port::RESPONDER, "one").await.err();
    events_until(&mut events, |event| *event == EngineEvent::Lost).await;
    state_where(&*engine, EngineState::is_ready).await;

    assert_eq!(refused, Some(DialError::NotReady));
    assert!(socket.exists() && engine.dial(&address, Port::RESPONDER, "two").await.is_ok());

    // Another program's, which would take what is dialled: noticed without a dial.
    fs::remove_file(&socket).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    events_until(&mut events, |event| *event == EngineEvent::Lost).await;
    state_where(&*engine, EngineState::is_ready).await;
    assert!(engine.dial(&address, Port::RESPONDER, "three").await.is_ok());
    drop(other);
    engine.run(false).await;
}
