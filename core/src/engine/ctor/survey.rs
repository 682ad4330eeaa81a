//! Asks tor how it stands, and reads its answers (pure): connections, consensus, services. What it does not tell stays unknown.

// It reads what tor says: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::collections::BTreeMap;

use super::control::Control;
use crate::engine::{ServiceSurvey, Survey};
use crate::model::onion::OnionAddress;

/// Asks the tor behind this connection. `services` are ours, with what is known of their descriptors.
pub(super) async fn survey(control: &Control, services: BTreeMap<OnionAddress, ServiceSurvey>) -> Survey {
    // Each is a question of its own, since one that tor can't answer would spoil the others.
    let connections = control.get_info("orconn-status").await.ok();
    let liveness = control.get_info("network-liveness").await.ok();
    let from = control.get_info("consensus/valid-after").await.ok();
    let to = control.get_info("consensus/valid-until").await.ok();
    let circuits = control.get_info("circuit-status").await.unwrap_or_default();
    let mut services = services;
    for (address, service) in &mut services {
        service.introductions = introductions(&circuits, address);
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

/// Counts a service's introduction points in the answer to `GETINFO circuit-status` (control-spec §4.1.1, "HS_STATE").
fn introductions(status: &str, address: &OnionAddress) -> u32 {
    let of_service = format!("REND_QUERY={}", address.service_id());
    let stands = |line: &&str| {
        let has = |wanted: &str| line.split_ascii_whitespace().any(|word| word == wanted);
        has("PURPOSE=HS_SERVICE_INTRO") && has("HS_STATE=HSSI_ESTABLISHED") && has(&of_service)
    };
    u32::try_from(status.lines().filter(stands).count()).unwrap_or(u32::MAX)
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

        assert_eq!(introductions(&status.join("\r\n"), &address()), 2);
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
            introductions(&text, &address());
            moment(&text);
        }
    }
}
