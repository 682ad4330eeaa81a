//! Reads the configuration's text form, TOML: strictly, and says at which line and column it is wrong.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::{Client, Config, Export, Import, InstanceId, MAX_CLIENTS, Remote, Users, VERSION, raw};
use crate::model::address::{ListenAddr, Port};
use crate::model::name::{ClientName, RemoteName};

/// Why a text is not a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TextError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl TextError {
    fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            message: message.into(),
        }
    }
}

/// Reads a configuration. An empty text is an empty configuration, which gets `fresh` as its instance id.
///
/// Errors: syntax, unknown keys, wrong types, values out of range, and entries that exclude each other; each with its place.
pub fn parse(text: &str, fresh: &InstanceId) -> Result<Config, TextError> {
    let file: raw::File = toml::from_str(text)
        .map_err(|error| TextError::at(text, error.span(), first_line(error.message())))?;
    if let Some(version) = &file.version
        && *version.get_ref() != VERSION
    {
        let found = version.get_ref();
        let why =
            format!("this is version {found} of the configuration; this ormesh knows version {VERSION}");
        return Err(TextError::at(text, Some(version.span()), why));
    }
    let mut config = Config::new(file.instance.unwrap_or_else(|| fresh.clone()));
    config.agent = file.agent.into();

    for entry in file.export {
        let error = |why: String| TextError::at(text, Some(entry.span()), why);
        let raw::Export { target, port, allow_lan, clients } = entry.get_ref();
        let port = port.or(target.port()).ok_or_else(|| error(format!("{target} needs a port")))?;
        config.check_export(port, target, *allow_lan).map_err(|why| error(why.to_string()))?;
        let export = Export { target: target.clone(), allow_lan: *allow_lan, clients: clients.clone() };
        config.exports.insert(port, export);
    }
    let (mut addresses, mut keys) = (Taken::none(), Taken::none());
    for (name, entry) in file.client {
        let error = |why: String| TextError::at(text, Some(entry.span()), why);
        let raw::Client { address, key, ports, expires, requested } = entry.get_ref();
        if config.clients.len() >= MAX_CLIENTS {
            return Err(error(format!("there can be at most {MAX_CLIENTS} clients")));
        }
        let same =
            |other: &ClientName| error(format!("client {name} has the address or the key of client {other}"));
        addresses.take(*address, name.clone()).map_err(same)?;
        keys.take(*key, name.clone()).map_err(same)?;
        let client = Client {
            address: *address,
            key: *key,
            ports: ports.clone(),
            expires: *expires,
            requested: *requested,
        };
        config.clients.insert(name, client);
    }
    let (mut addresses, mut listeners) = (Taken::none(), Taken::none());
    for (name, entry) in file.remote {
        let span = entry.span();
        let raw = entry.into_inner();
        addresses.take(raw.address, name.clone()).map_err(|other: &RemoteName| {
            TextError::at(text, Some(span), format!("remote {name} has the address of remote {other}"))
        })?;
        let mut remote = Remote {
            address: raw.address,
            key: raw.key,
            expires: raw.expires,
            ports: raw.ports,
            plain_tor: raw.plain_tor,
            imports: BTreeMap::new(),
        };
        for entry in raw.import {
            let error = |why: String| TextError::at(text, Some(entry.span()), why);
            let import = entry.get_ref();
            if remote.imports.contains_key(&import.listen) {
                return Err(error(format!("{} is imported to twice", import.listen)));
            }
            listeners.take(import.listen.clone(), (import.remote_port, name.clone())).map_err(
                |(port, remote): &(Port, RemoteName)| {
                    error(format!("{} is taken by the import of port {port} of {remote}", import.listen))
                },
            )?;
            check_socks(&config, &import.listen).map_err(error)?;
            let users = if import.only_me { Users::Me } else { Users::All };
            let raw::Import { remote_port, half_close, session, hold, .. } = *import;
            remote
                .imports
                .insert(import.listen.clone(), Import { remote_port, half_close, users, session, hold });
        }
        config.remotes.insert(name, remote);
    }
    for (name, entry) in file.request {
        config.requests.insert(name, entry.get_ref().key);
    }
    Ok(config)
}

/// What is taken and by whom: looked up, so that many entries cost no more for each. Only the same excludes each other: listeners that
/// merely overlap were taken in earlier versions, and the agent says which one is blocked.
struct Taken<K, V>(BTreeMap<K, V>);

impl<K: Ord, V> Taken<K, V> {
    fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes a thing. Errors: who has it.
    fn take(&mut self, thing: K, by: V) -> Result<(), &V> {
        match self.0.entry(thing) {
            Entry::Vacant(free) => {
                free.insert(by);
                Ok(())
            }
            Entry::Occupied(taken) => Err(taken.into_mut()),
        }
    }
}

fn check_socks(config: &Config, listen: &ListenAddr) -> Result<(), String> {
    if let (ListenAddr::Tcp(addr), Some(socks)) = (listen, config.agent.socks_addr)
        && *addr == socks
    {
        return Err(format!("{listen} is the agent's SOCKS address"));
    }
    Ok(())
}

/// Serde's messages may go over several lines; the first one says it.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use zeroize::Zeroizing;

    use super::*;
    use crate::model::keys::{ClientKey, ServiceKey};
    use crate::model::proved::PROOFS;

    /// A configuration with this many remotes, each with an import.
    fn remotes(numbers: Range<u8>) -> String {
        let mut text = format!("instance = \"{}\"\n", InstanceId::from_random([7; 10]).as_str());
        for number in numbers {
            let mut seed = [number; 32];
            seed[0] = 77;
            let address = ServiceKey::from_seed(&Zeroizing::new(seed)).address();
            let key = ClientKey::from_bytes(&seed).unwrap().public();
            text += &format!("[remote.r{number}]\naddress = \"{address}\"\nkey = \"{key}\"\n");
            text += &format!(
                "[[remote.r{number}.import]]\nremote-port = 22\nlisten = \"127.0.0.1:{}\"\n",
                2000 + u16::from(number)
            );
        }
        text
    }

    #[test]
    fn a_key_is_proved_once_however_often_it_is_read() {
        let fresh = InstanceId::from_random([7; 10]);
        for (numbers, unknown) in [(0..10, 10), (0..10, 0), (0..100, 90), (0..100, 0), (0..101, 1)] {
            let text = remotes(numbers);
            let before = PROOFS.get();
            parse(&text, &fresh).unwrap();
            assert_eq!(PROOFS.get() - before, unknown);
        }
    }

    #[test]
    fn what_excludes_each_other_is_named() {
        let fresh = InstanceId::from_random([7; 10]);
        let text = remotes(0..3);
        for (from, to, words) in [
            ("127.0.0.1:2002", "127.0.0.1:2001", "127.0.0.1:2001 is taken by the import of port 22 of r1"),
            ("127.0.0.1:2002", "127.0.0.1:9250", "127.0.0.1:9250 is the agent's SOCKS address"),
        ] {
            let error = parse(&text.replace(from, to), &fresh).unwrap_err();
            assert_eq!(error.message, words);
        }
        let address =
            |number: usize| text.lines().filter(|line| line.starts_with("address")).nth(number).unwrap();
        let error = parse(&text.replace(address(2), address(0)), &fresh).unwrap_err();
        assert_eq!(error.message, "remote r2 has the address of remote r0");
        let clients = text
            .replace("remote.r", "client.c")
            .lines()
            .filter(|line| {
                !line.contains("import]") && !line.starts_with("remote-port") && !line.starts_with("listen")
            })
            .collect::<Vec<_>>()
            .join("\n");
        let error = parse(&clients.replace(address(1), address(0)), &fresh).unwrap_err();
        assert_eq!(error.message, "client c1 has the address or the key of client c0");
    }

    thread_local! {
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    #[derive(PartialEq, Eq)]
    struct Counted(usize);

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARED.set(COMPARED.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    #[test]
    fn many_entries_cost_no_more_for_each() {
        let compared = |number| {
            COMPARED.set(0);
            let mut taken = Taken::none();
            assert!((0..number).all(|n| taken.take(Counted(n), ()).is_ok()));
            assert!(taken.take(Counted(number / 2), ()).is_err());
            COMPARED.get()
        };
        // In pairs it would be a hundred times as much.
        assert!(
            compared(1000) < 20 * compared(100),
            "{} for 100, {} for 1000",
            compared(100),
            compared(1000)
        );
    }

    #[test]
    fn fuzzed_configurations_are_read_or_refused_with_their_place() {
        let address = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";
        let key = crate::model::keys::ClientKey::from_bytes(&[9; 32]).unwrap().public().to_string();
        let whole = format!(
            "version = 1\ninstance = \"aaaaaaaaaaaaaaaa\"\n\n[agent]\nsocks-addr = \"127.0.0.1:9250\"\nmax-sessions = 512\n\n\
             [[export]]\ntarget = \"127.0.0.1:22\"\n\n[[export]]\nport = 80\ntarget = \"unix:/run/web\"\nclients = [\"laptop\"]\n\n\
             [client.laptop]\naddress = \"{address}\"\nkey = \"{key}\"\nports = [22]\nexpires = \"2030-01-31\"\n\n\
             [remote.web]\naddress = \"{address}\"\nkey = \"{key}\"\n\n[[remote.web.import]]\nport = 80\nlisten = \"127.0.0.1:8080\"\n"
        );
        let fresh = InstanceId::from_random([0; 10]);
        let samples = [whole.as_str(), "", "[[export]]\ntarget = \"22\"\n", "[request.web]\nkey = \"x\"\n"];
        support::fuzz("configurations", &samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Err(error) = parse(&text, &fresh) {
                assert!(!error.to_string().is_empty());
            }
        });
    }
}
