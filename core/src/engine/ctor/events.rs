//! Parses tor's events (pure).
//!
//! Whatever comes, reading it ends in a value or in nothing: other events and damaged ones are passed over.

// It reads what tor says: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::ends::{self, End};
use super::reply::presentable;
use super::sentences;
use crate::model::onion::OnionAddress;
use crate::plan::vigil::Link;

/// What tor tells by itself (control-spec §4.1), as far as it is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TorEvent {
    /// `HS_DESC`.
    Descriptor { address: OnionAddress, action: Descriptor },
    /// `STATUS_CLIENT … BOOTSTRAP`.
    Bootstrap(Phase),
    /// `STATUS_CLIENT … ENOUGH_DIR_INFO` and `NOT_ENOUGH_DIR_INFO`: whether tor knows enough of the network to build circuits.
    DirInfo { is_enough: bool },
    /// `STATUS_GENERAL … CLOCK_SKEW`: by how many seconds our clock is ahead.
    ClockSkew { ahead: i64 },
    /// `STATUS_GENERAL … CLOCK_JUMPED`: somebody has set it.
    ClockJumped,
    /// `ORCONN`: a connection to a relay.
    Link(Link),
    /// `CIRC … FAILED` and `CLOSED`: a relay has closed a circuit of [`super::commands::probe`].
    Refused(u64),
    /// `STREAM … NEW`: tor's number of it, and ours of the connection.
    StreamMade { stream: u64, number: u64 },
    /// `STREAM … CLOSED` and `FAILED`.
    StreamEnded { stream: u64, end: End },
}

/// What happened to a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Descriptor {
    Upload,
    /// The directory that took it, as tor names it.
    Uploaded(String),
    Received,
    /// The reason in tor's word.
    Failed(String),
}

/// How far tor is (control-spec §5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) percent: u8,
    pub(super) doing: String,
    /// Why it does not get on, once tor thinks that a person should know.
    pub(super) warning: Option<String>,
}

/// Reads an event's lines, without code.
pub(super) fn parse(lines: &[String]) -> Option<TorEvent> {
    let line = lines.first()?;
    let (kind, rest) = line.split_once(' ')?;
    match kind {
        "HS_DESC" => parse_descriptor(rest),
        "STREAM" => parse_stream(rest),
        "ORCONN" => parse_link(rest).map(TorEvent::Link),
        "CIRC" => parse_refused(rest).map(TorEvent::Refused),
        "STATUS_CLIENT" => {
            let (_severity, rest) = rest.split_once(' ')?;
            match rest.split_once(' ').unwrap_or((rest, "")) {
                ("BOOTSTRAP", arguments) => parse_arguments_of_bootstrap(arguments).map(TorEvent::Bootstrap),
                ("ENOUGH_DIR_INFO", _) => Some(TorEvent::DirInfo { is_enough: true }),
                ("NOT_ENOUGH_DIR_INFO", _) => Some(TorEvent::DirInfo { is_enough: false }),
                _ => None,
            }
        }
        "STATUS_GENERAL" => {
            let (_severity, rest) = rest.split_once(' ')?;
            match rest.split_once(' ').unwrap_or((rest, "")) {
                ("CLOCK_SKEW", arguments) => {
                    let ahead = keywords(arguments).get("SKEW")?.trim_start_matches('+').parse().ok()?;
                    Some(TorEvent::ClockSkew { ahead })
                }
                ("CLOCK_JUMPED", _) => Some(TorEvent::ClockJumped),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Reads the answer to `GETINFO status/bootstrap-phase`: `NOTICE BOOTSTRAP PROGRESS=… TAG=… SUMMARY="…"`.
pub(super) fn parse_phase(answer: &str) -> Option<Phase> {
    let (_severity, rest) = answer.split_once(' ')?;
    parse_arguments_of_bootstrap(rest.strip_prefix("BOOTSTRAP ")?)
}

/// `HS_DESC Action HSAddress AuthType HsDir [DescriptorID] [REASON=…] …`
fn parse_descriptor(rest: &str) -> Option<TorEvent> {
    let mut words = rest.split_ascii_whitespace();
    let action = words.next()?;
    let address = words.next()?.parse().ok()?;
    let action = match action {
        "UPLOAD" => Descriptor::Upload,
        "UPLOADED" => {
            let directory = words.nth(1).unwrap_or_default();
            Descriptor::Uploaded(directory.split('~').next().unwrap_or(directory).to_owned())
        }
        "RECEIVED" => Descriptor::Received,
        "FAILED" => {
            let reason = words.find_map(|word| word.strip_prefix("REASON=")).unwrap_or("UNKNOWN");
            Descriptor::Failed(presentable(reason))
        }
        _ => return None,
    };
    Some(TorEvent::Descriptor { address, action })
}

/// `STREAM StreamID StreamStatus CircuitID Target [REASON=… [REMOTE_REASON=…]] …`
fn parse_stream(rest: &str) -> Option<TorEvent> {
    let mut words = rest.split_ascii_whitespace();
    let stream = words.next()?.parse().ok()?;
    match words.next()? {
        "NEW" => Some(TorEvent::StreamMade { stream, number: ends::number(words.nth(1)?)? }),
        "CLOSED" | "FAILED" => {
            let (mut reason, mut remote) = (None, None);
            for word in words.skip(2) {
                reason = reason.or(word.strip_prefix("REASON="));
                remote = remote.or(word.strip_prefix("REMOTE_REASON="));
            }
            Some(TorEvent::StreamEnded { stream, end: End::of(reason, remote) })
        }
        _ => None,
    }
}

/// `ORCONN Target Status [REASON=…] [NCIRCS=…] ID=…`
fn parse_link(rest: &str) -> Option<Link> {
    let mut words = rest.split_ascii_whitespace();
    let (target, status) = (words.next()?, words.next()?);
    let (mut reason, mut number) = (None, None);
    for word in words {
        reason = reason.or(word.strip_prefix("REASON="));
        number = number.or(word.strip_prefix("ID="));
    }
    let number = number?.parse().ok()?;
    match status {
        "CONNECTED" => Some(Link::Up(number, target.parse().ok()?)),
        // One that was closed in order may have been closed for want of use.
        "CLOSED" => Some(Link::Down(number, reason.filter(|reason| *reason != "DONE").map(presentable))),
        "FAILED" => Some(Link::Down(number, Some(presentable(reason.unwrap_or_default())))),
        _ => None,
    }
}

/// `CIRC CircuitID CircStatus [Path] [PURPOSE=…] [REASON=…] …`, where a relay has said so and not tor itself.
fn parse_refused(rest: &str) -> Option<u64> {
    let mut words = rest.split_ascii_whitespace();
    let circuit = words.next()?.parse().ok()?;
    let is_over = matches!(words.next()?, "FAILED" | "CLOSED");
    let has = |wanted: &str| rest.split_ascii_whitespace().any(|word| word == wanted);
    (is_over && has("PURPOSE=CONTROLLER") && has("REASON=DESTROYED")).then_some(circuit)
}

fn parse_arguments_of_bootstrap(arguments: &str) -> Option<Phase> {
    let values = keywords(arguments);
    let percent = values.get("PROGRESS")?.parse().ok().filter(|percent| *percent <= 100)?;
    let doing = values.get("SUMMARY").map(|text| presentable(text)).unwrap_or_default();
    // `ignore` is for a single relay that fails, of which there are always some.
    let matters = values.get("RECOMMENDATION").is_some_and(|advice| advice == "warn");
    let warning = matters.then(|| {
        let reason = values.get("REASON").map_or("", |reason| reason.as_ref());
        sentences::of_reason(reason, values.get("WARNING").map_or("", |text| text.as_ref()))
    });
    Some(Phase { percent, doing, warning })
}

/// Reads `KEY=value` and `KEY="quoted value"` (control-spec §2.1.1: a quoted string escapes with a backslash).
fn keywords(text: &str) -> BTreeMap<&str, Cow<'_, str>> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        // A word without a sign before this one is passed over.
        let key = key.rsplit(' ').next().unwrap_or(key);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, after) = after.split_once(' ').unwrap_or((after, ""));
                (Cow::Borrowed(value), after)
            }
        };
        found.entry(key).or_insert(value);
        rest = after.trim_start();
    }
    found
}

/// The text up to the closing quotation mark, and what follows that.
fn unquote(text: &str) -> (Cow<'_, str>, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (Cow::Owned(value), text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (Cow::Owned(value), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid";

    fn read(line: &str) -> Option<TorEvent> {
        parse(&[line.to_owned()])
    }

    fn address() -> OnionAddress {
        ID.parse().unwrap()
    }

    fn uploaded(directory: &str) -> Descriptor {
        Descriptor::Uploaded(directory.to_owned())
    }

    #[test]
    fn descriptors_are_read() {
        let event = |action| Some(TorEvent::Descriptor { address: address(), action });

        assert_eq!(read(&format!("HS_DESC UPLOADED {ID} UNKNOWN $AB~r1")), event(uploaded("$AB")));
        assert_eq!(
            read(&format!("HS_DESC UPLOAD {ID} UNKNOWN $AB~r1 abc HSDIR_INDEX=0")),
            event(Descriptor::Upload)
        );
        assert_eq!(read(&format!("HS_DESC RECEIVED {ID} NO_AUTH $AB~r1 abc")), event(Descriptor::Received));
        assert_eq!(
            read(&format!("HS_DESC FAILED {ID} NO_AUTH $AB~r1 abc REASON=NOT_FOUND")),
            event(Descriptor::Failed("NOT_FOUND".to_owned()))
        );
        for other in ["REQUESTED", "CREATED", "IGNORE", ""] {
            assert_eq!(read(&format!("HS_DESC {other} {ID} NO_AUTH $AB~r1")), None);
        }
        assert_eq!(read("HS_DESC UPLOADED expyuzz4wqqyqhjn UNKNOWN $AB~r1"), None);
    }

    #[test]
    fn streams_are_read() {
        let made =
            format!("STREAM 12 NEW 0 c3.{ID}.onion:80 SOURCE_ADDR=:1 PURPOSE=USER SOCKS_USERNAME=\"ox\"");
        assert_eq!(read(&made), Some(TorEvent::StreamMade { stream: 12, number: 3 }));
        assert_eq!(read(&made.replace("c3.", "")), None);
        let ended = |rest: &str| match read(&format!("STREAM 12 CLOSED 4 {ID}.onion:80 {rest}")) {
            Some(TorEvent::StreamEnded { stream: 12, end }) => end,
            other => panic!("{other:?}"),
        };
        assert_eq!(ended("REASON=END REMOTE_REASON=DONE SOCKS_USERNAME=\"ox\""), End::Done);
        assert_eq!(ended("REASON=END REMOTE_REASON=CONNRESET"), End::Broken("CONNRESET".to_owned()));
        assert_eq!(ended("REASON=DESTROY"), End::Broken("DESTROY".to_owned()));
        assert_eq!(ended("REASON=DONE"), End::Ours);
        for other in
            ["STREAM", "STREAM x NEW 0 c3.x.onion:80", "STREAM 12 SUCCEEDED 4 x.onion:80", "STREAM 12 NEW"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn connections_to_relays_are_read() {
        let relay = format!("${}", "AB".repeat(20));
        let link = |line: &str| match read(line) {
            Some(TorEvent::Link(link)) => Some(link),
            None => None,
            other => panic!("{other:?}"),
        };
        let down = |reason: Option<&str>| Some(Link::Down(7, reason.map(str::to_owned)));

        assert_eq!(
            link(&format!("ORCONN {relay}~r1 CONNECTED ID=7")),
            Some(Link::Up(7, relay.parse().unwrap()))
        );
        assert_eq!(
            link("ORCONN 127.0.0.1:9 FAILED REASON=CONNECTREFUSED NCIRCS=2 ID=7"),
            down(Some("CONNECTREFUSED"))
        );
        assert_eq!(link(&format!("ORCONN {relay}~r1 CLOSED REASON=IOERROR ID=7")), down(Some("IOERROR")));
        assert_eq!(link(&format!("ORCONN {relay}~r1 CLOSED REASON=DONE ID=7")), down(None));
        for other in ["ORCONN", "ORCONN x CONNECTED ID=7", "ORCONN x LAUNCHED ID=7", "ORCONN x CLOSED"] {
            assert_eq!(link(other), None, "{other}");
        }
    }

    #[test]
    fn a_circuit_that_a_relay_has_closed_is_told_from_one_that_tor_gave_up() {
        let refused = |line: &str| match read(line) {
            Some(TorEvent::Refused(circuit)) => Some(circuit),
            None => None,
            other => panic!("{other:?}"),
        };
        let line = "CIRC 9 FAILED BUILD_FLAGS=NEED_CAPACITY PURPOSE=CONTROLLER TIME_CREATED=2026-11-27T11:00:00.000000 REASON=DESTROYED REMOTE_REASON=RESOURCELIMIT";
        assert_eq!(refused(line), Some(9));
        assert_eq!(refused(&line.replace("FAILED", "CLOSED $AB~r1")), Some(9));
        for (its, other) in [
            ("FAILED", "EXTENDED"),
            ("REASON=DESTROYED REMOTE_REASON=RESOURCELIMIT", "REASON=TIMEOUT"),
            ("REASON=DESTROYED REMOTE_REASON=RESOURCELIMIT", "REASON=CHANNEL_CLOSED"),
            ("CONTROLLER", "GENERAL"),
            (" 9", " x"),
        ] {
            assert_eq!(refused(&line.replace(its, other)), None, "{other}");
        }
    }

    #[test]
    fn bootstrap_is_read_with_its_warnings() {
        let warning = |line: &str| match read(line) {
            Some(TorEvent::Bootstrap(phase)) => phase.warning,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            read(
                r#"STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=45 TAG=requesting_descriptors SUMMARY="Asking for \"relay\" descriptors""#
            ),
            Some(TorEvent::Bootstrap(Phase {
                percent: 45,
                doing: "Asking for \"relay\" descriptors".to_owned(),
                warning: None
            }))
        );
        let warn = r#"STATUS_CLIENT WARN BOOTSTRAP PROGRESS=5 TAG=conn SUMMARY="Connecting" WARNING="No route to host" REASON=NOROUTE COUNT=1 RECOMMENDATION=warn HOSTID="A" HOSTADDR="1.2.3.4:1""#;
        assert!(warning(warn).unwrap().contains("offline"));
        assert_eq!(warning(&warn.replace("RECOMMENDATION=warn", "RECOMMENDATION=ignore")), None);
        assert_eq!(warning(&warn.replace("NOROUTE", "MISC")).as_deref(), Some("tor warns: No route to host"));
        assert_eq!(
            parse_phase(r#"NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done""#)
                .map(|phase| phase.percent),
            Some(100)
        );
        for bad in ["PROGRESS=101 SUMMARY=x", "PROGRESS=-1", "SUMMARY=x", "PROGRESS", ""] {
            assert_eq!(read(&format!("STATUS_CLIENT NOTICE BOOTSTRAP {bad}")), None, "{bad}");
        }
    }

    #[test]
    fn a_wrong_clock_is_said_with_its_direction() {
        let skew = |amount: &str| match read(&format!(
            "STATUS_GENERAL WARN CLOCK_SKEW SKEW={amount} SOURCE=OR:1.2.3.4:9001"
        )) {
            Some(TorEvent::ClockSkew { ahead }) => sentences::clock(ahead),
            other => panic!("{other:?}"),
        };

        assert!(skew("+10800").contains("about 3 hours ahead"));
        assert!(skew("-864000").contains("about 10 days behind"));
        assert!(skew("-9223372036854775808").contains("behind"));
        assert_eq!(read("STATUS_GENERAL NOTICE CLOCK_JUMPED TIME=120"), Some(TorEvent::ClockJumped));
        assert_eq!(read("STATUS_GENERAL WARN CLOCK_SKEW SKEW=abc"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "(?s).*") {
            read(&line);
        }

        #[test]
        fn any_event_is_read(
            kind in "(HS_DESC (UPLOADED|FAILED)|STREAM [0-9]{1,3} (NEW|CLOSED)|CIRC [0-9]{1,3} (FAILED|CLOSED)|STATUS_CLIENT [A-Z]+ BOOTSTRAP|STATUS_GENERAL WARN CLOCK_SKEW)",
            rest in r#"( |[A-Z]{1,8}=|"|\\|PROGRESS=[0-9]{1,4}|SKEW=[+-]?[0-9]{1,20}|REASON=|\PC){0,20}"#,
        ) {
            read(&format!("{kind} {rest}"));
        }

        #[test]
        fn keywords_come_back(key in "[A-Z_]{1,10}", value in r#"[^"\\]*"#, after in "[a-z]{1,5}") {
            let text = format!("{key}=\"{value}\" {key}X={after}");
            let found = keywords(&text);
            prop_assert_eq!(found.get(key.as_str()).map(|value| value.as_ref()), Some(value.as_str()));
            let next = format!("{}X", key);
            prop_assert_eq!(found.get(next.as_str()).map(|value| value.as_ref()), Some(after.as_str()));
        }
    }
}
