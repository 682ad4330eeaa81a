//! Writes the configuration of every node and client, as text (pure); the ports and keys in it are chosen elsewhere.
//!
//! The lines are measured, not guessed: tor(1), "Testing network options", of 0.4.9.

use std::fmt::Write as _;
use std::path::Path;

use crate::network::Role;

/// One node as the configuration sees it.
#[derive(Clone, Debug)]
pub(crate) struct NodeSpec {
    /// Nickname, and the name of its directory.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) or_port: u16,
    pub(crate) dir_port: u16,
    /// RSA identity, 40 hexadecimal digits.
    pub(crate) fingerprint: String,
    /// The authority's v3 identity, 40 hexadecimal digits; authorities only.
    pub(crate) v3_identity: Option<String>,
}

/// When the authorities hold their first vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Seconds between votes until there is a consensus; divides 1800.
    pub(crate) interval: u64,
    /// `TestingV3AuthVotingStartOffset`: where in the interval the votes lie, in seconds.
    pub(crate) offset: u64,
}

impl Schedule {
    /// The schedule whose first consensus is due `lead` seconds after `now` (unix time, seconds). The vote begins four seconds
    /// before that, so `lead` must be above 4 and at most `interval + 4`.
    ///
    /// What comes in time for that vote is in the consensus; anything later waits for the next, at the full hour.
    pub(crate) fn first_consensus(now: u64, lead: u64, interval: u64) -> Self {
        Self { interval, offset: (now + lead) % interval }
    }
}

/// The lines every node and every client of the network shares.
pub(crate) fn common(nodes: &[NodeSpec]) -> Vec<String> {
    let mut lines = vec!["TestingTorNetwork 1".to_owned()];
    for node in nodes {
        if let Some(v3_identity) = &node.v3_identity {
            lines.push(format!(
                "DirAuthority {} orport={} no-v2 v3ident={v3_identity} 127.0.0.1:{} {}",
                node.name, node.or_port, node.dir_port, node.fingerprint
            ));
        }
    }
    lines.push("PathsNeededToBuildCircuits 0.67".to_owned());
    lines.push("ShutdownWaitLength 0".to_owned());
    lines
}

/// The lines of one node, beyond [`common`] and what every process gets (`process`).
pub(crate) fn node(node: &NodeSpec, schedule: Schedule, bandwidths: &Path) -> Vec<String> {
    let mut lines = vec![
        format!("Nickname {}", node.name),
        "Address 127.0.0.1".to_owned(),
        format!("ORPort 127.0.0.1:{}", node.or_port),
        format!("DirPort 127.0.0.1:{}", node.dir_port),
        "SocksPort 0".to_owned(),
        "AssumeReachable 1".to_owned(),
        "ExitRelay 0".to_owned(),
        "ExitPolicy reject *:*".to_owned(),
        "ContactInfo tornet@localhost.invalid".to_owned(),
    ];
    match node.role {
        Role::Relay => {}
        Role::Authority => {
            lines.extend(AUTHORITY.iter().map(|&line| line.to_owned()));
            lines.push(format!("TestingV3AuthInitialVotingInterval {}", schedule.interval));
            lines.push(format!("TestingV3AuthVotingStartOffset {}", schedule.offset));
            // Without measured bandwidths one node becomes both guard and last hop, and bootstrap stops at 95 %.
            lines.push(format!("V3BandwidthsFile {}", quote(bandwidths)));
        }
    }
    lines
}

/// The lines of a bridge, beyond [`common`]: a relay that tells nobody of itself. With a transport, the program that does it and the
/// port it listens on.
pub(crate) fn bridge(or_port: u16, transport: Option<(&Path, u16)>) -> Vec<String> {
    let mut lines = vec![
        "Nickname bridge".to_owned(),
        "Address 127.0.0.1".to_owned(),
        format!("ORPort 127.0.0.1:{or_port}"),
        "BridgeRelay 1".to_owned(),
        "PublishServerDescriptor 0".to_owned(),
        "SocksPort 0".to_owned(),
        "AssumeReachable 1".to_owned(),
        "ExitRelay 0".to_owned(),
        "ExitPolicy reject *:*".to_owned(),
        "ContactInfo tornet@localhost.invalid".to_owned(),
    ];
    if let Some((program, port)) = transport {
        // tor splits this line at spaces and knows no quotes in it.
        lines.push(format!("ServerTransportPlugin obfs4 exec {}", program.display()));
        lines.push(format!("ServerTransportListenAddr obfs4 127.0.0.1:{port}"));
        lines.push("ExtORPort auto".to_owned());
    }
    lines
}

/// The bandwidth file the authorities vote from: all nodes alike (bandwidth-file-spec, the 1.0.0 header).
pub(crate) fn bandwidths(nodes: &[NodeSpec], now: u64) -> String {
    let mut text = format!("{now}\n");
    for node in nodes {
        writeln!(text, "node_id=${} bw=1000 nick={}", node.fingerprint, node.name)
            .expect("writing to a String cannot fail");
    }
    text
}

/// A path as a torrc value: a quoted C string, so that spaces and `#` stay part of it.
pub(crate) fn quote(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// What makes a node an authority, and its votes such that the first consensus is already a usable one.
const AUTHORITY: &[&str] = &[
    "AuthoritativeDirectory 1",
    "V3AuthoritativeDirectory 1",
    "TestingV3AuthInitialVoteDelay 2",
    "TestingV3AuthInitialDistDelay 2",
    "V3AuthVotingInterval 3600",
    "V3AuthVoteDelay 2",
    "V3AuthDistDelay 2",
    "V3AuthNIntervalsValid 3",
    "TestingDirAuthVoteGuard *",
    "TestingDirAuthVoteHSDir *",
    "TestingDirAuthVoteExit *",
    "TestingMinExitFlagThreshold 0",
    "TestingMinFastFlagThreshold 0",
    "TestingAuthDirTimeToLearnReachability 0",
    "MinUptimeHidServDirectoryV2 0",
    // Both, or nodes that have only just started are not Stable.
    "AuthDirVoteStableGuaranteeMTBF 0",
    "AuthDirVoteStableGuaranteeMinUptime 0",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, v3_identity: Option<&str>) -> NodeSpec {
        NodeSpec {
            name: name.to_owned(),
            role: if v3_identity.is_some() { Role::Authority } else { Role::Relay },
            or_port: 5001,
            dir_port: 7001,
            fingerprint: "F".repeat(40),
            v3_identity: v3_identity.map(str::to_owned),
        }
    }

    #[test]
    fn clients_learn_the_authorities_and_nothing_of_relays() {
        let lines = common(&[spec("a0", Some("ABC")), spec("r0", None)]);

        assert_eq!(
            lines,
            [
                "TestingTorNetwork 1".to_owned(),
                format!("DirAuthority a0 orport=5001 no-v2 v3ident=ABC 127.0.0.1:7001 {}", "F".repeat(40)),
                "PathsNeededToBuildCircuits 0.67".to_owned(),
                "ShutdownWaitLength 0".to_owned(),
            ]
        );
    }

    #[test]
    fn first_vote_comes_three_seconds_after_a_start_with_lead_seven() {
        let schedule = Schedule::first_consensus(1_000_001, 7, 5);

        assert_eq!(schedule, Schedule { interval: 5, offset: 3 });
    }

    #[test]
    fn only_authorities_vote() {
        let schedule = Schedule { interval: 5, offset: 0 };

        let relay = node(&spec("r0", None), schedule, Path::new("/bw"));
        let authority = node(&spec("a0", Some("ABC")), schedule, Path::new("/bw"));

        assert!(!relay.iter().any(|line| line.contains("Auth")));
        assert!(authority.contains(&"V3AuthoritativeDirectory 1".to_owned()));
    }

    #[test]
    fn quoted_paths_keep_spaces_quotes_and_backslashes() {
        assert_eq!(quote(Path::new(r#"/a b/"c"\d"#)), r#""/a b/\"c\"\\d""#);
    }
}
