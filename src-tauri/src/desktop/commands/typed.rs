//! Text from the window, parsed at once into the core's words: what a field gives may have spaces around it.

use std::fmt::Display;
use std::str::FromStr;

use ormesh_core::agent::own_day;
use ormesh_core::forward::calendar::Calendar;
use ormesh_core::model::address::Port;
use ormesh_core::model::day::Day;
use ormesh_core::model::problem::Problem;
use ormesh_core::model::typed;

pub(super) use ormesh_core::model::typed::{request, usage};

/// Reads a name, an address or a kind of store.
pub(super) fn parse<T: FromStr<Err: Display>>(text: &str, hint: &str) -> Result<T, Problem> {
    typed::parse(text.trim(), hint)
}

/// Reads a port number.
pub(super) fn port(number: u16) -> Result<Port, Problem> {
    Port::new(number).ok_or_else(|| usage("a port is a number from 1 to 65535", "as in 22"))
}

/// Reads a last day, which must not be over where the user is.
pub(super) fn expiry(text: &str) -> Result<Day, Problem> {
    own_day::expiry(typed::no_invite(text.trim())?)
}

/// The UTC day that it is now.
pub(super) fn today() -> Day {
    Calendar::system().today()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert!(port(0).is_err());
        assert!(expiry("2020-01-01").is_err());
        assert!(expiry(" 0d ").is_ok());
        assert!(expiry("ormesh1qqqsecret").unwrap_err().message.starts_with("an invite"));
    }
}
