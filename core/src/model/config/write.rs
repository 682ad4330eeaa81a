//! Writes the configuration's text form, TOML: touches only what differs, and keeps the user's comments and order.

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::{AgentSettings, Config, DEFAULT_SOCKS, HalfClose, Remote, Users, VERSION, parse_socks};
use crate::model::address::{ListenAddr, Port, Target};
use crate::model::bridge::Bridge;
use crate::model::hold::{Hold, Session};
use crate::model::name::ClientName;

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
    let default = AgentSettings::default();
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
        ("sessions", (agent.sessions != default.sessions).then(|| agent.sessions.into())),
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
            item.and_then(Item::as_integer) == Some(AgentSettings::default().max_sessions.into())
        }
        "sessions" => item.and_then(Item::as_bool) == Some(AgentSettings::default().sessions),
        "socks-users" => text == Some(Users::default().as_str()),
        _ => false,
    }
}

fn write_exports(root: &mut Table, config: &Config) {
    let port_of = |table: &Table| -> Option<Port> {
        let target = table.get("target")?.as_str()?.parse::<Target>().ok()?;
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
        let session = match import.session {
            Session::On => table.contains_key("session").then_some("on"),
            Session::Off => Some("off"),
        };
        set(table, "session", session.map(Into::into));
        let hold = (import.hold != Hold::default() || table.contains_key("hold")).then_some(import.hold);
        if table.get("hold").and_then(Item::as_str).and_then(|text| text.parse().ok()) != hold {
            set(table, "hold", hold.map(|hold| hold.to_string().into()));
        }
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
mod tests;
