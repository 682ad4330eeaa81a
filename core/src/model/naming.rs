//! Which names a new client or remote can have, and the changes that give another name to one that is there. Pure: keys, addresses and
//! imports stay, and so does who may reach what.

use std::collections::BTreeMap;

use super::config::Config;
use super::name::{ClientName, RemoteName};
use super::problem::{Code, Problem, Subject};

/// Names that programs take for this machine, whatever they are asked to connect through (RFC 6761 §6.3, and Debian's /etc/hosts), and our own.
const THIS_MACHINE: [&str; 6] =
    ["localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "ormesh"];

/// Whether a client that is new, or that has been `old` so far, can have a name.
pub(super) fn check_client(
    config: &Config,
    name: &ClientName,
    old: Option<&ClientName>,
) -> Result<(), Problem> {
    check(config.clients.keys(), name, old)
}

/// The same of a remote, or of a request for one. Its name is a host name to ssh, browsers and the SOCKS address.
pub(super) fn check_remote(
    config: &Config,
    name: &RemoteName,
    old: Option<&RemoteName>,
) -> Result<(), Problem> {
    if THIS_MACHINE.iter().any(|taken| taken.eq_ignore_ascii_case(name.as_str())) {
        return Err(Problem::new(
            Code::NotAllowed,
            format!("a remote can't be called {name}: that means this machine"),
        )
        .hint("choose another name, as in website"));
    }
    check(config.remotes.keys().chain(config.requests.keys()), name, old)
}

/// Host names have no case, and people don't see it: two that differ in nothing else would be taken for each other.
fn check<'a, N>(there: impl Iterator<Item = &'a N>, name: &N, old: Option<&N>) -> Result<(), Problem>
where
    N: Clone + PartialEq + ToString + Into<Subject> + 'a,
{
    let new = name.to_string();
    let mut others = there.filter(|other| Some(*other) != old);
    let Some(other) = others.find(|other| other.to_string().eq_ignore_ascii_case(&new)) else {
        return Ok(());
    };
    let (what, other) = (name.clone().into().noun(), other.to_string());
    let message = match other == new {
        true => format!("there is a {what} {other} already"),
        false => format!("there is a {what} {other} already, and case makes no other name of it"),
    };
    Err(Problem::new(Code::AlreadyThere, message).hint("choose another name"))
}

/// Gives a client that is there another name, also in the lists of exports that are for it.
pub(super) fn rename_client(config: &mut Config, old: &ClientName, new: &ClientName) {
    rename(&mut config.clients, old, new);
    for clients in config.exports.values_mut().filter_map(|export| export.clients.as_mut()) {
        // A name that is left over from a client of before lets nobody in.
        match clients.remove(old) {
            true => clients.insert(new.clone()),
            false => clients.remove(new),
        };
    }
}

/// Gives a remote, or a request that waits, another name.
pub(super) fn rename_remote(config: &mut Config, old: &RemoteName, new: &RemoteName) {
    rename(&mut config.remotes, old, new);
    rename(&mut config.requests, old, new);
}

fn rename<K: Ord + Clone, V>(all: &mut BTreeMap<K, V>, old: &K, new: &K) {
    if let Some(value) = all.remove(old) {
        all.insert(new.clone(), value);
    }
}
