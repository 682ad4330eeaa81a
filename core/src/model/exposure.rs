//! Who can reach the agent's listening addresses, as a sentence: for addresses that are not on loopback, in the command, `status` and the
//! window.

use std::net::SocketAddr;

use super::address::{ListenAddr, Port};
use super::config::Users;
use super::name::RemoteName;

/// What to know of an import's address; none where only this machine can connect.
pub fn of_import(listen: &ListenAddr, users: Users, port: Port, remote: &RemoteName) -> Option<String> {
    let addr = off_loopback(listen)?;
    Some(match users {
        Users::All => format!(
            "everyone who can reach this machine can connect to {addr}, and so to port {port} of {remote}"
        ),
        Users::Me => closed(addr, &format!("`ormesh import set {addr} --all-users` lets them in")),
    })
}

/// The same of the SOCKS address.
pub fn of_socks(addr: SocketAddr, users: Users) -> Option<String> {
    let listen = ListenAddr::Tcp(addr);
    let addr = off_loopback(&listen)?;
    Some(match users {
        Users::All => format!(
            "everyone who can reach this machine can connect to the SOCKS address {addr}, and so to every port of every remote"
        ),
        Users::Me => closed(addr, "`ormesh config set agent.socks-users all` lets them in"),
    })
}

/// Who connects from another machine has no user here.
fn closed(addr: &SocketAddr, opens: &str) -> String {
    format!("connections to {addr} from other machines are refused, since it is for this user alone; {opens}")
}

fn off_loopback(listen: &ListenAddr) -> Option<&SocketAddr> {
    match listen {
        ListenAddr::Tcp(addr) if listen.is_public() => Some(addr),
        ListenAddr::Tcp(_) | ListenAddr::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_off_loopback_is_noted_and_nothing_else() {
        let remote: RemoteName = "website".parse().unwrap();
        let port = Port::new(25).unwrap();
        for (text, noted) in [
            ("0.0.0.0:25", true),
            ("[::]:25", true),
            ("192.168.1.2:25", true),
            ("127.0.0.1:25", false),
            ("127.9.9.9:25", false),
            ("[::1]:25", false),
            ("[::ffff:127.0.0.1]:25", false),
            ("unix:/tmp/s", false),
        ] {
            let listen: ListenAddr = text.parse().unwrap();
            for users in [Users::Me, Users::All] {
                let note = of_import(&listen, users, port, &remote);
                assert_eq!(note.is_some(), noted, "{text}");
                let everyone = note.is_some_and(|note| note.contains("everyone"));
                assert_eq!(everyone, noted && users == Users::All, "{text}");
                if let ListenAddr::Tcp(addr) = listen {
                    assert_eq!(of_socks(addr, users).is_some(), noted, "{text}");
                }
            }
        }
    }
}
