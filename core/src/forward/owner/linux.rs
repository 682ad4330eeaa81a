//! The owner of a TCP socket, by Linux's sock_diag(7): one question about one socket, which the kernel answers at once from its hash table.

// It reads what the kernel says of strangers' sockets: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1,
    TCP_FIN_WAIT2, TCP_LAST_ACK,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::user::User;

/// More than an answer about one socket takes.
const ANSWER: usize = 8 * 1024;

/// No cookie is known (sock_diag(7)).
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Who stands, by default, for users that a user namespace does not know (user_namespaces(7)).
const OVERFLOW_UID: u32 = 65_534;

/// Whose the socket is that is bound to `peer` and connected to `local`. An error says why nobody knows, in the same words for each port.
pub(super) async fn owner(peer: SocketAddr, local: SocketAddr) -> Result<User, String> {
    let (peer, local) = (canonical(peer), canonical(local));
    let answer = ask(peer, local).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("no open socket of this machine connects from {}", peer.ip()),
        _ => format!("the system does not say whose it is: {error}"),
    })?;
    judge(&answer, peer, local, rustix::process::geteuid().as_raw())
}

/// Whether the program at `peer` is known to have closed its connection to `local`, not only its own side of it.
pub(super) fn has_closed(peer: SocketAddr, local: SocketAddr) -> bool {
    let (peer, local) = (canonical(peer), canonical(local));
    match ask(peer, local) {
        Ok(answer) => is_of(&answer, peer, local) && answer.inode == 0,
        // The socket of a program on another machine is never found, and a kernel that tells nothing does not even find our own.
        Err(error) => {
            error.kind() == io::ErrorKind::NotFound
                && peer.ip().is_loopback()
                && ask(local, peer).is_ok_and(|answer| is_of(&answer, local, peer))
        }
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn ask(peer: SocketAddr, local: SocketAddr) -> io::Result<InetResponseHeader> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
    let question = question(peer, local);
    rustix::net::sendto(&socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    // The answer is there when the question was taken.
    let mut answer = [0; ANSWER];
    let (_, length) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    let nonsense = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let message = NetlinkMessage::<SockDiagMessage>::deserialize(answer)
        .map_err(|error| nonsense(&error.to_string()))?;
    match message.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => Ok(response.header),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(nonsense("an answer to another question")),
    }
}

fn question(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let socket_id = SocketId {
        source_port: peer.port(),
        destination_port: local.port(),
        source_address: peer.ip(),
        destination_address: local.ip(),
        interface_id: 0,
        cookie: NO_COOKIE,
    };
    let request = InetRequest {
        family: if matches!(peer.ip(), IpAddr::V4(_)) { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What an answer proves. The kernel says uid 0 of a socket that no process has open any more, and finds a listener where there is no
/// connection: neither is taken for an owner.
fn judge(answer: &InetResponseHeader, peer: SocketAddr, local: SocketAddr, me: u32) -> Result<User, String> {
    let connected =
        [TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK];
    if !is_of(answer, peer, local) || !connected.contains(&answer.state) {
        return Err(format!("no open connection of this machine comes from {}", peer.ip()));
    }
    if answer.inode == 0 {
        return Err("its program has closed it already".to_owned());
    }
    match answer.uid {
        0 if me == 0 => Ok(User::Me),
        0 => Ok(User::Root),
        OVERFLOW_UID if me == OVERFLOW_UID => {
            Err(format!("user {OVERFLOW_UID} stands for every user that is not known here"))
        }
        uid if uid == me => Ok(User::Me),
        uid => Ok(User::Other(format!("user {uid}"))),
    }
}

fn is_of(answer: &InetResponseHeader, peer: SocketAddr, local: SocketAddr) -> bool {
    let id = &answer.socket_id;
    let ends = [(id.source_address, id.source_port), (id.destination_address, id.destination_port)];
    ends.map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port)) == [peer, local]
}

#[cfg(test)]
#[path = "linux/tests.rs"]
mod tests;
