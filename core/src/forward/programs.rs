//! All that listens on this machine, with the names of the programs. This reads all of /proc or its like, so it is for a person who asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::listened;

/// How long a search may take.
const SEARCH: Duration = Duration::from_secs(2);

/// Every TCP address that somebody listens on, and the name of the program where this user can see it. This process's own are left out.
pub async fn listening() -> Vec<(SocketAddr, Option<String>)> {
    let search = tokio::task::spawn_blocking(search);
    timeout(SEARCH, search).await.ok().and_then(Result::ok).unwrap_or_default()
}

fn search() -> Vec<(SocketAddr, Option<String>)> {
    let mut all: BTreeMap<SocketAddr, Option<String>> =
        others::listening().into_iter().map(|addr| (addr, None)).collect();
    for (at, holder) in listened::search() {
        match holder.is_us() {
            true => drop(all.remove(&at)),
            false => drop(all.insert(at, Some(holder.name))),
        }
    }
    all.into_iter().collect()
}

/// Whose processes this user can't see, Linux tells of all the same, without a name (proc_pid_net(5)).
#[cfg(target_os = "linux")]
mod others {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    /// The state of a socket that listens (`TCP_LISTEN` in the kernel's tcp_states.h).
    const LISTENS: &str = "0A";

    pub(super) fn listening() -> Vec<SocketAddr> {
        let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
        let texts = tables.iter().filter_map(|table| std::fs::read_to_string(table).ok());
        texts.flat_map(|text| text.lines().filter_map(line).collect::<Vec<_>>()).collect()
    }

    /// The address in one line, where it is of a socket that listens.
    pub(super) fn line(line: &str) -> Option<SocketAddr> {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
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
        Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
    }
}

#[cfg(not(target_os = "linux"))]
mod others {
    pub(super) fn listening() -> Vec<std::net::SocketAddr> {
        Vec::new()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_program_listens_on_is_found_with_its_name_and_our_own_is_not() {
        let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let script = "import socket,sys,time\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\ntime.sleep(60)";
        let mut python = std::process::Command::new("python3")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(python.stdout.take().unwrap()), &mut port)
            .unwrap();

        let all = listening().await;

        python.kill().unwrap();
        python.wait().unwrap();
        let theirs = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        let name = all.iter().find(|(addr, _)| *addr == theirs).and_then(|(_, name)| name.clone());
        assert!(name.is_some_and(|name| name.starts_with("python3")), "{all:?}");
        assert!(all.iter().all(|(addr, _)| *addr != ours.local_addr().unwrap()));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_the_kernels_table_is_read_where_it_is_of_a_listener() {
        let v4 =
            "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 24 1";
        let v6 = "  1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000";
        let open =
            "  2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 24 1";
        assert_eq!(others::line(v4), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(others::line(v6), Some("[::1]:22".parse().unwrap()));
        for bad in
            [open, "", "  sl  local_address rem_address   st tx_queue", "0: 01:1 0:0 0A", "0: 0100007F 0 0A"]
        {
            assert_eq!(others::line(bad), None, "{bad:?}");
        }
    }
}
