//! The endpoints that are open (gates, responders, imports, the SOCKS server), their counters, and what they refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::GateAddr;
use crate::forward::capacity::Crowded;
use crate::forward::gate::{ClientSessions, Gate};
use crate::forward::guests::Guests;
use crate::forward::import::ImportListener;
use crate::forward::listen::{Bound, SocketPath};
use crate::forward::owner::TurnedAway;
use crate::forward::responder::Responder;
use crate::forward::socks_front::SocksFront;
use crate::model::address::{ListenAddr, Port};
use crate::model::config::Config;
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::problem::catalogue::{self, Crowd};
use crate::model::status::SessionStatus;
use crate::plan::derive::Traffic;

/// A gate's socket with what serves it.
pub(super) enum Door {
    Gate(Gate),
    Responder(Responder),
}

impl Door {
    pub(super) fn addr(&self) -> &GateAddr {
        match self {
            Self::Gate(gate) => gate.addr(),
            Self::Responder(responder) => responder.addr(),
        }
    }

    pub(super) fn socket(&self) -> Option<&SocketPath> {
        match self {
            Self::Gate(gate) => gate.socket(),
            Self::Responder(responder) => responder.socket(),
        }
    }

    pub(super) fn renew(&mut self, bound: Bound, addr: GateAddr) {
        match self {
            Self::Gate(gate) => gate.renew(bound, addr),
            Self::Responder(responder) => responder.renew(bound, addr),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Gate(gate) => gate.close_all().await,
            Self::Responder(responder) => responder.close_all().await,
        }
    }
}

/// What is open of one agent.
#[derive(Default)]
pub(super) struct Endpoints {
    pub(super) doors: BTreeMap<(OnionAddress, Port), Door>,
    /// The sessions of each client over all its doors.
    pub(super) sessions: BTreeMap<OnionAddress, Arc<ClientSessions>>,
    pub(super) listeners: BTreeMap<ListenAddr, ImportListener>,
    pub(super) socks: Option<SocksFront>,
    /// Shared with whoever answers `ormesh nc`.
    pub(super) guests: Arc<Guests>,
}

impl Endpoints {
    /// The isolation groups of the imports of a remote: their circuits are kept warm.
    pub(super) fn groups(&self, remote: &OnionAddress) -> Vec<String> {
        let listeners = self.listeners.values().filter(|listener| listener.spec().address == *remote);
        listeners.flat_map(ImportListener::groups).collect()
    }

    /// What the clients' sessions count.
    pub(super) fn client_traffic(&self) -> BTreeMap<OnionAddress, Traffic> {
        let traffic = |(address, sessions): (&OnionAddress, &Arc<ClientSessions>)| {
            let stats = sessions.stats();
            let open = u32::try_from(stats.open).unwrap_or(u32::MAX);
            let bytes = (stats.bytes_in, stats.bytes_out);
            (*address, Traffic { sessions: open, bytes, through: None })
        };
        self.sessions.iter().map(traffic).collect()
    }

    /// When the clients were last seen.
    pub(super) fn last_seen(&self) -> impl Iterator<Item = (OnionAddress, u64)> {
        self.sessions.iter().filter_map(|(address, sessions)| Some((*address, sessions.stats().last_seen?)))
    }

    /// What the imports count.
    pub(super) fn import_traffic(&self) -> BTreeMap<ListenAddr, Traffic> {
        let traffic = |(listen, listener): (&ListenAddr, &ImportListener)| {
            let stats = listener.stats();
            let open = u32::try_from(stats.sessions_open).unwrap_or(u32::MAX);
            let through = listener.session().map(|(connections, standing)| SessionStatus {
                connections: u32::try_from(connections).unwrap_or(u32::MAX),
                circuits: u32::try_from(standing.circuits).unwrap_or(u32::MAX),
                holding: standing.holding_since.and_then(|since| held(since.elapsed())),
            });
            let bytes = (stats.bytes_out, stats.bytes_in);
            (listen.clone(), Traffic { sessions: open, bytes, through })
        };
        self.listeners.iter().map(traffic).collect()
    }

    /// The problems of connections that were refused and that a user may want.
    pub(super) fn problems(&self, config: &Config) -> Vec<Problem> {
        let socks = self.socks.iter().filter_map(|socks| {
            let TurnedAway { who, times } = socks.turned_away()?;
            Some(catalogue::refused_at_socks(&socks.addr(), &who, times))
        });
        let imports = self.listeners.iter().filter_map(|(listen, import)| {
            let TurnedAway { who, times } = import.turned_away()?;
            Some(catalogue::refused_at_import(listen, &who, times))
        });
        let full_socks = self
            .socks
            .iter()
            .filter_map(|socks| Some(catalogue::socks_full(&socks.addr(), &crowd(socks.crowded()?))));
        let full_guests = self.guests.crowded().into_iter().map(|full| catalogue::guests_full(&crowd(full)));
        let full_imports = self
            .listeners
            .iter()
            .filter_map(|(listen, import)| Some(catalogue::import_full(listen, &crowd(import.crowded()?))));
        let full_ports = self.full_ports(config).into_iter().filter_map(|(port, clients)| {
            let ((client, full), others) = clients.split_first()?;
            Some(catalogue::port_full(port, client, others.len(), &crowd(*full)))
        });
        // The same backend serves all clients of a port.
        let gates = self.doors.values().filter_map(|door| match door {
            Door::Gate(gate) => Some(gate),
            Door::Responder(_) => None,
        });
        let backends = Gate::last_used(gates)
            .into_iter()
            .filter_map(|(port, gate)| Some(catalogue::no_backend(port, &gate.backend_error()?)));
        socks
            .chain(imports)
            .chain(full_socks)
            .chain(full_guests)
            .chain(full_imports)
            .chain(full_ports)
            .chain(backends)
            .collect()
    }

    /// For each client, the ports that refuse it because they are full.
    pub(super) fn full_for(&self) -> BTreeMap<OnionAddress, Vec<Port>> {
        let ports =
            |sessions: &ClientSessions| sessions.crowded().into_iter().map(|(port, _)| port).collect();
        self.sessions.iter().map(|(address, sessions)| (*address, ports(sessions))).collect()
    }

    /// The exported ports that refuse clients because they are full, and which clients.
    fn full_ports(&self, config: &Config) -> BTreeMap<Port, Vec<(ClientName, Crowded)>> {
        let mut full: BTreeMap<Port, Vec<(ClientName, Crowded)>> = BTreeMap::new();
        for (name, client) in &config.clients {
            let Some(sessions) = self.sessions.get(&client.address) else { continue };
            for (port, crowded) in sessions.crowded() {
                full.entry(port).or_default().push((name.clone(), crowded));
            }
        }
        full
    }

    /// Takes no more connections from applications; what is open goes on.
    pub(super) fn refuse(&self) {
        self.listeners.values().for_each(ImportListener::refuse);
        self.socks.iter().for_each(SocksFront::refuse);
    }

    /// Ends the sessions that clients' agents have here, in order, while tor still carries the word.
    pub(super) async fn leave(&self) {
        let responders = self.doors.values().filter_map(|door| match door {
            Door::Responder(responder) => Some(responder),
            Door::Gate(_) => None,
        });
        // All at once.
        let mut leaving: Vec<_> = responders.map(|responder| Box::pin(responder.leave())).collect();
        std::future::poll_fn(|cx| {
            leaving.retain_mut(|one| one.as_mut().poll(cx).is_pending());
            if leaving.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// Sessions that are open, of all kinds.
    pub(super) fn open_sessions(&self) -> u64 {
        let imports: u64 = self.listeners.values().map(|listener| listener.stats().sessions_open).sum();
        let clients: u64 = self.sessions.values().map(|sessions| sessions.stats().open).sum();
        imports
            + clients
            + self.guests.open()
            + self.socks.as_ref().map_or(0, |socks| socks.stats().sessions_open)
    }
}

/// For how many seconds a session is held. A link that is replaced at once is nothing to tell.
fn held(time: Duration) -> Option<u64> {
    Some(time.as_secs()).filter(|seconds| *seconds > 0)
}

fn crowd(crowded: Crowded) -> Crowd {
    Crowd { said: crowded.sentence(), by_agent: crowded.by_agent, refused: crowded.refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_held_once_that_takes_a_second() {
        assert_eq!(held(Duration::from_millis(999)), None);
        assert_eq!(held(Duration::from_millis(1_000)), Some(1));
        assert_eq!(held(Duration::from_secs(90)), Some(90));
    }
}
