//! Asks tor for its state and parses the answers (pure): connections, consensus, services. What tor does not say stays unknown.

// It reads what tor says: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::collections::{BTreeMap, BTreeSet};

use super::control::Control;
use crate::engine::{ServiceSurvey, Survey};
use crate::model::onion::OnionAddress;
use crate::model::tor::RelayId;
use crate::plan::vigil::{Carries, Circuit};

/// Asks the tor behind this connection. `services` are ours, with what is known of their descriptors.
pub(super) async fn survey(control: &Control, services: BTreeMap<OnionAddress, ServiceSurvey>) -> Survey {
    // Each is a question of its own, since one that tor can't answer would spoil the others.
    let connections = control.get_info("orconn-status").await.ok();
    let liveness = control.get_info("network-liveness").await.ok();
    let from = control.get_info("consensus/valid-after").await.ok();
    let to = control.get_info("consensus/valid-until").await.ok();
    let circuits = control.get_info("circuit-status").await.unwrap_or_default();
    let mut services = services;
    let counted = introductions_of(&circuits, &services.keys().copied().collect());
    for (address, service) in &mut services {
        service.introductions = counted.get(address).copied().unwrap_or_default();
    }
    Survey {
        relays: connections.as_deref().map(connected),
        is_live: liveness.map(|liveness| liveness == "up"),
        consensus: from.as_deref().and_then(moment).zip(to.as_deref().and_then(moment)),
        services,
    }
}

/// Counts the connections that stand in the answer to `GETINFO orconn-status` (control-spec §3.9): a relay and a state on each line.
fn connected(status: &str) -> u32 {
    let count = status.lines().filter(|line| line.trim_end().ends_with(" CONNECTED")).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The relays that connections stand to, in the same answer.
pub(super) fn relays(status: &str) -> Vec<RelayId> {
    let relay = |line: &str| {
        line.trim_end().strip_suffix(" CONNECTED")?.trim_start_matches("orconn-status=").parse().ok()
    };
    status.lines().filter_map(relay).collect()
}

/// Counts the introduction points that stand, of each of these services, in the answer to `GETINFO circuit-status` (control-spec §4.1.1,
/// "HS_STATE").
pub(super) fn introductions_of(
    status: &str,
    services: &BTreeSet<OnionAddress>,
) -> BTreeMap<OnionAddress, u32> {
    let ids: BTreeMap<String, OnionAddress> =
        services.iter().map(|address| (address.service_id().to_string(), *address)).collect();
    let mut counted: BTreeMap<_, _> = services.iter().map(|address| (*address, 0)).collect();
    for line in status.lines() {
        let has = |wanted: &str| line.split_ascii_whitespace().any(|word| word == wanted);
        if !has("PURPOSE=HS_SERVICE_INTRO") || !has("HS_STATE=HSSI_ESTABLISHED") {
            continue;
        }
        let of = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("REND_QUERY="));
        if let Some(count) = of.and_then(|id| ids.get(id)).and_then(|address| counted.get_mut(address)) {
            *count += 1;
        }
    }
    counted
}

/// The numbers of the circuits whose state is one of these, in the same answer.
pub(super) fn circuits(status: &str, is_one: impl Fn(&str) -> bool) -> Vec<u64> {
    let circuit = |line: &str| {
        let mut words = line.trim_start_matches("circuit-status=").split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        is_one(words.next()?).then_some(number)
    };
    status.lines().filter_map(circuit).collect()
}

/// The circuits of several hops that are built or on their way, in the same answer. Whatever isn't known to be anything else counts as a
/// session.
pub(super) fn paths(status: &str) -> Vec<Circuit> {
    let circuit = |line: &str| {
        let mut words = line.trim_start_matches("circuit-status=").split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let _state = words.next()?;
        // `$ID~name,$ID~name`; none where there is no hop yet.
        let mut hops = words.next()?.split(',');
        let first = hops.next()?.parse().ok()?;
        hops.next()?;
        let carries = match words.find_map(|word| word.strip_prefix("PURPOSE="))? {
            "HS_SERVICE_INTRO" => Carries::Introductions,
            "GENERAL" | "HS_VANGUARDS" | "HS_CLIENT_HSDIR" | "HS_CLIENT_INTRO" | "HS_SERVICE_HSDIR"
            | "MEASURE_TIMEOUT" | "PATH_BIAS_TESTING" => Carries::Other,
            _ => Carries::Session,
        };
        Some(Circuit { number, first, carries })
    };
    status.lines().filter_map(circuit).collect()
}

/// Reads `2026-11-24 21:00:00`, in UTC, as the consensus has it (dir-spec, "valid-after"); in seconds since 1970-01-01.
fn moment(text: &str) -> Option<u64> {
    let moment = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text.trim()).ok()?;
    let moment = moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    u64::try_from(moment.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid";

    fn address() -> OnionAddress {
        ID.parse().unwrap()
    }

    #[test]
    fn only_connections_that_stand_count() {
        let status = "$A~a CONNECTED\r\n$B~b LAUNCHED\r\n$C~c CONNECTED\r\n$D~d CLOSED";

        assert_eq!((connected(status), connected("")), (2, 0));
    }

    #[test]
    fn relays_and_circuits_are_read_from_one_line_and_from_many() {
        let relay = |digit: &str| format!("${}", digit.repeat(40));
        let status = format!("orconn-status={}~a CONNECTED\r\n{}~b LAUNCHED", relay("A"), relay("B"));
        assert_eq!(relays(&status), [relay("A").parse().unwrap()]);
        let circuits = |status: &str| circuits(status, |state| state == "BUILT");
        assert_eq!(circuits("circuit-status=4 BUILT $A~a\r\n5 EXTENDED\r\n6 BUILT"), [4, 6]);
        assert_eq!(circuits("circuit-status="), [0; 0]);
    }

    #[test]
    fn circuits_of_several_hops_are_told_apart_by_what_they_carry() {
        let relay = |digit: &str| format!("${}~r", digit.repeat(40));
        let status = [
            format!("1 BUILT {} BUILD_FLAGS=ONEHOP_TUNNEL PURPOSE=GENERAL", relay("A")),
            format!("2 BUILT {},{} BUILD_FLAGS=IS_INTERNAL PURPOSE=HS_SERVICE_INTRO", relay("A"), relay("B")),
            format!("3 EXTENDED {},{} PURPOSE=HS_VANGUARDS", relay("B"), relay("A")),
            format!("4 BUILT {},{} PURPOSE=HS_SERVICE_REND HS_STATE=HSSR_JOINED", relay("A"), relay("B")),
            "5 LAUNCHED PURPOSE=GENERAL".to_owned(),
            format!("6 BUILT {},{} PURPOSE=OF_TOMORROW", relay("A"), relay("B")),
        ];
        let circuit =
            |number, of: &str, carries| Circuit { number, first: relay(of).parse().unwrap(), carries };

        assert_eq!(
            paths(&status.join("\r\n")),
            [
                circuit(2, "A", Carries::Introductions),
                circuit(3, "B", Carries::Other),
                circuit(4, "A", Carries::Session),
                circuit(6, "A", Carries::Session),
            ]
        );
    }

    #[test]
    fn only_this_services_introduction_points_count() {
        let circuit = |purpose: &str, state: &str, id: &str| {
            format!("5 BUILT $A~a PURPOSE={purpose} HS_STATE={state} REND_QUERY={id} TIME_CREATED=x")
        };
        let status = [
            circuit("HS_SERVICE_INTRO", "HSSI_ESTABLISHED", ID),
            circuit("HS_SERVICE_INTRO", "HSSI_ESTABLISHED", ID),
            circuit("HS_SERVICE_INTRO", "HSSI_CONNECTING", ID),
            circuit("HS_SERVICE_REND", "HSSR_JOINED", ID),
            circuit("HS_SERVICE_INTRO", "HSSI_ESTABLISHED", "expyuzz4wqqyqhjn"),
        ];

        let counted = introductions_of(&status.join("\r\n"), &[address()].into());
        assert_eq!(counted, [(address(), 2)].into());
    }

    #[test]
    fn a_consensus_time_is_utc() {
        assert_eq!(moment("2026-11-24 21:00:00"), Some(1_795_554_000));
        for bad in ["", "2026-11-24", "2026-13-24 21:00:00", "x"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read(text in "(?s).*") {
            connected(&text);
            introductions_of(&text, &[address()].into());
            relays(&text);
            circuits(&text, |_| true);
            paths(&text);
            moment(&text);
        }
    }

    #[test]
    fn fuzzed_answers_are_read() {
        let circuit = format!(
            "5 BUILT $A~a PURPOSE=HS_SERVICE_INTRO HS_STATE=HSSI_ESTABLISHED REND_QUERY={ID} TIME_CREATED=x"
        );
        let relay = "orconn-status=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA~a CONNECTED\r\n$B~b LAUNCHED";
        let samples = [
            circuit.as_str(),
            "circuit-status=4 BUILT $A~a\r\n5 EXTENDED\r\n6 BUILT",
            relay,
            "2026-11-24 21:00:00",
        ];
        support::fuzz("answers of tor", &samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            connected(&text);
            introductions_of(&text, &[address()].into());
            super::super::commands::circuits_of_service(&text, &address());
            relays(&text);
            circuits(&text, |_| true);
            moment(&text);
        });
    }
}
