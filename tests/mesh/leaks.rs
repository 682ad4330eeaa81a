//! What leaves a host, and what its tor can lose: every connection is one of tor's to its network, and a key that tor has dropped is given
//! back.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::support::{
    Host, Uplink, echo, figure, hosts, is_connected, is_online, is_reachable, open_echo, reaches, until,
};

/// Starts a host's agent under strace, which notes where it and its tor connect to and send; gives its log.
fn start_traced(host: &mut Host) -> PathBuf {
    let log = host.home().join("strace.log");
    let calls = "trace=connect,sendto,sendmsg,sendmmsg";
    let strace = ["strace", "-D", "-f", "-o", log.to_str().unwrap(), "-e", calls].map(str::to_owned);
    host.start_under(&strace, &[]);
    log
}

/// The addresses of the Internet that calls name, and the calls that name one in a form that is not known here.
fn addresses(log: &str) -> (BTreeSet<SocketAddr>, Vec<&str>) {
    let (mut known, mut odd) = (BTreeSet::new(), Vec::new());
    for line in log.lines().filter(|line| line.contains("AF_INET")) {
        let between = |before: &str, after: &str| Some(line.split_once(before)?.1.split_once(after)?.0);
        let port = between("htons(", ")").and_then(|port| port.parse::<u16>().ok());
        let ip = between("inet_addr(\"", "\"").or_else(|| between("inet_pton(AF_INET6, \"", "\""));
        match ip.and_then(|ip| ip.parse::<IpAddr>().ok()).zip(port) {
            Some(address) => drop(known.insert(address.into())),
            None => odd.push(line),
        }
    }
    (known, odd)
}

#[test]
fn nothing_leaves_but_tors_own_connections() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let uplinks = [&mut server, &mut laptop].map(|host| Uplink::of(host, tornet::shared()));
    let echo = echo();
    server.export(echo.addr, 80);
    laptop.add_remote("remote", &server.invite("client", &[]));
    let import = laptop.import("remote", 80);
    let logs = [&mut server, &mut laptop].map(start_traced);
    server.wait_until("the client's service is published", is_reachable("client"));
    laptop.wait_until("the remote is reached", is_connected("remote"));
    open_echo(import).bulk(10_000).unwrap();
    for (host, uplink) in [&server, &laptop].into_iter().zip(&uplinks) {
        uplink.cut();
        host.wait_until("it is offline", |status| !is_online(status));
        uplink.restore();
        host.wait_until("it is online", is_online);
    }
    reaches(import);
    laptop.good(&["ping", "remote"]);

    let [server_log, laptop_log] = logs.map(|log| fs::read_to_string(log).unwrap());
    assert_eq!(addresses(&server_log), ([uplinks[0].addr(), echo.addr].into(), Vec::new()));
    assert_eq!(addresses(&laptop_log), ([uplinks[1].addr()].into(), Vec::new()));
}

#[test]
fn addresses_are_found_in_what_strace_writes() {
    let log = "1 connect(9, {sa_family=AF_INET, sin_port=htons(5000), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0\n\
               2 sendto(3, \"x\", 1, 0, {sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"::1\", &sin6_addr), sin6_scope_id=0}, 28) = 1\n\
               3 connect(4, {sa_family=AF_UNIX, sun_path=\"/run/x\"}, 110) = 0\n\
               4 connect(4, {sa_family=AF_INET, ...}, 16) = 0\n";

    let (known, odd) = addresses(log);

    assert_eq!(known, ["127.0.0.1:5000", "[::1]:53"].map(|text| text.parse().unwrap()).into());
    assert_eq!(odd.len(), 1);
}

/// A connection to the control port of an agent's tor.
struct Control(BufReader<UnixStream>);

impl Control {
    fn open(host: &Host) -> Self {
        let find = |name: &str| find(&host.state(), name).unwrap_or_else(|| panic!("there is no {name}"));
        let stream = UnixStream::connect(find("tor-control")).unwrap();
        let mut control = Self(BufReader::new(stream));
        let cookie = fs::read(find("control_auth_cookie")).unwrap();
        let cookie: String = cookie.iter().map(|byte| format!("{byte:02x}")).collect();
        control.ask(&format!("AUTHENTICATE {cookie}"));
        control
    }

    /// What tor answers, which must be no error.
    fn ask(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "tor has closed it");
            let is_last = line.as_bytes().get(3) == Some(&b' ');
            answer.push_str(&line);
            if is_last {
                assert!(line.starts_with("25"), "{line}");
                return answer;
            }
        }
    }
}

/// A file or socket of this name below a directory.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    entries.map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}

#[test]
fn a_key_that_tor_has_dropped_is_given_back() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let import = crate::support::connected(&mut server, &mut laptop, echo.addr, 80);
    open_echo(import);
    let address = laptop.status().remotes[0].address.to_string();
    let id = address.trim_end_matches(".onion");
    let mut control = Control::open(&laptop);
    let has_key =
        |control: &mut Control| control.ask(&format!("ONION_CLIENT_AUTH_VIEW {id}")).contains("CLIENT ");
    assert!(has_key(&mut control));

    // The agent never sends it, since it has just this effect.
    control.ask("SETCONF MaxCircuitDirtiness=7201");
    assert!(!has_key(&mut control));
    // Another descriptor, which can't be read without the key, and connections over circuits of their own.
    server.export(echo.addr, 81);
    let mut slowest = std::time::Duration::ZERO;
    until("the key is given back", || {
        control.ask(&format!("HSFETCH {id}"));
        let another = laptop.import("remote", 80);
        let begun = Instant::now();
        open_echo(another);
        slowest = begun.elapsed();
        has_key(&mut control)
    });
    figure("a connection whose key had been dropped", format!("{slowest:.1?}"));
}
