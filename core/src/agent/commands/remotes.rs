//! Remotes come by an invite and go, and what is asked for one goes the same way.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{Changes, Notes};
use crate::ipc::{Confidential, Response};
use crate::model::config::{Config, Remote};
use crate::model::edit;
use crate::model::invite::{Invite, InviteError, InviteKey, JoinRequest};
use crate::model::key_change::{self, Held, KeyChange};
use crate::model::keys::{ClientKey, ClientPublicKey};
use crate::model::name::RemoteName;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem};
use crate::model::tor_format;
use crate::secrets::SecretId;

/// See the file's sentence.
pub(super) struct Remotes {
    pub(super) changes: Changes,
}

impl Remotes {
    pub(super) async fn request(&self, name: RemoteName) -> Result<Response, Problem> {
        let changing = self.changes.vault.change().await?;
        let config = self.changes.load().await?;
        let key = match config.requests.get(&name) {
            Some(key) => *key,
            None => {
                let key = self.changes.world.random.client_key()?;
                let change = KeyChange::AddRequest { name: name.clone(), key: key.public() };
                let secrets = vec![(SecretId::Client(key.public()), key.to_secret())];
                self.changes.write_keys(&changing, &config, secrets, Vec::new(), change).await?;
                key.public()
            }
        };
        Ok(Response::JoinRequest { text: JoinRequest { key }.to_text() })
    }

    pub(super) async fn add(
        &self,
        name: RemoteName,
        invite: &Confidential,
        replace: bool,
    ) -> Result<Notes, Problem> {
        // A mistyped invite is refused at once, whoever is changing keys meanwhile.
        self.new_remote(&self.changes.load().await?, &name, invite, replace)?;
        let changing = self.changes.vault.change().await?;
        let config = self.changes.load().await?;
        let (change, key) = self.new_remote(&config, &name, invite, replace)?;
        let old = config.remotes.get(&name).map(|old| SecretId::Client(old.key));
        let pending = config.requests.get(&name).map(|key| SecretId::Client(*key));
        let secrets = key.iter().map(|key| (SecretId::Client(key.public()), key.to_secret())).collect();
        self.changes
            .write_keys(&changing, &config, secrets, old.into_iter().chain(pending).collect(), change)
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
        let held = Held::by(config, name);
        let change = KeyChange::AddRemote { name: name.clone(), remote, replace, held };
        key_change::apply(config, &change)?;
        Ok((change, key))
    }

    fn read_invite(
        &self,
        config: &Config,
        name: &RemoteName,
        text: &str,
    ) -> Result<(Remote, Option<ClientKey>), Problem> {
        let invite = Invite::parse(text, self.changes.today()).map_err(|error| {
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

    pub(super) async fn delete(&self, name: &RemoteName) -> Result<Notes, Problem> {
        let began = self.changes.load().await?;
        let Some(mut meant) = Held::by(&began, name) else {
            return edit::find(&began.remotes, name).map(|_| Notes::new());
        };
        let store = began.agent.secrets;
        loop {
            let id = SecretId::Client(meant.key());
            self.changes.vault.doubts.begin(&[id], store).await?;
            // Whatever it is called by then.
            let taken_out = move |config: &Config| match meant.name(config) {
                Some(name) => key_change::apply(config, &deletion(meant, name)),
                None => Ok(config.clone()),
            };
            let edited = self.changes.edit(taken_out).await?;
            self.changes.owe(&[id], edited.old.agent.secrets).await;
            let gone = meant.name(&edited.old);
            // Another command was quicker, and gave it another key. What was there under any name is none of it.
            let next =
                Held::by(&edited.new, name).filter(|next| gone.is_none() && next.name(&began).is_none());
            if let Some(next) = next {
                meant = next;
                continue;
            }
            let remote = gone.and_then(|name| edited.old.remotes.get(&name));
            let mut notes: Notes = remote.and_then(imports_note).into_iter().collect();
            notes.extend(self.changes.settle().await);
            return Ok(notes);
        }
    }
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

fn remote(address: OnionAddress, key: ClientPublicKey, plain_tor: bool) -> Remote {
    Remote { address, key, expires: None, ports: BTreeSet::new(), plain_tor, imports: BTreeMap::new() }
}

/// What deletes a remote, or what was asked for one.
fn deletion(held: Held, name: RemoteName) -> KeyChange {
    match held {
        Held::Remote(..) => KeyChange::DeleteRemote { name },
        Held::Request(_) => KeyChange::DeleteRequest { name },
    }
}

fn bad_invite(message: String, hint: &str) -> Problem {
    Problem::new(Code::BadInvite, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::super::super::bench::{address, client_key, config};
    use super::*;

    #[test]
    fn what_goes_with_a_remote_is_said() {
        let with = |imports: &[u16]| {
            let head = format!("address = \"{}\"\nkey = \"{}\"\n", address(1), client_key(1).public());
            let imports = imports.iter().map(|port| {
                format!("[[remote.web.import]]\nremote-port = 22\nlisten = \"127.0.0.1:{port}\"\n")
            });
            let config = config(&format!("[remote.web]\n{head}{}", imports.collect::<String>()));
            imports_note(&config.remotes[&"web".parse::<RemoteName>().unwrap()])
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[8080]).as_deref(), Some("its import at 127.0.0.1:8080 is gone, too"));
        let two = with(&[8080, 8081]).unwrap();
        assert_eq!(two, "its 2 imports are gone, too: 127.0.0.1:8080, 127.0.0.1:8081");
    }
}
