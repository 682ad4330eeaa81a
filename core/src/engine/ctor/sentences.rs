//! Says in sentences what tor tells of the network and the clock (pure).

use super::reply::presentable;
use crate::model::bridge;
use crate::plan::vigil::{ASLEEP, MOVED};

/// Says in a sentence why there is no network, by the reason of a connection's end and the number of bridges.
pub(super) fn offline(reason: &str, bridges: usize) -> String {
    match reason {
        // What this host lacks is no bridge's fault.
        _ if ![ASLEEP, MOVED, "RESOURCELIMIT"].contains(&reason) && bridges > 0 => {
            bridge::none_answers(bridges)
        }
        ASLEEP => "this host was asleep, and tor has not reached the network since".to_owned(),
        MOVED => "this host has lost an address, and tor has not reached the network since".to_owned(),
        "NOROUTE" | "CONNECTREFUSED" | "TIMEOUT" | "IDENTITY" | "TLS_ERROR" | "RESOURCELIMIT" => {
            of_reason(reason, "")
        }
        _ => "no connection to the Tor network stands: this host is offline, or something on the way cuts it"
            .to_owned(),
    }
}

/// Says in a sentence why tor does not get on. The reasons are those of ORCONN events (control-spec §4.1.3).
pub(super) fn of_reason(reason: &str, warning: &str) -> String {
    match reason {
        "NOROUTE" => "this host seems to be offline: there is no way to the Tor network".to_owned(),
        "CONNECTREFUSED" => "relays of Tor refuse the connection: a firewall may block Tor".to_owned(),
        "CONNECTRESET" => {
            "connections to relays of Tor are cut: something on the way may block Tor".to_owned()
        }
        "TIMEOUT" => "relays of Tor don't answer: this host is offline, or a firewall blocks Tor".to_owned(),
        // Also where the other end closes in the middle of it.
        "TLS_ERROR" => {
            "connections to relays of Tor end before they are encrypted: something on the way may block Tor"
                .to_owned()
        }
        "IDENTITY" => {
            "a relay is not who it should be: something on the way breaks connections open".to_owned()
        }
        "RESOURCELIMIT" => "this host has no file descriptors or memory left for Tor".to_owned(),
        _ => format!("tor warns: {}", presentable(warning)),
    }
}

/// Says how wrong the clock is.
pub(super) fn clock(ahead: i64) -> String {
    let (seconds, direction) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead" });
    let amount = match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    format!("this host's clock is about {amount} {direction}: Tor does not work until it is right")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_network_the_reason_says_what_to_look_at() {
        assert!(offline("CONNECTREFUSED", 0).contains("firewall"));
        assert!(offline("IOERROR", 0).contains("offline"));
        // A connection that is closed while it is made is no proof of a stranger.
        assert!(offline("IDENTITY", 0).contains("not who it should be"));
        assert!(offline("TLS_ERROR", 0).contains("may block Tor"));
        assert!(offline("RESOURCELIMIT", 1).contains("no file descriptors"));
        // There is no other way in: whatever else the reason, it is the bridge's.
        assert!(offline("CONNECTREFUSED", 1).starts_with("the bridge does not answer"));
        assert!(offline("NOROUTE", 3).starts_with("none of the 3 bridges answers"));
        assert!(offline(ASLEEP, 1).contains("asleep"));
        assert!(offline(MOVED, 1).contains("lost an address"));
    }
}
