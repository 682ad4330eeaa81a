//! Commands that need only the configuration and keys: the same code in the agent and, when no agent runs, in the command itself.

mod changes;
mod clients;
mod remotes;

use std::sync::Arc;

use changes::{Changes, Notes, ids_of};
use clients::Clients;
use remotes::Remotes;

use super::absent::{not_running, unreachable};
use super::vault::Vault;
use super::world::World;
use crate::forward::programs;
use crate::ipc::{Confidential, Request, Response, SecretsStatus};
use crate::model::access;
use crate::model::config::Config;
use crate::model::day::Day;
use crate::model::edit::{self, Edit};
use crate::model::key_change::{self, KeyChange};
use crate::model::problem::{Code, Problem};
use crate::model::served;
use crate::model::store_kind::StoreKind;
use crate::model::tor_format;
use crate::plan::{derive, standing};
use crate::store::paths::Paths;
use crate::store::{ConfigStore, Edited};

/// Carries out requests on one host's configuration and keys.
pub(super) struct Commands {
    pub(super) changes: Changes,
    pub(super) clients: Clients,
    remotes: Remotes,
}

impl Commands {
    /// For a command with no agent.
    pub(super) fn local(paths: &Paths) -> Result<Self, Problem> {
        let (store, world) = (ConfigStore::new(paths)?, World::real(paths));
        let vault = Arc::new(Vault::local(paths, &world));
        Ok(Self::new(store, vault, world))
    }

    /// For the agent, which shares its vault.
    pub(super) fn new(store: ConfigStore, vault: Arc<Vault>, world: World) -> Self {
        let changes = Changes { store, vault, world };
        let (clients, remotes) = (Clients { changes: changes.clone() }, Remotes { changes: changes.clone() });
        Self { changes, clients, remotes }
    }

    /// Carries out a request with no agent, and notes the keys of what another hand has taken out of the file since it was last looked at.
    pub(super) async fn carry_out_alone(&self, request: Request) -> Result<Response, Problem> {
        let by_hand = self.changes.store.by_hand();
        let answer = self.carry_out(request).await;
        if let Some(mut by_hand) = by_hand {
            while let Ok(edited) = by_hand.try_recv() {
                self.changes.set_aside(&edited).await;
            }
        }
        answer
    }

    /// Carries out a request, or refuses it and leaves everything as it was.
    pub(super) async fn carry_out(&self, request: Request) -> Result<Response, Problem> {
        let done = |notes| Ok(Response::Done { notes });
        match request {
            Request::Status => {
                let in_force = self.changes.store.apart(ConfigStore::at_rest).await?;
                let mut status = derive::at_rest(&in_force.config);
                let found = in_force
                    .problems()
                    .chain(self.changes.vault.store.problem())
                    .chain(self.changes.vault.clients.history_problem());
                status.problems = standing::once(found.chain(unreachable(self.changes.store.paths())));
                Ok(Response::Status(Box::new(status)))
            }
            Request::Edit(edit) => {
                let change = edit.clone();
                let mut edited = self.changes.edit(move |config| edit::apply(config, &change)).await?;
                // The change is made: what is said of it must not fail.
                let out = self.changes.kept_out().await.unwrap_or_default();
                let today = self.changes.today();
                edited.old.clients.retain(|_, client| !self.changes.vault.clients.is_over(client, today));
                if let Edit::SetClient { name, expires: Some(_), .. } = &edit
                    && let Some(client) = edited.new.clients.get(name)
                {
                    self.changes.vault.clients.begin_anew(&client.address).await;
                }
                edited.new.clients.retain(|_, client| !self.changes.vault.clients.is_over(client, today));
                for config in [&mut edited.old, &mut edited.new] {
                    config.clients.retain(|_, client| !out.contains(&client.address));
                }
                done(access_notes(&edit, &edited, today))
            }
            Request::AddClient { name, ports, expires, key } => {
                self.clients.add(name, ports, expires, key).await
            }
            Request::ClientToken { name, format } => {
                let config = self.changes.load().await?;
                let client = edit::find(&config.clients, &name)?;
                self.clients.invite(&config, &name, client, format, Vec::new()).await
            }
            Request::RotateClient { name, key } => self.clients.rotate(name, key).await,
            Request::DeleteClient { name } => {
                let config = self.changes.load().await?;
                let client = edit::find(&config.clients, &name)?;
                self.changes.vault.doubts.begin(&ids_of(client), config.agent.secrets).await?;
                let mut notes = self.clients.delete(&name, client.clone(), &config, |_| {}).await?;
                notes.extend(self.changes.settle().await);
                done(notes)
            }
            Request::RequestRemote { name } => self.remotes.request(name).await,
            Request::AddRemote { name, invite, replace } => {
                done(self.remotes.add(name, &invite, replace).await?)
            }
            Request::ExportRemote { name } => {
                let config = self.changes.load().await?;
                let remote = edit::find(&config.remotes, &name)?;
                let key = self.changes.client_key(&config, remote.key).await?;
                let text = tor_format::write_auth_private(&remote.address, &key);
                Ok(Response::Invite { text: Confidential::new(text), notes: Vec::new() })
            }
            Request::DeleteRemote { name } => done(self.remotes.delete(&name).await?),
            Request::Served => {
                let found = programs::listening().await;
                let in_force = self.changes.store.apart(ConfigStore::at_rest).await?;
                Ok(Response::Served(served::of(found, &in_force.config)))
            }
            Request::SecretsStatus => self.secrets_status().await.map(Response::Secrets),
            Request::UnlockSecrets => {
                let config = self.changes.load().await?;
                if config.agent.secrets.is_none() {
                    return Err(Problem::new(Code::NotThere, "there is no secret store to unlock yet")
                        .hint("it is chosen when the first key is made, as by `ormesh client add NAME`"));
                }
                let unlocked = self.changes.vault.store.unlock(&config).await;
                // The usual hint is this very command.
                unlocked.map_err(|problem| match problem.code {
                    Code::StoreLocked => problem
                        .hint("nothing here asks for the password: log in to this host's desktop, or unlock the keyring by its own program"),
                    _ => problem,
                })?;
                done(Vec::new())
            }
            Request::MigrateSecrets { to } => done(self.migrate(to).await?),
            Request::PruneSecrets => {
                let changing = self.changes.vault.change().await?;
                // A file that is lost can't say what is needed.
                self.changes.load().await?;
                self.changes.set_aside_unseen().await?;
                self.changes.vault.doubts.give_up_what_is_aside().await?;
                if self.changes.vault.doubts.are_left().await? {
                    // What is wrong with it is said where a key can't be erased.
                    let _ = self.changes.vault.store.unlock(&self.changes.load().await?).await;
                }
                let erased = self.changes.vault.settle(&changing, &self.changes.store).await?;
                self.changes.vault.doubts.check_settled().await?;
                done(vec![match erased {
                    0 => "nothing superfluous was in the secret store".into(),
                    1 => "1 key that nothing needs any more was erased".into(),
                    many => format!("{many} keys that nothing needs any more were erased"),
                }])
            }
            Request::ForgetStore { store } => done(self.forget_store(store).await?),
            Request::AcceptConfig => {
                self.changes.store.apart(ConfigStore::accept).await?;
                done(Vec::new())
            }
            Request::RestoreConfig => {
                let kept = self.changes.store.apart(ConfigStore::restore).await?;
                done(kept.into_iter().map(|kept| format!("what the file held is now {kept}")).collect())
            }
            Request::Watch
            | Request::Ping { .. }
            | Request::Connect { .. }
            | Request::Doctor { .. }
            | Request::Pause
            | Request::Resume
            | Request::Stop => Err(not_running(self.changes.store.paths())),
        }
    }

    /// How the secret store is.
    pub(super) async fn secrets_status(&self) -> Result<SecretsStatus, Problem> {
        let config = self.changes.load().await?;
        self.secrets_status_of(&config).await
    }

    /// The same by a configuration that was read before: what the file lacks is not the store's fault.
    pub(super) async fn secrets_status_of(&self, config: &Config) -> Result<SecretsStatus, Problem> {
        self.changes.vault.status(config).await
    }

    /// Gives up a store that is gone for good, and erases in the one in use what was left waiting for it.
    async fn forget_store(&self, store: StoreKind) -> Result<Notes, Problem> {
        let changing = self.changes.vault.change().await?;
        if self.changes.load().await?.agent.secrets == Some(store) {
            return Err(Problem::new(Code::NotAllowed, format!("{store} is the store in use"))
                .hint("ormesh secrets migrate --to STORE moves the keys to another one"));
        }
        if !self.changes.vault.doubts.give_up_store(store).await? {
            return Err(Problem::new(Code::NotThere, format!("nothing is left to be erased in {store}"))
                .hint("ormesh secrets status shows what is"));
        }
        let mut notes = vec![format!("keys that are left in {store} are not erased any more")];
        notes.extend(self.changes.settle_holding(&changing).await);
        Ok(notes)
    }

    async fn migrate(&self, to: StoreKind) -> Result<Notes, Problem> {
        let changing = self.changes.vault.change().await?;
        // What was taken out by hand and not seen yet goes along, too.
        self.changes.set_aside_unseen().await?;
        let config = self.changes.load().await?;
        let change = KeyChange::UseStore { from: config.agent.secrets, to };
        let flip =
            async || self.changes.edit(move |config| key_change::apply(config, &change)).await.map(drop);
        self.changes.vault.migrate(&changing, &config, to, flip).await
    }
}

/// What an edit lets whom reach.
fn access_notes(edit: &Edit, edited: &Edited, today: Day) -> Notes {
    let mut notes = access::gained(&edited.old, &edited.new, today);
    match edit {
        Edit::DeleteExport { .. } => notes.extend(access::lost(&edited.old, &edited.new, today)),
        Edit::MoveExport { .. } => notes.extend(access::lost(&edited.old, &edited.new, today)),
        // Who may reach what stays.
        Edit::RenameClient { .. } => notes.clear(),
        // Host names have no case.
        Edit::RenameRemote { name, to }
            if !name.as_str().eq_ignore_ascii_case(to.as_str()) && edited.new.remotes.contains_key(to) =>
        {
            notes.push(format!(
                "ssh, browsers and the SOCKS address know it as {to} now, and no longer as {name}"
            ));
        }
        Edit::SetClient { name, ports: Some(None), .. } => {
            notes = access::of_all(&edited.new, name).into_iter().collect()
        }
        Edit::AddExport { target, port, clients: None, .. } => {
            let port = port.or(target.port());
            let export =
                port.and_then(|port| edited.new.exports.get(&port)).filter(|export| export.clients.is_some());
            notes.extend(port.zip(export).map(|(port, export)| {
                format!("port {port} is for {}, as before; ormesh export set {port} --all-clients opens it to all", access::whom(export))
            }));
        }
        _ => {}
    }
    notes
}

#[cfg(test)]
mod tests;
