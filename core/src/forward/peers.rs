//! Which process has the other end of a connection of this machine, on Windows: one look into one of the system's tables.

use std::net::SocketAddr;

use netsock::family::AddressFamilyFlags;
use netsock::protocol::ProtocolFlags;
use netsock::socket::{ProtocolSocketInfo, SocketInfo};

/// The processes with a TCP socket that is bound to `peer` and connected to `local`.
///
/// Errors: why the system does not say.
pub(super) fn processes(peer: SocketAddr, local: SocketAddr) -> Result<Vec<u32>, String> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamilyFlags::IPV4,
        SocketAddr::V6(_) => AddressFamilyFlags::IPV6,
    };
    let table = netsock::iter_sockets(family, ProtocolFlags::TCP).map_err(|error| error.to_string())?;
    // Both ends must agree: another socket may be bound to the same port of another address.
    let is_it = |socket: &SocketInfo| match &socket.protocol_socket_info {
        ProtocolSocketInfo::Tcp(tcp) => {
            (tcp.local_addr, tcp.local_port) == (peer.ip(), peer.port())
                && (tcp.remote_addr, tcp.remote_port) == (local.ip(), local.port())
        }
        ProtocolSocketInfo::Udp(_) => false,
    };
    let held = table.filter_map(Result::ok).filter(is_it);
    Ok(held.flat_map(|socket| socket.processes).map(|process| process.pid).collect())
}
