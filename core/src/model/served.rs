//! What listens on this machine and could be exported: of all that listens, one target for each port. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::address::{Port, Target};
use super::config::Config;

/// A port of this machine that a program listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Served {
    /// The port.
    pub port: Port,
    /// What an export of it leads to.
    pub target: Target,
    /// The program's name; none where this user can't see whose it is: another user's, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub program: Option<String>,
}

/// The longest name of a program that is shown.
const NAME: usize = 40;

/// What could be exported, by port, of all that listens: each address with the name of its program, where that is known.
///
/// What is exported already is left out, and so is what an export can't reach: an address of another interface alone.
pub fn of(listening: impl IntoIterator<Item = (SocketAddr, Option<String>)>, config: &Config) -> Vec<Served> {
    let exported: BTreeSet<Port> = config
        .exports
        .values()
        .filter(|export| export.target.is_local())
        .filter_map(|export| export.target.port())
        .collect();
    let mut best: BTreeMap<Port, (Reach, Option<String>)> = BTreeMap::new();
    for (addr, program) in listening {
        let (Some(port), Some(reach)) = (Port::new(addr.port()), Reach::of(addr.ip())) else { continue };
        let program = program.map(|name| plain(&name)).filter(|name| !name.is_empty());
        let known = best.remove(&port);
        let (reach, program) = match known {
            Some((other, name)) if other <= reach => (other, name.or(program)),
            Some((_, name)) => (reach, program.or(name)),
            None => (reach, program),
        };
        best.insert(port, (reach, program));
    }
    best.into_iter()
        .filter(|(port, _)| !exported.contains(port) && *port != Port::RESPONDER)
        .filter_map(|(port, (reach, program))| Some(Served { port, target: reach.target(port)?, program }))
        .collect()
}

/// By which address a listener is reached; of several for a port, the first is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    V4,
    /// It listens everywhere by IPv6, and perhaps by IPv4: `localhost` tries both.
    Both,
    V6,
    /// Another loopback address, such as 127.0.0.53.
    Other(Ipv4Addr),
}

impl Reach {
    fn of(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED | Ipv4Addr::LOCALHOST) => Some(Self::V4),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Self::Both),
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(Self::V6),
            IpAddr::V4(ip) if ip.is_loopback() => Some(Self::Other(ip)),
            _ => None,
        }
    }

    fn target(self, port: Port) -> Option<Target> {
        let text = match self {
            Self::V4 => port.to_string(),
            Self::Both => format!("localhost:{port}"),
            Self::V6 => format!("[::1]:{port}"),
            Self::Other(ip) => format!("{ip}:{port}"),
        };
        text.parse().ok()
    }
}

/// A program chooses its name itself: it must not steer a terminal, nor fill a line.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(NAME).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::{Export, InstanceId};

    fn found(all: &[(&str, Option<&str>)], config: &Config) -> Vec<(String, Option<String>)> {
        let all = all.iter().map(|(addr, name)| (addr.parse().unwrap(), name.map(str::to_owned)));
        of(all, config).into_iter().map(|one| (one.target.to_string(), one.program)).collect()
    }

    #[test]
    fn each_port_is_offered_once_by_the_address_that_reaches_it() {
        let config = Config::new(InstanceId::from_random([0; 10]));
        let seen = [
            ("0.0.0.0:22", None),
            ("[::]:22", Some("sshd")),
            ("[::]:3000", Some("node")),
            ("[::1]:631", Some("cupsd")),
            ("127.0.0.1:631", Some("cupsd")),
            ("[::1]:8080", Some("java")),
            ("127.0.0.53:53", Some("resolved")),
            ("192.168.1.5:445", Some("smbd")),
            ("127.0.0.1:1", Some("tcpmux")),
            ("[::ffff:127.0.0.1]:5432", Some("postgres")),
        ];
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(
            found(&seen, &config),
            [
                ("127.0.0.1:22".to_owned(), name("sshd")),
                ("127.0.0.53:53".to_owned(), name("resolved")),
                ("127.0.0.1:631".to_owned(), name("cupsd")),
                ("localhost:3000".to_owned(), name("node")),
                ("127.0.0.1:5432".to_owned(), name("postgres")),
                ("[::1]:8080".to_owned(), name("java")),
            ]
        );
    }

    #[test]
    fn what_is_exported_already_is_left_out_under_whatever_port_clients_have_it() {
        let mut config = Config::new(InstanceId::from_random([0; 10]));
        let export =
            |target: &str| Export { target: target.parse().unwrap(), allow_lan: true, clients: None };
        config.exports.insert("80".parse().unwrap(), export("3000"));
        config.exports.insert("22".parse().unwrap(), export("192.168.1.9:22"));
        let seen = [("127.0.0.1:3000", Some("node")), ("127.0.0.1:22", None)];
        assert_eq!(found(&seen, &config), [("127.0.0.1:22".to_owned(), None)]);
    }

    #[test]
    fn a_name_that_would_steer_a_terminal_or_fill_a_line_does_not() {
        let config = Config::new(InstanceId::from_random([0; 10]));
        let long = "x".repeat(500);
        for (name, shown) in [
            ("a\u{1b}[2J\nb", Some("a[2Jb".to_owned())),
            (" \n", None),
            (long.as_str(), Some("x".repeat(NAME))),
        ] {
            assert_eq!(found(&[("127.0.0.1:80", Some(name))], &config), [("127.0.0.1:80".to_owned(), shown)]);
        }
    }
}
