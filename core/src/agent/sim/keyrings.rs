//! The secret stores of a simulated host: in memory, surviving the agent, and failing as the seed decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::ground::{Ground, Mood};
use super::tor;
use crate::model::problem::Problem;
use crate::model::store_kind::StoreKind;
use crate::secrets::memory::MemoryStore;
use crate::secrets::worker::{may_ask, perform};
use crate::secrets::{Answer, Front, Op, SecretId, Secrets, SecretsError, Stores};

/// See the file's sentence.
pub(super) struct Keyrings {
    ground: Arc<Ground>,
    keyring: MemoryStore,
    files: MemoryStore,
    changes: Arc<AtomicU64>,
}

impl Keyrings {
    pub(super) fn new(ground: &Arc<Ground>) -> Arc<Self> {
        let (keyring, files) = (MemoryStore::new(), MemoryStore::new());
        Arc::new(Self { ground: Arc::clone(ground), keyring, files, changes: Arc::default() })
    }

    fn of(&self, kind: StoreKind) -> &MemoryStore {
        match kind {
            StoreKind::OsKeyring => &self.keyring,
            StoreKind::File => &self.files,
        }
    }

    /// A number that is another one after each change of a store.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// What a store has.
    pub(super) fn ids(&self, kind: StoreKind) -> BTreeSet<SecretId> {
        self.of(kind).ids().into_iter().collect()
    }
}

impl Stores for Keyrings {
    fn open(&self, kind: StoreKind, _instance: &str) -> Secrets {
        let (ground, changes) = (Arc::clone(&self.ground), Arc::clone(&self.changes));
        let front = Desk { ground, kind, store: self.of(kind).clone(), changes };
        Secrets::by(kind, Arc::new(front))
    }

    fn preferred(&self) -> Result<Option<StoreKind>, Problem> {
        Ok(None)
    }
}

struct Desk {
    ground: Arc<Ground>,
    kind: StoreKind,
    store: MemoryStore,
    changes: Arc<AtomicU64>,
}

impl Desk {
    fn perform(&self, op: Op, deadline: Duration) -> Answer {
        if matches!(op, Op::Set(..) | Op::Delete(_)) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        perform(&mut self.store.clone(), op, may_ask(deadline))
    }
}

fn name(op: &Op) -> String {
    match op {
        Op::Get(id) => format!("get {}", short(id)),
        Op::Set(id, _) => format!("set {}", short(id)),
        Op::Delete(id) => format!("delete {}", short(id)),
        Op::Reach => "reach".to_owned(),
        Op::Unlock => "unlock".to_owned(),
        Op::Probe => "probe".to_owned(),
    }
}

fn short(id: &SecretId) -> String {
    match id {
        SecretId::Service(address) => format!("service-{}", tor::short(address)),
        SecretId::Client(_) => id.to_string().chars().take(14).collect(),
    }
}

#[async_trait]
impl Front for Desk {
    async fn ask(&self, op: Op, deadline: Duration) -> Answer {
        let what = format!("{} {}", self.kind, name(&op));
        self.ground.tally(&what);
        let mut dice = self.ground.draw(&what);
        self.ground.alive(&what, dice.millis(1, 20)).await;
        let answer = match self.ground.weather().store {
            Mood::Fine => self.perform(op, deadline),
            Mood::Refuses if dice.percent(50) => Err(SecretsError::Locked("the screen is".to_owned())),
            Mood::Refuses => Err(SecretsError::Failed("the bus is gone".to_owned())),
            Mood::Hangs => {
                if dice.percent(50) {
                    let _ = self.perform(op, deadline);
                }
                sleep(deadline).await;
                Err(SecretsError::TimedOut(deadline))
            }
        };
        self.ground.alive(&format!("the answer to {what}"), Duration::ZERO).await;
        if let Err(error) = &answer {
            self.ground.say(&format!("{what}: {}", error.to_string().chars().take(60).collect::<String>()));
        }
        answer
    }
}
