//! Text from the window, parsed at once into the core's words. A refusal is a problem with a hint, and quotes no invite.

use std::fmt::Display;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use ormesh_core::agent::own_day;
use ormesh_core::model::address::Port;
use ormesh_core::model::day::Day;
use ormesh_core::model::invite::JoinRequest;
use ormesh_core::model::keys::ClientPublicKey;
use ormesh_core::model::problem::{Code, Problem};

/// Reads a name, an address or a kind of store.
pub(super) fn parse<T: FromStr<Err: Display>>(text: &str, hint: &str) -> Result<T, Problem> {
    let text = text.trim();
    if may_be_secret(text) {
        return Err(usage("an invite does not belong here", "add it as a remote"));
    }
    text.parse().map_err(|error| usage(error, hint))
}

/// Reads a port number.
pub(super) fn port(number: u16) -> Result<Port, Problem> {
    Port::new(number).ok_or_else(|| usage("a port is a number from 1 to 65535", "as in 22"))
}

/// Reads a last day, which must not be over where the user is.
pub(super) fn expiry(text: &str) -> Result<Day, Problem> {
    let text = text.trim();
    match may_be_secret(text) {
        true => Err(usage("an invite does not belong here", "as in 30d, 12w or 2027-06-30")),
        false => own_day::expiry(text),
    }
}

/// Reads a join request.
pub(super) fn request(text: &str) -> Result<ClientPublicKey, Problem> {
    JoinRequest::parse(text).map(|request| request.key).map_err(|error| usage(&error, error.hint()))
}

/// The UTC day that it is now.
pub(super) fn today() -> Day {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Day::from_unix(now.as_secs())
}

/// What was given makes no sense.
pub(super) fn usage(why: impl Display, hint: &str) -> Problem {
    Problem::new(Code::BadArgument, why.to_string()).hint(hint)
}

fn may_be_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("ormesh1") || lower.contains("descriptor:x25519")
}

#[cfg(test)]
mod tests {
    use ormesh_core::model::name::RemoteName;

    use super::*;

    #[test]
    fn an_invite_in_the_wrong_field_is_not_quoted() {
        for text in ["ormesh1qqqsecret", " \"ORMESH1QQQSECRET\"", "x:descriptor:x25519:QQQSECRET"] {
            let refused = [parse::<RemoteName>(text, "").unwrap_err(), expiry(text).unwrap_err()];
            assert!(refused.iter().all(|problem| problem.message == "an invite does not belong here"));
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert!(port(0).is_err());
        assert!(expiry("2020-01-01").is_err());
        assert!(expiry("0d").is_ok());
    }
}
