//! The configuration's text form, TOML: read strictly with line and column, written back with the user's comments kept.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::{
    Client, Config, DEFAULT_SOCKS, Export, HalfClose, Import, InstanceId, MAX_CLIENTS, MAX_EXPORTS, Remote,
    Users, VERSION, raw,
};
use crate::model::address::{ListenAddr, Port};
use crate::model::bridge::Bridge;
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

/// Reads `agent.socks-addr`: an address, or `off`.
pub fn parse_socks(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    match text.parse::<ListenAddr>() {
        Ok(ListenAddr::Tcp(addr)) => Ok(Some(addr)),
        Ok(ListenAddr::Unix(_)) => Err(format!("the SOCKS address is ADDRESS:PORT or off, not {text:?}")),
        Err(error) => Err(error.to_string()),
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
        check_export(&config, port, target, *allow_lan).map_err(error)?;
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
            let raw::Import { remote_port, half_close, .. } = *import;
            remote.imports.insert(import.listen.clone(), Import { remote_port, half_close, users });
        }
        config.remotes.insert(name, remote);
    }
    for (name, entry) in file.request {
        config.requests.insert(name, entry.get_ref().key);
    }
    Ok(config)
}

/// The rules that a new export meets, apart from its own types.
pub(in crate::model) fn check_export(
    config: &Config,
    port: Port,
    target: &crate::model::address::Target,
    allow_lan: bool,
) -> Result<(), String> {
    if port == Port::RESPONDER {
        return Err("port 1 is answered by ormesh itself and can't be exported".into());
    }
    if !target.is_local() && !allow_lan {
        return Err(format!("{target} is not on this host, and it was not allowed to leave it (allow-lan)"));
    }
    if let Some(export) = config.exports.get(&port) {
        return Err(format!("port {port} is exported already, as {}", export.target));
    }
    if config.exports.len() >= MAX_EXPORTS {
        return Err(format!("there can be at most {MAX_EXPORTS} exports"));
    }
    Ok(())
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

/// Writes a configuration into a document so that it reads as `config`, touching only what differs.
///
/// Comments and the order of what stays are kept. The caller parses the result again before it is used.
pub fn write(document: &mut DocumentMut, config: &Config) {
    let root = document.as_table_mut();
    if !root.contains_key("version") {
        set(root, "version", Some(VERSION.into()));
    }
    set(root, "instance", Some(config.instance.as_str().into()));

    let agent = &config.agent;
    let default = super::AgentSettings::default();
    let socks = match agent.socks_addr {
        Some(addr) if addr == DEFAULT_SOCKS => None,
        Some(addr) => Some(addr.to_string().into()),
        None => Some("off".into()),
    };
    let entries = [
        ("socks-addr", socks),
        ("tor-path", agent.tor_path.as_ref().map(|path| path.display().to_string().into())),
        ("secrets", agent.secrets.map(|kind| kind.to_string().into())),
        (
            "socks-users",
            (agent.socks_users != default.socks_users).then(|| agent.socks_users.as_str().into()),
        ),
        (
            "max-sessions",
            (agent.max_sessions != default.max_sessions).then(|| i64::from(agent.max_sessions).into()),
        ),
        ("bridges", bridges(&agent.bridges)),
    ];
    let wanted = &agent.bridges;
    if root.contains_key("agent") || entries.iter().any(|(_, value)| value.is_some()) {
        let agent = child(root, "agent", false);
        for (key, value) in entries {
            if key == "bridges" && says(agent.get(key), wanted) {
                continue;
            }
            // A default that the user wrote out stays written out.
            if value.is_some() || !is_default(key, agent.get(key)) {
                set(agent, key, value);
            }
        }
    }

    write_exports(root, config);
    write_map(root, "client", &config.clients, |table, client| {
        set_text(table, "address", &client.address);
        set_text(table, "key", &client.key);
        set(table, "ports", client.ports.as_ref().map(ports));
        set(table, "expires", client.expires.map(|day| day.to_string().into()));
        set(table, "requested", client.requested.then(|| true.into()));
    });
    write_map(root, "remote", &config.remotes, |table, remote| {
        set_text(table, "address", &remote.address);
        set_text(table, "key", &remote.key);
        set(table, "expires", remote.expires.map(|day| day.to_string().into()));
        set(table, "ports", (!remote.ports.is_empty()).then(|| ports(&remote.ports)));
        set(table, "plain-tor", remote.plain_tor.then(|| true.into()));
        write_imports(table, remote);
    });
    write_map(root, "request", &config.requests, |table, key| {
        set_text(table, "key", key);
    });
}

fn is_default(key: &str, item: Option<&Item>) -> bool {
    let text = item.and_then(Item::as_str);
    match key {
        "socks-addr" => text.is_some_and(|text| parse_socks(text) == Ok(Some(DEFAULT_SOCKS))),
        "max-sessions" => {
            item.and_then(Item::as_integer) == Some(super::AgentSettings::default().max_sessions.into())
        }
        "socks-users" => text == Some(Users::default().as_str()),
        _ => false,
    }
}

fn write_exports(root: &mut Table, config: &Config) {
    let port_of = |table: &Table| -> Option<Port> {
        let target = table.get("target")?.as_str()?.parse::<crate::model::address::Target>().ok()?;
        let given = table.get("port").and_then(Item::as_integer);
        given.map_or(target.port(), |port| Port::try_from(port).ok())
    };
    let wanted = config.exports.iter().map(|(port, export)| (*port, export)).collect();
    write_list(root, "export", wanted, port_of, |table, port, export| {
        set_text(table, "target", &export.target);
        let differs = export.target.port() != Some(*port);
        set(table, "port", (differs || table.contains_key("port")).then(|| i64::from(port.get()).into()));
        set(table, "allow-lan", export.allow_lan.then(|| true.into()));
        let names =
            |clients: &BTreeSet<ClientName>| clients.iter().map(ClientName::as_str).collect::<Array>();
        set(table, "clients", export.clients.as_ref().map(|clients| Value::Array(names(clients))));
    });
}

fn write_imports(remote_table: &mut Table, remote: &Remote) {
    let listen_of = |table: &Table| table.get("listen")?.as_str()?.parse::<ListenAddr>().ok();
    let wanted = remote.imports.iter().map(|(listen, import)| (listen.clone(), import)).collect();
    write_list(remote_table, "import", wanted, listen_of, |table, listen, import| {
        set(table, "remote-port", Some(i64::from(import.remote_port.get()).into()));
        set_text(table, "listen", listen);
        let half_close = match import.half_close {
            HalfClose::Hold => table.contains_key("half-close").then_some("hold"),
            HalfClose::Pass => Some("pass"),
        };
        set(table, "half-close", half_close.map(Into::into));
        set(table, "only-me", (import.users == Users::Me).then(|| true.into()));
    });
}

/// Makes a map of tables hold exactly `wanted`.
fn write_map<K: ToString + Ord, V>(
    root: &mut Table,
    key: &str,
    wanted: &BTreeMap<K, V>,
    mut fill: impl FnMut(&mut Table, &V),
) {
    if wanted.is_empty() && !root.contains_key(key) {
        return;
    }
    let names: BTreeSet<String> = wanted.keys().map(K::to_string).collect();
    let map = child(root, key, true);
    map.retain(|name, _| names.contains(name));
    for (name, entry) in wanted {
        fill(child(map, &name.to_string(), false), entry);
    }
    if wanted.is_empty() {
        root.remove(key);
    }
}

/// Makes an array of tables hold exactly `wanted`, each found again by `key_of`.
fn write_list<K: Ord, V>(
    parent: &mut Table,
    key: &str,
    wanted: BTreeMap<K, V>,
    key_of: impl Fn(&Table) -> Option<K>,
    mut fill: impl FnMut(&mut Table, &K, &V),
) {
    // Inline forms (`export = [{ … }]`) become the ordinary form once they are touched.
    if let Some(inline) = parent.get(key).and_then(Item::as_array) {
        let tables =
            inline.iter().filter_map(Value::as_inline_table).map(|inline| inline.clone().into_table());
        let tables: ArrayOfTables = tables.collect();
        parent.insert(key, Item::ArrayOfTables(tables));
    }
    if wanted.is_empty() {
        parent.remove(key);
        return;
    }
    let entry = parent.entry(key).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(list) = entry.as_array_of_tables_mut() else { return };
    list.retain(|table| key_of(table).is_some_and(|key| wanted.contains_key(&key)));
    let mut places = BTreeMap::new();
    for (at, table) in list.iter().enumerate() {
        if let Some(key) = key_of(table) {
            places.entry(key).or_insert(at);
        }
    }
    for (key, entry) in &wanted {
        match places.get(key).and_then(|at| list.get_mut(*at)) {
            Some(table) => fill(table, key, entry),
            None => {
                let mut table = Table::new();
                fill(&mut table, key, entry);
                list.push(table);
            }
        }
    }
}

/// The table under `key`, made when it is missing; an inline one is opened up.
fn child<'a>(parent: &'a mut Table, key: &str, implicit: bool) -> &'a mut Table {
    let item = parent.entry(key).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(implicit);
        Item::Table(table)
    });
    if let Some(inline) = item.as_inline_table() {
        *item = Item::Table(inline.clone().into_table());
    }
    if !item.is_table() {
        *item = Item::Table(Table::new());
    }
    item.as_table_mut().expect("it was made a table above")
}

/// A line for each, since they are long.
fn bridges(bridges: &[Bridge]) -> Option<Value> {
    let mut array: Array = bridges.iter().map(ToString::to_string).collect();
    array.iter_mut().for_each(|bridge| bridge.decor_mut().set_prefix("\n    "));
    array.set_trailing("\n");
    array.set_trailing_comma(true);
    (!bridges.is_empty()).then_some(Value::Array(array))
}

/// Whether an array says these bridges already, in whatever form.
fn says(item: Option<&Item>, bridges: &[Bridge]) -> bool {
    let read = |array: &Array| {
        array.iter().map(|bridge| bridge.as_str()?.parse().ok()).collect::<Option<Vec<Bridge>>>()
    };
    item.and_then(Item::as_array).and_then(read).is_some_and(|said| said == bridges)
}

fn ports(ports: &BTreeSet<Port>) -> Value {
    Value::Array(ports.iter().map(|port| i64::from(port.get())).collect::<Array>())
}

/// Sets a text unless the one that is there means the same (`22` for `127.0.0.1:22`).
fn set_text<T: std::str::FromStr + PartialEq + ToString>(table: &mut Table, key: &str, new: &T) {
    let old = table.get(key).and_then(Item::as_str).and_then(|text| text.parse().ok());
    if old.as_ref() != Some(new) {
        set(table, key, Some(new.to_string().into()));
    }
}

/// Sets, changes or removes a value; one that is the same already keeps its decoration.
fn set(table: &mut Table, key: &str, new: Option<Value>) {
    let Some(mut new) = new else {
        table.remove(key);
        return;
    };
    match table.get_mut(key) {
        Some(Item::Value(old)) if plain(old) == plain(&new) => {}
        Some(Item::Value(old)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        _ => {
            table.insert(key, value(new));
        }
    }
}

fn plain(value: &Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    match &value {
        Value::String(text) => format!("{:?}", text.value()),
        Value::Array(array) => array.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
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
}
