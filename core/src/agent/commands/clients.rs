//! Clients come, get new keys and go: each with its invite.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::changes::{Changes, Notes, SETTLE_AGAIN, ids_of};
use crate::ipc::{Confidential, InviteFormat, Response};
use crate::model::access;
use crate::model::address::Port;
use crate::model::config::{Client, Config};
use crate::model::day::Day;
use crate::model::edit;
use crate::model::invite::{Invite, InviteKey};
use crate::model::key_change::{self, KeyChange};
use crate::model::keys::{ClientKey, ClientPublicKey};
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::model::pauses::Pauses;
use crate::model::problem::{Code, Problem, catalogue};
use crate::model::tor_format;
use crate::secrets::SecretId;
use crate::store::{ConfigStore, Edited};

/// See the file's sentence.
pub(in crate::agent) struct Clients {
    pub(super) changes: Changes,
}

impl Clients {
    pub(super) async fn add(
        &self,
        name: ClientName,
        ports: Option<BTreeSet<Port>>,
        expires: Option<Day>,
        given: Option<ClientPublicKey>,
    ) -> Result<Response, Problem> {
        // From the first look on, so that of many who add the same name at once one makes the keys, and all print its invite.
        let changing = self.changes.vault.change().await?;
        let config = self.changes.load().await?;
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
        let made = self.changes.world.random.keys(given)?;
        let requested = given.is_some();
        let client = Client { ports, expires, requested, ..Client::new(made.address, made.public) };
        let change = KeyChange::AddClient { name: name.clone(), client: client.clone() };
        key_change::apply(&config, &change)?;

        let (new, mut notes) =
            self.changes.write_keys(&changing, &config, made.secrets, Vec::new(), change).await?;
        notes.extend(access::of_all(&new, &name));
        Ok(new_invite(&client, made.own, notes))
    }

    pub(super) async fn rotate(
        &self,
        name: ClientName,
        given: Option<ClientPublicKey>,
    ) -> Result<Response, Problem> {
        let began = self.changes.load().await?;
        let seen = edit::find(&began.clients, &name)?.address;
        let changing = self.changes.vault.change().await?;
        let config = self.changes.load().await?;
        let Some((name, old)) = config.client_at(&seen).map(|(name, old)| (name.clone(), old.clone())) else {
            let new = edit::find(&config.clients, &name)?;
            self.check_not_over(&name, new)?;
            if was_there(&began, new) {
                let said =
                    format!("another command has given the name {name} to another client at the same time");
                return Err(
                    Problem::new(Code::ConfigBusy, said).hint("ormesh client list shows the clients by now")
                );
            }
            // Of two who rotate it at once, the first would have an invite that is dead when it is printed.
            return self.rotated_meanwhile(&config, &name, new, given).await;
        };
        self.check_not_over(&name, &old)?;
        let made = self.changes.world.random.keys(given)?;
        let (address, key, requested) = (made.address, made.public, given.is_some());
        let change = KeyChange::RotateClient { name: name.clone(), of: seen, address, key, requested };
        let (config, notes) =
            self.changes.write_keys(&changing, &config, made.secrets, ids_of(&old).into(), change).await?;
        let (_, client) = config
            .client_at(&address)
            .ok_or_else(|| catalogue::not_there(name.into()).hint("ormesh client list shows the clients"))?;
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

    pub(super) async fn invite(
        &self,
        config: &Config,
        name: &ClientName,
        client: &Client,
        format: InviteFormat,
        notes: Notes,
    ) -> Result<Response, Problem> {
        self.check_not_over(name, client)?;
        if self.changes.kept_out().await?.contains(&client.address) {
            let message = format!("{name} is cut off, and not yet out of the configuration file");
            return Err(Problem::new(Code::ClientCutOff, message).hint(format!(
                "ormesh client rotate {name} lets it in again, with new keys and a new invite"
            )));
        }
        if !client.requested && self.changes.vault.clients.has_connected(&client.address) {
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
                let key = match self.changes.client_key(config, client.key).await {
                    Ok(key) => key,
                    Err(_) if self.changes.vault.has_lost_invite(config, client).await => {
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

    /// An invite whose last day is over is taken by nobody.
    fn check_not_over(&self, name: &ClientName, client: &Client) -> Result<(), Problem> {
        let today = self.changes.today();
        let Some(day) = client.expires.filter(|_| self.changes.vault.clients.is_over(client, today)) else {
            return Ok(());
        };
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

    /// The client of that name in the file: one that is not in force yet, say.
    pub(in crate::agent) async fn listed(&self, name: &ClientName) -> Result<Client, Problem> {
        let config = self.changes.load().await?;
        edit::find(&config.clients, name).cloned()
    }

    /// Takes a client out of the file, and whoever has its name where another command was quicker and gave it new keys: never another
    /// client that was there when the command `began`, under any name. Each is told to `revoke` before. The caller settles once they are
    /// out.
    pub(in crate::agent) async fn delete(
        &self,
        name: &ClientName,
        mut client: Client,
        began: &Config,
        mut revoke: impl FnMut(&Client),
    ) -> Result<Notes, Problem> {
        loop {
            revoke(&client);
            let Edited { old, new } = self.take_out(&client).await?;
            match new.clients.get(name).filter(|other| !was_there(began, other)) {
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
        let store = self.changes.store.in_force().borrow().config.agent.secrets;
        if let Err(problem) = self.changes.vault.doubts.begin(&ids, store).await {
            tracing::warn!(%problem, "failed to note keys to be erased");
        }
        let address = client.address;
        let taken_out = move |config: &Config| {
            let Some((name, _)) = config.client_at(&address) else { return Ok(config.clone()) };
            key_change::apply(config, &KeyChange::DeleteClient { name: name.clone() })
        };
        let edited = self.changes.edit(taken_out).await?;
        self.changes.owe(&ids, edited.old.agent.secrets).await;
        Ok(edited)
    }

    /// Takes clients that were revoked here out of the file, as soon as it can be changed: their deletion failed halfway.
    ///
    /// Never returns.
    pub(in crate::agent) async fn keep_revoking(&self) {
        let mut in_force = self.changes.store.in_force();
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
            self.changes.store.apart(ConfigStore::keep_revoked).await;
            if self.changes.store.in_force().borrow().revoked.is_empty() {
                pauses.reset();
            }
            if !revoked.is_empty() {
                self.changes.settle().await;
            }
        }
    }

    /// A client has shown that it holds its key: from now on its private half is not kept here.
    ///
    /// The key is noted before the history says that it is not needed, so that it is erased though the agent ends in between; and again
    /// after that, since whoever settles meanwhile still finds it needed and lets go of it.
    pub(in crate::agent) async fn first_seen(&self, config: &Config, address: &OnionAddress, now: u64) {
        let client = config.client_at(address).filter(|(_, client)| !client.requested);
        let key = client.map(|(_, client)| SecretId::Client(client.key));
        if let Some(key) = key {
            self.changes.owe(&[key], config.agent.secrets).await;
        }
        self.changes.vault.clients.saw(*address, now).await;
        if let Some(key) = key {
            self.changes.owe(&[key], config.agent.secrets).await;
            self.changes.settle().await;
        }
    }
}

/// Whether a configuration has a client with that address, under whatever name.
fn was_there(config: &Config, client: &Client) -> bool {
    config.client_at(&client.address).is_some()
}

/// The invite of keys that were made just now: nothing is read again, which could fail after all was done.
fn new_invite(client: &Client, own: Option<ClientKey>, notes: Notes) -> Response {
    let key = own.map_or(InviteKey::Requested, InviteKey::Private);
    Response::Invite { text: Confidential::new(invite_text(client, key)), notes }
}

pub(super) fn invite_text(client: &Client, key: InviteKey) -> Zeroizing<String> {
    Invite { address: client.address, key, expires: client.expires, ports: client.ports.clone() }.to_text()
}

fn taken(name: &ClientName, how: &str) -> Problem {
    Problem::new(Code::AlreadyThere, format!("there is a client {name} already, {how}"))
}
