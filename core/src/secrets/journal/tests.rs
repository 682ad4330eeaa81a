//! The journal through every interruption.

use super::*;
use crate::model::keys::{ClientKey, Secret};
use crate::secrets::memory::MemoryStore;

fn id(number: u8) -> SecretId {
    SecretId::Client(ClientKey::from_bytes(&[number; 32]).unwrap().public())
}

fn secret() -> Secret {
    Secret::new(b"key".to_vec())
}

fn none(kind: StoreKind) -> Secrets {
    panic!("nothing says that anything is in {kind}")
}

fn journal() -> (tempfile::TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let (journal, warning) = Journal::open(&Files::default(), &dir.path().join("state")).unwrap();
    assert_eq!(warning, None);
    (dir, journal)
}

#[tokio::test]
async fn an_addition_agrees_wherever_it_is_interrupted() {
    for steps in 0..=3 {
        let (_dir, journal) = journal();
        let store = MemoryStore::new();
        let secrets = store.secrets(StoreKind::File);
        let mut config = BTreeSet::new();
        if steps >= 1 {
            journal.begin([id(1), id(2)], None).unwrap();
        }
        if steps >= 2 {
            secrets.set(id(1), secret()).await.unwrap();
            secrets.set(id(2), secret()).await.unwrap();
        }
        if steps >= 3 {
            config.extend([id(1), id(2)]);
        }

        // The next start.
        let listed = config.clone();
        let settled = journal.settle(move |id| Some(listed.contains(id)), &secrets, none).await.unwrap();

        assert_eq!(store.ids(), Vec::from_iter(config.iter().copied()), "after {steps} steps");
        assert_eq!(settled.kept.len(), config.len());
        assert_eq!(journal.in_doubt(), Ok(BTreeSet::new()));
    }
}

#[tokio::test]
async fn a_deletion_agrees_wherever_it_is_interrupted_and_touches_nothing_else() {
    for steps in 0..=2 {
        let (_dir, journal) = journal();
        let store = MemoryStore::new();
        let secrets = store.secrets(StoreKind::File);
        let mut config = BTreeSet::from([id(1)]);
        for number in [1, 3] {
            secrets.set(id(number), secret()).await.unwrap();
        }
        if steps >= 1 {
            journal.begin([id(1)], None).unwrap();
        }
        if steps >= 2 {
            config.clear();
        }

        let listed = config.clone();
        journal.settle(move |id| Some(listed.contains(id)), &secrets, none).await.unwrap();

        // id(3) is in no configuration, as after an edit by hand: only what is in the journal is ever erased.
        let expected: Vec<_> =
            config.iter().copied().chain([id(3)]).collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(store.ids(), expected, "after {steps} steps");
        assert_eq!(journal.in_doubt(), Ok(BTreeSet::new()));
    }
}

#[tokio::test]
async fn a_locked_store_leaves_its_ids_for_later() {
    let (_dir, journal) = journal();
    let store = MemoryStore::new();
    let secrets = store.secrets(StoreKind::OsKeyring);
    for number in [1, 2] {
        secrets.set(id(number), secret()).await.unwrap();
    }
    journal.begin([id(1), id(2)], None).unwrap();

    store.set_locked(true);
    let settled = journal.settle(|known| Some(*known == id(2)), &secrets, none).await.unwrap();
    assert_eq!(settled.kept, [id(2)]);
    assert!(
        matches!(settled.waiting.as_slice(), [(waiting, StoreKind::OsKeyring, SecretsError::Locked(_))] if *waiting == id(1))
    );
    assert_eq!(journal.in_doubt(), Ok(BTreeSet::from([id(1)])));

    let settled = journal.settle(|_| None, &secrets, none).await.unwrap();
    assert_eq!(settled, Settled::default(), "nothing is known");
    assert_eq!(journal.in_doubt(), Ok(BTreeSet::from([id(1)])));

    store.set_locked(false);
    let settled = journal.settle(|known| Some(*known == id(2)), &secrets, none).await.unwrap();
    assert_eq!(settled, Settled { erased: vec![id(1)], ..Settled::default() });
    assert_eq!(store.ids(), [id(2)]);
}

#[test]
fn doubts_add_up_and_outlive_the_process() {
    let (dir, journal) = journal();
    journal.begin([id(1)], None).unwrap();
    journal.begin([id(2), id(1)], None).unwrap();
    let (again, warning) = Journal::open(&Files::default(), &dir.path().join("state")).unwrap();
    assert_eq!(warning, None);
    assert_eq!(again.in_doubt(), Ok(BTreeSet::from([id(1), id(2)])));
}

#[tokio::test]
async fn a_damaged_journal_is_put_aside_and_erases_nothing() {
    let whole = {
        let (dir, journal) = journal();
        journal.begin([id(1)], None).unwrap();
        std::fs::read_to_string(dir.path().join("state").join(FILE)).unwrap()
    };
    for damaged in [&whole[..whole.len() / 2], "", "null", &whole.replace("\"version\":1", "\"version\":2")] {
        let (dir, journal) = journal();
        let store = MemoryStore::new();
        let secrets = store.secrets(StoreKind::File);
        secrets.set(id(1), secret()).await.unwrap();
        journal.begin([id(1)], None).unwrap();
        let state = dir.path().join("state");
        std::fs::write(state.join(FILE), damaged).unwrap();

        let (journal, warning) = Journal::open(&Files::default(), &state).unwrap();
        let settled = journal.settle(|_| Some(false), &secrets, none).await.unwrap();

        assert!(warning.unwrap().contains(DAMAGED));
        assert_eq!(settled, Settled::default());
        assert_eq!(store.ids(), [id(1)]);
        assert_eq!(std::fs::read_to_string(state.join(DAMAGED)).unwrap(), damaged);
        assert_eq!(Journal::open(&Files::default(), &state).unwrap().1, None, "it is told once");
    }
}

#[cfg(unix)]
#[test]
fn a_journal_that_others_could_have_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, journal) = journal();
    journal.begin([id(1)], None).unwrap();
    let file = dir.path().join("state").join(FILE);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    let Err(SecretsError::Unsafe { mend, .. }) = journal.in_doubt() else { panic!("it was taken") };
    assert_eq!(mend, format!("chmod go= {}", file.display()));
}

#[tokio::test]
async fn what_is_in_a_store_that_is_named_no_more_is_erased_there_too() {
    for are_aside in [false, true] {
        let (_dir, journal) = journal();
        let (old, new) = (MemoryStore::new(), MemoryStore::new());
        let (old_secrets, secrets) = (old.secrets(StoreKind::OsKeyring), new.secrets(StoreKind::File));
        old_secrets.set(id(1), secret()).await.unwrap();
        match are_aside {
            false => journal.begin([id(1)], Some(StoreKind::OsKeyring)).unwrap(),
            true => journal.set_aside([id(1)], Some(StoreKind::OsKeyring)).unwrap(),
        }
        // What is settled meanwhile lets go of nothing else.
        journal.begin([id(2)], Some(StoreKind::File)).unwrap();
        journal
            .settle(|known| (*known == id(2)).then_some(true), &secrets, |_| old_secrets.clone())
            .await
            .unwrap();
        journal.give_up().unwrap();

        let settle = || journal.settle(|_| Some(false), &secrets, |_| old_secrets.clone());
        old.set_locked(true);
        let waiting = settle().await.unwrap().waiting;
        assert!(
            matches!(waiting.as_slice(), [(_, StoreKind::OsKeyring, SecretsError::Locked(_))]),
            "{waiting:?}"
        );
        old.set_locked(false);
        assert_eq!(settle().await.unwrap().erased, [id(1)]);
        assert!(old.ids().is_empty());

        // From then on that store has nothing to do with it.
        journal.begin([id(3)], Some(StoreKind::File)).unwrap();
        journal.settle(|_| Some(false), &secrets, none).await.unwrap();
    }
}

#[test]
fn a_journal_of_before_names_no_store_and_is_read_as_it_is() {
    let (dir, journal) = journal();
    journal.begin([id(2)], None).unwrap();
    let text = format!("{{\"version\":1,\"in_doubt\":[{}]}}", serde_json::to_string(&id(1)).unwrap());
    std::fs::write(dir.path().join("state").join(FILE), text).unwrap();
    assert_eq!(journal.in_doubt(), Ok(BTreeSet::from([id(1)])));
}

/// Files whose journal is renamed with its lock held, or not.
#[derive(Debug)]
struct Watching {
    lock: PathBuf,
    were_held: std::sync::Mutex<Vec<bool>>,
}

#[async_trait::async_trait]
impl crate::store::files::Ways for Watching {
    async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn before(&self, _path: &Path, change: Change) -> std::io::Result<()> {
        if change == Change::Remove {
            let is_held = lock::try_lock(&self.lock).unwrap().is_none();
            self.were_held.lock().unwrap().push(is_held);
        }
        Ok(())
    }
}

#[test]
fn a_journal_that_can_not_be_read_is_put_aside_under_the_lock_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (plain, _) = Journal::open(&Files::default(), &state).unwrap();
    plain.begin([id(1)], None).unwrap();
    let watching = std::sync::Arc::new(Watching { lock: state.join(LOCK), were_held: Default::default() });
    let files = Files::over(std::sync::Arc::clone(&watching) as _);
    for number in 1..=3u8 {
        Dir::private(&state).unwrap().write(FILE, format!("spoilt {number}").as_bytes()).unwrap();
        // Another process may put it aside, and begin anew, while this one waits for the lock.
        match number {
            3 => Journal { files: files.clone(), state_dir: state.clone() }.begin([id(9)], None).unwrap(),
            _ => assert!(Journal::open(&files, &state).unwrap().1.is_some()),
        }
        let aside = if number == 1 { DAMAGED.to_owned() } else { format!("{DAMAGED}-{number}") };
        assert_eq!(std::fs::read_to_string(state.join(aside)).unwrap(), format!("spoilt {number}"));
    }
    assert_eq!(*watching.were_held.lock().unwrap(), [true; 3]);
    assert_eq!(plain.in_doubt(), Ok([id(9)].into()));
}

#[tokio::test]
async fn a_store_that_is_given_up_holds_up_nothing_any_more() {
    let (_dir, journal) = journal();
    assert_eq!(journal.give_up_store(StoreKind::OsKeyring).await, Ok(false));
    journal.begin([id(1)], Some(StoreKind::OsKeyring)).unwrap();
    journal.begin([id(2)], Some(StoreKind::File)).unwrap();
    assert_eq!(journal.others(Some(StoreKind::File)).await, Ok([StoreKind::OsKeyring].into()));
    assert_eq!(journal.give_up_store(StoreKind::OsKeyring).await, Ok(true));
    assert_eq!(journal.others(Some(StoreKind::File)).await, Ok(BTreeSet::new()));
    let store = MemoryStore::new();
    let settled = journal.settle(|_| Some(false), &store.secrets(StoreKind::File), none).await.unwrap();
    assert_eq!((settled.erased.len(), settled.waiting.len()), (2, 0));

    // Nor one to which the keys were moved, or from which.
    let moving = |from, to| Move { from, to, ids: [id(3)].into() };
    for (from, to) in [(StoreKind::OsKeyring, StoreKind::File), (StoreKind::File, StoreKind::OsKeyring)] {
        journal.set_moving(Some(moving(from, to))).await.unwrap();
        assert_eq!(journal.others(Some(StoreKind::File)).await, Ok([StoreKind::OsKeyring].into()));
        assert_eq!(journal.give_up_store(StoreKind::OsKeyring).await, Ok(true));
        assert_eq!(journal.moving().await, Ok(None));
        assert_eq!(journal.in_doubt(), Ok([id(3)].into()), "the store in use may have copies");
        journal.settle(|_| Some(false), &store.secrets(StoreKind::File), none).await.unwrap();
    }
}
