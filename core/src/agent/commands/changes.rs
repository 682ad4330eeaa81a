//! The order in which every change of keys goes, so that an interruption loses nothing: journal, write secrets, write the configuration,
//! settle. And what keeps at it until all is settled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::vault::{Changing, Vault};
use super::super::world::World;
use crate::model::config::{Client, Config};
use crate::model::day::Day;
use crate::model::key_change::{self, KeyChange};
use crate::model::keys::{ClientKey, ClientPublicKey, Secret};
use crate::model::onion::OnionAddress;
use crate::model::pauses::Pauses;
use crate::model::problem::{Code, Problem};
use crate::model::store_kind::StoreKind;
use crate::secrets::SecretId;
use crate::store::{ConfigStore, Edited};

/// The first and the longest pause before a secret store that fails is tried again. One that is locked is looked at after the first each time.
pub(super) const SETTLE_AGAIN: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(60));

/// What a change of keys leaves to be said.
pub(super) type Notes = Vec<String>;

/// See the file's sentence. Clones work on the same host.
#[derive(Clone)]
pub(in crate::agent) struct Changes {
    pub(super) store: ConfigStore,
    pub(super) vault: Arc<Vault>,
    pub(super) world: World,
}

impl Changes {
    pub(super) fn today(&self) -> Day {
        self.world.calendar.today()
    }

    pub(super) async fn load(&self) -> Result<Config, Problem> {
        self.store.apart(ConfigStore::load).await
    }

    pub(super) async fn kept_out(&self) -> Result<BTreeSet<OnionAddress>, Problem> {
        self.store.apart(ConfigStore::kept_out).await
    }

    pub(super) async fn edit(
        &self,
        change: impl Fn(&Config) -> Result<Config, Problem> + Send + 'static,
    ) -> Result<Edited, Problem> {
        self.store.apart(move |store| store.edit(change)).await
    }

    /// Notes again which keys are to be erased: another command may have settled before the configuration was changed. By now it is, so
    /// this is no failure.
    pub(super) async fn owe(&self, ids: &[SecretId], store: Option<StoreKind>) {
        if let Err(problem) = self.vault.doubts.owe(ids, store).await {
            tracing::warn!(%problem, "failed to note keys to be erased");
        }
    }

    /// Journal, secrets, configuration, settle. `old` are ids that the change makes superfluous. Gives the new configuration.
    pub(super) async fn write_keys(
        &self,
        changing: &Changing,
        config: &Config,
        secrets: Vec<(SecretId, Secret)>,
        old: Vec<SecretId>,
        change: KeyChange,
    ) -> Result<(Config, Notes), Problem> {
        let (chosen, mut notes) = self.vault.choose(config).await?;
        let ids: Vec<SecretId> = secrets.iter().map(|(id, _)| *id).chain(old).collect();
        self.vault.doubts.begin(&ids, Some(chosen)).await?;
        let written = async {
            for (id, secret) in secrets {
                self.vault.store.set(config, chosen, id, secret).await?;
            }
            self.edit(move |config| {
                let config = key_change::apply(config, &change)?;
                key_change::apply(&config, &KeyChange::UseStore { from: None, to: chosen })
            })
            .await
        };
        let written = written.await;
        let unsettled = self.settle_holding(changing).await;
        let edited = written?;
        notes.extend(unsettled);
        Ok((edited.new, notes))
    }

    /// Erases what the configuration no longer refers to. That it could not be done yet is a note, never a failure.
    pub(in crate::agent) async fn settle(&self) -> Notes {
        match self.vault.change().await {
            Ok(changing) => self.settle_holding(&changing).await,
            Err(problem) => vec![problem.message],
        }
    }

    /// Has the keys erased by what keeps settling.
    pub(in crate::agent) fn settle_later(&self) {
        self.vault.doubts.owe_again();
    }

    pub(super) async fn settle_holding(&self, changing: &Changing) -> Notes {
        let settled = self.vault.settle(changing, &self.store).await;
        match settled {
            Ok(_) => Vec::new(),
            Err(problem) => {
                self.vault.doubts.owe_again();
                vec![format!("old keys will be erased once the secret store can be written ({problem})")]
            }
        }
    }

    /// Settles what an earlier agent or command has left, and from then on tries a secret store that fails until it works and
    /// all is settled.
    ///
    /// Never returns.
    pub(in crate::agent) async fn keep_settling(&self) {
        loop {
            let mut pauses = Pauses::new(SETTLE_AGAIN);
            loop {
                let is_settled = self.settle().await.is_empty();
                // Even where it can't be settled: no store has to do with a configuration that is gone.
                let is_failing = self.is_failing().await;
                if is_settled && !is_failing {
                    break;
                }
                let pause = match self.vault.store.is_locked() {
                    true => SETTLE_AGAIN.0,
                    false => pauses.after_failure(),
                };
                tokio::time::sleep(pause).await;
            }
            tokio::select! {
                biased;
                () = self.vault.store.until_failing() => {}
                () = self.vault.doubts.owes() => {}
            }
            tokio::time::sleep(SETTLE_AGAIN.0).await;
        }
    }

    pub(super) async fn is_failing(&self) -> bool {
        match self.load().await {
            Ok(config) => self.vault.store.is_failing(&config).await,
            // Nothing can be done before the file is mended.
            Err(_) => true,
        }
    }

    /// Notes the keys of what another hand takes out of the file.
    ///
    /// Never returns, unless it is called again.
    pub(in crate::agent) async fn keep_setting_aside(&self) {
        let Some(mut by_hand) = self.store.by_hand() else { return };
        while let Some(edited) = by_hand.recv().await {
            self.set_aside(&edited).await;
        }
    }

    pub(super) async fn set_aside(&self, edited: &Edited) {
        let gone = ids_gone(edited);
        if gone.is_empty() {
            return;
        }
        if let Err(problem) = self.vault.doubts.set_aside(gone, edited.old.agent.secrets).await {
            tracing::warn!(%problem, "failed to note keys that the configuration names no more");
        }
    }

    /// Notes the keys of what another hand has taken out of the file, and nobody has seen yet.
    pub(super) async fn set_aside_unseen(&self) -> Result<(), Problem> {
        let edited = self.store.apart(ConfigStore::edited_by_hand).await?;
        let Some(edited) = edited else { return Ok(()) };
        let gone = ids_gone(&edited);
        if gone.is_empty() {
            Ok(())
        } else {
            self.vault.doubts.set_aside(gone, edited.old.agent.secrets).await
        }
    }

    pub(super) async fn client_key(
        &self,
        config: &Config,
        key: ClientPublicKey,
    ) -> Result<ClientKey, Problem> {
        let secret = self.vault.store.get(config, SecretId::Client(key)).await?;
        ClientKey::from_secret(&secret).ok().filter(|private| private.public() == key).ok_or_else(|| {
            Problem::new(Code::KeyDamaged, "the key in the secret store is damaged")
                .hint("make a new one: rotate, or a new invite")
        })
    }
}

/// The secrets that a configuration names, needed or not.
pub(super) fn ids_in(config: &Config) -> BTreeSet<SecretId> {
    let clients = config.clients.values().flat_map(ids_of);
    let keys = config.remotes.values().map(|remote| remote.key).chain(config.requests.values().copied());
    clients.chain(keys.map(SecretId::Client)).collect()
}

/// The secrets that a change of the file has left without a name.
fn ids_gone(edited: &Edited) -> Vec<SecretId> {
    ids_in(&edited.old).difference(&ids_in(&edited.new)).copied().collect()
}

/// The secrets of a client.
pub(super) fn ids_of(client: &Client) -> [SecretId; 2] {
    [SecretId::Service(client.address), SecretId::Client(client.key)]
}
