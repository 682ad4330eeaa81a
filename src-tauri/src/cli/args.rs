//! Arguments as typed, parsed at once into the core's words. Each refusal is a sentence and a hint, and quotes no invite.

use std::collections::BTreeSet;

use ormesh_core::agent::own_day;
use ormesh_core::model::address::{ListenAddr, Port, Target};
use ormesh_core::model::day::Day;
use ormesh_core::model::name::{ClientName, RemoteName};
use ormesh_core::model::onion::OnionAddress;
use ormesh_core::model::problem::Problem;
use ormesh_core::model::store_kind::StoreKind;
use ormesh_core::model::typed::{may_be_secret, no_invite, parse, usage};

pub(crate) use ormesh_core::model::typed::request;

/// The longest argument that is quoted back: longer ones are no typing mistake, and may be a key.
const QUOTABLE: usize = 80;

/// Reads a client's name.
pub(crate) fn client_name(text: &str) -> Result<ClientName, Problem> {
    parse(text, "as in my-MacBook")
}

/// Reads a remote's name.
pub(crate) fn remote_name(text: &str) -> Result<RemoteName, Problem> {
    parse(text, "as in website")
}

/// Reads a port.
pub(crate) fn port(text: &str) -> Result<Port, Problem> {
    parse(text, "as in 22")
}

/// Reads an export's target.
pub(crate) fn target(text: &str) -> Result<Target, Problem> {
    if is_number(text) {
        port(text)?;
    }
    parse(text, "as in 22, 127.0.0.1:8080, 192.168.1.10:8123 or unix:/run/app.sock")
}

/// Reads a listening address.
pub(crate) fn listen(text: &str) -> Result<ListenAddr, Problem> {
    parse(text, "as in 127.0.0.1:10022, [::1]:10022, 10022 or unix:/run/user/1000/app.sock")
}

/// Reads the name of a secret store.
pub(crate) fn store_kind(text: &str) -> Result<StoreKind, Problem> {
    parse(text, "ormesh secrets status shows the one in use")
}

/// Reads a last day, which must not be over where the user is.
pub(crate) fn expiry(text: &str) -> Result<Day, Problem> {
    own_day::expiry(no_invite(text)?)
}

/// An export as `export delete` takes it: by the port that clients see, or by where it leads.
#[derive(Clone)]
pub(crate) enum ExportRef {
    /// The virtual port.
    Port(Port),
    /// The target, as `status` lists it.
    Target(Target),
}

/// Reads an export: a number is its port.
pub(crate) fn export_ref(text: &str) -> Result<ExportRef, Problem> {
    match is_number(text) {
        true => port(text).map(ExportRef::Port),
        false => target(text).map(ExportRef::Target),
    }
}

/// A remote as dialers take it: ssh and `ormesh nc` are given onion addresses by `remote ssh-config`.
#[derive(Clone)]
pub(crate) enum RemoteRef {
    /// Its name here.
    Name(RemoteName),
    /// Its address.
    Address(OnionAddress),
}

/// Reads a remote's name or onion address.
pub(crate) fn remote_ref(text: &str) -> Result<RemoteRef, Problem> {
    match text.to_ascii_lowercase().ends_with(".onion") {
        true => parse(text, "ormesh remote list shows the addresses").map(RemoteRef::Address),
        false => remote_name(text).map(RemoteRef::Name),
    }
}

/// Ports to grant.
#[derive(Clone)]
pub(crate) enum PortOrAll {
    /// This one.
    Port(Port),
    /// Every port that is exported, now and later.
    All,
}

/// Reads a port or `all`.
pub(crate) fn port_or_all(text: &str) -> Result<PortOrAll, Problem> {
    match text {
        "all" => Ok(PortOrAll::All),
        _ => parse(text, "as in 22, or all").map(PortOrAll::Port),
    }
}

/// The ports of repeated `--port` options; all of them when `all` is among them. None when none was given.
pub(crate) fn granted(ports: Vec<PortOrAll>) -> Option<Option<BTreeSet<Port>>> {
    let each = ports.iter().map(|port| match port {
        PortOrAll::Port(port) => Some(*port),
        PortOrAll::All => None,
    });
    (!ports.is_empty()).then(|| each.collect())
}

/// An end to access, or none.
#[derive(Clone)]
pub(crate) enum DayOrNever {
    /// The last day.
    Day(Day),
    /// No end.
    Never,
}

impl DayOrNever {
    /// The last day, if there is one.
    pub(crate) fn day(self) -> Option<Day> {
        match self {
            Self::Day(day) => Some(day),
            Self::Never => None,
        }
    }
}

/// Reads a last day or `never`.
pub(crate) fn day_or_never(text: &str) -> Result<DayOrNever, Problem> {
    match text {
        "never" => Ok(DayOrNever::Never),
        _ => expiry(text).map(DayOrNever::Day),
    }
}

/// Reads a word that is quoted when it makes no sense, so that it can't be an invite.
pub(crate) fn word(text: &str) -> Result<String, Problem> {
    no_invite(text).map(str::to_owned)
}

/// Reads a count or a number of seconds.
pub(crate) fn number(text: &str) -> Result<u32, Problem> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    digits.ok_or_else(|| usage(format!("this is a whole number, not {}", quoted(text)), "as in 60"))
}

/// An argument as it may be said back, in quotes: all but an invite or a key.
pub(crate) fn quoted(text: &str) -> String {
    match may_be_secret(text) || text.len() > QUOTABLE {
        true => format!("{} characters that are not shown", text.chars().count()),
        false => format!("{text:?}"),
    }
}

fn is_number(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit()) && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_not_said_back() {
        assert!(expiry("ormesh1qqqsecret").unwrap_err().message.starts_with("an invite"));
        assert!(!quoted("Here it is: ormesh1qqqsecret").contains("secret"));
    }

    #[test]
    fn a_granted_port_list_is_none_all_or_some() {
        assert!(granted(vec![]).is_none());
        assert_eq!(granted(vec![port_or_all("all").unwrap()]), Some(None));
        let some = ["22", "80", "22"].map(|text| port_or_all(text).unwrap());
        assert_eq!(granted(some.to_vec()).unwrap().unwrap().len(), 2);
    }

    #[test]
    fn a_day_that_is_over_is_no_expiry() {
        assert!(expiry("2020-01-01").is_err());
        assert!(expiry("0d").is_ok());
        assert!(matches!(day_or_never("never"), Ok(DayOrNever::Never)));
    }
}
