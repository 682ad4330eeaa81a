//! Changes that involve keys. Only the vault's commands make them, under its journal, after the private halves are in the secret store.
//!
//! Invariant: none of these can cross to another process, so there is no `Serialize` and no `Deserialize` here.

use super::config::{Client, Config, MAX_CLIENTS, Remote};
use super::edit::{check_ports, find, forget, grant};
use super::keys::ClientPublicKey;
use super::name::{ClientName, RemoteName};
use super::naming;
use super::onion::OnionAddress;
use super::problem::{Code, Problem, Subject};
use super::store_kind::StoreKind;

/// One change that names keys, or the store that holds them. The keys in it are public ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// `client add`, its keys made already.
    AddClient {
        /// What it is called.
        name: ClientName,
        /// Its keys, ports and expiry.
        client: Client,
    },
    /// `client rotate`: new keys and so a new address; ports and expiry stay.
    RotateClient {
        /// What it was called when its keys were looked at; it may be called something else by now.
        name: ClientName,
        /// Which: its service so far.
        of: OnionAddress,
        /// The new service.
        address: OnionAddress,
        /// The new client key.
        key: ClientPublicKey,
        /// Whether the client made that key itself.
        requested: bool,
    },
    /// `client delete`.
    DeleteClient {
        /// Which.
        name: ClientName,
    },
    /// `remote add`.
    AddRemote {
        /// What it is called.
        name: RemoteName,
        /// Its address, our public key for it, expiry and ports. Its imports are ignored when it replaces another.
        remote: Remote,
        /// Whether it takes the place of one of the same name, whose imports it inherits.
        replace: bool,
        /// What had that name when the keys were looked at. Where it is another one by now, the change is refused.
        held: Option<Held>,
    },
    /// `remote delete`, with its imports.
    DeleteRemote {
        /// Which.
        name: RemoteName,
    },
    /// `remote request`.
    AddRequest {
        /// What the remote will be called.
        name: RemoteName,
        /// The public half of the key made for it.
        key: ClientPublicKey,
    },
    /// Gives up a request that is not answered yet.
    DeleteRequest {
        /// Which.
        name: RemoteName,
    },
    /// The choice of a store at first use, or `secrets migrate`. Keys were looked for and written by what the file said then: where it names
    /// a third store by now, the change is refused.
    UseStore {
        /// The store that the file named, if it did.
        from: Option<StoreKind>,
        /// The one that holds the keys now.
        to: StoreKind,
    },
}

/// What has the name of a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// A remote, by its address and our key for it.
    Remote(OnionAddress, ClientPublicKey),
    /// A request that waits, by its key.
    Request(ClientPublicKey),
}

impl Held {
    /// What has a name now.
    pub(crate) fn by(config: &Config, name: &RemoteName) -> Option<Self> {
        let remote = config.remotes.get(name).map(|remote| Self::Remote(remote.address, remote.key));
        remote.or_else(|| config.requests.get(name).map(|key| Self::Request(*key)))
    }

    /// What it is called now, if it is there.
    pub(crate) fn name(self, config: &Config) -> Option<RemoteName> {
        let mut names = config.remotes.keys().chain(config.requests.keys());
        names.find(|name| Self::by(config, name) == Some(self)).cloned()
    }

    /// Our key.
    pub(crate) fn key(self) -> ClientPublicKey {
        match self {
            Self::Remote(_, key) | Self::Request(key) => key,
        }
    }
}

/// Another command was quicker, and what was looked at has another name, or other keys.
fn changed_meanwhile(subject: impl Into<Subject>) -> Problem {
    let subject = subject.into();
    let message = format!("{subject} was changed by another command at the same time");
    Problem::new(Code::ConfigBusy, message).about(subject).hint("nothing was changed; try again")
}

/// Makes the change, or says why it can't be made; the configuration given is untouched.
pub(crate) fn apply(config: &Config, change: &KeyChange) -> Result<Config, Problem> {
    let mut new = config.clone();
    match change {
        KeyChange::AddClient { name, client } => {
            if config.clients.contains_key(name) {
                return Err(Problem::new(Code::AlreadyThere, format!("there is a client {name} already")).hint(format!(
                    "ormesh client invite {name} shows its invite; ormesh client rotate {name} makes a new one"
                )));
            }
            naming::check_client(config, name, None)?;
            if config.clients.len() >= MAX_CLIENTS {
                return Err(Problem::new(
                    Code::TooMany,
                    format!("there can be at most {MAX_CLIENTS} clients"),
                )
                .hint("delete one that is not used: ormesh client list"));
            }
            check_keys(config, name, client)?;
            check_ports(config, client.ports.as_ref())?;
            // A name may have been left in the file by a client of before.
            new.exports.values_mut().for_each(|export| forget(export, name));
            grant(&mut new, name, None, client.ports.as_ref());
            new.clients.insert(name.clone(), client.clone());
        }
        KeyChange::RotateClient { name, of, address, key, requested } => {
            let there = config.client_at(of).ok_or_else(|| changed_meanwhile(name.clone()))?;
            let (name, client) = (there.0, there.1.clone());
            let client = Client { address: *address, key: *key, requested: *requested, ..client };
            check_keys(config, name, &client)?;
            new.clients.insert(name.clone(), client);
        }
        KeyChange::DeleteClient { name } => {
            find(&config.clients, name)?;
            new.clients.remove(name);
            new.exports.values_mut().for_each(|export| forget(export, name));
        }
        KeyChange::AddRemote { name, remote, replace, held } => {
            if !config.remotes.contains_key(name) && !config.requests.contains_key(name) {
                naming::check_remote(config, name, None)?;
            }
            let same = config.remotes.iter().find(|(other, r)| *other != name && r.address == remote.address);
            if let Some((other, _)) = same {
                return Err(Problem::new(
                    Code::AlreadyThere,
                    format!("remote {other} has that address already"),
                )
                .hint(format!("use {other}; or delete it first: ormesh remote delete {other}")));
            }
            let mut remote = remote.clone();
            match config.remotes.get(name) {
                Some(old) if *replace => remote.imports.clone_from(&old.imports),
                Some(_) => {
                    return Err(Problem::new(Code::AlreadyThere, format!("there is a remote {name} already"))
                        .hint(format!("--replace gives it the new invite and keeps its imports; ormesh remote delete {name} removes it")));
                }
                None if *replace => {
                    find(&config.remotes, name)?;
                }
                None => {}
            }
            if Held::by(config, name) != *held {
                return Err(changed_meanwhile(name.clone()));
            }
            new.requests.remove(name);
            new.remotes.insert(name.clone(), remote);
        }
        KeyChange::DeleteRemote { name } => {
            find(&config.remotes, name)?;
            new.remotes.remove(name);
        }
        KeyChange::AddRequest { name, key } => {
            // The same again is the same name.
            naming::check_remote(config, name, config.requests.contains_key(name).then_some(name))?;
            if config.requests.get(name).is_some_and(|there| there != key) {
                return Err(changed_meanwhile(name.clone()));
            }
            new.requests.insert(name.clone(), *key);
        }
        KeyChange::DeleteRequest { name } => {
            find(&config.requests, name)?;
            new.requests.remove(name);
        }
        KeyChange::UseStore { from, to } => {
            let named = config.agent.secrets;
            if let Some(named) = named.filter(|named| named != to && Some(*named) != *from) {
                let message =
                    format!("the configuration was changed meanwhile, and keeps keys in {named} now");
                return Err(Problem::new(Code::ConfigBusy, message)
                    .about(Subject::Configuration)
                    .hint("try again"));
            }
            new.agent.secrets = Some(*to);
        }
    }
    Ok(new)
}

/// A key, like an address, is one client's: two with the same could not be told apart, nor one of them be revoked.
fn check_keys(config: &Config, name: &ClientName, client: &Client) -> Result<(), Problem> {
    let same = |c: &Client| c.key == client.key || c.address == client.address;
    match config.clients.iter().find(|(other, c)| *other != name && same(c)) {
        None => Ok(()),
        Some((other, _)) => {
            Err(Problem::new(Code::AlreadyThere, format!("client {other} has that key already"))
                .hint("let the importer make a new request: ormesh remote request NAME"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::InstanceId;

    #[test]
    fn keys_are_said_to_be_in_a_store_only_where_the_file_named_no_other_meanwhile() {
        use StoreKind::{File, OsKeyring};
        let used = |named: Option<StoreKind>, from: Option<StoreKind>, to: StoreKind| {
            let mut config = Config::new(InstanceId::from_random([0; 10]));
            config.agent.secrets = named;
            let new = apply(&config, &KeyChange::UseStore { from, to });
            new.map(|new| new.agent.secrets).map_err(|problem| problem.code)
        };
        assert_eq!(used(None, None, File), Ok(Some(File)));
        assert_eq!(used(Some(OsKeyring), Some(OsKeyring), File), Ok(Some(File)));
        assert_eq!(used(Some(File), None, File), Ok(Some(File)), "another hand chose the same");
        assert_eq!(used(None, Some(OsKeyring), File), Ok(Some(File)), "the keys are there");
        assert_eq!(used(Some(OsKeyring), None, File), Err(Code::ConfigBusy));
    }

    fn empty() -> Config {
        Config::new(InstanceId::from_random([0; 10]))
    }

    fn code_of(config: &Config, change: &KeyChange) -> Option<Code> {
        apply(config, change).err().map(|problem| problem.code)
    }

    fn add_client(name: &str, number: u8) -> KeyChange {
        let (address, key) = keys(number);
        KeyChange::AddClient { name: name.parse().unwrap(), client: Client::new(address, key) }
    }

    fn keys(number: u8) -> (OnionAddress, ClientPublicKey) {
        let seed = zeroize::Zeroizing::new([number; 32]);
        let key = crate::model::keys::ClientKey::from_bytes(&[number; 32]).unwrap().public();
        (crate::model::keys::ServiceKey::from_seed(&seed).address(), key)
    }

    fn add_remote(name: &str, number: u8) -> KeyChange {
        let (address, key) = keys(number);
        let remote = Remote {
            address,
            key,
            expires: None,
            ports: Default::default(),
            plain_tor: false,
            imports: Default::default(),
        };
        KeyChange::AddRemote { name: name.parse().unwrap(), remote, replace: false, held: None }
    }

    fn request(name: &str, number: u8) -> KeyChange {
        KeyChange::AddRequest { name: name.parse().unwrap(), key: keys(number).1 }
    }

    #[test]
    fn names_that_differ_in_case_alone_are_refused_and_those_that_are_there_work() {
        let taken = Some(Code::AlreadyThere);
        let config = apply(&empty(), &add_client("Anna", 1)).unwrap();
        assert_eq!(code_of(&config, &add_client("anna", 2)), taken);
        assert_eq!(code_of(&config, &add_client("Anna", 2)), taken);
        assert_eq!(code_of(&config, &add_remote("anna", 2)), None, "a remote is none of the clients");

        let config = apply(&empty(), &add_remote("Web", 1)).unwrap();
        let config = apply(&config, &request("Mail", 2)).unwrap();
        for name in ["web", "mail"] {
            assert_eq!(code_of(&config, &add_remote(name, 3)), taken, "{name}");
            assert_eq!(code_of(&config, &request(name, 3)), taken, "{name}");
        }
        let mut answer = add_remote("Mail", 2);
        if let KeyChange::AddRemote { held, .. } = &mut answer {
            *held = Some(Held::Request(keys(2).1));
        }
        assert_eq!(code_of(&config, &answer), None, "the answer to the request");

        // A file may have both.
        let (first, second) = (keys(1), keys(2));
        let both = crate::model::config::parse(
            &format!(
                "[client.Anna]\naddress = \"{}\"\nkey = \"{}\"\n\n[client.anna]\naddress = \"{}\"\nkey = \"{}\"\n",
                first.0, first.1, second.0, second.1
            ),
            &InstanceId::from_random([0; 10]),
        );
        let both = both.unwrap();
        assert_eq!(both.clients.len(), 2);
        let delete = KeyChange::DeleteClient { name: "anna".parse().unwrap() };
        assert!(apply(&both, &delete).unwrap().clients.keys().map(ClientName::as_str).eq(["Anna"]));
    }

    /// The configuration in which `first` got the name `spare`, and `second` the name of `first`.
    fn names_changed_hands(config: &Config, [first, second, spare]: [&str; 3]) -> Config {
        use crate::model::edit::{Edit, apply};
        let rename = |config: &Config, name: &str, to: &str| {
            let client = Edit::RenameClient { name: name.parse().unwrap(), to: to.parse().unwrap() };
            let remote = Edit::RenameRemote { name: name.parse().unwrap(), to: to.parse().unwrap() };
            apply(config, &client).or_else(|_| apply(config, &remote)).unwrap()
        };
        rename(&rename(config, first, spare), second, first)
    }

    #[test]
    fn new_keys_are_for_the_one_that_was_looked_at_whatever_it_is_called_by_then() {
        let config = apply(&empty(), &add_client("ann", 1)).unwrap();
        let config = apply(&config, &add_client("bob", 2)).unwrap();
        let rotate = |of: u8| {
            let (address, key) = keys(9);
            KeyChange::RotateClient {
                name: "ann".parse().unwrap(),
                of: keys(of).0,
                address,
                key,
                requested: false,
            }
        };
        let changed = names_changed_hands(&config, ["ann", "bob", "x"]);

        let rotated = apply(&changed, &rotate(1)).unwrap();

        let address = |name: &str| rotated.clients[&name.parse().unwrap()].address;
        assert_eq!((address("x"), address("ann")), (keys(9).0, keys(2).0));
        assert_eq!(code_of(&changed, &rotate(3)), Some(Code::ConfigBusy), "it is not there any more");
    }

    #[test]
    fn a_remote_takes_the_place_of_the_one_that_was_looked_at_or_of_none() {
        let replacing = |held: Option<Held>, replace: bool| {
            let KeyChange::AddRemote { name, remote, .. } = add_remote("web", 9) else {
                panic!("it adds a remote")
            };
            KeyChange::AddRemote { name, remote, replace, held }
        };
        let config = apply(&empty(), &add_remote("web", 1)).unwrap();
        let config = apply(&config, &add_remote("db", 2)).unwrap();
        let held = |number: u8| Some(Held::Remote(keys(number).0, keys(number).1));
        let changed = names_changed_hands(&config, ["web", "db", "old"]);

        assert_eq!(code_of(&config, &replacing(held(1), true)), None);
        assert_eq!(code_of(&changed, &replacing(held(1), true)), Some(Code::ConfigBusy));
        assert_eq!(code_of(&changed, &replacing(held(2), true)), None);

        // Requests that wait, too.
        let config = apply(&empty(), &request("web", 1)).unwrap();
        let config = apply(&config, &request("db", 2)).unwrap();
        let changed = names_changed_hands(&config, ["web", "db", "old"]);
        let held = |number: u8| Some(Held::Request(keys(number).1));
        assert_eq!(code_of(&config, &replacing(held(1), false)), None);
        assert_eq!(code_of(&changed, &replacing(held(1), false)), Some(Code::ConfigBusy));
        assert_eq!(code_of(&config, &request("web", 1)), None, "the same again");
        assert_eq!(code_of(&config, &request("web", 3)), Some(Code::ConfigBusy), "its key would be lost");
    }

    #[test]
    fn no_remote_is_called_what_means_this_machine() {
        for name in ["localhost", "LOCALHOST", "ip6-loopback", "ormesh"] {
            for change in [add_remote(name, 1), request(name, 1)] {
                let problem = apply(&empty(), &change).unwrap_err();
                assert_eq!(problem.code, Code::NotAllowed);
                assert!(problem.message.contains("this machine") && !problem.hint.is_empty(), "{problem}");
            }
        }
        assert_eq!(code_of(&empty(), &add_remote("localhost-2", 1)), None);
        assert_eq!(code_of(&empty(), &add_client("localhost", 1)), None, "a client is no host to connect to");
    }
}
