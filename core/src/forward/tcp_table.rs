//! The kernel's tables of TCP sockets on Linux, which list everybody's (proc_pid_net(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens (`TCP_LISTEN` in the kernel's tcp_states.h).
const LISTENS: &str = "0A";

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listens {
    pub(super) addr: SocketAddr,
    /// By which `/proc/PID/fd` names it.
    pub(super) inode: u64,
}

/// All that listen.
pub(super) fn listening() -> Vec<Listens> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let texts = tables.iter().filter_map(|table| std::fs::read_to_string(table).ok());
    texts.flat_map(|text| text.lines().filter_map(line).collect::<Vec<_>>()).collect()
}

/// What one line says, where it is of a socket that listens.
fn line(line: &str) -> Option<Listens> {
    let mut words = line.split_whitespace().skip(1);
    let (local, state) = (words.next()?, words.nth(1)?);
    let inode = words.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':').filter(|_| state == LISTENS)?;
    let bytes = data_encoding::HEXUPPER.decode(ip.as_bytes()).ok()?;
    // The kernel prints each group of four as a number of this machine.
    let bytes: Vec<u8> = bytes
        .chunks(4)
        .filter_map(|group| Some(u32::from_be_bytes(group.try_into().ok()?).to_ne_bytes()))
        .flatten()
        .collect();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some(Listens { addr: SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?), inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_the_kernels_table_is_read_where_it_is_of_a_listener() {
        let v4 =
            "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 24 1";
        let v6 = "  1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25 1";
        let open =
            "  2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 24 1";
        let listens = |addr: &str, inode| Some(Listens { addr: addr.parse().unwrap(), inode });
        assert_eq!(line(v4), listens("127.0.0.1:8080", 24));
        assert_eq!(line(v6), listens("[::1]:22", 25));
        for bad in
            [open, "", "  sl  local_address rem_address   st tx_queue", "0: 01:1 0:0 0A", "0: 0100007F 0 0A"]
        {
            assert_eq!(line(bad), None, "{bad:?}");
        }
    }
}
