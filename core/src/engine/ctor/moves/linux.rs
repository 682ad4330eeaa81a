//! Linux's word for it: rtnetlink(7), `RTM_DELADDR`. It costs nothing while nothing changes.

// It reads what the kernel says: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::io;
use std::os::unix::net::UnixDatagram as Socket;

use netlink_packet_core::NetlinkBuffer;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::UnixDatagram;

/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR`.
const GROUPS: u32 = 0x10 | 0x100;
/// `RTM_DELADDR`.
const GONE: u16 = 21;
/// Where a message of type [`GONE`] has the address's scope (`struct ifaddrmsg`), and the scope of those that lead anywhere
/// (`RT_SCOPE_UNIVERSE`).
const SCOPE: (usize, u8) = (3, 0);
/// More than the kernel says at once.
const MOST: usize = 32 * 1024;

/// See the file's sentence. The type is that of another family's datagrams, which are received in the same way.
pub(in super::super) struct Moves(Option<UnixDatagram>);

impl Moves {
    /// Listens from now on. Where the system does not let it, nothing is ever told.
    pub(in super::super) fn watch() -> Self {
        let socket = socket().and_then(UnixDatagram::from_std);
        if let Err(error) = &socket {
            tracing::debug!(%error, "changes of addresses are not told");
        }
        Self(socket.ok())
    }

    /// Waits until an address is gone. Cancel-safe.
    pub(in super::super) async fn next(&mut self) {
        let Some(socket) = &self.0 else { return std::future::pending().await };
        let mut bytes = vec![0; MOST];
        let ended = loop {
            match socket.recv(&mut bytes).await {
                Ok(length) if is_gone(bytes.get(..length).unwrap_or_default()) => return,
                Ok(_) => {}
                // More was said than there was room for: whatever it was.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return;
                }
                Err(error) => break error,
            }
        };
        tracing::debug!(error = %ended, "changes of addresses are told no more");
        self.0 = None;
        std::future::pending().await
    }
}

fn socket() -> io::Result<Socket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Without a protocol it is NETLINK_ROUTE, which is number 0.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket.into())
}

/// Whether one of these messages says that an address is gone which led anywhere.
fn is_gone(mut bytes: &[u8]) -> bool {
    while let Ok(message) = NetlinkBuffer::new_checked(bytes) {
        let (at, scope) = SCOPE;
        if message.message_type() == GONE && message.payload().get(at) == Some(&scope) {
            return true;
        }
        // They begin at multiples of four (netlink(7), NLMSG_ALIGN).
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX).next_multiple_of(4);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, scope: u8) -> Vec<u8> {
        let mut bytes = 24_u32.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([2, 24, 0x80, scope, 3, 0, 0, 0]);
        bytes
    }

    #[test]
    fn only_an_address_that_led_anywhere_counts() {
        assert!(is_gone(&message(21, 0)));
        // One that is new, one of this host alone, one of this link.
        for other in [message(20, 0), message(21, 254), message(21, 253), Vec::new()] {
            assert!(!is_gone(&other), "{other:?}");
        }
        assert!(is_gone(&[message(20, 0), message(21, 254), message(21, 0)].concat()));
    }

    #[test]
    fn fuzzed_words_of_the_kernel_are_read() {
        let samples = [message(21, 0), message(20, 0), [message(20, 0), message(21, 254)].concat()];
        let samples: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
        support::fuzz("words of the kernel", &samples, |bytes| {
            is_gone(bytes);
        });
    }
}
