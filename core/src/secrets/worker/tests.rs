//! The worker before stores that hang, panic, fail and recover.

use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::model::keys::ClientKey;
use crate::secrets::memory::MemoryStore;

fn id(number: u8) -> SecretId {
    SecretId::Client(ClientKey::from_bytes(&[number; 32]).unwrap().public())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// Calls wait here while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn set_shut(&self, shut: bool) {
        *self.0.0.lock().unwrap() = shut;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let shut = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(shut, |shut| *shut).unwrap());
    }
}

/// A store behind a gate, which tells when it is dropped.
struct Gated {
    gate: Gate,
    store: MemoryStore,
    dropped: Option<mpsc::Sender<()>>,
}

impl Gated {
    fn new(gate: &Gate, store: &MemoryStore) -> Self {
        Self { gate: gate.clone(), store: store.clone(), dropped: None }
    }
}

impl SecretStore for Gated {
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError> {
        self.gate.pass();
        self.store.get(id)
    }
    fn set(&mut self, id: &SecretId, secret: &Secret) -> Result<(), SecretsError> {
        self.gate.pass();
        self.store.set(id, secret)
    }
    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError> {
        self.gate.pass();
        self.store.delete(id)
    }
    fn probe(&mut self) -> Result<(), SecretsError> {
        self.gate.pass();
        self.store.probe()
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            let _ = dropped.send(());
        }
    }
}

const SHORT: Duration = Duration::from_millis(50);
/// Longer than any test: the time of a person.
const LONG: Duration = Duration::from_secs(3600);

fn gated(patience: Patience) -> (Gate, MemoryStore, Secrets) {
    let (gate, store) = (Gate::default(), MemoryStore::new());
    let make = { (gate.clone(), store.clone()) };
    let secrets = Secrets::with_patience(
        StoreKind::OsKeyring,
        move || Box::new(Gated::new(&make.0, &make.1)),
        patience,
    );
    (gate, store, secrets)
}

/// Asks until the answer is another than a timeout.
async fn answer_once_back(secrets: &Secrets) -> Result<(), SecretsError> {
    let begun = Instant::now();
    loop {
        match secrets.probe().await {
            Err(SecretsError::TimedOut(_)) if begun.elapsed() < Duration::from_secs(60) => {
                tokio::task::yield_now().await;
            }
            other => return other,
        }
    }
}

#[tokio::test]
async fn calls_reach_the_store() {
    let store = MemoryStore::new();
    let secrets = store.secrets(StoreKind::File);
    secrets.set(id(1), secret("one")).await.unwrap();
    assert_eq!(secrets.get(id(1)).await.unwrap().expose(), b"one");
    assert_eq!(secrets.get(id(2)).await.err(), Some(SecretsError::NoEntry(id(2))));
    secrets.delete(id(1)).await.unwrap();
    assert_eq!(store.ids(), []);
    secrets.probe().await.unwrap();
    assert_eq!(secrets.kind(), StoreKind::File);
}

#[tokio::test]
async fn a_store_that_hangs_holds_up_nobody_and_is_used_again_when_it_answers() {
    let (gate, store, secrets) = gated(PATIENCE);
    gate.set_shut(true);

    // This runtime has one thread: were it blocked, the other task could not open the gate.
    let timed_out = secrets.with_deadline(SHORT).set(id(1), secret("one")).await;
    assert_eq!(timed_out, Err(SecretsError::TimedOut(SHORT)));
    let at_once = secrets.with_deadline(LONG).get(id(1)).await;
    assert_eq!(at_once.err(), Some(SecretsError::TimedOut(DEADLINE)));

    gate.set_shut(false);
    assert_eq!(answer_once_back(&secrets).await, Ok(()));
    // The call that had begun went through, late.
    assert_eq!(store.ids(), [id(1)]);
}

#[tokio::test]
async fn a_runtime_of_one_thread_runs_on_while_the_store_waits_for_a_person() {
    let (gate, _store, secrets) = gated(PATIENCE);
    gate.set_shut(true);
    let waiting = secrets.with_deadline(LONG);
    let opener = async {
        tokio::time::sleep(SHORT).await;
        gate.set_shut(false);
    };
    let (answer, ()) = tokio::join!(waiting.probe(), opener);
    assert_eq!(answer, Ok(()));
}

#[tokio::test]
async fn what_waits_behind_a_call_is_dropped_when_its_caller_gives_up() {
    let (gate, store, secrets) = gated(PATIENCE);
    gate.set_shut(true);
    let (patient, hasty) = (secrets.with_deadline(DEADLINE), secrets.with_deadline(SHORT));
    let first = patient.set(id(1), secret("one"));
    let second = async {
        let answer = hasty.set(id(2), secret("two")).await;
        gate.set_shut(false);
        answer
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first, second), (Ok(()), Err(SecretsError::TimedOut(SHORT))));
    assert_eq!(answer_once_back(&secrets).await, Ok(()));
    assert_eq!(store.ids(), [id(1)], "the second was reported as failed, so it must not be written");
}

#[tokio::test]
async fn a_thread_that_hangs_for_long_is_replaced_a_few_times_only() {
    let store = MemoryStore::new();
    let gates: Vec<Gate> = (0..4).map(|_| Gate::default()).collect();
    gates[..3].iter().for_each(|gate| gate.set_shut(true));
    let made = Arc::new(AtomicUsize::new(0));
    let make = {
        let (gates, made, store) = (gates.clone(), made.clone(), store.clone());
        move || -> Box<dyn SecretStore> { Box::new(Gated::new(&gates[made.fetch_add(1, SeqCst)], &store)) }
    };
    let patience = Patience { replace_after: Duration::ZERO, most_abandoned: 2 };
    let secrets = Secrets::with_patience(StoreKind::OsKeyring, make, patience).with_deadline(SHORT);

    for threads in 1..=3 {
        assert_eq!(secrets.probe().await, Err(SecretsError::TimedOut(SHORT)));
        assert_eq!(made.load(SeqCst), threads);
    }
    assert_eq!(secrets.with_deadline(LONG).probe().await, Err(SecretsError::TimedOut(DEADLINE)));
    assert_eq!(made.load(SeqCst), 3, "no fourth thread while three hang");

    // One that was left behind comes back and ends: there is room for another.
    gates[0].set_shut(false);
    assert_eq!(answer_once_back(&secrets).await, Ok(()));
    assert_eq!(made.load(SeqCst), 4);
    gates.iter().for_each(|gate| gate.set_shut(false));
}

#[tokio::test]
async fn a_store_that_panics_is_made_anew() {
    struct Panics;
    impl SecretStore for Panics {
        fn get(&mut self, _: &SecretId) -> Result<Secret, SecretsError> {
            panic!("as the test wants it")
        }
        fn set(&mut self, _: &SecretId, _: &Secret) -> Result<(), SecretsError> {
            Ok(())
        }
        fn delete(&mut self, _: &SecretId) -> Result<(), SecretsError> {
            Ok(())
        }
        fn probe(&mut self) -> Result<(), SecretsError> {
            Ok(())
        }
    }
    let secrets = Secrets::over(StoreKind::OsKeyring, || Box::new(Panics));
    assert!(matches!(secrets.get(id(1)).await, Err(SecretsError::Failed(_))));
    let begun = Instant::now();
    while secrets.probe().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no new thread was started");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_thread_ends_with_the_last_front() {
    let (dropped, gone) = mpsc::channel();
    let make = move || -> Box<dyn SecretStore> {
        let mut store = Gated::new(&Gate::default(), &MemoryStore::new());
        store.dropped = Some(dropped.clone());
        Box::new(store)
    };
    let secrets = Secrets::over(StoreKind::File, make);
    let clone = secrets.clone();
    clone.probe().await.unwrap();
    drop(secrets);
    clone.probe().await.unwrap();
    assert!(gone.try_recv().is_err());
    drop(clone);
    gone.recv_timeout(Duration::from_secs(60)).expect("the store was not dropped");
}

/// A keyring that is locked, and asks a person who takes their time and then cancels.
struct Locked {
    gate: Gate,
    asked: Arc<AtomicUsize>,
}

impl Locked {
    fn ask(&self) -> SecretsError {
        self.asked.fetch_add(1, SeqCst);
        self.gate.pass();
        SecretsError::Locked("cancelled".into())
    }
}

impl SecretStore for Locked {
    fn get(&mut self, _: &SecretId) -> Result<Secret, SecretsError> {
        Err(self.ask())
    }
    fn set(&mut self, _: &SecretId, _: &Secret) -> Result<(), SecretsError> {
        Err(self.ask())
    }
    fn delete(&mut self, _: &SecretId) -> Result<(), SecretsError> {
        Err(self.ask())
    }
    fn is_locked(&mut self) -> Result<bool, SecretsError> {
        Ok(true)
    }
    fn unlock(&mut self) -> Result<(), SecretsError> {
        Err(self.ask())
    }
    fn probe(&mut self) -> Result<(), SecretsError> {
        Err(self.ask())
    }
}

#[tokio::test]
async fn a_locked_store_asks_a_person_only_where_one_may_answer_and_says_to_others_that_it_is_locked() {
    let (gate, asked) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let make = { (gate.clone(), asked.clone()) };
    let secrets = Secrets::over(StoreKind::OsKeyring, move || {
        Box::new(Locked { gate: make.0.clone(), asked: make.1.clone() })
    });
    let is_locked = |answer: &Result<(), SecretsError>| matches!(answer, Err(SecretsError::Locked(_)));

    for answer in [
        secrets.get(id(1)).await.map(drop),
        secrets.set(id(1), secret("one")).await,
        secrets.delete(id(1)).await,
        secrets.probe().await,
        secrets.unlock().await,
    ] {
        assert!(is_locked(&answer), "{answer:?}");
    }
    assert_eq!(asked.load(SeqCst), 0);

    gate.set_shut(true);
    let patient = secrets.with_deadline(LONG);
    let others = async {
        while asked.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Neither waits behind the prompt, nor is it a keyring that does not answer.
        assert!(is_locked(&secrets.probe().await));
        assert!(is_locked(&patient.unlock().await), "it asks already");
        gate.set_shut(false);
    };
    let (cancelled, ()) = tokio::join!(patient.get(id(1)), others);
    assert!(is_locked(&cancelled.map(drop)));
    assert_eq!(asked.load(SeqCst), 1);
}
