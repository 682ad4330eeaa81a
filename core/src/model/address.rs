//! Ports, export targets and listening addresses: what people type, parsed strictly.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest path of a Unix socket, in bytes (`sun_path` of unix(7), less the closing zero byte; macOS has 104).
pub const MAX_SOCKET_PATH: usize = 103;

/// Why a text is not a port, a target or a listening address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a number from 1 to 65535.
    #[error("a port is a number from 1 to 65535, not {0:?}")]
    Port(String),
    /// Neither a port, an address with a port nor `unix:PATH`.
    #[error("{0:?} is not [ADDRESS:]PORT or unix:PATH")]
    Form(String),
    /// An IPv6 address without brackets.
    #[error("an IPv6 address is written in brackets, as in [::1]:80, not {0:?}")]
    Brackets(String),
    /// A host that is neither an IP address nor a DNS name.
    #[error("{0:?} is neither an IP address nor a host name")]
    Host(String),
    /// A listening address must be an IP address.
    #[error("a listening address is an IP address and a port, not {0:?}")]
    NotIp(String),
    /// A Unix socket path that is relative, too long, or holds a control character.
    #[error("a Unix socket is unix: and an absolute path of at most {MAX_SOCKET_PATH} bytes, not {0:?}")]
    Path(String),
    /// Unix sockets, where the system has none that programs use.
    #[error("{0:?} is a Unix socket, and there are none on Windows; give ADDRESS:PORT")]
    NoSockets(String),
    /// An IPv6 address with a zone, as in `fe80::1%eth0`: it names an interface of one machine only.
    #[error("{0:?} has a zone (what follows the %), and an address here can't have one")]
    Zone(String),
    /// UDP.
    #[error("{0:?} is UDP; ormesh carries TCP only")]
    Udp(String),
    /// A URL of more than a host and a port.
    #[error("{0:?} names a page; ormesh carries a whole port, as in http://localhost:3000")]
    Page(String),
    /// A URL without a port, whose scheme has none that is known here.
    #[error("{0:?} has no port")]
    NoPort(String),
    /// Link-local, multicast or unspecified.
    #[error("{0} can't be an export's target: it is a link-local, multicast or unspecified address")]
    Forbidden(IpAddr),
}

/// A TCP port or an onion service's virtual port: 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u16")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "number"))]
pub struct Port(NonZeroU16);

impl Port {
    /// The virtual port that the agent itself answers (the responder). It can't be exported.
    pub const RESPONDER: Self = Self(NonZeroU16::MIN);

    /// Takes 1 to 65535.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<i64> for Port {
    type Error = AddressError;
    fn try_from(number: i64) -> Result<Self, AddressError> {
        u16::try_from(number).ok().and_then(Self::new).ok_or_else(|| AddressError::Port(number.to_string()))
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> u16 {
        port.get()
    }
}

impl FromStr for Port {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.map(Self).ok_or_else(|| AddressError::Port(text.to_owned()))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The host of an export's target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name, in lower case, resolved at each connection. [`LOCALHOST`] is this host's loopback of either family.
    Name(String),
}

/// The name that is always the loopback addresses, whatever a resolver says (RFC 6761 §6.3).
pub const LOCALHOST: &str = "localhost";

/// Where an export's connections go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub enum Target {
    /// A TCP address; a port alone means 127.0.0.1.
    Tcp(Host, Port),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// Whether the target is on this host, so that no explicit permission is needed.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(Host::Ip(ip), _) => ip.to_canonical().is_loopback(),
            Self::Tcp(Host::Name(name), _) => name == LOCALHOST,
            Self::Unix(_) => true,
        }
    }

    /// The port of a TCP target: the virtual port when none is given.
    pub fn port(&self) -> Option<Port> {
        match self {
            Self::Tcp(_, port) => Some(*port),
            Self::Unix(_) => None,
        }
    }
}

/// Whether an address may never be dialled for an export: link-local (cloud metadata lives there), multicast, unspecified.
///
/// To be asked again of what a name resolves to.
pub fn is_forbidden_target(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
    }
}

/// Where an import listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub enum ListenAddr {
    /// A TCP address; a port alone means 127.0.0.1.
    Tcp(SocketAddr),
    /// A Unix socket, mode 0600.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Whether other machines can connect.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Tcp(addr) => !addr.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }

    /// Whether one of two leaves no room for the other: the same, or an unspecified address and any of its family with that port.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let any = one.ip().is_unspecified() || other.ip().is_unspecified();
                let same_family = one.is_ipv4() == other.is_ipv4();
                one.port() == other.port() && same_family && (any || one.ip() == other.ip())
            }
            _ => self == other,
        }
    }
}

fn socket_path(path: &str) -> Result<PathBuf, AddressError> {
    if cfg!(windows) {
        return Err(AddressError::NoSockets(format!("unix:{path}")));
    }
    let good = Path::new(path).is_absolute()
        && path.len() <= MAX_SOCKET_PATH
        && !path.ends_with('/')
        && !path.chars().any(char::is_control);
    if good { Ok(PathBuf::from(path)) } else { Err(AddressError::Path(path.to_owned())) }
}

/// Takes from a URL its host and port, and from `tcp:22` or `22/tcp` what is not said of others.
fn without_scheme(text: &str) -> Result<String, AddressError> {
    let lower = text.to_ascii_lowercase();
    if ["udp:", "udp6:", "udp4:"].iter().any(|udp| lower.starts_with(udp)) || lower.ends_with("/udp") {
        return Err(AddressError::Udp(text.to_owned()));
    }
    let Some((scheme, rest)) = lower.split_once("://") else {
        let plain = lower.strip_prefix("tcp:").or(lower.strip_suffix("/tcp"));
        return Ok(plain.map_or_else(|| text.to_owned(), str::to_owned));
    };
    let (host, page) = match rest.find(['/', '?', '#']).and_then(|at| rest.split_at_checked(at)) {
        Some((host, page)) => (host, page),
        None => (rest, ""),
    };
    if !matches!(page, "" | "/") {
        return Err(AddressError::Page(text.to_owned()));
    }
    // A colon in brackets belongs to an IPv6 address.
    if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        return Ok(host.to_owned());
    }
    // IANA's port numbers.
    let port = match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ssh" | "sftp" => 22,
        _ => return Err(AddressError::NoPort(text.to_owned())),
    };
    Ok(format!("{host}:{port}"))
}

/// Splits `HOST:PORT` or `[IPV6]:PORT`; a port alone has no host.
fn split(text: &str) -> Result<(Option<&str>, Port), AddressError> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(AddressError::Brackets(text.to_owned()));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            true => Ok((None, text.parse()?)),
            false => Err(AddressError::Form(text.to_owned())),
        };
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => Ok((Some(inner), port.parse()?)),
        Some(inner) if inner.contains('%') => Err(AddressError::Zone(inner.to_owned())),
        Some(inner) => Err(AddressError::Host(inner.to_owned())),
        None if host.contains(':') => Err(AddressError::Brackets(text.to_owned())),
        None if host.is_empty() => Err(AddressError::Form(text.to_owned())),
        None => Ok((Some(host), port.parse()?)),
    }
}

/// Host names as RFC 1123 §2.1 has them, and `_`, which home networks use.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A last label of digits only would be read as an odd IPv4 address by resolvers (`127.1`, `2130706433`).
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && !numeric && text.split('.').all(label)
}

/// What follows `unix:`, however that is written: a host of this name would read as a socket once it is written in lower case.
fn unix_path(text: &str) -> Option<&str> {
    let (kind, path) = text.split_once(':')?;
    kind.eq_ignore_ascii_case("unix").then_some(path)
}

impl FromStr for Target {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = unix_path(text) {
            return socket_path(path).map(Self::Unix);
        }
        let text = &without_scheme(text)?;
        let (host, port) = split(text)?;
        let host = match host {
            None => Host::Ip(Ipv4Addr::LOCALHOST.into()),
            Some(text) => match text.parse::<IpAddr>() {
                Ok(ip) if is_forbidden_target(ip) => return Err(AddressError::Forbidden(ip)),
                Ok(ip) => Host::Ip(ip),
                Err(_) if is_host_name(text) => Host::Name(text.to_ascii_lowercase()),
                Err(_) => return Err(AddressError::Host(text.to_owned())),
            },
        };
        Ok(Self::Tcp(host, port))
    }
}

impl FromStr for ListenAddr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = unix_path(text) {
            return socket_path(path).map(Self::Unix);
        }
        let text = &without_scheme(text)?;
        let (host, port) = split(text)?;
        let ip = match host {
            None => Ipv4Addr::LOCALHOST.into(),
            Some(name) if name.eq_ignore_ascii_case(LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
            Some(ip) => ip.parse().map_err(|_| AddressError::NotIp(text.to_owned()))?,
        };
        Ok(Self::Tcp(SocketAddr::new(ip, port.get())))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(Host::Ip(ip), port) => SocketAddr::new(*ip, port.get()).fmt(f),
            Self::Tcp(Host::Name(name), port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

macro_rules! text_serde {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = AddressError;
            fn try_from(text: String) -> Result<Self, AddressError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
text_serde!(Target);
text_serde!(ListenAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_round_trip_in_their_canonical_form() {
        for (text, canonical) in [
            ("22", "127.0.0.1:22"),
            ("127.0.0.1:22", "127.0.0.1:22"),
            ("LocalHost:80", "localhost:80"),
            ("[::1]:80", "[::1]:80"),
            ("192.168.1.10:8123", "192.168.1.10:8123"),
            ("NAS.lan:445", "nas.lan:445"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(target));
        }
    }

    #[test]
    fn a_url_gives_its_host_and_port() {
        for (text, canonical) in [
            ("http://192.168.1.2:3000/", "192.168.1.2:3000"),
            ("HTTP://NAS.lan", "nas.lan:80"),
            ("https://nas.lan/", "nas.lan:443"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://[::1]", "[::1]:443"),
            ("ssh://127.0.0.1", "127.0.0.1:22"),
            ("tcp://127.0.0.1:5432", "127.0.0.1:5432"),
            ("tcp:22", "127.0.0.1:22"),
            ("22/tcp", "127.0.0.1:22"),
        ] {
            assert_eq!(
                text.parse::<Target>().map(|target| target.to_string()).as_deref(),
                Ok(canonical),
                "{text}"
            );
        }
        assert_eq!("http://127.0.0.1:3000/".parse::<ListenAddr>().unwrap().to_string(), "127.0.0.1:3000");
        // The same as without the scheme, whatever that is.
        assert_eq!("http://localhost:3000/".parse::<Target>(), "localhost:3000".parse());
        for (text, sentence) in [
            ("http://127.0.0.1:3000/admin", "names a page"),
            ("http://127.0.0.1:3000?x", "names a page"),
            ("postgres://127.0.0.1", "has no port"),
            ("udp:53", "carries TCP only"),
            ("udp://127.0.0.1:53", "carries TCP only"),
            ("53/udp", "carries TCP only"),
            ("[fe80::1%lo]:80", "has a zone"),
        ] {
            let said = text.parse::<Target>().unwrap_err().to_string();
            assert!(said.contains(sentence), "{text}: {said}");
            assert_eq!(text.parse::<ListenAddr>().unwrap_err().to_string(), said);
        }
        assert!("http://user@127.0.0.1:80/".parse::<Target>().is_err());
    }

    #[test]
    fn odd_targets_are_refused_with_their_reason() {
        for text in [
            "",
            "0",
            "65536",
            "-1",
            "+22",
            "22 ",
            " 22",
            "0x16",
            "22\n",
            "a",
            ":22",
            "host",
            "host:",
            "::1",
            "::1:80",
            "[::1]",
            "[1.2.3.4]:5",
            "[::1:80",
            "a b:22",
            "127.1:80",
            "2130706433:80",
            "-a:22",
            "unix:",
            "uNix:22",
            "unix:relative",
            "unix:/a\nb",
            "unix:/dir/",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "[::ffff:169.254.169.254]:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "255.255.255.255:1",
            "99999999999999999999:1",
            "1:99999999999999999999",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn only_this_hosts_targets_need_no_permission() {
        for (text, local) in [
            ("22", true),
            ("[::1]:22", true),
            ("127.9.9.9:22", true),
            ("10.0.0.1:22", false),
            ("nas:22", false),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().is_local(), local, "{text}");
        }
    }

    #[test]
    fn an_address_without_a_host_is_no_host_that_is_wrong() {
        assert!(matches!(":22".parse::<Target>(), Err(AddressError::Form(_))));
        assert!(matches!(":22".parse::<ListenAddr>(), Err(AddressError::Form(_))));
    }

    #[test]
    fn a_port_is_digits_alone() {
        assert_eq!("22".parse::<Port>().map(Port::get), Ok(22));
        for text in ["", "+22", "-22", "0", "65536", "2 2", "ssh"] {
            assert!(text.parse::<Port>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn an_address_of_all_interfaces_leaves_no_room_in_its_family_on_its_port() {
        for (one, other, overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:81", false),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("unix:/tmp/a", "unix:/tmp/a", true),
            ("unix:/tmp/a", "unix:/tmp/b", false),
            ("unix:/tmp/a", "127.0.0.1:80", false),
        ] {
            let [a, b] = [one, other].map(|text| text.parse::<ListenAddr>().unwrap());
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (overlap, overlap), "{one} and {other}");
        }
    }

    #[test]
    fn listening_addresses_know_whether_others_can_connect() {
        for (text, canonical, public) in [
            ("10022", "127.0.0.1:10022", false),
            ("0.0.0.0:25", "0.0.0.0:25", true),
            ("[::]:25", "[::]:25", true),
            ("[::1]:25", "[::1]:25", false),
            ("unix:/tmp/s", "unix:/tmp/s", false),
        ] {
            let addr: ListenAddr = text.parse().unwrap();
            assert_eq!((addr.to_string().as_str(), addr.is_public()), (canonical, public));
        }
        assert!("example.org:25".parse::<ListenAddr>().is_err());
    }

    #[test]
    fn fuzzed_words_are_read_or_refused() {
        let samples = [
            "127.0.0.1:22",
            "[::1]:80",
            "localhost:443",
            "unix:/run/web.sock",
            "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion",
            "my-MacBook",
            "2030-01-31",
            "30d",
        ];
        support::fuzz("addresses, names and days", &samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            // What is written of it is read as the same.
            if let Ok(target) = text.parse::<Target>() {
                assert_eq!(target.to_string().parse(), Ok(target));
            }
            if let Ok(listen) = text.parse::<ListenAddr>() {
                assert_eq!(listen.to_string().parse(), Ok(listen));
            }
            if let Ok(port) = text.parse::<Port>() {
                assert_eq!(port.to_string().parse(), Ok(port));
            }
        });
    }
}
