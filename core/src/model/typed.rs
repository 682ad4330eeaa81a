//! Parses what users type, in a command or in the window, into the types of this room. An error is a problem with a hint and quotes no
//! invite.

use std::fmt::Display;
use std::str::FromStr;

use super::invite::JoinRequest;
use super::keys::ClientPublicKey;
use super::problem::{Code, Problem};

/// Reads a name, an address, a port, a kind of store.
pub fn parse<T: FromStr<Err: Display>>(text: &str, hint: &str) -> Result<T, Problem> {
    no_invite(text)?.parse().map_err(|error| usage(error, hint))
}

/// Reads a join request: the key that its maker is to be known by.
pub fn request(text: &str) -> Result<ClientPublicKey, Problem> {
    JoinRequest::parse(text).map(|request| request.key).map_err(|error| usage(&error, error.hint()))
}

/// The text, in which no invite is.
pub fn no_invite(text: &str) -> Result<&str, Problem> {
    match may_be_secret(text) {
        true => {
            Err(usage("an invite does not belong here", "add it as a remote: ormesh remote add NAME INVITE"))
        }
        false => Ok(text),
    }
}

/// Whether a text may be an invite or a key, and so must not be said back.
pub fn may_be_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("ormesh1") || lower.contains("descriptor:x25519")
}

/// What was given makes no sense.
pub fn usage(why: impl Display, hint: &str) -> Problem {
    Problem::new(Code::BadArgument, why.to_string()).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::{ListenAddr, Port, Target};
    use crate::model::name::RemoteName;

    #[test]
    fn an_invite_in_the_wrong_place_is_not_quoted() {
        for text in [
            "ormesh1qqqsecret",
            "Here it is: ormesh1qqqsecret",
            " \"ORMESH1QQQSECRET\"",
            "x:descriptor:x25519:QQQSECRET",
        ] {
            for problem in [
                parse::<Port>(text, "").unwrap_err(),
                parse::<Target>(text, "").unwrap_err(),
                parse::<ListenAddr>(text, "").unwrap_err(),
                parse::<RemoteName>(text, "").unwrap_err(),
            ] {
                assert_eq!(problem.message, "an invite does not belong here");
            }
        }
    }
}
