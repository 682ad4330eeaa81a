//! The text of every control command (pure), made from types that can't hold a second command.
//!
//! Invariants: a service has `V3Auth` and one client, and never `Detach`; SETCONF, RESETCONF, SIGNAL RELOAD and NEWNYM, which drop
//! client keys, do not exist here.

use std::path::Path;

use zeroize::Zeroizing;

use super::reply::Reply;
use crate::engine::{EngineError, GateAddr, ServiceSpec};
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::onion::OnionAddress;
use crate::model::tor::RelayId;
use crate::plan::vigil::Begun;

/// Ends tor with the control connection (control-spec §3.23).
pub(super) const TAKE_OWNERSHIP: &str = "TAKEOWNERSHIP";
/// Ends tor at once and in order (control-spec §3.7).
pub(super) const HALT: &str = "SIGNAL HALT";
/// What `events` reads. Circuits are not among them: every one would wake an idle agent. Connections to relays change seldom.
pub(super) const SET_EVENTS: &str = "SETEVENTS HS_DESC ORCONN STATUS_CLIENT STATUS_GENERAL STREAM";
/// The same while a circuit of [`probe`] is on its way.
pub(super) const SET_EVENTS_PROBING: &str =
    "SETEVENTS HS_DESC ORCONN STATUS_CLIENT STATUS_GENERAL STREAM CIRC";

/// The reply to `ADD_ONION` when there is a service of this address ("Onion address collision").
pub(super) const COLLISION: u16 = 550;
/// The reply to `DEL_ONION` when there is no service of this address on this connection.
pub(super) const UNKNOWN_SERVICE: u16 = 552;

/// `ADD_ONION` (control-spec §3.27) with the one client that may read the descriptor. `run_dir` is where tor looks for the gates.
pub(super) fn add_onion(
    service: &ServiceSpec,
    key: &ServiceKey,
    run_dir: &Path,
) -> Result<Zeroizing<String>, EngineError> {
    service.check(key, run_dir)?;
    let mut ports = String::new();
    for (port, gate) in &service.ports {
        let target = match gate {
            // Plain ASCII, as was checked.
            GateAddr::Unix(path) => format!("unix:{}", path.display()),
            GateAddr::Tcp(number) => format!("127.0.0.1:{number}"),
        };
        ports.push_str(&format!(" Port={},{target}", port.get()));
    }
    let secret = key.to_base64();
    let client = service.client;
    // Enough at once: a growing string would leave copies of the key behind.
    let mut command = Zeroizing::new(String::with_capacity(secret.len() + ports.len() + 200));
    command.push_str("ADD_ONION ED25519-V3:");
    command.push_str(&secret);
    command.push_str(" Flags=V3Auth,DiscardPK");
    command.push_str(&ports);
    command.push_str(&format!(" ClientAuthV3={client}"));
    // Without it tor would publish the service for everyone.
    assert!(command.contains(" Flags=V3Auth,") && command.contains(" ClientAuthV3="));
    Ok(command)
}

/// `DEL_ONION` (control-spec §3.28).
pub(super) fn del_onion(address: &OnionAddress) -> String {
    format!("DEL_ONION {}", address.service_id())
}

/// `CLOSECIRCUIT` (control-spec §3.14).
pub(super) fn close_circuit(id: CircuitId) -> String {
    format!("CLOSECIRCUIT {}", id.0)
}

/// `ONION_CLIENT_AUTH_ADD` (control-spec §3.30), for as long as tor runs.
pub(super) fn client_auth_add(address: &OnionAddress, key: &ClientKey) -> Zeroizing<String> {
    let secret = key.to_base64();
    let mut command = Zeroizing::new(String::with_capacity(secret.len() + 100));
    command.push_str("ONION_CLIENT_AUTH_ADD ");
    command.push_str(&address.service_id());
    command.push_str(" x25519:");
    command.push_str(&secret);
    command
}

/// `ONION_CLIENT_AUTH_REMOVE` (control-spec §3.31).
pub(super) fn client_auth_remove(address: &OnionAddress) -> String {
    format!("ONION_CLIENT_AUTH_REMOVE {}", address.service_id())
}

/// `ONION_CLIENT_AUTH_VIEW` (control-spec §3.32). Its reply holds the key.
pub(super) fn client_auth_view(address: &OnionAddress) -> String {
    format!("ONION_CLIENT_AUTH_VIEW {}", address.service_id())
}

/// `HSFETCH` (control-spec §3.26).
pub(super) fn hs_fetch(address: &OnionAddress) -> String {
    format!("HSFETCH {}", address.service_id())
}

/// `EXTENDCIRCUIT` (control-spec §3.10) to a relay that tor uses already, of one hop and for nothing else: it shows whether the network is
/// there, and costs no other relay anything. tor counts failures, and builds no circuits of its own for up to half a minute after six;
/// this one is built all the same, and sets the count back (`circuit_reset_failure_count`).
pub(super) fn probe(relay: &RelayId) -> String {
    format!("EXTENDCIRCUIT 0 {relay} PURPOSE=controller")
}

/// What tor has answered to [`probe`] (control-spec §3.10: 552 for a relay that it does not know, 551 where no circuit could be started).
pub(super) fn begun(reply: &Reply) -> Begun {
    let circuit = || reply.lines.first().and_then(|line| line.strip_prefix("EXTENDED ")?.trim().parse().ok());
    match reply.code {
        551 => Begun::Failed,
        552 => Begun::UnknownRelay,
        _ if reply.is_ok() => circuit().map_or(Begun::Unanswered, Begun::Circuit),
        _ => Begun::Unanswered,
    }
}

/// A circuit as tor numbers it (control-spec §2.4: up to 16 letters and digits; tor's are numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CircuitId(pub(super) u64);

/// Finds the circuits by which a service of ours is reached in the answer to `GETINFO circuit-status` (control-spec §4.1.1).
pub(super) fn circuits_of_service(status: &str, address: &OnionAddress) -> Vec<CircuitId> {
    let id = address.service_id();
    let of_service = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let circuit = words.next()?.parse().ok().map(CircuitId)?;
        let (mut is_ours, mut is_service) = (false, false);
        for word in words {
            is_ours |= word.strip_prefix("REND_QUERY=") == Some(&id);
            is_service |= word.starts_with("PURPOSE=HS_SERVICE_");
        }
        (is_ours && is_service).then_some(circuit)
    };
    status.lines().filter_map(of_service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::Port;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(seed: u8) -> ServiceKey {
        ServiceKey::from_seed(&Zeroizing::new([seed; 32]))
    }

    #[test]
    fn what_tor_says_to_a_question_is_told_apart() {
        for (code, line, expected) in [
            (250, "EXTENDED 17", Begun::Circuit(17)),
            (250, "OK", Begun::Unanswered),
            (551, "Couldn't start circuit", Begun::Failed),
            (552, "No such router \"$AB\"", Begun::UnknownRelay),
            (510, "Unrecognized command", Begun::Unanswered),
        ] {
            assert_eq!(begun(&Reply { code, lines: vec![line.to_owned()] }), expected, "{line}");
        }
    }

    fn client() -> ClientKey {
        ClientKey::from_bytes(&[3; 32]).unwrap()
    }

    fn service(gates: &[(u16, GateAddr)]) -> ServiceSpec {
        let ports: BTreeMap<_, _> =
            gates.iter().map(|(port, gate)| (Port::new(*port).unwrap(), gate.clone())).collect();
        ServiceSpec { address: key(1).address(), client: client().public(), ports }
    }

    #[test]
    fn a_service_is_published_for_one_client() {
        let service = service(&[(22, GateAddr::Unix("g/gate-1".into())), (80, GateAddr::Tcp(4321))]);

        let command = add_onion(&service, &key(1), Path::new("/run/ormesh")).unwrap();

        let secret = key(1).to_base64();
        let public = client().public().to_string();
        assert_eq!(
            *command,
            format!(
                "ADD_ONION ED25519-V3:{} Flags=V3Auth,DiscardPK Port=22,unix:g/gate-1 Port=80,127.0.0.1:4321 ClientAuthV3={public}",
                *secret
            )
        );
    }

    #[test]
    fn a_key_of_another_address_is_not_sent() {
        let service = service(&[(22, GateAddr::Tcp(1))]);

        assert_eq!(
            add_onion(&service, &key(2), Path::new("/run")).map(drop),
            Err(EngineError::WrongKey(service.address))
        );
    }

    #[test]
    fn gates_that_tor_would_read_otherwise_are_refused() {
        let long = "x".repeat(100);
        for gate in ["", "/abs", "../up", "a b", "a,b", "a\"b", "a\r\nSETCONF x", "./a", "ä", &long] {
            let service = service(&[(22, GateAddr::Unix(gate.into()))]);

            let result = add_onion(&service, &key(1), Path::new("/run")).map(drop);

            assert!(matches!(result, Err(EngineError::BadService(_))), "{gate:?}: {result:?}");
        }
        assert!(matches!(
            add_onion(&service(&[]), &key(1), Path::new("/run")).map(drop),
            Err(EngineError::BadService(_))
        ));
    }

    #[test]
    fn other_commands_name_the_address_without_its_ending() {
        let address = key(1).address();
        let id = address.service_id();

        assert_eq!(del_onion(&address), format!("DEL_ONION {id}"));
        assert_eq!(hs_fetch(&address), format!("HSFETCH {id}"));
        assert_eq!(client_auth_remove(&address), format!("ONION_CLIENT_AUTH_REMOVE {id}"));
        assert_eq!(client_auth_view(&address), format!("ONION_CLIENT_AUTH_VIEW {id}"));
        assert_eq!(
            *client_auth_add(&address, &client()),
            format!("ONION_CLIENT_AUTH_ADD {id} x25519:{}", *client().to_base64())
        );
    }

    #[test]
    fn only_the_service_sides_circuits_of_this_address_are_found() {
        let (ours, other) = (key(1).address(), key(2).address());
        let status = format!(
            "5 BUILT $A~a BUILD_FLAGS=IS_INTERNAL PURPOSE=HS_SERVICE_REND HS_STATE=HSSR_JOINED REND_QUERY={0} TIME_CREATED=x\r\n\
             6 BUILT $A~a PURPOSE=HS_SERVICE_INTRO HS_STATE=HSSI_ESTABLISHED REND_QUERY={0}\r\n\
             7 BUILT $A~a PURPOSE=HS_CLIENT_REND HS_STATE=HSCR_JOINED REND_QUERY={0}\r\n\
             8 BUILT $A~a PURPOSE=HS_SERVICE_REND REND_QUERY={1}\r\n\
             9 LAUNCHED PURPOSE=GENERAL\r\n\
             x BUILT PURPOSE=HS_SERVICE_REND REND_QUERY={0}",
            ours.service_id(),
            other.service_id()
        );

        assert_eq!(circuits_of_service(&status, &ours), [CircuitId(5), CircuitId(6)]);
        assert_eq!(close_circuit(CircuitId(5)), "CLOSECIRCUIT 5");
    }

    proptest! {
        #[test]
        fn any_gate_makes_one_line_or_none(gate in ".*", port in 1u16..) {
            let service = service(&[(port, GateAddr::Unix(gate.into()))]);
            if let Ok(command) = add_onion(&service, &key(1), Path::new("/run")) {
                prop_assert!(command.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                prop_assert_eq!(command.split(' ').count(), 5);
            }
        }

        #[test]
        fn any_circuit_status_is_read(status in "(?s).*") {
            circuits_of_service(&status, &key(1).address());
        }
    }
}
