//! Which imports a browser can open, and at which address. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ormesh_core::model::address::ListenAddr;
use ormesh_core::model::status::ImportStatus;

/// Ports on which web applications are commonly served, and whether over TLS (IANA's registry, and what home servers use).
const WEB: [(u16, bool); 17] = [
    (80, false),
    (443, true),
    (3000, false),
    (5000, false),
    (5173, false),
    (8000, false),
    (8006, true),
    (8008, false),
    (8080, false),
    (8081, false),
    (8096, false),
    (8123, false),
    (8443, true),
    (8888, false),
    (9000, false),
    (9090, false),
    (9443, true),
];

/// Where a browser finds an import; none when its remote port is not one of the web's, or it is a socket file.
pub(crate) fn address(import: &ImportStatus) -> Option<String> {
    let port = u16::from(import.remote_port);
    let (_, tls) = WEB.iter().find(|(web, _)| *web == port)?;
    let ListenAddr::Tcp(listen) = &import.listen else { return None };
    let scheme = if *tls { "https" } else { "http" };
    Some(format!("{scheme}://{}/", from_here(*listen)))
}

/// An address that listens on all is reached on the loopback one.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listen: &str, port: u16) -> Option<String> {
        let json = format!(
            r#"{{"listen":"{listen}","remote_port":{port},"state":null,"sessions":0,"bytes":[0,0]}}"#
        );
        address(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn web_ports_have_an_address_that_works_here() {
        assert_eq!(of("127.0.0.1:10080", 80).as_deref(), Some("http://127.0.0.1:10080/"));
        assert_eq!(of("0.0.0.0:10443", 443).as_deref(), Some("https://127.0.0.1:10443/"));
        assert_eq!(of("[::]:8080", 8080).as_deref(), Some("http://[::1]:8080/"));
    }

    #[test]
    fn others_have_none() {
        assert_eq!(of("127.0.0.1:80", 22), None);
        assert_eq!(of("unix:/run/web.sock", 80), None);
    }
}
