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
                for config in [&mut edited.old, &mut edited.new] {
                    config.clients.retain(|_, client| !out.contains(&client.address));
                }
                done(access_notes(&edit, &edited, self.today()))
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
                self.delete_client(&name, client.clone(), |_| {}).await?;
                done(self.settle().await)
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
            Request::SecretsStatus => self.secrets_status().await.map(Response::Secrets),
            Request::MigrateSecrets { to } => done(self.migrate(to).await?),
            Request::PruneSecrets => {
                let changing = self.vault.change().await?;
                // A file that is lost can't say what is needed.
                self.load().await?;
                self.set_aside_unseen().await?;
                self.vault.give_up_what_is_aside().await?;
                self.vault.settle(&changing, &self.store).await?;
                self.vault.check_settled().await?;
                done(vec!["nothing superfluous is left in the secret store".into()])
            }
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
        let changing = self.vault.change().await?;
        let config = self.load().await?;
        let old = edit::find(&config.clients, &name)?.clone();
        check_not_over(&name, &old, self.today())?;
        let made = self.world.random.keys(given)?;
        let (address, key, requested) = (made.address, made.public, given.is_some());
        let change = KeyChange::RotateClient { name: name.clone(), address, key, requested };
        let (config, notes) =
            self.write_keys(&changing, &config, made.secrets, ids_of(&old).into(), change).await?;
        let client = edit::find(&config.clients, &name)?;
        Ok(new_invite(client, made.own, notes))
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
    ) -> Result<(), Problem> {
        loop {
            revoke(&client);
            let Edited { old, new } = self.take_out(&client).await?;
            match new.clients.get(name) {
                Some(other) if old.client_at(&client.address).is_none() => client = other.clone(),
                _ => return Ok(()),
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
            if deletion(&edited.new, name).is_some_and(|(left, _)| left != id) {
                continue;
            }
            self.owe(&[id], edited.old.agent.secrets).await;
            return Ok(self.settle().await);
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
            Ok(()) => Vec::new(),
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
        check_not_over(name, client, self.today())?;
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
        self.vault.status(&config).await
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

/// An invite whose last day is over is taken by nobody.
fn check_not_over(name: &ClientName, client: &Client, today: Day) -> Result<(), Problem> {
    match client.expires.filter(|day| day.is_over(today)) {
        None => Ok(()),
        Some(day) => Err(Problem::new(
            Code::ClientExpired,
            format!(
                "the access of {name} was over at the end of {day} in UTC, so its invite would not be taken"
            ),
        )
        .hint(format!("ormesh client set {name} --expires WHEN gives it another last day, or never"))),
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
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::secrets::file::FileStore;
    use crate::secrets::memory::MemoryStore;
    use crate::secrets::{SecretStore, Secrets, SecretsError, Stores};
    use crate::store::files::{Change, Files, Ways};
    use crate::store::private;

    /// Files that take so many changes, and then none any more: the host has crashed.
    #[derive(Debug)]
    struct Crash {
        left: AtomicUsize,
    }

    #[async_trait]
    impl Ways for Crash {
        async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
            work();
        }

        fn before(&self, _path: &Path, _change: Change) -> io::Result<()> {
            let took = |left: usize| left.checked_sub(1);
            let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took);
            taken.map(drop).map_err(|_| io::ErrorKind::Other.into())
        }
    }

    fn commands(paths: &Paths, files: Files) -> Commands {
        let (store, world) = (ConfigStore::new(paths).unwrap(), World { files, ..World::real(paths) });
        store.start().unwrap();
        Commands::new(store, Arc::new(Vault::new(paths, &world)), world)
    }

    /// A host that has invited one client.
    async fn inviting(dir: &Path) -> (Paths, Config, Client) {
        let paths = Paths::new(dir.join("config.toml"), dir.join("state")).unwrap();
        private::ensure_dir(&paths.state).unwrap();
        std::fs::write(&paths.config, "[agent]\nsecrets = \"file\"\n").unwrap();
        let name: ClientName = "laptop".parse().unwrap();
        let add = Request::AddClient { name: name.clone(), ports: None, expires: None, key: None };
        commands(&paths, Files::default()).carry_out(add).await.unwrap();
        let config = crate::store::load(&paths).unwrap();
        let client = config.clients[&name].clone();
        (paths, config, client)
    }

    #[tokio::test]
    async fn what_is_taken_out_by_hand_keeps_its_keys_until_they_are_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, _, Client { address, .. }) = inviting(dir.path()).await;
        let whole = std::fs::read_to_string(&paths.config).unwrap();
        let before = whole.split("[client.laptop]").next().unwrap();
        std::fs::write(&paths.config, format!("{before}[[export]]\ntarget = \"22\"\n")).unwrap();
        let key = paths.secrets().join(SecretId::Service(address).to_string());
        let agent = commands(&paths, Files::default());
        agent.vault.set_aside(vec![SecretId::Service(address)], None).await.unwrap();

        // Neither this agent erases it, nor the next one.
        assert!(agent.settle().await.is_empty());
        tokio::select! {
            biased;
            () = agent.vault.until_failing() => panic!("the store works"),
            () = std::future::ready(()) => {}
        }
        let next = commands(&paths, Files::default());
        assert!(next.settle().await.is_empty());
        assert!(key.exists());

        next.carry_out(Request::PruneSecrets).await.unwrap();
        assert!(!key.exists());
    }

    /// Files between whose changes another command is quicker: when a key is noted, the remote has another.
    #[derive(Debug)]
    struct Replacing {
        config: std::path::PathBuf,
        by: std::sync::Mutex<Option<String>>,
    }

    #[async_trait]
    impl Ways for Replacing {
        async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
            work();
        }

        fn before(&self, path: &Path, _change: Change) -> io::Result<()> {
            if path == self.config {
                return Ok(());
            }
            let by = self.by.lock().unwrap().take();
            by.map_or(Ok(()), |text| std::fs::write(&self.config, text))
        }
    }

    #[tokio::test]
    async fn a_remote_that_is_replaced_while_it_is_deleted_leaves_no_key_behind() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("config.toml"), dir.path().join("state")).unwrap();
        private::ensure_dir(&paths.state).unwrap();
        private::ensure_dir(&paths.secrets()).unwrap();
        let keys = [3, 4].map(|seed| ClientKey::from_bytes(&[seed; 32]).unwrap());
        let [old, new] = [0, 1].map(|at: usize| {
            format!(
                "[agent]\nsecrets = \"file\"\n\n[remote.server]\n\
                 address = \"2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion\"\nkey = \"{}\"\n",
                keys[at].public()
            )
        });
        std::fs::write(&paths.config, old).unwrap();
        let files = keys.map(|key| {
            let file = paths.secrets().join(SecretId::Client(key.public()).to_string());
            std::fs::write(&file, "").unwrap();
            file
        });
        let by = std::sync::Mutex::new(Some(new));
        let racing = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));

        let notes = commands(&paths, racing).delete_remote(&"server".parse().unwrap()).await.unwrap();

        assert!(notes.is_empty(), "{notes:?}");
        assert!(crate::store::load(&paths).unwrap().remotes.is_empty());
        assert!(files.iter().all(|file| !file.exists()), "a key is left, and nothing names it");
    }

    #[tokio::test]
    async fn a_client_that_is_rotated_while_it_is_deleted_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, _, old) = inviting(dir.path()).await;
        let before = std::fs::read_to_string(&paths.config).unwrap();
        let (name, rotate) = ("laptop".parse().unwrap(), |name| Request::RotateClient { name, key: None });
        alone(&paths, rotate("laptop".parse().unwrap())).await;
        let rotated = crate::store::load(&paths).unwrap().clients[&name].clone();
        let by = std::sync::Mutex::new(Some(std::fs::read_to_string(&paths.config).unwrap()));
        std::fs::write(&paths.config, before).unwrap();
        let racing = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));

        commands(&paths, racing).carry_out(Request::DeleteClient { name }).await.unwrap();

        assert_ne!(rotated.address, old.address);
        assert!(crate::store::load(&paths).unwrap().clients.is_empty(), "it said that it is deleted");
        assert!(!has_key(&paths, &old) && !has_key(&paths, &rotated));
    }

    #[tokio::test]
    async fn a_client_that_first_comes_while_the_agent_ends_is_new_to_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, config, Client { address, key, .. }) = inviting(dir.path()).await;
        // Its session is open, and nobody was told of it any more.
        commands(&paths, Files::default()).vault.save_history([(address, 1)].into_iter()).await;

        let next = commands(&paths, Files::default());
        assert!(!next.vault.has_connected(&address), "its key stays for ever");
        next.first_seen(&config, &address, 2).await;
        next.vault.save_history([(address, 3)].into_iter()).await;

        let last = commands(&paths, Files::default());
        assert_eq!(last.vault.last_seen(&address), Some(3));
        assert!(!paths.secrets().join(SecretId::Client(key).to_string()).exists());
    }

    #[tokio::test]
    async fn a_used_key_is_erased_wherever_the_agent_crashes() {
        for left in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let (paths, config, Client { address, key, .. }) = inviting(dir.path()).await;

            let crash = Files::over(Arc::new(Crash { left: left.into() }));
            commands(&paths, crash).first_seen(&config, &address, 1).await;

            let next = commands(&paths, Files::default());
            assert_eq!(next.settle().await, Notes::new(), "after {left} changes");
            let is_there = paths.secrets().join(SecretId::Client(key).to_string()).exists();
            assert_ne!(next.vault.has_connected(&address), is_there, "after {left} changes");
            assert!(paths.secrets().join(SecretId::Service(address).to_string()).exists());
        }
    }

    /// Whether the store has the key of this client's service.
    fn has_key(paths: &Paths, client: &Client) -> bool {
        paths.secrets().join(SecretId::Service(client.address).to_string()).exists()
    }

    async fn alone(paths: &Paths, request: Request) {
        Commands::local(paths).unwrap().carry_out_alone(request).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_taken_out_by_hand_while_no_agent_runs_is_pruned_too() {
        let export = |port: &str| {
            let target = format!("127.0.0.1:{port}").parse().unwrap();
            Request::Edit(Edit::AddExport { target, port: None, allow_lan: false, clients: None })
        };
        for is_edited in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (paths, _, client) = inviting(dir.path()).await;
            alone(&paths, export("22")).await;
            let whole = std::fs::read_to_string(&paths.config).unwrap();
            let start = whole.find("[client.laptop]").unwrap();
            let end = whole[start + 1..].find('[').map_or(whole.len(), |next| start + 1 + next);
            std::fs::write(&paths.config, format!("{}{}", &whole[..start], &whole[end..])).unwrap();
            if is_edited {
                alone(&paths, export("80")).await;
            }
            assert!(has_key(&paths, &client));

            alone(&paths, Request::PruneSecrets).await;
            assert!(!has_key(&paths, &client), "after an edit: {is_edited}");
        }
    }

    #[tokio::test]
    async fn a_loss_that_is_accepted_leaves_no_key_that_can_not_be_pruned() {
        for lost in [None, Some(""), Some("version = 1\n")] {
            for is_agents in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let (paths, config, client) = inviting(dir.path()).await;
                let agent = commands(&paths, Files::default());
                match lost {
                    None => std::fs::remove_file(&paths.config).unwrap(),
                    Some(text) => std::fs::write(&paths.config, text).unwrap(),
                }
                match is_agents {
                    false => alone(&paths, Request::AcceptConfig).await,
                    true => drop(agent.carry_out_alone(Request::AcceptConfig).await.unwrap()),
                }
                assert!(has_key(&paths, &client));
                let accepted = crate::store::load(&paths).unwrap();
                assert!(accepted.clients.is_empty() && accepted.instance == config.instance);

                alone(&paths, Request::PruneSecrets).await;
                assert!(!has_key(&paths, &client), "{lost:?}, by an agent: {is_agents}");
            }
        }
    }

    /// Both stores in memory.
    #[derive(Default)]
    struct Both {
        files: MemoryStore,
        keyring: MemoryStore,
    }

    impl Stores for Both {
        fn open(&self, kind: StoreKind, _instance: &str) -> Secrets {
            match kind {
                StoreKind::File => self.files.secrets(kind),
                StoreKind::OsKeyring => self.keyring.secrets(kind),
            }
        }
        fn preferred(&self) -> Result<Option<StoreKind>, Problem> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn another_store_that_a_hand_names_meanwhile_leaves_no_key_in_the_one_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("config.toml"), dir.path().join("state")).unwrap();
        private::ensure_dir(&paths.state).unwrap();
        std::fs::write(&paths.config, "[agent]\nsecrets = \"file\"\n").unwrap();
        let by = std::sync::Mutex::new(Some("[agent]\nsecrets = \"os-keyring\"\n".to_owned()));
        let files = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));
        let stores = Arc::new(Both::default());
        let world = World { files, stores: Arc::clone(&stores) as Arc<dyn Stores>, ..World::real(&paths) };
        let vault = Arc::new(Vault::new(&paths, &world));
        let commands = Commands::new(ConfigStore::new(&paths).unwrap(), Arc::clone(&vault), world);
        let add = |name: &str| {
            let name = name.parse().unwrap();
            commands.carry_out(Request::AddClient { name, ports: None, expires: None, key: None })
        };

        // It is named between the look at the file and the change of it.
        assert_eq!(add("laptop").await.map(drop).unwrap_err().code, Code::ConfigBusy);
        assert_eq!((stores.files.ids(), stores.keyring.ids()), (vec![], vec![]));

        // Or while the store of before is locked, and has a key yet that is to be erased.
        add("laptop").await.unwrap();
        stores.keyring.set_locked(true);
        let delete = Request::DeleteClient { name: "laptop".parse().unwrap() };
        commands.carry_out(delete).await.unwrap();
        let text = std::fs::read_to_string(&paths.config).unwrap();
        std::fs::write(&paths.config, text.replace("os-keyring", "file")).unwrap();
        assert!(!commands.is_failing().await, "the store in use works");
        let left = commands.settle().await;
        assert!(left.iter().any(|note| note.contains("in os-keyring, which was used before")), "{left:?}");
        assert!(vault.problem().is_none(), "it is no trouble of the store in use");
        stores.keyring.set_locked(false);
        assert_eq!(commands.settle().await, Notes::new());
        assert_eq!((stores.files.ids(), stores.keyring.ids()), (vec![], vec![]));
    }

    /// Files on a disk that is full.
    struct Full(FileStore);

    impl SecretStore for Full {
        fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError> {
            self.0.get(id)
        }
        fn set(&mut self, _id: &SecretId, _secret: &Secret) -> Result<(), SecretsError> {
            self.probe()
        }
        fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError> {
            self.0.delete(id)
        }
        fn probe(&mut self) -> Result<(), SecretsError> {
            Err(SecretsError::Full("no space left on device".into()))
        }
    }

    struct FullDisk(std::path::PathBuf);

    impl Stores for FullDisk {
        fn open(&self, kind: StoreKind, _instance: &str) -> Secrets {
            let dir = self.0.clone();
            Secrets::over(kind, move || Box::new(Full(FileStore::new(&dir))))
        }
        fn preferred(&self) -> Result<Option<StoreKind>, Problem> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn keys_on_a_full_disk_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, ..) = inviting(dir.path()).await;
        let world = World { stores: Arc::new(FullDisk(paths.secrets())), ..World::real(&paths) };
        let vault = Arc::new(Vault::local(&paths, &world));
        let status = Commands::new(ConfigStore::new(&paths).unwrap(), vault, world).secrets_status().await;
        let SecretsStatus { usable, problem, found, needed, .. } = status.unwrap();
        assert_eq!((usable, problem.unwrap().code), (false, Code::StoreFull));
        assert_eq!((found, needed), (2, 2));
    }
}
