//! The real tor without a network: start, authentication, publishing, keys, ends of every kind, restart, stop.
#![cfg(unix)]

mod engine_support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use engine_support::{
    Host, events_until, is_alive, key_pair, pid_of, service, settings, state_where, tor_finder, wait_for,
};
use ormesh_core::engine::ctor::{CTor, Finder};
use ormesh_core::engine::{EngineError, EngineEvent, EngineState, OnionEngine as _};

#[tokio::test]
async fn a_service_is_published_replaced_and_withdrawn() {
    let host = Host::start().await;
    let (key, client) = key_pair(1);
    let spec = service(&key, &client, &[(22, "gate-22")]);
    let other = service(&key, &client, &[(22, "gate-22"), (80, "gate-80")]);

    host.engine.publish(&spec, &key).await.unwrap();
    // One that is there already, which nobody here may know of any more, makes room.
    host.engine.publish(&spec, &key).await.unwrap();
    host.engine.replace(&other, &key).await.unwrap();
    host.engine.withdraw(&spec.address).await.unwrap();
    host.engine.withdraw(&spec.address).await.unwrap();
    let (wrong, _) = key_pair(2);

    assert_eq!(host.engine.publish(&spec, &wrong).await, Err(EngineError::WrongKey(spec.address)));
    // What replace would change need not be there.
    host.engine.replace(&spec, &key).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn client_keys_are_held_and_forgotten() {
    let host = Host::start().await;
    let (key, client) = key_pair(1);
    let address = key.address();

    assert_eq!(host.engine.has_client_key(&address).await, Ok(false));
    host.engine.add_client_key(&address, &client).await.unwrap();
    host.engine.add_client_key(&address, &client).await.unwrap();
    assert_eq!(host.engine.has_client_key(&address).await, Ok(true));
    host.engine.remove_client_key(&address).await.unwrap();
    host.engine.remove_client_key(&address).await.unwrap();
    assert_eq!(host.engine.has_client_key(&address).await, Ok(false));
    host.stop().await;
}

#[tokio::test]
async fn a_killed_tor_is_lost_once_and_starts_again_empty() {
    let host = Host::start().await;
    let mut events = host.engine.events().unwrap();
    assert!(host.engine.events().is_none());
    let (key, client) = key_pair(1);
    let spec = service(&key, &client, &[(22, "gate-22")]);
    for _ in 0..3 {
        host.engine.publish(&spec, &key).await.unwrap();
        let pid = host.pid();

        host.kill(pid);
        let seen = events_until(&mut events, |event| *event == EngineEvent::Lost).await;

        assert_eq!(seen, [EngineEvent::Lost]);
        host.wait_connected().await;
        assert_ne!(host.pid(), pid);
        assert!(!is_alive(pid));
    }
    host.engine.publish(&spec, &key).await.unwrap();
    host.stop().await;
    assert_eq!(events_until(&mut events, |event| *event == EngineEvent::Lost).await, [EngineEvent::Lost]);
}

#[tokio::test]
async fn off_ends_tor_in_order_and_on_starts_it() {
    let host = Host::start().await;
    let pid = host.pid();
    let (key, client) = key_pair(1);
    let spec = service(&key, &client, &[(22, "gate-22")]);

    host.engine.run(false).await;

    assert_eq!(*host.engine.state().borrow(), EngineState::Stopped);
    assert!(!is_alive(pid));
    assert_eq!(host.engine.publish(&spec, &key).await, Err(EngineError::NotRunning));
    host.engine.run(true).await;
    host.wait_connected().await;
    host.engine.publish(&spec, &key).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn off_in_the_midst_of_starting_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), None);
    let engine = CTor::new(settings.clone(), tor_finder());
    for _ in 0..5 {
        engine.run(true).await;
        state_where(&*engine, |state| *state == EngineState::Starting).await;

        engine.run(false).await;

        assert_eq!(*engine.state().borrow(), EngineState::Stopped);
        assert_eq!(pid_of(&settings), None);
    }
}

#[tokio::test]
async fn a_dropped_engine_ends_its_tor() {
    let host = Host::start().await;
    let pid = host.pid();

    drop(host);

    wait_for("tor to end", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_missing_tor_is_said_and_found_once_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let engine = CTor::new(settings(dir.path(), None), Finder::default());

    engine.run(true).await;
    let failed = state_where(&*engine, |state| matches!(state, EngineState::Failed { .. })).await;
    engine.set_finder(tor_finder());
    engine.run(true).await;
    state_where(&*engine, |state| matches!(state, EngineState::Bootstrapping { .. })).await;

    assert!(
        matches!(&failed, EngineState::Failed { why, retry_in: Some(_), .. } if why.contains("not found")),
        "{failed:?}"
    );
    assert_eq!(engine.info().unwrap().found, "ORMESH_TOR");
    engine.run(false).await;
}

#[tokio::test]
async fn directories_that_others_can_enter_are_refused_with_the_command_that_mends_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), None);
    fs::create_dir(&settings.data_dir).unwrap();
    fs::set_permissions(&settings.data_dir, fs::Permissions::from_mode(0o750)).unwrap();
    let engine = CTor::new(settings.clone(), tor_finder());

    engine.run(true).await;
    let failed = state_where(&*engine, |state| matches!(state, EngineState::Failed { .. })).await;
    fs::set_permissions(&settings.data_dir, fs::Permissions::from_mode(0o700)).unwrap();
    state_where(&*engine, |state| matches!(state, EngineState::Bootstrapping { .. })).await;

    let command = format!("chmod go= {}", settings.data_dir.display());
    assert!(matches!(&failed, EngineState::Failed { hint, .. } if *hint == command), "{failed:?}");
    engine.run(false).await;
}

#[tokio::test]
async fn two_engines_do_not_share_a_directory() {
    let host = Host::start().await;
    let settings = host.settings.clone();
    let second_run_dir = host.dir.path().join("second");
    let second = CTor::new(
        ormesh_core::engine::ctor::TorSettings { run_dir: second_run_dir, ..settings },
        tor_finder(),
    );

    second.run(true).await;
    let failed = state_where(&*second, |state| matches!(state, EngineState::Failed { .. })).await;

    assert!(
        matches!(&failed, EngineState::Failed { why, .. } if why.contains("another tor uses")),
        "{failed:?}"
    );
    assert!(is_alive(host.pid()));
    second.run(false).await;
    host.stop().await;
}

#[tokio::test]
async fn paths_with_spaces_and_quotes_work() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join(r#"Application "Support" #1 \x"#);
    fs::create_dir(&root).unwrap();
    let host = Host::start_in(dir, &root).await;
    let (key, client) = key_pair(1);

    host.engine.publish(&service(&key, &client, &[(22, "gate-22")]), &key).await.unwrap();

    host.stop().await;
}

#[tokio::test]
async fn damaged_state_and_caches_are_survived() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    let data_dir = settings(&root, None).data_dir;
    fs::create_dir(&data_dir).unwrap();
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o700)).unwrap();
    // A directory in a file's place is what tor cannot mend by itself.
    fs::create_dir(data_dir.join("state")).unwrap();
    fs::write(data_dir.join("cached-certs"), "\0garbage").unwrap();
    fs::write(data_dir.join("cached-microdesc-consensus"), "network-status-version 3").unwrap();

    let host = Host::start_in(dir, &root).await;

    assert!(host.settings.data_dir.join("state.broken").exists());
    host.stop().await;
}

#[tokio::test]
async fn a_stopped_tor_is_noticed_when_it_does_not_answer() {
    let host = Host::start().await;
    let pid = host.pid();
    let (key, _) = key_pair(1);
    let mut events = host.engine.events().unwrap();

    host.freeze(pid);
    let error = host.engine.has_client_key(&key.address()).await.unwrap_err();
    events_until(&mut events, |event| *event == EngineEvent::Lost).await;
    host.wait_connected().await;

    assert!(matches!(error, EngineError::TimedOut(..) | EngineError::NotRunning), "{error:?}");
    assert!(!is_alive(pid));
    host.stop().await;
}

/// Plays the agent that is killed: its tor runs when it says so.
#[test]
#[ignore = "started by another test, as a process of its own"]
fn owner_that_is_killed() {
    let Some(root) = std::env::var_os("ENGINE_TEST_ROOT") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = CTor::new(settings(Path::new(&root), None), tor_finder());
        engine.run(true).await;
        state_where(&*engine, |state| matches!(state, EngineState::Bootstrapping { .. })).await;
        fs::write(Path::new(&root).join("is-up"), "").unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn no_tor_outlives_a_killed_owner_and_the_next_starts_over_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), None);
    let mut owner = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_that_is_killed", "--ignored", "--nocapture"])
        .env("ENGINE_TEST_ROOT", dir.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    wait_for("the owner's tor", || dir.path().join("is-up").exists()).await;
    let pid = pid_of(&settings).expect("it runs");

    owner.kill().await.unwrap();
    let engine = CTor::new(settings, tor_finder());
    engine.run(true).await;
    let next = state_where(&*engine, |state| {
        matches!(state, EngineState::Bootstrapping { .. } | EngineState::Failed { .. })
    })
    .await;

    assert!(matches!(next, EngineState::Bootstrapping { .. }), "{next:?}");
    tokio::time::timeout(Duration::from_secs(5), wait_for("the old tor to end", || !is_alive(pid)))
        .await
        .unwrap();
    engine.run(false).await;
}
