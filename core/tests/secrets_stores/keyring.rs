//! The system's keyring in every state of it that was seen in the field: each gives the documented answer, in time, and a key is
//! never taken for missing that is only out of reach.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use ormesh_core::model::store_kind::StoreKind;
use ormesh_core::secrets::choose::choose;
use ormesh_core::secrets::keyring::KeyringStore;
use ormesh_core::secrets::worker::DEADLINE;
use ormesh_core::secrets::{SecretStore, Secrets, SecretsError, SystemStores};
use support::Lock;

use crate::contract::contract;
use crate::session::{Bus, Home, daemon, own_home};
use crate::{client_id, secret};

fn keyring() -> Secrets {
    Secrets::open(StoreKind::OsKeyring, &own_home().join("secrets"), "test")
}

/// Asks until the answer is as wanted: a keyring that was just started takes a moment to be there.
async fn answers(secrets: &Secrets, wanted: impl Fn(&Result<(), SecretsError>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = secrets.probe().await;
        if wanted(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "the keyring's last answer was {answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn first_choice() -> Result<StoreKind, SecretsError> {
    choose(None, &SystemStores { dir: own_home().join("secrets") }, &own_home().join("secrets"), DEADLINE)
        .await
        .map(|choice| choice.kind)
}

#[track_caller]
fn assert_locked(what: &str, result: Result<impl Sized, SecretsError>) {
    let error = result.err();
    assert!(matches!(error, Some(SecretsError::Locked(_))), "{what}: {error:?}");
}

#[track_caller]
fn assert_absent(what: &str, result: Result<impl Sized, SecretsError>) {
    let error = result.err();
    assert!(matches!(error, Some(SecretsError::Absent(_))), "{what}: {error:?}");
}

#[test]
fn an_unlocked_keyring_keeps_the_contract() {
    Home::new().run("unlocked", &Bus::Private);
}

#[tokio::test]
#[ignore = "a part of an_unlocked_keyring_keeps_the_contract"]
async fn unlocked() {
    let _daemon = daemon(Lock::Open);
    answers(&keyring(), Result::is_ok).await;

    tokio::task::spawn_blocking(|| contract(|| Box::new(KeyringStore::new("contract")))).await.unwrap();

    assert_eq!(first_choice().await, Ok(StoreKind::OsKeyring));
    assert!(!own_home().join("secrets").exists(), "no files beside a keyring that works");
}

#[test]
fn two_configurations_of_one_user_do_not_collide() {
    Home::new().run("two_instances", &Bus::Private);
}

#[tokio::test]
#[ignore = "a part of two_configurations_of_one_user_do_not_collide"]
async fn two_instances() {
    let _daemon = daemon(Lock::Open);
    answers(&keyring(), Result::is_ok).await;
    tokio::task::spawn_blocking(|| {
        let (mut one, mut two) = (KeyringStore::new("one"), KeyringStore::new("two"));
        one.set(&client_id(1), &secret(b"of one")).unwrap();
        two.set(&client_id(1), &secret(b"of two")).unwrap();
        two.delete(&client_id(1)).unwrap();
        assert_eq!(one.get(&client_id(1)).unwrap().expose(), b"of one");
    })
    .await
    .unwrap();
}

#[test]
fn a_keyring_that_restarts_is_found_again() {
    Home::new().run("restarted", &Bus::Private);
}

#[tokio::test]
#[ignore = "a part of a_keyring_that_restarts_is_found_again"]
async fn restarted() {
    let secrets = keyring();
    assert_absent("before it starts", secrets.probe().await);
    let running = daemon(Lock::Open);
    answers(&secrets, Result::is_ok).await;
    secrets.set(client_id(1), secret(b"key")).await.unwrap();

    drop(running);
    assert!(secrets.get(client_id(1)).await.is_err_and(|error| !matches!(error, SecretsError::NoEntry(_))));
    let _daemon = daemon(Lock::Open);
    answers(&secrets, Result::is_ok).await;
    assert_eq!(secrets.get(client_id(1)).await.unwrap().expose(), b"key");
}

#[test]
fn without_a_bus_there_is_no_keyring() {
    Home::new().run("absent", &Bus::Missing);
}

#[test]
fn without_a_provider_there_is_no_keyring() {
    Home::new().run("absent", &Bus::Private);
}

#[tokio::test]
#[ignore = "a part of without_a_bus_there_is_no_keyring and without_a_provider_there_is_no_keyring"]
async fn absent() {
    let secrets = keyring();
    assert_absent("get", secrets.get(client_id(1)).await);
    assert_absent("set", secrets.set(client_id(1), secret(b"key")).await);
    assert_absent("delete", secrets.delete(client_id(1)).await);

    let dir = own_home().join("secrets");
    let choice = choose(None, &SystemStores { dir: dir.clone() }, &dir, DEADLINE).await.unwrap();
    assert_eq!(choice.kind, StoreKind::File);
    assert!(choice.notice.unwrap().contains(&dir.display().to_string()));
    assert_absent(
        "asked for",
        choose(Some(StoreKind::OsKeyring), &SystemStores { dir: dir.clone() }, &dir, DEADLINE).await,
    );
}

#[test]
fn a_keyring_to_which_nobody_has_logged_in_is_locked() {
    Home::new().run("no_collection", &Bus::Private);
}

#[tokio::test]
#[ignore = "a part of a_keyring_to_which_nobody_has_logged_in_is_locked"]
async fn no_collection() {
    let _daemon = daemon(Lock::Closed);
    let secrets = keyring();
    answers(&secrets, |answer| !matches!(answer, Err(SecretsError::Absent(_)))).await;

    // The one state in which a store says that it has no entry though it might: so nobody takes it at its word.
    assert_eq!(secrets.get(client_id(1)).await.err(), Some(SecretsError::NoEntry(client_id(1))));
    assert_locked("set", secrets.set(client_id(1), secret(b"key")).await);
    assert_locked("delete", secrets.delete(client_id(1)).await);
    assert_locked("first choice", first_choice().await);
    assert!(!own_home().join("secrets").exists(), "nothing falls back to files");
}

#[test]
fn a_locked_keyring_without_a_display_is_locked_and_keeps_its_keys() {
    Home::new().run("locked", &Bus::Private);
}

#[tokio::test]
#[ignore = "a part of a_locked_keyring_without_a_display_is_locked_and_keeps_its_keys"]
async fn locked() {
    let running = daemon(Lock::Open);
    let secrets = keyring();
    answers(&secrets, Result::is_ok).await;
    secrets.set(client_id(1), secret(b"key")).await.unwrap();
    drop(running);

    let running = daemon(Lock::Closed);
    answers(&secrets, |answer| matches!(answer, Err(SecretsError::Locked(_)))).await;
    assert_locked("get", secrets.get(client_id(1)).await);
    assert_locked("set", secrets.set(client_id(1), secret(b"other")).await);
    assert_locked("set of a new one", secrets.set(client_id(2), secret(b"other")).await);
    assert_locked("delete", secrets.delete(client_id(1)).await);
    assert_locked("delete of none", secrets.delete(client_id(2)).await);
    assert_locked("first choice", first_choice().await);
    assert!(!own_home().join("secrets").exists(), "nothing falls back to files");
    drop(running);

    let _daemon = daemon(Lock::Open);
    answers(&secrets, Result::is_ok).await;
    assert_eq!(secrets.get(client_id(1)).await.unwrap().expose(), b"key");
}

#[test]
fn a_bus_that_never_answers_times_out() {
    let home = Home::new();
    let path = home.path().join("run/bus");
    let listener = UnixListener::bind(&path).unwrap();
    // Connections wait in the listener's queue: they are made, and nothing ever answers.
    home.run("hanging", &Bus::At(format!("unix:path={}", path.display())));
    drop(listener);
}

#[tokio::test]
#[ignore = "a part of a_bus_that_never_answers_times_out"]
async fn hanging() {
    let secrets = keyring();
    assert_eq!(secrets.get(client_id(1)).await.err(), Some(SecretsError::TimedOut(DEADLINE)));
    // Whoever comes now is told at once: were it not so, this would outlast the test.
    let later = secrets.with_deadline(Duration::from_secs(3600));
    assert_eq!(later.probe().await, Err(SecretsError::TimedOut(DEADLINE)));
    assert_eq!(first_choice().await, Err(SecretsError::TimedOut(DEADLINE)));
    assert!(!own_home().join("secrets").exists(), "nothing falls back to files");
}

#[test]
fn a_bus_that_is_gone_is_no_reason_for_files() {
    let home = Home::new();
    let path = home.path().join("run/bus");
    drop(UnixListener::bind(&path).unwrap());
    home.run("refusing", &Bus::At(format!("unix:path={}", path.display())));
}

#[tokio::test]
#[ignore = "a part of a_bus_that_is_gone_is_no_reason_for_files"]
async fn refusing() {
    let error = keyring().get(client_id(1)).await.err();
    assert!(matches!(error, Some(SecretsError::Failed(_))), "{error:?}");
    assert!(first_choice().await.is_err());
    assert!(!own_home().join("secrets").exists());
}
