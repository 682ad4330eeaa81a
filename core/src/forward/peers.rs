//! Which process has the other end of a connection of this machine, on Windows: one look into one of the system's tables, for all who ask
//! at the same time.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use netsock::family::AddressFamilyFlags;
use netsock::protocol::ProtocolFlags;
use netsock::socket::{ProtocolSocketInfo, SocketInfo};

use super::looks::Looks;

/// The TCP sockets of each family, as the last look found them.
static SOCKETS: [Looks<Vec<SocketInfo>>; 2] = [Looks::new(), Looks::new()];

/// The processes with a TCP socket that is bound to `peer` and connected to `local`. Blocks.
///
/// Errors: why the system does not say.
pub(super) fn processes(peer: SocketAddr, local: SocketAddr) -> Result<Vec<u32>, String> {
    let asked = Instant::now();
    let (family, sockets) = match peer.ip() {
        IpAddr::V4(_) => (AddressFamilyFlags::IPV4, &SOCKETS[0]),
        IpAddr::V6(_) => (AddressFamilyFlags::IPV6, &SOCKETS[1]),
    };
    let table = sockets.after(asked, || {
        let table = netsock::iter_sockets(family, ProtocolFlags::TCP).map_err(|error| error.to_string())?;
        Ok::<_, String>(table.filter_map(Result::ok).collect())
    })?;
    // Both ends must agree: another socket may be bound to the same port of another address.
    let is_it = |socket: &&SocketInfo| match &socket.protocol_socket_info {
        ProtocolSocketInfo::Tcp(tcp) => {
            (tcp.local_addr, tcp.local_port) == (peer.ip(), peer.port())
                && (tcp.remote_addr, tcp.remote_port) == (local.ip(), local.port())
        }
        ProtocolSocketInfo::Udp(_) => false,
    };
    let held = table.iter().filter(is_it);
    Ok(held.flat_map(|socket| &socket.processes).map(|process| process.pid).collect())
}
