//! Bridges: the ways into Tor that are not in its public list, for places where Tor is blocked, as people get them from
//! bridges.torproject.org. Read strictly, since what was read becomes a line of tor's configuration.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most bridges that can be set.
pub const MAX_BRIDGES: usize = 32;
/// The longest arguments, in bytes with their separators: tor hands them to the transport as a SOCKS5 user name and password (pt-spec
/// §3.5; RFC 1929 has 255 bytes for each), and refuses its whole configuration when they don't fit.
const MAX_ARGUMENTS: usize = 510;

/// Why a text is not a bridge. Bridges are private, so no more than the word in question is quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// No address.
    #[error("a bridge is [TRANSPORT] ADDRESS:PORT FINGERPRINT [KEY=VALUE …]")]
    Form,
    /// A transport that is not known here.
    #[error("{0:?} is no transport that is known; these are obfs4, webtunnel, snowflake and meek_lite")]
    Transport(String),
    /// Not an IP address with a port.
    #[error("{0:?} is not an IP address and a port, as in 192.0.2.3:443 or [2001:db8::3]:443")]
    Address(String),
    /// Not 40 hexadecimal digits.
    #[error("a bridge's fingerprint is 40 hexadecimal digits, which {0:?} is not")]
    Fingerprint(String),
    /// Not `KEY=VALUE`, or with a character that tor would not take for a part of it.
    #[error("a bridge's argument is KEY=VALUE without spaces, quotes, ; # or \\, which {0:?} is not")]
    Argument(String),
    /// Arguments where nobody takes them.
    #[error("a bridge without a transport has no arguments")]
    NoTransport,
    /// More than tor can hand over.
    #[error("the arguments of a bridge have at most {MAX_ARGUMENTS} bytes, these have {0}")]
    TooLong(usize),
    /// More than [`MAX_BRIDGES`].
    #[error("there can be at most {MAX_BRIDGES} bridges, these are {0}")]
    TooMany(usize),
}

/// The pluggable transport that disguises the connection to a bridge. Each has its own program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Looks like nothing.
    Obfs4,
    /// Looks like a web site's WebSocket.
    Webtunnel,
    /// Looks like a video call.
    Snowflake,
    /// Looks like requests to a large content network.
    MeekLite,
}

impl Transport {
    /// As a bridge line and tor call it (pt-spec §3.3.1: a C identifier).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Obfs4 => "obfs4",
            Self::Webtunnel => "webtunnel",
            Self::Snowflake => "snowflake",
            Self::MeekLite => "meek_lite",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = BridgeError;
    fn from_str(text: &str) -> Result<Self, BridgeError> {
        let all = [Self::Obfs4, Self::Webtunnel, Self::Snowflake, Self::MeekLite];
        let found = all.into_iter().find(|transport| transport.as_str() == text);
        found.ok_or_else(|| BridgeError::Transport(text.to_owned()))
    }
}

/// Why there is no network, where so many bridges are the only ways into it. Bridges are private: none is named by its address.
pub fn none_answers(bridges: usize) -> String {
    let which = match bridges {
        1 => "the bridge does not answer".to_owned(),
        number => format!("none of the {number} bridges answers"),
    };
    format!("{which}: it may be gone, or this host is offline")
}

/// One bridge. Its text form is one word after the other, each of printable ASCII, with one space between them: whatever was read, it is
/// one line of tor's configuration (tor(1), "Bridge") and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Bridge {
    transport: Option<Transport>,
    address: SocketAddr,
    fingerprint: String,
    arguments: Vec<String>,
}

impl Bridge {
    /// What disguises it, if anything does.
    pub fn transport(&self) -> Option<Transport> {
        self.transport
    }
}

impl FromStr for Bridge {
    type Err = BridgeError;

    fn from_str(text: &str) -> Result<Self, BridgeError> {
        // The line of a torrc, with its keyword, is a usual way to hand bridges on.
        let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty()).peekable();
        words.next_if(|word| word.eq_ignore_ascii_case("bridge"));
        let first = words.next().ok_or(BridgeError::Form)?;
        let (transport, address) = match first.starts_with(|c: char| c.is_ascii_alphabetic()) {
            true => (Some(first.parse()?), words.next().ok_or(BridgeError::Form)?),
            false => (None, first),
        };
        let address = parse_address(address)?;
        let fingerprint = words.next().ok_or(BridgeError::Form)?;
        if fingerprint.len() != 40 || !fingerprint.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BridgeError::Fingerprint(cut(fingerprint)));
        }
        let arguments = words.map(parse_argument).collect::<Result<Vec<_>, _>>()?;
        if transport.is_none() && !arguments.is_empty() {
            return Err(BridgeError::NoTransport);
        }
        let length = arguments.iter().map(|argument| argument.len() + 1).sum();
        if length > MAX_ARGUMENTS {
            return Err(BridgeError::TooLong(length));
        }
        Ok(Self { transport, address, fingerprint: fingerprint.to_ascii_uppercase(), arguments })
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, BridgeError> {
    let address: SocketAddr = text.parse().map_err(|_| BridgeError::Address(cut(text)))?;
    let is_scoped = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
    let is_possible = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    match address.port() != 0 && !is_scoped && is_possible(address.ip()) {
        true => Ok(address),
        false => Err(BridgeError::Address(cut(text))),
    }
}

/// Reads `KEY=VALUE`. Of the characters left out, tor's configuration takes `#` for a comment and `\` for a continued line, `;` parts
/// bridges here, and quotes have no form.
fn parse_argument(text: &str) -> Result<String, BridgeError> {
    let is_key =
        |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let is_value = |value: &str| {
        !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`;#\\".contains(&b))
    };
    match text.split_once('=') {
        Some((key, value)) if is_key(key) && is_value(value) => Ok(text.to_owned()),
        _ => Err(BridgeError::Argument(cut(text))),
    }
}

/// As much of a word as a person needs to find it.
fn cut(text: &str) -> String {
    match text.char_indices().nth(24) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Reads several, one a line or separated by `;`. The same one again is left out.
pub fn parse_list(text: &str) -> Result<Vec<Bridge>, BridgeError> {
    let mut bridges = Vec::new();
    for line in text.split(['\n', '\r', ';']).map(str::trim).filter(|line| !line.is_empty()) {
        let bridge = line.parse()?;
        if !bridges.contains(&bridge) {
            bridges.push(bridge);
        }
    }
    check_count(&bridges)?;
    Ok(bridges)
}

/// Sees that there are not too many.
pub fn check_count(bridges: &[Bridge]) -> Result<(), BridgeError> {
    if bridges.len() > MAX_BRIDGES { Err(BridgeError::TooMany(bridges.len())) } else { Ok(()) }
}

/// The transports that bridges need, each once and in order.
pub fn transports(bridges: &[Bridge]) -> Vec<Transport> {
    let mut transports: Vec<_> = bridges.iter().filter_map(Bridge::transport).collect();
    transports.sort_unstable();
    transports.dedup();
    transports
}

/// `2 bridges, by obfs4`.
pub fn summary(bridges: &[Bridge]) -> String {
    let number = match bridges.len() {
        1 => "1 bridge".to_owned(),
        number => format!("{number} bridges"),
    };
    let by: Vec<_> = transports(bridges).into_iter().map(Transport::as_str).collect();
    if by.is_empty() { number } else { format!("{number}, by {}", by.join(", ")) }
}

impl fmt::Display for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{transport} ")?;
        }
        write!(f, "{} {}", self.address, self.fingerprint)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

impl TryFrom<String> for Bridge {
    type Error = BridgeError;
    fn try_from(text: String) -> Result<Self, BridgeError> {
        text.parse()
    }
}

impl From<Bridge> for String {
    fn from(bridge: Bridge) -> String {
        bridge.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    #[test]
    fn of_a_word_that_is_wrong_as_much_is_said_as_finds_it() {
        let said = |text: &str| text.parse::<Bridge>().unwrap_err().to_string();
        assert!(said("192.0.2.3").contains("192.0.2.3"), "{}", said("192.0.2.3"));
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"x".repeat(24)), "x".repeat(24));
        assert_eq!(cut(&"ä".repeat(25)), format!("{}…", "ä".repeat(24)));
    }

    #[test]
    fn bridges_as_people_get_them_are_read() {
        let f = FINGERPRINT;
        for (text, canonical) in [
            (format!("192.0.2.3:443 {f}"), format!("192.0.2.3:443 {f}")),
            (format!("  bridge   192.0.2.3:443\t{} ", f.to_lowercase()), format!("192.0.2.3:443 {f}")),
            (
                format!("Bridge obfs4 192.0.2.3:443 {f} cert=AbC+/d== iat-mode=0"),
                format!("obfs4 192.0.2.3:443 {f} cert=AbC+/d== iat-mode=0"),
            ),
            (
                format!("webtunnel [2001:db8::3]:443 {f} url=https://example.net/p?a=b ver=0.0.2"),
                format!("webtunnel [2001:db8::3]:443 {f} url=https://example.net/p?a=b ver=0.0.2"),
            ),
            (
                format!(
                    "snowflake 192.0.2.3:80 {f} fingerprint={f} fronts=a.example,b.example ice=stun:c.example:3478,stun:d.example:1"
                ),
                format!(
                    "snowflake 192.0.2.3:80 {f} fingerprint={f} fronts=a.example,b.example ice=stun:c.example:3478,stun:d.example:1"
                ),
            ),
            (
                format!("meek_lite 192.0.2.20:80 {f} url=https://e.example"),
                format!("meek_lite 192.0.2.20:80 {f} url=https://e.example"),
            ),
        ] {
            let bridge: Bridge = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(bridge.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(bridge));
        }
    }

    #[test]
    fn what_is_no_bridge_is_refused_with_its_reason() {
        let f = FINGERPRINT;
        for (text, why) in [
            (String::new(), "a bridge is ["),
            ("Bridge".into(), "a bridge is ["),
            ("obfs4".into(), "a bridge is ["),
            ("192.0.2.3:443".into(), "a bridge is ["),
            (format!("obfs3 192.0.2.3:443 {f}"), "no transport that is known"),
            (format!("OBFS4 192.0.2.3:443 {f}"), "no transport that is known"),
            (format!("192.0.2.3 {f}"), "not an IP address and a port"),
            (format!("192.0.2.3:0 {f}"), "not an IP address and a port"),
            (format!("192.0.2.3:65536 {f}"), "not an IP address and a port"),
            (format!("0.0.0.0:443 {f}"), "not an IP address and a port"),
            (format!("2001:db8::3:443 {f}"), "not an IP address and a port"),
            (format!("[fe80::1%3]:443 {f}"), "not an IP address and a port"),
            (format!("obfs4 bridge.example:443 {f}"), "not an IP address and a port"),
            (format!("192.0.2.3:443 {}", &f[1..]), "40 hexadecimal digits"),
            (format!("192.0.2.3:443 ${f}"), "40 hexadecimal digits"),
            (format!("192.0.2.3:443 {f} cert=x"), "without a transport"),
            (format!("obfs4 192.0.2.3:443 {f} cert"), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} =x"), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} cert="), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} cert=a#b"), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} cert=a\\"), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} cert=\"a\""), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} cert=é"), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} cert=a\nControlPort=1"), "KEY=VALUE"),
            (format!("obfs4 192.0.2.3:443 {f} cert={}", "x".repeat(510)), "at most 510 bytes"),
        ] {
            let error = text.parse::<Bridge>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(error.len() < 160, "{error}");
        }
    }

    #[test]
    fn a_list_is_lines_or_separated_by_semicolons() {
        let line = |n| format!("obfs4 192.0.2.{n}:443 {FINGERPRINT} cert=x");
        let text =
            format!("\n{}\r\n Bridge {}; {} ;;\n192.0.2.3:1 {FINGERPRINT}\n", line(1), line(2), line(1));

        let bridges = parse_list(&text).unwrap();

        assert_eq!(bridges.len(), 3);
        assert_eq!(
            (transports(&bridges), summary(&bridges).as_str()),
            (vec![Transport::Obfs4], "3 bridges, by obfs4")
        );
        assert_eq!(summary(&bridges[2..]), "1 bridge");
        assert_eq!(parse_list(" \n;"), Ok(Vec::new()));
        let many: Vec<String> = (1..=33).map(line).collect();
        assert_eq!(parse_list(&many.join(";")), Err(BridgeError::TooMany(33)));
    }

    proptest! {
        #[test]
        fn no_text_makes_more_than_one_plain_line(text in "(?s).{0,80}") {
            one_line(&text)?;
        }

        #[test]
        fn nothing_after_a_good_beginning_does(rest in "(?s)([a-z]=| |.){0,12}") {
            one_line(&format!("obfs4 192.0.2.3:443 {FINGERPRINT} {rest}"))?;
            one_line(&format!("obfs4 192.0.2.3:443 {FINGERPRINT} cert={rest}"))?;
            one_line(&format!("obfs4 {rest} {FINGERPRINT}"))?;
        }

        #[test]
        fn no_list_makes_one(text in r"(?s)((Bridge )?(obfs4 )?192\.0\.2\.[1-3]:443 [0-9A-F]{40}( [a-z]=.)?(\n|;|\r)?){0,4}") {
            for bridge in parse_list(&text).unwrap_or_default() {
                one_line(&bridge.to_string())?;
            }
        }
    }

    /// What is read back as the same bridge, and by tor as one line without comment or continuation.
    fn one_line(text: &str) -> Result<(), TestCaseError> {
        let Ok(bridge) = text.parse::<Bridge>() else { return Ok(()) };
        let line = bridge.to_string();
        prop_assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"#\\\"'".contains(&byte)),
            "{line}"
        );
        prop_assert_eq!(line.parse::<Bridge>(), Ok(bridge));
        Ok(())
    }

    #[test]
    fn fuzzed_bridge_lines_are_read_or_refused() {
        let samples = [
            format!("192.0.2.3:443 {FINGERPRINT}"),
            format!("Bridge obfs4 192.0.2.3:443 {FINGERPRINT} cert=AbC+/d== iat-mode=0; [2001:db8::3]:9001"),
            format!(
                "snowflake 192.0.2.3:80 {FINGERPRINT} url=https://x.example/ front=a.example ice=stun:b:3478\n#x"
            ),
        ];
        support::fuzz("bridge lines", &samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(bridges) = parse_list(&text) {
                let lines: Vec<_> = bridges.iter().map(Bridge::to_string).collect();
                assert!(lines.iter().all(|line| line.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
            }
        });
    }
}
