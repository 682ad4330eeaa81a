//! Commands that need only the configuration and keys: the same code in the agent and, when no agent runs, in the command itself.
//!
//! Every change of keys goes by one order, so that an interruption loses nothing: journal, write secrets, write the configuration, settle.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::absent::{not_running, unreachable};
use super::vault::{Changing, Vault};
use super::world::World;
use crate::forward::programs;
use crate::ipc::{Confidential, InviteFormat, Request, Response, SecretsStatus};
use crate::model::access;
use crate::model::address::Port;
use crate::model::config::{Client, Config, Remote};
use crate::model::day::Day;
use crate::model::edit::{self, Edit};
use crate::model::invite::{Invite, InviteError, InviteKey, JoinRequest};
use crate::model::key_change::{self, KeyChange};
use crate::model::keys::{ClientKey, ClientPublicKey, Secret};
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;
use crate::model::pauses::Pauses;
use crate::model::problem::{Code, Problem, catalogue};
use crate::model::served;
use crate::model::store_kind::StoreKind;
use crate::model::tor_format;
use crate::plan::{derive, standing};
use crate::secrets::SecretId;
use crate::store::paths::Paths;
use crate::store::{ConfigStore, Edited};

/// Carries out requests on one host's configuration and keys.
pub(super) struct Commands {
    store: ConfigStore,
    vault: Arc<Vault>,
    world: World,
}

/// The first and the longest pause before a secret store that fails is tried again: it may ask a person each time.
const SETTLE_AGAIN: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(60));

/// What a change of keys leaves to be said.
type Notes = Vec<String>;

impl Commands {
    /// For a command with no agent.
    pub(super) fn local(paths: &Paths) -> Result<Self, Problem> {
        let (store, world) = (ConfigStore::new(paths)?, World::real(paths));
        let vault = Arc::new(Vault::local(paths, &world));
        Ok(Self::new(store, vault, world))
    }

    /// For the agent, which shares its vault.
    pub(super) fn new(store: ConfigStore, vault: Arc<Vault>, world: World) -> Self {
        Self { store, vault, world }
    }

    /// Carries out a request with no agent, and notes the keys of what another hand has taken out of the file since it was last looked at.
    pub(super) async fn carry_out_alone(&self, request: Request) -> Result<Response, Problem> {
        let by_hand = self.store.by_hand();
        let answer = self.carry_out(request).await;
        if let Some(mut by_hand) = by_hand {
            while let Ok(edited) = by_hand.try_recv() {
                self.set_aside(&edited).await;
            }
        }
        answer
    }

    /// Carries out a request, or refuses it and leaves everything as it was.
    pub(super) async fn carry_out(&self, request: Request) -> Result<Response, Problem> {
        let done = |notes| Ok(Response::Done { notes });
        match request {
            Request::Status => {
                let in_force = self.store.apart(ConfigStore::at_rest).await?;
                let mut status = derive::at_rest(&in_force.config);
                let found =
                    in_force.problems().chain(self.vault.problem()).chain(self.vault.history_problem());
                status.problems = standing::once(found.chain(unreachable(self.store.paths())));
                Ok(Response::Status(Box::new(status)))
            }
            Request::Edit(edit) => {
                let change = edit.clone();
                let mut edited = self.edit(move |config| edit::apply(config, &change)).await?;
                // The change is made: what is said of it must not fail.
                let out = self.kept_out().await.unwrap_or_default();
                let today = self.today();
                edited.old.clients.retain(|_, client| !self.vault.is_over(client, today));
                if let Edit::SetClient { name, expires: Some(_), .. } = &edit
                    && let Some(client) = edited.new.clients.get(name)
                {
                    self.vault.begin_anew(&client.address).await;
                }
                edited.new.clients.retain(|_, client| !self.vault.is_over(client, today));
                for config in [&mut edited.old, &mut edited.new] {
                    config.clients.retain(|_, client| !out.contains(&client.address));
                }
                done(access_notes(&edit, &edited, today))
            }
            Request::AddClient { name, ports, expires, key } => {
                self.add_client(name, ports, expires, key).await
            }
            Request::ClientToken { name, format } => {
                let config = self.load().await?;
                let client = edit::find(&config.clients, &name)?;
                self.invite(&config, &name, client, format, Vec::new()).await
            }
            Request::RotateClient { name, key } => self.rotate_client(name, key).await,
            Request::DeleteClient { name } => {
                let config = self.load().await?;
                let client = edit::find(&config.clients, &name)?;
                self.vault.begin(&ids_of(client), config.agent.secrets).await?;
                let mut notes = self.delete_client(&name, client.clone(), |_| {}).await?;
                notes.extend(self.settle().await);
                done(notes)
            }
            Request::RequestRemote { name } => self.request_remote(name).await,
            Request::AddRemote { name, invite, replace } => {
                done(self.add_remote(name, &invite, replace).await?)
            }
            Request::ExportRemote { name } => {
                let config = self.load().await?;
                let remote = edit::find(&config.remotes, &name)?;
                let key = self.client_key(&config, remote.key).await?;
                let text = tor_format::write_auth_private(&remote.address, &key);
                Ok(Response::Invite { text: Confidential::new(text), notes: Vec::new() })
            }
            Request::DeleteRemote { name } => done(self.delete_remote(&name).await?),
            Request::Served => {
                let found = programs::listening().await;
                Ok(Response::Served(served::of(found, &self.store.apart(ConfigStore::at_rest).await?.config)))
            }
            Request::SecretsStatus => self.secrets_status().await.map(Response::Secrets),
            Request::MigrateSecrets { to } => done(self.migrate(to).await?),
            Request::PruneSecrets => {
                let changing = self.vault.change().await?;
                // A file that is lost can't say what is needed.
                self.load().await?;
                self.set_aside_unseen().await?;
                self.vault.give_up_what_is_aside().await?;
                let erased = self.vault.settle(&changing, &self.store).await?;
                self.vault.check_settled().await?;
                done(vec![match erased {
                    0 => "nothing superfluous was in the secret store".into(),
                    1 => "1 key that nothing needs any more was erased".into(),
                    many => format!("{many} keys that nothing needs any more were erased"),
                }])
            }
            Request::ForgetStore { store } => done(self.forget_store(store).await?),
            Request::AcceptConfig => {
                self.store.apart(ConfigStore::accept).await?;
                done(Vec::new())
            }
            Request::RestoreConfig => {
                let kept = self.store.apart(ConfigStore::restore).await?;
                done(kept.into_iter().map(|kept| format!("what the file held is now {kept}")).collect())
            }
            Request::Watch
            | Request::Ping { .. }
            | Request::Connect { .. }
            | Request::Doctor { .. }
            | Request::Pause
            | Request::Resume
            | Request::Stop => Err(not_running(self.store.paths())),
        }
    }

    async fn add_client(
        &self,
        name: ClientName,
        ports: Option<BTreeSet<Port>>,
        expires: Option<Day>,
        given: Option<ClientPublicKey>,
    ) -> Result<Response, Problem> {
        // From the first look on, so that of many who add the same name at once one makes the keys, and all print its invite.
        let changing = self.vault.change().await?;
        let config = self.load().await?;
        if let Some(client) = config.clients.get(&name) {
            let other_key = match given {
                Some(key) => client.key != key,
                None => client.requested,
            };
            if other_key {
                return Err(taken(&name, "with another key").hint(format!(
                    "ormesh client rotate {name} makes a new invite; or choose another name"
                )));
            }
            let other_terms =
                ports.is_some() && ports != client.ports || expires.is_some() && expires != client.expires;
            if other_terms {
                return Err(taken(&name, "with other ports or another expiry").hint(format!(
                    "ormesh client set {name} changes these and needs no new invite; ormesh client rotate {name} makes new keys"
                )));
            }
            return self.invite(&config, &name, client, InviteFormat::Ormesh, Vec::new()).await;
        }
        let made = self.world.random.keys(given)?;
        let requested = given.is_some();
        let client = Client { ports, expires, requested, ..Client::new(made.address, made.public) };
        let change = KeyChange::AddClient { name: name.clone(), client: client.clone() };
        key_change::apply(&config, &change)?;

        let (new, mut notes) = self.write_keys(&changing, &config, made.secrets, Vec::new(), change).await?;
        notes.extend(access::of_all(&new, &name));
        Ok(new_invite(&client, made.own, notes))
    }

    async fn rotate_client(
        &self,
        name: ClientName,
        given: Option<ClientPublicKey>,
    ) -> Result<Response, Problem> {
        let seen = edit::find(&self.load().await?.clients, &name)?.address;
        let changing = self.vault.change().await?;
        let config = self.load().await?;
        let old = edit::find(&config.clients, &name)?.clone();
        self.check_not_over(&name, &old)?;
        if old.address != seen {
            // Of two who rotate it at once, the first would have an invite that is dead when it is printed.
            return self.rotated_meanwhile(&config, &name, &old, given).await;
        }
        let made = self.world.random.keys(given)?;
        let (address, key, requested) = (made.address, made.public, given.is_some());
        let change = KeyChange::RotateClient { name: name.clone(), address, key, requested };
        let (config, notes) =
            self.write_keys(&changing, &config, made.secrets, ids_of(&old).into(), change).await?;
        let client = edit::find(&config.clients, &name)?;
        Ok(new_invite(client, made.own, notes))
    }

    /// Another command gave the client new keys while this one waited for its turn: the newest invite is for both.
    async fn rotated_meanwhile(
        &self,
        config: &Config,
        name: &ClientName,
        client: &Client,
        given: Option<ClientPublicKey>,
    ) -> Result<Response, Problem> {
        let is_the_same = given.map_or(!client.requested, |key| client.key == key);
        let said = format!("another command has given {name} new keys at the same time");
        if !is_the_same {
            return Err(Problem::new(Code::ConfigBusy, said)
                .hint(format!("ormesh client rotate {name}, once more, gives it the keys that you meant")));
        }
        self.invite(config, name, client, InviteFormat::Ormesh, vec![format!("{said}; this is its invite")])
            .await
    }

    /// The client of that name in the file: one that is not in force yet, say.
    pub(super) async fn listed_client(&self, name: &ClientName) -> Result<Client, Problem> {
        let config = self.load().await?;
        edit::find(&config.clients, name).cloned()
    }

    /// Takes a client out of the file, and whoever has its name where another command was quicker and gave it new keys. Each is told to
    /// `revoke` before. The caller settles once they are out.
    pub(super) async fn delete_client(
        &self,
        name: &ClientName,
        mut client: Client,
        mut revoke: impl FnMut(&Client),
    ) -> Result<Notes, Problem> {
        loop {
            revoke(&client);
            let Edited { old, new } = self.take_out(&client).await?;
            match new.clients.get(name) {
                Some(other) if old.client_at(&client.address).is_none() => client = other.clone(),
                _ => return Ok(access::orphaned(&old, &new).into_iter().collect()),
            }
        }
    }

    /// Takes a client out of the file, whatever it is called there, and notes that its keys are to be erased: needs no secret store.
    ///
    /// That the journal can't be written is no error here: access ends first, and the keys are noted later.
    async fn take_out(&self, client: &Client) -> Result<Edited, Problem> {
        let ids = ids_of(client);
        let store = self.store.in_force().borrow().config.agent.secrets;
        if let Err(problem) = self.vault.begin(&ids, store).await {
            tracing::warn!(%problem, "failed to note keys to be erased");
        }
        let address = client.address;
        let taken_out = move |config: &Config| {
            let Some((name, _)) = config.client_at(&address) else { return Ok(config.clone()) };
            key_change::apply(config, &KeyChange::DeleteClient { name: name.clone() })
        };
        let edited = self.edit(taken_out).await?;
        self.owe(&ids, edited.old.agent.secrets).await;
        Ok(edited)
    }

    /// Notes again which keys are to be erased: another command may have settled before the configuration was changed. By now it is, so
    /// this is no failure.
    async fn owe(&self, ids: &[SecretId], store: Option<StoreKind>) {
        if let Err(problem) = self.vault.owe(ids, store).await {
            tracing::warn!(%problem, "failed to note keys to be erased");
        }
    }

    /// Takes clients that were revoked here out of the file, as soon as it can be changed: their deletion failed halfway.
    ///
    /// Never returns.
    pub(super) async fn keep_revoking(&self) {
        let mut in_force = self.store.in_force();
        let mut pauses = Pauses::new(SETTLE_AGAIN);
        // The sender is our store's.
        while in_force.wait_for(|in_force| !in_force.revoked.is_empty()).await.is_ok() {
            // The command that asked for it comes first. A change of the file is a reason to try again, and time is one.
            tokio::time::sleep(SETTLE_AGAIN.0).await;
            let _ = tokio::time::timeout(pauses.after_failure(), in_force.changed()).await;
            let revoked = in_force.borrow_and_update().revoked.clone();
            for (_, client) in revoked.values() {
                if let Err(problem) = self.take_out(client).await {
                    tracing::debug!(%problem, "a revoked client is still in the file");
                }
            }
            self.store.apart(ConfigStore::keep_revoked).await;
            if self.store.in_force().borrow().revoked.is_empty() {
                pauses.reset();
            }
            if !revoked.is_empty() {
                self.settle().await;
            }
        }
    }

    /// An invite whose last day is over is taken by nobody.
    fn check_not_over(&self, name: &ClientName, client: &Client) -> Result<(), Problem> {
        let today = self.today();
        let Some(day) = client.expires.filter(|_| self.vault.is_over(client, today)) else { return Ok(()) };
        let message = match day.is_over(today) {
            true => format!(
                "the access of {name} was over at the end of {day} in UTC, so its invite would not be taken"
            ),
            false => format!(
                "the access of {name} was over at the end of {day} in UTC, and stays over though this host's clock was set back"
            ),
        };
        Err(Problem::new(Code::ClientExpired, message)
            .hint(format!("ormesh client set {name} --expires WHEN gives it another last day, or never")))
    }

    fn today(&self) -> Day {
        self.world.calendar.today()
    }

    async fn load(&self) -> Result<Config, Problem> {
        self.store.apart(ConfigStore::load).await
    }

    async fn kept_out(&self) -> Result<BTreeSet<OnionAddress>, Problem> {
        self.store.apart(ConfigStore::kept_out).await
    }

    async fn edit(
        &self,
        change: impl Fn(&Config) -> Result<Config, Problem> + Send + 'static,
    ) -> Result<Edited, Problem> {
        self.store.apart(move |store| store.edit(change)).await
    }

    /// A client has shown that it holds its key: from now on its private half is not kept here.
    ///
    /// The key is noted before the history says that it is not needed, so that it is erased though the agent ends in between; and again
    /// after that, since whoever settles meanwhile still finds it needed and lets go of it.
    pub(super) async fn first_seen(&self, config: &Config, address: &OnionAddress, now: u64) {
        let client = config.client_at(address).filter(|(_, client)| !client.requested);
        let key = client.map(|(_, client)| SecretId::Client(client.key));
        if let Some(key) = key {
            self.owe(&[key], config.agent.secrets).await;
        }
        self.vault.saw(*address, now).await;
        if let Some(key) = key {
            self.owe(&[key], config.agent.secrets).await;
            self.settle().await;
        }
    }

    async fn request_remote(&self, name: RemoteName) -> Result<Response, Problem> {
        let changing = self.vault.change().await?;
        let config = self.load().await?;
        let key = match config.requests.get(&name) {
            Some(key) => *key,
            None => {
                let key = self.world.random.client_key()?;
                let change = KeyChange::AddRequest { name: name.clone(), key: key.public() };
                let secrets = vec![(SecretId::Client(key.public()), key.to_secret())];
                self.write_keys(&changing, &config, secrets, Vec::new(), change).await?;
                key.public()
            }
        };
        Ok(Response::JoinRequest { text: JoinRequest { key }.to_text() })
    }

    async fn add_remote(
        &self,
        name: RemoteName,
        invite: &Confidential,
        replace: bool,
    ) -> Result<Notes, Problem> {
        // A mistyped invite is refused at once, whoever is changing keys meanwhile.
        self.new_remote(&self.load().await?, &name, invite, replace)?;
        let changing = self.vault.change().await?;
        let config = self.load().await?;
        let (change, key) = self.new_remote(&config, &name, invite, replace)?;
        let old = config.remotes.get(&name).map(|old| SecretId::Client(old.key));
        let pending = config.requests.get(&name).map(|key| SecretId::Client(*key));
        let secrets = key.iter().map(|key| (SecretId::Client(key.public()), key.to_secret())).collect();
        self.write_keys(&changing, &config, secrets, old.into_iter().chain(pending).collect(), change)
            .await
            .map(|(_, notes)| notes)
    }

    /// The change that adds a remote, and the key that its invite carries; or why it can't be added.
    fn new_remote(
        &self,
        config: &Config,
        name: &RemoteName,
        invite: &Confidential,
        replace: bool,
    ) -> Result<(KeyChange, Option<ClientKey>), Problem> {
        let text = invite.expose();
        let (remote, key) = match tor_format::is_tor_format(text) {
            true => {
                let (address, key) = tor_format::parse_auth_private(text)
                    .map_err(|error| bad_invite(error.to_string(), ""))?;
                (remote(address, key.public(), true), Some(key))
            }
            false => self.read_invite(config, name, text)?,
        };
        let change = KeyChange::AddRemote { name: name.clone(), remote, replace };
        key_change::apply(config, &change)?;
        Ok((change, key))
    }

    fn read_invite(
        &self,
        config: &Config,
        name: &RemoteName,
        text: &str,
    ) -> Result<(Remote, Option<ClientKey>), Problem> {
        let invite = Invite::parse(text, self.today()).map_err(|error| {
            let code = match error {
                InviteError::Expired(_) => Code::InviteExpired,
                _ => Code::BadInvite,
            };
            Problem::new(code, error.to_string()).hint(error.hint())
        })?;
        let (key, private) = match invite.key {
            InviteKey::Private(key) => (key.public(), Some(key)),
            InviteKey::Requested => match config.requests.get(name) {
                Some(key) => (*key, None),
                None => {
                    let known: Vec<_> = config.requests.keys().map(RemoteName::as_str).collect();
                    let hint = match known.as_slice() {
                        [] => format!(
                            "make one first: ormesh remote request {name}, and send what it prints to the host's owner"
                        ),
                        known => {
                            format!("use the name that the request was made under: {}", known.join(", "))
                        }
                    };
                    let message = format!(
                        "this invite answers a join request, and none was made here under the name {name}"
                    );
                    return Err(Problem::new(Code::NoRequest, message).hint(hint));
                }
            },
        };
        let mut remote = remote(invite.address, key, false);
        remote.expires = invite.expires;
        remote.ports = invite.ports.unwrap_or_default();
        Ok((remote, private))
    }

    async fn delete_remote(&self, name: &RemoteName) -> Result<Notes, Problem> {
        loop {
            let config = self.load().await?;
            let Some((id, change)) = deletion(&config, name) else {
                return edit::find(&config.remotes, name).map(|_| Notes::new());
            };
            self.vault.begin(&[id], config.agent.secrets).await?;
            let (noted, of) = (id, name.clone());
            let edited = self.edit(move |config| match deletion(config, &of) {
                Some((id, _)) if id == noted => key_change::apply(config, &change),
                // Another command was quicker, and its key is not noted.
                _ => Ok(config.clone()),
            });
            let edited = edited.await?;
            // Another command gave it another key, or another name.
            if deletion(&edited.new, name).is_some_and(|(left, _)| left != id)
                || ids_in(&edited.new).contains(&id)
            {
                continue;
            }
            self.owe(&[id], edited.old.agent.secrets).await;
            let mut notes: Notes = edited.old.remotes.get(name).and_then(imports_note).into_iter().collect();
            notes.extend(self.settle().await);
            return Ok(notes);
        }
    }

    /// Journal, secrets, configuration, settle. `old` are ids that the change makes superfluous. Gives the new configuration.
    async fn write_keys(
        &self,
        changing: &Changing,
        config: &Config,
        secrets: Vec<(SecretId, Secret)>,
        old: Vec<SecretId>,
        change: KeyChange,
    ) -> Result<(Config, Notes), Problem> {
        let (chosen, mut notes) = self.vault.choose(config).await?;
        let ids: Vec<SecretId> = secrets.iter().map(|(id, _)| *id).chain(old).collect();
        self.vault.begin(&ids, Some(chosen)).await?;
        let written = async {
            for (id, secret) in secrets {
                self.vault.set(config, chosen, id, secret).await?;
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
    pub(super) async fn settle(&self) -> Notes {
        match self.vault.change().await {
            Ok(changing) => self.settle_holding(&changing).await,
            Err(problem) => vec![problem.message],
        }
    }

    /// Has the keys erased by what keeps settling.
    pub(super) fn settle_later(&self) {
        self.vault.owe_again();
    }

    /// Settles what an earlier agent or command has left, and from then on tries a secret store that fails until it works and
    /// all is settled.
    ///
    /// Never returns.
    pub(super) async fn keep_settling(&self) {
        loop {
            let mut pauses = Pauses::new(SETTLE_AGAIN);
            loop {
                let is_settled = self.settle().await.is_empty();
                // Even where it can't be settled: no store has to do with a configuration that is gone.
                let is_failing = self.is_failing().await;
                if is_settled && !is_failing {
                    break;
                }
                tokio::time::sleep(pauses.after_failure()).await;
            }
            tokio::select! {
                biased;
                () = self.vault.until_failing() => {}
                () = self.vault.owes() => {}
            }
            tokio::time::sleep(SETTLE_AGAIN.0).await;
        }
    }

    /// Notes the keys of what another hand takes out of the file.
    ///
    /// Never returns, unless it is called again.
    pub(super) async fn keep_setting_aside(&self) {
        let Some(mut by_hand) = self.store.by_hand() else { return };
        while let Some(edited) = by_hand.recv().await {
            self.set_aside(&edited).await;
        }
    }

    async fn set_aside(&self, edited: &Edited) {
        let gone = ids_gone(edited);
        if gone.is_empty() {
            return;
        }
        if let Err(problem) = self.vault.set_aside(gone, edited.old.agent.secrets).await {
            tracing::warn!(%problem, "failed to note keys that the configuration names no more");
        }
    }

    /// Notes the keys of what another hand has taken out of the file, and nobody has seen yet.
    async fn set_aside_unseen(&self) -> Result<(), Problem> {
        let edited = self.store.apart(ConfigStore::edited_by_hand).await?;
        let Some(edited) = edited else { return Ok(()) };
        let gone = ids_gone(&edited);
        if gone.is_empty() { Ok(()) } else { self.vault.set_aside(gone, edited.old.agent.secrets).await }
    }

    async fn is_failing(&self) -> bool {
        match self.load().await {
            Ok(config) => self.vault.is_failing(&config).await,
            // Nothing can be done before the file is mended.
            Err(_) => true,
        }
    }

    async fn settle_holding(&self, changing: &Changing) -> Notes {
        let settled = self.vault.settle(changing, &self.store).await;
        match settled {
            Ok(_) => Vec::new(),
            Err(problem) => {
                self.vault.owe_again();
                vec![format!("old keys will be erased once the secret store can be written ({problem})")]
            }
        }
    }

    async fn invite(
        &self,
        config: &Config,
        name: &ClientName,
        client: &Client,
        format: InviteFormat,
        notes: Notes,
    ) -> Result<Response, Problem> {
        self.check_not_over(name, client)?;
        if self.kept_out().await?.contains(&client.address) {
            let message = format!("{name} is cut off, and not yet out of the configuration file");
            return Err(Problem::new(Code::ClientCutOff, message).hint(format!(
                "ormesh client rotate {name} lets it in again, with new keys and a new invite"
            )));
        }
        if !client.requested && self.vault.has_connected(&client.address) {
            return Err(catalogue::invite_gone(
                name,
                format!(
                    "the invite of {name} can't be shown again: the client has connected, so its private key was erased here"
                ),
            ));
        }
        let text = match (client.requested, format) {
            (true, InviteFormat::AuthPrivate) => {
                return Err(Problem::new(
                    Code::KeyElsewhere,
                    format!("{name} made its key itself; it is not here"),
                )
                .hint(format!("ormesh client invite {name} prints the invite that answers its request")));
            }
            (true, InviteFormat::Ormesh) => invite_text(client, InviteKey::Requested),
            (false, format) => {
                let key = match self.client_key(config, client.key).await {
                    Ok(key) => key,
                    Err(_) if self.vault.has_lost_invite(config, client).await => {
                        return Err(catalogue::invite_gone(
                            name,
                            format!(
                                "the invite of {name} can't be shown: its private key is not in the secret store, where it is erased once the client has connected"
                            ),
                        ));
                    }
                    Err(problem) => return Err(problem),
                };
                match format {
                    InviteFormat::Ormesh => invite_text(client, InviteKey::Private(key)),
                    InviteFormat::AuthPrivate => tor_format::write_auth_private(&client.address, &key),
                }
            }
        };
        Ok(Response::Invite { text: Confidential::new(text), notes })
    }

    async fn client_key(&self, config: &Config, key: ClientPublicKey) -> Result<ClientKey, Problem> {
        let secret = self.vault.get(config, SecretId::Client(key)).await?;
        ClientKey::from_secret(&secret).ok().filter(|private| private.public() == key).ok_or_else(|| {
            Problem::new(Code::KeyDamaged, "the key in the secret store is damaged")
                .hint("make a new one: rotate, or a new invite")
        })
    }

    /// How the secret store is.
    pub(super) async fn secrets_status(&self) -> Result<SecretsStatus, Problem> {
        let config = self.load().await?;
        self.secrets_status_of(&config).await
    }

    /// The same by a configuration that was read before: what the file lacks is not the store's fault.
    pub(super) async fn secrets_status_of(&self, config: &Config) -> Result<SecretsStatus, Problem> {
        self.vault.status(config).await
    }

    /// Gives up a store that is gone for good, and erases in the one in use what was left waiting for it.
    async fn forget_store(&self, store: StoreKind) -> Result<Notes, Problem> {
        let changing = self.vault.change().await?;
        if self.load().await?.agent.secrets == Some(store) {
            return Err(Problem::new(Code::NotAllowed, format!("{store} is the store in use"))
                .hint("ormesh secrets migrate --to STORE moves the keys to another one"));
        }
        if !self.vault.give_up_store(store).await? {
            return Err(Problem::new(Code::NotThere, format!("nothing is left to be erased in {store}"))
                .hint("ormesh secrets status shows what is"));
        }
        let mut notes = vec![format!("keys that are left in {store} are not erased any more")];
        notes.extend(self.settle_holding(&changing).await);
        Ok(notes)
    }

    async fn migrate(&self, to: StoreKind) -> Result<Notes, Problem> {
        let changing = self.vault.change().await?;
        // What was taken out by hand and not seen yet goes along, too.
        self.set_aside_unseen().await?;
        let config = self.load().await?;
        let change = KeyChange::UseStore { from: config.agent.secrets, to };
        let flip = async || self.edit(move |config| key_change::apply(config, &change)).await.map(drop);
        self.vault.migrate(&changing, &config, to, flip).await
    }
}

/// The invite of keys that were made just now: nothing is read again, which could fail after all was done.
fn new_invite(client: &Client, own: Option<ClientKey>, notes: Notes) -> Response {
    let key = own.map_or(InviteKey::Requested, InviteKey::Private);
    Response::Invite { text: Confidential::new(invite_text(client, key)), notes }
}

/// What an edit lets whom reach.
fn access_notes(edit: &Edit, edited: &Edited, today: Day) -> Notes {
    let mut notes = access::gained(&edited.old, &edited.new, today);
    match edit {
        Edit::DeleteExport { .. } => notes.extend(access::lost(&edited.old, &edited.new, today)),
        Edit::MoveExport { .. } => notes.extend(access::lost(&edited.old, &edited.new, today)),
        // Who may reach what stays.
        Edit::RenameClient { .. } => notes.clear(),
        Edit::RenameRemote { name, to } if name != to && edited.new.remotes.contains_key(to) => {
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

/// What goes with a remote.
fn imports_note(remote: &Remote) -> Option<String> {
    let imports: Vec<String> = remote.imports.keys().map(ToString::to_string).collect();
    match imports.as_slice() {
        [] => None,
        [one] => Some(format!("its import at {one} is gone, too")),
        many => Some(format!("its {} imports are gone, too: {}", many.len(), many.join(", "))),
    }
}

/// The secrets that a configuration names, needed or not.
fn ids_in(config: &Config) -> BTreeSet<SecretId> {
    let clients = config.clients.values().flat_map(ids_of);
    let keys = config.remotes.values().map(|remote| remote.key).chain(config.requests.values().copied());
    clients.chain(keys.map(SecretId::Client)).collect()
}

/// The secrets that a change of the file has left without a name.
fn ids_gone(edited: &Edited) -> Vec<SecretId> {
    ids_in(&edited.old).difference(&ids_in(&edited.new)).copied().collect()
}

/// The secrets of a client.
fn ids_of(client: &Client) -> [SecretId; 2] {
    [SecretId::Service(client.address), SecretId::Client(client.key)]
}

fn invite_text(client: &Client, key: InviteKey) -> Zeroizing<String> {
    Invite { address: client.address, key, expires: client.expires, ports: client.ports.clone() }.to_text()
}

fn remote(address: OnionAddress, key: ClientPublicKey, plain_tor: bool) -> Remote {
    Remote {
        address,
        key,
        expires: None,
        ports: BTreeSet::new(),
        plain_tor,
        imports: std::collections::BTreeMap::new(),
    }
}

fn taken(name: &ClientName, how: &str) -> Problem {
    Problem::new(Code::AlreadyThere, format!("there is a client {name} already, {how}"))
}

/// What deletes a remote, or what was asked for one, and the key that goes with it.
fn deletion(config: &Config, name: &RemoteName) -> Option<(SecretId, KeyChange)> {
    let name = name.clone();
    match (config.remotes.get(&name), config.requests.get(&name)) {
        (Some(remote), _) => Some((SecretId::Client(remote.key), KeyChange::DeleteRemote { name })),
        (None, Some(key)) => Some((SecretId::Client(*key), KeyChange::DeleteRequest { name })),
        (None, None) => None,
    }
}

fn bad_invite(message: String, hint: &str) -> Problem {
    Problem::new(Code::BadInvite, message).hint(hint)
}

#[cfg(test)]
mod tests;
