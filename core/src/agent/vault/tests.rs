//! Tests of `vault`: which keys are asked for and kept, and what is known of clients.

use super::super::bench::{Host, address, client, client_key, config, service_key, soon};
use super::store::QUIET;
use super::*;
use crate::model::keys::Secret;
use crate::secrets::memory::MemoryStore;
use crate::store::history::FILE;

const FILE_STORE: StoreKind = StoreKind::File;

fn name(text: &str) -> crate::model::name::ClientName {
    text.parse().unwrap()
}

/// Invited clients of these numbers, whose keys are in files.
fn inviting(numbers: impl IntoIterator<Item = u8>) -> Config {
    let mut config = config("");
    for number in numbers {
        config.clients.insert(name(&format!("c{number}")), client(number));
    }
    config
}

fn service(number: u8) -> SecretId {
    SecretId::Service(address(number))
}

fn invite(number: u8) -> SecretId {
    SecretId::Client(client_key(number).public())
}

async fn put(store: &MemoryStore, id: SecretId, secret: Secret) {
    store.secrets(FILE_STORE).set(id, secret).await.unwrap();
}

async fn put_service(host: &Host, number: u8) {
    put(&host.stores.files, service(number), service_key(number).to_secret()).await;
}

async fn put_invite(host: &Host, number: u8) {
    put(&host.stores.files, invite(number), client_key(number).to_secret()).await;
}

/// A configuration in its file, and the vault of an agent over it.
async fn settled(host: &Host, config: &Config) -> Result<usize, Problem> {
    let mut text = toml_edit::DocumentMut::new();
    crate::model::config::write(&mut text, config);
    std::fs::write(&host.paths.config, text.to_string()).unwrap();
    let (vault, store) = (host.vault(), ConfigStore::new(&host.paths).unwrap());
    let changing = vault.change().await.unwrap();
    vault.settle(&changing, &store).await
}

#[tokio::test]
async fn a_store_that_has_just_failed_is_not_asked_for_the_next_key() {
    let host = Host::new();
    let (vault, config) = (host.vault(), inviting([1, 2]));
    put_service(&host, 1).await;
    let asked = || host.stores.asked.load(std::sync::atomic::Ordering::Relaxed);
    tokio::time::pause();

    // A key that is missing is no failure of the store.
    assert_eq!(vault.store.read(&config, service(2)).await.map(drop), Err(SecretsError::NoEntry(service(2))));
    assert!(vault.store.problem().is_none());
    vault.store.read(&config, service(1)).await.unwrap();

    // Once it asks by itself; from then on it asks who wants it to.
    host.stores.files.set_locked(true);
    let locked = vault.store.read(&config, service(1)).await.map(drop).unwrap_err();
    assert!(matches!(locked, SecretsError::Locked(_)));
    assert_eq!(vault.store.problem().map(|problem| problem.code), Some(Code::StoreLocked));
    host.stores.files.set_locked(false);
    let before = asked();
    assert_eq!(
        vault.store.read(&config, service(2)).await.map(drop),
        Err(locked),
        "it would be a second prompt"
    );
    assert_eq!(asked(), before);

    host.stores.files.set_locked(true);
    for _ in 0..3 {
        tokio::time::advance(QUIET).await;
        assert!(matches!(vault.store.read(&config, service(1)).await, Err(SecretsError::Locked(_))));
        assert!(vault.store.is_failing(&config).await);
    }
    assert_eq!(host.stores.files.asked(), 1);
    assert_eq!(vault.store.unlock(&config).await.unwrap_err().code, Code::StoreLocked);
    assert_eq!(host.stores.files.asked(), 2);
    host.stores.files.set_locked(false);

    tokio::time::advance(QUIET).await;
    assert_eq!(
        vault.store.read(&config, service(1)).await.unwrap().expose(),
        service_key(1).to_secret().expose()
    );
    assert!(vault.store.problem().is_none(), "it works again");
}

#[tokio::test]
async fn without_a_store_that_was_chosen_no_key_is_read() {
    let host = Host::new();
    let (vault, mut config) = (host.vault(), inviting([1]));
    put_service(&host, 1).await;
    config.agent.secrets = None;
    assert!(vault.store.read(&config, service(1)).await.is_err());
    assert_eq!(vault.store.problem().map(|problem| problem.code), Some(Code::StoreFailed));
    assert!(!vault.has_lost_invite(&config, &client(1)).await);
}

#[tokio::test]
async fn a_store_is_opened_once_until_another_one_is_named() {
    let host = Host::new();
    let (vault, mut config) = (host.vault(), inviting([1]));
    let opened = || host.stores.opened.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..3 {
        let _ = vault.store.get(&config, service(1)).await;
    }
    assert_eq!(opened(), 1, "one that hangs would not be known to hang");

    config.agent.secrets = Some(StoreKind::OsKeyring);
    let _ = vault.store.get(&config, service(1)).await;
    assert_eq!(opened(), 2);
    config.instance = crate::model::config::InstanceId::from_random([8; 10]);
    let _ = vault.store.get(&config, service(1)).await;
    assert_eq!(opened(), 3, "another instance has other keys");
}

#[tokio::test]
async fn status_counts_the_keys_that_are_needed_and_those_that_are_there() {
    let host = Host::new();
    let (vault, mut config) = (host.vault(), inviting([1, 2]));
    put_service(&host, 1).await;
    put_invite(&host, 1).await;
    put_service(&host, 2).await;
    vault.doubts.begin(&[invite(3)], Some(FILE_STORE)).await.unwrap();

    let status = vault.status(&config).await.unwrap();
    assert_eq!((status.needed, status.found, status.in_doubt), (4, 3, 1));
    assert!(status.usable && status.problem.is_none() && status.store == Some(FILE_STORE));
    assert_eq!(status.place, host.paths.secrets().display().to_string());

    // Whose client has connected needs no invite any more.
    vault.clients.saw(address(2), 5).await;
    assert_eq!(vault.status(&config).await.unwrap().needed, 3);

    host.stores.files.set_locked(true);
    let status = vault.status(&config).await.unwrap();
    assert_eq!((status.usable, status.found), (false, 0));
    assert_eq!(status.problem.map(|problem| problem.code), Some(Code::StoreLocked));
    assert!(vault.store.problem().is_some(), "what status has found is told to all");

    config.agent.secrets = Some(StoreKind::OsKeyring);
    let status = vault.status(&config).await.unwrap();
    assert!(status.place.contains(config.instance.as_str()), "{}", status.place);
    config.agent.secrets = None;
    let status = vault.status(&config).await.unwrap();
    assert_eq!((status.store, status.usable, status.found, status.in_doubt), (None, true, 0, 1));
    assert_eq!(status.needed, 3);
}

#[tokio::test]
async fn an_invite_is_lost_only_where_the_store_has_the_rest_of_the_client() {
    let host = Host::new();
    let (vault, config) = (host.vault(), inviting([1]));
    let is_lost = async || vault.has_lost_invite(&config, &client(1)).await;
    assert!(!is_lost().await, "a store that has nothing may be locked");
    put_service(&host, 1).await;
    assert!(is_lost().await);
    host.stores.files.set_locked(true);
    assert!(!is_lost().await);
    host.stores.files.set_locked(false);
    put_invite(&host, 1).await;
    assert!(!is_lost().await);
}

#[tokio::test]
async fn a_move_takes_what_is_there_and_says_which_invite_is_not() {
    let host = Host::new();
    let (vault, mut config) = (host.vault(), inviting([1, 2, 3]));
    config.clients.get_mut(&name("c3")).unwrap().requested = true;
    for number in 1..=3 {
        put_service(&host, number).await;
    }
    put_invite(&host, 1).await;
    let changing = vault.change().await.unwrap();
    let unmoved = vault.migrate(&changing, &config, FILE_STORE, async || panic!("they are there")).await;
    assert_eq!(unmoved.unwrap(), ["the keys are in file already"]);

    let moved = vault.migrate(&changing, &config, StoreKind::OsKeyring, async || Ok(())).await.unwrap();

    let lost = "the invite of c2 can't be shown again: its key is not in the store";
    assert_eq!(moved, [lost, "moved 4 keys to the system's keyring"]);
    let there: BTreeSet<_> = host.stores.keyring.ids().into_iter().collect();
    assert_eq!(there, [service(1), service(2), service(3), invite(1)].into());
    assert_eq!(host.stores.files.ids(), []);
}

#[tokio::test]
async fn a_key_that_is_missing_for_no_known_reason_is_not_left_behind_by_a_move() {
    let host = Host::new();
    let (vault, config) = (host.vault(), inviting([1]));
    put_invite(&host, 1).await;
    let changing = vault.change().await.unwrap();
    let flip = async || panic!("nothing may be changed");
    let error = vault.migrate(&changing, &config, StoreKind::OsKeyring, flip).await.unwrap_err();
    assert_eq!(error.code, Code::KeysNotMoved);
    assert_eq!(host.stores.files.ids(), [invite(1)]);
}

#[tokio::test]
async fn before_the_first_key_a_move_only_names_the_store() {
    let host = Host::new();
    let (vault, mut config) = (host.vault(), inviting([]));
    config.agent.secrets = None;
    let changing = vault.change().await.unwrap();
    let mut is_named = false;
    let flip = async || {
        is_named = true;
        Ok(())
    };
    let told = vault.migrate(&changing, &config, FILE_STORE, flip).await.unwrap();
    assert_eq!(told, ["there are no keys yet; they will be kept in file"]);
    assert!(is_named);
}

#[tokio::test]
async fn what_the_very_first_change_left_behind_is_erased_though_another_store_is_named_then() {
    let host = Host::new();
    let (vault, mut config) = (host.vault(), inviting([]));
    config.agent.secrets = None;
    let keyring = host.stores.keyring.secrets(StoreKind::OsKeyring);
    keyring.set(service(1), service_key(1).to_secret()).await.unwrap();
    vault.doubts.begin(&[service(1)], None).await.unwrap();
    let changing = vault.change().await.unwrap();

    vault.migrate(&changing, &config, FILE_STORE, async || Ok(())).await.unwrap();
    drop(changing);

    settled(&host, &inviting([])).await.unwrap();
    assert_eq!((host.stores.keyring.ids(), host.stores.files.ids()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn with_its_keys_a_client_s_history_goes_too_and_nobody_else_s() {
    let host = Host::new();
    let vault = host.vault();
    for number in 1..=3 {
        put_service(&host, number).await;
        vault.clients.saw(address(number), 5).await;
    }
    vault.doubts.begin(&[service(1), service(2), service(3)], Some(FILE_STORE)).await.unwrap();

    assert_eq!(settled(&host, &inviting([3])).await, Ok(2));

    assert_eq!(host.stores.files.ids(), [service(3)]);
    let next = host.vault();
    assert_eq!([1, 2, 3].map(|number| next.clients.last_seen(&address(number))), [None, None, Some(5)]);
}

#[tokio::test]
async fn what_a_locked_store_keeps_is_erased_the_next_time() {
    let host = Host::new();
    put_service(&host, 1).await;
    host.vault().doubts.begin(&[service(1)], Some(FILE_STORE)).await.unwrap();
    host.stores.files.set_locked(true);
    assert_eq!(settled(&host, &inviting([])).await.unwrap_err().code, Code::StoreLocked);
    host.stores.files.set_locked(false);
    assert_eq!(settled(&host, &inviting([])).await, Ok(1));
    assert_eq!(settled(&host, &inviting([])).await, Ok(0));
}

#[tokio::test]
async fn without_a_configuration_nothing_is_erased_and_that_is_said() {
    let host = Host::new();
    let (vault, store) = (host.vault(), ConfigStore::new(&host.paths).unwrap());
    put_service(&host, 1).await;
    let changing = vault.change().await.unwrap();
    assert_eq!(vault.settle(&changing, &store).await, Ok(0), "nothing is in doubt");

    vault.doubts.begin(&[service(1)], Some(FILE_STORE)).await.unwrap();
    let error = vault.settle(&changing, &store).await.unwrap_err();

    assert_eq!(error.code, Code::KeysInDoubt);
    assert!(error.message.contains("1 keys") && error.hint.contains("config.toml"), "{error:?}");
    assert_eq!(host.stores.files.ids(), [service(1)]);
}

#[tokio::test]
async fn one_change_of_keys_waits_for_another_one() {
    let host = Host::new();
    let (vault, other) = (host.vault(), host.vault());
    let changing = vault.change().await.unwrap();
    // In this process, and as another process would.
    for next in [&vault, &other] {
        let waits = tokio::time::timeout(Duration::from_millis(50), next.change()).await;
        assert!(waits.is_err(), "both change keys");
    }
    drop(changing);
    other.change().await.unwrap();
}

#[tokio::test]
async fn what_the_journal_could_not_be_told_is_owed_until_it_can() {
    let host = Host::new();
    put_service(&host, 1).await;
    // A directory is where the journal's file would be.
    let journal = host.paths.state.join(crate::secrets::journal::FILE);
    std::fs::create_dir(&journal).unwrap();
    let (vault, store) = (host.vault(), ConfigStore::new(&host.paths).unwrap());
    std::fs::write(&host.paths.config, "[agent]\nsecrets = \"file\"\n").unwrap();

    let owes = tokio::time::timeout(Duration::from_millis(20), vault.doubts.owes()).await;
    assert!(owes.is_err(), "nothing is owed yet");
    vault.doubts.owe(&[service(1)], Some(FILE_STORE)).await.unwrap_err();
    soon(vault.doubts.owes()).await;
    let changing = vault.change().await.unwrap();
    vault.settle(&changing, &store).await.unwrap_err();
    std::fs::remove_dir(&journal).unwrap();

    assert_eq!(vault.settle(&changing, &store).await, Ok(1));
    assert_eq!(host.stores.files.ids(), []);
    assert!(vault.doubts.owed().is_empty());
}

#[tokio::test]
async fn a_store_that_was_found_to_fail_is_tried_and_one_that_works_is_not() {
    let host = Host::new();
    let (vault, mut config) = (host.vault(), inviting([1]));
    host.stores.files.set_locked(true);
    assert!(!vault.store.is_failing(&config).await, "nobody has found that yet");

    let _ = vault.store.get(&config, service(1)).await;
    soon(vault.store.until_failing()).await;
    assert!(vault.store.is_failing(&config).await);
    host.stores.files.set_locked(false);
    assert!(!vault.store.is_failing(&config).await && vault.store.problem().is_none());

    host.stores.files.set_locked(true);
    let _ = vault.store.get(&config, service(1)).await;
    config.agent.secrets = None;
    assert!(!vault.store.is_failing(&config).await, "another store can be chosen");
}

#[tokio::test]
async fn of_clients_that_connected_the_last_time_is_kept_and_of_others_nothing() {
    let host = Host::new();
    let vault = host.vault();
    vault.clients.save_history(std::iter::empty()).await;
    assert!(!host.paths.state.join(FILE).exists(), "nobody has ever connected");

    vault.clients.saw(address(1), 5).await;
    vault.clients.saw_again(address(1), 7);
    assert_eq!(
        (vault.clients.last_seen(&address(1)), vault.clients.has_connected(&address(2))),
        (Some(7), false)
    );
    assert_eq!(host.vault().clients.last_seen(&address(1)), Some(5), "it is written at the end");
    vault.clients.save_history([(address(1), 9), (address(2), 9)].into_iter()).await;

    let next = host.vault();
    assert_eq!((next.clients.last_seen(&address(1)), next.clients.last_seen(&address(2))), (Some(9), None));
    assert!(next.clients.history_problem().is_none());
}

#[tokio::test]
async fn a_history_that_can_not_be_written_is_written_with_the_next_settling() {
    let host = Host::new();
    let vault = host.vault();
    let history = host.paths.state.join(FILE);
    std::fs::create_dir(&history).unwrap();
    std::fs::write(&host.paths.config, "[agent]\nsecrets = \"file\"\n").unwrap();
    vault.clients.saw(address(1), 5).await;
    soon(vault.doubts.owes()).await;
    let (changing, store) = (vault.change().await.unwrap(), ConfigStore::new(&host.paths).unwrap());
    assert_eq!(vault.settle(&changing, &store).await.unwrap_err().code, Code::FileFailed);

    std::fs::remove_dir(&history).unwrap();
    vault.settle(&changing, &store).await.unwrap();

    assert_eq!(host.vault().clients.last_seen(&address(1)), Some(5));
}

#[tokio::test]
async fn a_history_that_can_not_be_read_is_a_problem() {
    let host = Host::new();
    std::fs::write(host.paths.state.join(FILE), "damaged").unwrap();
    assert!(host.vault().clients.history_problem().is_some());
}

#[test]
fn one_key_is_one_key() {
    assert_eq!(moved_keys(1, FILE_STORE), format!("moved 1 key to {}", FILE_STORE.in_words()));
    assert!(moved_keys(2, FILE_STORE).starts_with("moved 2 keys to "));
}
