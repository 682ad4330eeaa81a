//! Moves between stores, interrupted at each step.

use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::*;
use crate::model::keys::{ClientKey, Secret};
use crate::model::store_kind::StoreKind;
use crate::secrets::SecretStore;
use crate::secrets::memory::MemoryStore;
use crate::store::files::Files;

fn id(number: u8) -> SecretId {
    SecretId::Client(ClientKey::from_bytes(&[number; 32]).unwrap().public())
}

/// Lets so many steps through and then asks for the process to be killed.
#[derive(Clone)]
struct Fuse {
    steps: Arc<AtomicIsize>,
    burnt: Arc<Notify>,
}

impl Fuse {
    fn new(steps: isize) -> Self {
        Self { steps: Arc::new(AtomicIsize::new(steps)), burnt: Arc::new(Notify::new()) }
    }

    fn step(&self) -> bool {
        let left = self.steps.fetch_sub(1, SeqCst) > 0;
        if !left {
            self.burnt.notify_one();
        }
        left
    }
}

/// A store that does nothing any more once the fuse has burnt.
struct Fused(Fuse, MemoryStore);

impl Fused {
    fn step(&mut self) -> Result<&mut MemoryStore, SecretsError> {
        if self.0.step() {
            return Ok(&mut self.1);
        }
        // Whoever asked is about to be dropped. Should it be quicker to read the answer, it is one that changes nothing.
        Err(SecretsError::Locked("killed".into()))
    }
}

impl SecretStore for Fused {
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError> {
        self.step()?.get(id)
    }
    fn set(&mut self, id: &SecretId, secret: &Secret) -> Result<(), SecretsError> {
        self.step()?.set(id, secret)
    }
    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError> {
        self.step()?.delete(id)
    }
    fn probe(&mut self) -> Result<(), SecretsError> {
        self.step()?.probe()
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    journal: Journal,
    files: MemoryStore,
    keyring: MemoryStore,
    config: Mutex<StoreKind>,
    ids: Vec<SecretId>,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(&Files::default(), &dir.path().join("state")).unwrap();
        let (files, keyring) = (MemoryStore::new(), MemoryStore::new());
        let mut ids: Vec<_> = (1..=3).map(id).collect();
        ids.sort();
        for (number, id) in ids.iter().enumerate() {
            files.secrets(StoreKind::File).set(*id, Secret::new(vec![number as u8; 8])).await.unwrap();
        }
        Self { _dir: dir, journal, files, keyring, config: Mutex::new(StoreKind::File), ids }
    }

    fn store(&self, kind: StoreKind) -> &MemoryStore {
        match kind {
            StoreKind::File => &self.files,
            StoreKind::OsKeyring => &self.keyring,
        }
    }

    fn fused(&self, kind: StoreKind, fuse: &Fuse) -> Secrets {
        let (fuse, store) = (fuse.clone(), self.store(kind).clone());
        Secrets::over(kind, move || Box::new(Fused(fuse.clone(), store.clone())))
    }

    async fn run(&self, fuse: &Fuse) -> Result<Leftovers, MigrateError<SecretsError>> {
        let (from, to) = (self.fused(StoreKind::File, fuse), self.fused(StoreKind::OsKeyring, fuse));
        let flip = async || {
            if !fuse.step() {
                return Err(SecretsError::Failed("killed".into()));
            }
            *self.config.lock().unwrap() = StoreKind::OsKeyring;
            if !fuse.step() {
                std::future::pending::<()>().await;
            }
            Ok(())
        };
        migrate(self.ids.iter().copied(), &from, &to, &self.journal, flip).await
    }

    /// What the next start does.
    async fn restart(&self) -> Result<Leftovers, SecretsError> {
        let current = *self.config.lock().unwrap();
        let other = if current == StoreKind::File { StoreKind::OsKeyring } else { StoreKind::File };
        let (current, other) = (self.store(current).secrets(current), self.store(other).secrets(other));
        clean_up(|id| self.ids.contains(id), &current, &other, &self.journal).await
    }
}

#[tokio::test]
async fn all_keys_move() {
    let bench = Bench::new().await;
    assert_eq!(bench.run(&Fuse::new(isize::MAX)).await.unwrap(), Leftovers::None);
    assert_eq!(*bench.config.lock().unwrap(), StoreKind::OsKeyring);
    assert_eq!(bench.keyring.ids(), bench.ids);
    assert_eq!(bench.files.ids(), []);
    let moved = bench.keyring.secrets(StoreKind::OsKeyring).get(bench.ids[2]).await.unwrap();
    assert_eq!(moved.expose(), [2; 8]);
    assert_eq!(unfinished(&bench.journal).await, Ok(false));
}

#[tokio::test]
async fn a_key_that_is_to_be_erased_does_not_stay_in_the_store_that_is_left() {
    let bench = Bench::new().await;
    let revoked = id(9);
    bench.files.secrets(StoreKind::File).set(revoked, Secret::new(vec![9; 8])).await.unwrap();
    bench.journal.begin([revoked], None).unwrap();
    assert_eq!(bench.run(&Fuse::new(isize::MAX)).await.unwrap(), Leftovers::None);
    assert_eq!(bench.files.ids(), []);
    assert_eq!(bench.keyring.ids(), bench.ids);
}

#[tokio::test]
async fn a_kill_at_any_point_loses_no_key_and_leaves_no_copy() {
    let mut kills = 0;
    for steps in 0.. {
        let bench = Bench::new().await;
        let fuse = Fuse::new(steps);
        let finished = tokio::select! {
            biased;
            () = fuse.burnt.notified() => false,
            result = bench.run(&fuse) => result.is_ok_and(|left| left == Leftovers::None),
        };

        let current = *bench.config.lock().unwrap();
        assert_eq!(bench.store(current).ids(), bench.ids, "after {steps} steps the store in use lacks a key");
        assert_eq!(bench.restart().await, Ok(Leftovers::None));
        let all = bench.files.ids().len() + bench.keyring.ids().len();
        assert_eq!((bench.store(current).ids(), all), (bench.ids.clone(), 3), "after {steps} steps");
        assert_eq!(unfinished(&bench.journal).await, Ok(false));
        if finished {
            break;
        }
        kills += 1;
    }
    // Two reads, one write and one read back of each key, two of the change, a check and an erasure of each.
    assert!(kills >= 3 * 4 + 2 + 3 * 2, "only {kills} points were tried");
}

#[tokio::test]
async fn a_new_store_that_refuses_leaves_everything_as_it_was() {
    let bench = Bench::new().await;
    bench.keyring.set_locked(true);
    let error = bench.run(&Fuse::new(isize::MAX)).await.unwrap_err();
    assert!(matches!(error, MigrateError::Write(SecretsError::Locked(_))), "{error}");
    assert_eq!(*bench.config.lock().unwrap(), StoreKind::File);
    assert_eq!(bench.files.ids(), bench.ids);
    bench.keyring.set_locked(false);
    assert_eq!(bench.restart().await, Ok(Leftovers::None));
    assert_eq!(bench.keyring.ids(), []);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_written_leaves_everything_as_it_was() {
    let bench = Bench::new().await;
    let (from, to) = (bench.files.secrets(StoreKind::File), bench.keyring.secrets(StoreKind::OsKeyring));
    let result = migrate(bench.ids.clone(), &from, &to, &bench.journal, async || Err("disk full")).await;
    assert!(matches!(result, Err(MigrateError::Flip("disk full"))));
    assert_eq!((bench.files.ids(), bench.keyring.ids()), (bench.ids.clone(), vec![]));
}

#[tokio::test]
async fn a_missing_key_stops_the_move() {
    let mut bench = Bench::new().await;
    bench.ids.push(id(9));
    let error = bench.run(&Fuse::new(isize::MAX)).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Read(SecretsError::NoEntry(missing)) if missing == id(9)),
        "{error}"
    );
    assert_eq!((bench.files.ids().len(), bench.keyring.ids().len()), (3, 0));
}

#[tokio::test]
async fn the_last_copy_of_a_key_in_use_is_never_erased() {
    let bench = Bench::new().await;
    let everything = bench.ids.iter().copied().collect();
    let note = Move { from: StoreKind::File, to: StoreKind::OsKeyring, ids: everything };
    bench.journal.set_moving(Some(note)).await.unwrap();
    // As if somebody had emptied the keyring after the configuration was changed.
    *bench.config.lock().unwrap() = StoreKind::OsKeyring;

    assert!(matches!(bench.restart().await, Ok(Leftovers::Some(SecretsError::NoEntry(_)))));
    assert_eq!(bench.files.ids(), bench.ids);
    assert_eq!(unfinished(&bench.journal).await, Ok(true));
}

#[tokio::test]
async fn a_key_deleted_meanwhile_leaves_no_copy() {
    let mut bench = Bench::new().await;
    let note =
        Move { from: StoreKind::File, to: StoreKind::OsKeyring, ids: bench.ids.iter().copied().collect() };
    bench.journal.set_moving(Some(note)).await.unwrap();
    let (files, keyring) =
        (bench.files.secrets(StoreKind::File), bench.keyring.secrets(StoreKind::OsKeyring));
    for id in &bench.ids[1..] {
        keyring.set(*id, files.get(*id).await.unwrap()).await.unwrap();
    }
    *bench.config.lock().unwrap() = StoreKind::OsKeyring;
    bench.ids.remove(0);

    assert_eq!(bench.restart().await, Ok(Leftovers::None));
    assert_eq!((bench.files.ids(), bench.keyring.ids()), (vec![], bench.ids.clone()));
}

#[tokio::test]
async fn the_same_store_is_no_move() {
    let bench = Bench::new().await;
    let files = bench.files.secrets(StoreKind::File);
    let flip = async || Ok::<(), SecretsError>(());
    let result = migrate(bench.ids.clone(), &files, &files, &bench.journal, flip).await;
    assert!(matches!(result, Err(MigrateError::SameStore)));
    assert_eq!(bench.files.ids(), bench.ids);
}
