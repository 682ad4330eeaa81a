//! Who may reach what, and whom a change lets in, as sentences for the person who makes the change. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::address::Port;
use super::config::{Config, Export};
use super::day::Day;
use super::name::ClientName;

/// Names that a sentence lists; the rest are counted.
const NAMED: usize = 10;

/// The ports that each client may reach on a day; none when its last day is over.
fn reaches(config: &Config, today: Day) -> BTreeMap<&ClientName, BTreeSet<Port>> {
    let clients =
        config.clients.iter().filter(|(_, client)| client.expires.is_none_or(|day| !day.is_over(today)));
    clients.map(|(name, client)| (name, config.granted_ports(name, client))).collect()
}

/// Says who can reach more than before: a sentence for each set of ports that somebody gained.
pub fn gained(old: &Config, new: &Config, today: Day) -> Vec<String> {
    told(old, new, today, "can now reach")
}

/// Says who can reach less than before, in the same way.
pub fn lost(old: &Config, new: &Config, today: Day) -> Vec<String> {
    told(new, old, today, "can no longer reach")
}

/// Says who reaches more by one configuration than by another.
fn told(less: &Config, more: &Config, today: Day, verb: &str) -> Vec<String> {
    let lesser = reaches(less, today);
    let mut by_ports: BTreeMap<BTreeSet<Port>, Vec<&ClientName>> = BTreeMap::new();
    for (name, mut ports) in reaches(more, today) {
        if let Some(others) = lesser.get(name) {
            ports.retain(|port| !others.contains(port));
        }
        if !ports.is_empty() {
            by_ports.entry(ports).or_default().push(name);
        }
    }
    by_ports
        .iter()
        .map(|(ports, names)| format!("{} {verb} {}", name_list(names), port_list(ports)))
        .collect()
}

/// Says which exports are for nobody any more, as their last client is gone.
pub fn orphaned(old: &Config, new: &Config) -> Option<String> {
    let is_orphan = |port: &&Port| {
        let clients = |config: &Config| {
            config.exports.get(port).and_then(|export| export.clients.as_ref()).map(BTreeSet::is_empty)
        };
        clients(old) == Some(false) && clients(new) == Some(true)
    };
    let ports: BTreeSet<Port> = new.exports.keys().filter(is_orphan).copied().collect();
    let (is, it) = if ports.len() == 1 { ("is", "it") } else { ("are", "them") };
    let hint =
        ports.first().map(|port| format!("`ormesh export set {port} --client NAME` gives {it} another one"));
    hint.map(|hint| format!("{} {is} for no client now; {hint}", port_list(&ports)))
}

/// Says what a client that was added without a list of ports can reach, now and later.
pub fn of_all(config: &Config, name: &ClientName) -> Option<String> {
    let client = config.clients.get(name).filter(|client| client.ports.is_none())?;
    let now = config.granted_ports(name, client);
    Some(match now.is_empty() {
        true => format!("{name} will be able to reach every port that is exported for all"),
        false => {
            format!("{name} can reach {}, and every port that is exported later for all", port_list(&now))
        }
    })
}

/// For whom an export is, in words.
pub fn whom(export: &Export) -> String {
    match &export.clients {
        None => "all clients".into(),
        Some(clients) if clients.is_empty() => "no client".into(),
        Some(clients) => format!("{} only", name_list(&clients.iter().collect::<Vec<_>>())),
    }
}

fn name_list(names: &[&ClientName]) -> String {
    match names.split_at_checked(NAMED) {
        Some((named, more @ [_, ..])) => format!("{} and {} more", comma(named), more.len()),
        _ => joined(names),
    }
}

fn port_list(ports: &BTreeSet<Port>) -> String {
    let ports: Vec<&Port> = ports.iter().collect();
    format!("{} {}", if ports.len() == 1 { "port" } else { "ports" }, joined(&ports))
}

fn comma<T: ToString>(all: &[&T]) -> String {
    all.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

fn joined<T: ToString>(all: &[&T]) -> String {
    match all {
        [before @ .., last] if !before.is_empty() => format!("{} and {}", comma(before), last.to_string()),
        _ => comma(all),
    }
}

#[cfg(test)]
mod tests;
