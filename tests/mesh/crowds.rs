//! More connections than there is room for: one port, one client and one importer can't use up what others need, and both ends say why.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ormesh_core::model::address::Port;
use ormesh_core::model::problem::{Code, Subject};
use ormesh_core::model::status::Status;

use crate::support::{
    Host, ORMESH, connected, echo, figure, free_address, hosts, is_connected, is_reachable, open_echo,
    reaches, refusal, socks_dial, until,
};

/// Connections that are opened at a time: tor takes them one by one.
const AT_ONCE: usize = 16;

/// Opens so many connections, and gives those through which a byte went and came back; they stay open.
fn flood(at: SocketAddr, many: usize) -> Vec<TcpStream> {
    thread::scope(|scope| {
        let opening: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(move || (0..many / AT_ONCE).filter_map(|_| one(at)).collect::<Vec<_>>()))
            .collect();
        opening.into_iter().flat_map(|opened| opened.join().unwrap()).collect()
    })
}

fn one(at: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"x").ok()?;
    stream.read_exact(&mut [0]).ok()?;
    Some(stream)
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = (&mut &*stream).read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// What is said of a port that is full, here or at the other end.
fn full(status: &Status, id: (Code, &Subject)) -> Option<String> {
    let found = status.problems.iter().find(|problem| problem.id() == (id.0, Some(id.1)));
    found.map(|problem| format!("{}; {}", problem.message, problem.hint))
}

fn doctor(host: &Host) -> String {
    host.ormesh(&["doctor"]).stdout
}

/// Allows the agent so many open files from now on.
fn limit_descriptors(host: &Host, many: u64) {
    let (pid, limit) = (host.agent_pid().to_string(), format!("--nofile={many}:{many}"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

#[test]
fn one_port_leaves_room_for_the_others_and_both_ends_say_that_it_is_full() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let remote = Subject::Remote("remote".parse().unwrap());
    let export = Subject::Export(Port::new(80).unwrap());
    let (here, there) = ((Code::Full, &export), (Code::FullThere, &remote));
    let (web, ssh) = (echo(), echo());
    server.export(ssh.addr, 22);
    let public = connected(&mut server, &mut laptop, web.addr, 80);
    let other = laptop.import("remote", 22);
    reaches(other);

    let open = flood(public, 600);

    figure("connections open of 600 to one port", open.len());
    assert!((256..512).contains(&open.len()), "{} are open", open.len());
    assert!(open.iter().all(is_open), "what is open stays");
    // Whoever comes to another port is served at once, through an import, by SOCKS and by the command.
    for _ in 0..20 {
        assert!(open_echo(other).turn().is_ok());
    }
    assert!(socks_dial(laptop.socks(), "remote", 22).is_ok());

    let status = server.wait_until("the exporter says so", |status| full(status, here).is_some());
    let said = full(&status, here).unwrap();
    assert!(said.contains("port 80 for client is full: ") && said.contains(" of 512"), "{said}");
    assert!(said.contains("agent.max-sessions"), "{said}");
    assert!(doctor(&server).contains("port 80 for client is full"), "{}", doctor(&server));
    let status = laptop.wait_until("the importer says so", |status| full(status, there).is_some());
    let said = full(&status, there).unwrap();
    assert!(said.contains("port 80 of remote is full: "), "{said}");
    assert!(doctor(&laptop).contains("port 80 of remote is full: "), "{}", doctor(&laptop));
    let ping = laptop.ormesh(&["ping", "-c", "1", "remote", "80"]);
    assert_eq!(ping.code, 4, "{ping:?}");
    assert!(ping.stderr.contains("is full: "), "{ping:?}");
    let nc = laptop.ormesh(&["nc", "remote", "80"]);
    assert_eq!(nc.code, 4, "{nc:?}");
    assert!(nc.stderr.contains("is full: ") && nc.stdout.is_empty(), "{nc:?}");
    assert!(server.log().contains("full: connections are turned away"));
    // An application that waits for the server's first word sees a failure, no empty answer.
    for mut silent in [TcpStream::connect(public).unwrap(), socks_dial(laptop.socks(), "remote", 80).unwrap()]
    {
        let ended = silent.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::ConnectionReset));
    }
    let log = laptop.log();
    assert!(log.contains("the far side has no room for it: port 80 is full: "), "{log}");

    // It goes away by itself.
    drop(open);
    server.wait_until("the exporter has room", |status| full(status, here).is_none());
    laptop.wait_until("the importer knows", |status| full(status, there).is_none());
    reaches(public);
}

#[test]
fn one_client_leaves_room_for_the_others_where_descriptors_are_few() {
    let [mut server, mut greedy, mut modest] = hosts(["server", "greedy", "modest"]);
    // Nothing may have asked for a place before the limit is set.
    server.good(&["config", "set", "agent.socks-addr", "off"]);
    server.start();
    limit_descriptors(&server, 1024);
    let backend = echo();
    server.export(backend.addr, 80);
    let ats = [("greedy", &mut greedy), ("modest", &mut modest)].map(|(name, host)| {
        host.add_remote("remote", &server.invite(name, &[]));
        let at = host.import("remote", 80);
        host.start();
        at
    });
    for name in ["greedy", "modest"] {
        server.wait_until("its service is published", is_reachable(name));
    }
    for host in [&greedy, &modest] {
        host.wait_until("the remote is reached", is_connected("remote"));
    }
    let export = Subject::Export(Port::new(80).unwrap());
    let here = (Code::Full, &export);
    // The server has a SOCKS address and an import of its own by now.
    let socks = free_address();
    server.good(&["config", "set", "agent.socks-addr", &socks.to_string()]);
    until("the SOCKS server listens", || TcpStream::connect(socks).is_ok());

    let open = flood(ats[0], 512);

    figure("sessions of one client with 1,024 descriptors", open.len());
    assert!((100..392).contains(&open.len()), "{} are open", open.len());
    let other = flood(ats[1], 32);
    assert_eq!(other.len(), 32, "another client is served");
    assert_eq!(refusal(socks, "nobody", 80), 2, "the SOCKS server answers");
    let status = server.wait_until("it is said", |status| full(status, here).is_some());
    let said = full(&status, here).unwrap();
    assert!(said.contains("port 80 for greedy is full: ") && said.contains("LimitNOFILE"), "{said}");
    assert!(server.command(ORMESH).arg("status").status().unwrap().success());

    drop(open);
    server.wait_until("there is room", |status| full(status, here).is_none());
    assert_eq!(flood(ats[0], 32).len(), 32);
}

#[test]
fn what_the_command_connects_leaves_room_for_imports() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    // Nothing may have asked for a place before the limit is set, and tor, which needs more, is there by then.
    laptop.good(&["config", "set", "agent.socks-addr", "off"]);
    laptop.start_online();
    limit_descriptors(&laptop, 128);
    server.export(echo().addr, 80);
    laptop.add_remote("remote", &server.invite("client", &[]));
    let import = laptop.import("remote", 80);
    server.start();
    server.wait_until("the service is published", is_reachable("client"));
    laptop.wait_until("the remote is reached", is_connected("remote"));

    let begin = |_| {
        let mut nc = laptop.command(ORMESH);
        nc.args(["nc", "remote", "80"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        nc.spawn().unwrap()
    };
    let mut all: Vec<Child> = (0..45).map(begin).collect();
    let refused = until("one is refused", || all.iter_mut().position(|nc| nc.try_wait().unwrap().is_some()));

    let mut nc = all.swap_remove(refused);
    let mut said = String::new();
    nc.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(nc.wait().unwrap().code(), Some(4), "{said}");
    assert!(said.contains("no room for another connection of ormesh nc or ssh: full: "), "{said}");
    assert!(open_echo(import).turn().is_ok());
    let status =
        laptop.wait_until("it is said", |status| full(status, (Code::Full, &Subject::Agent)).is_some());
    let said = full(&status, (Code::Full, &Subject::Agent)).unwrap();
    assert!(
        said.contains("the room for ormesh nc and ssh is full: ") && said.contains("LimitNOFILE"),
        "{said}"
    );
    for nc in &mut all {
        nc.kill().unwrap();
        nc.wait().unwrap();
    }
    laptop.wait_until("there is room", |status| full(status, (Code::Full, &Subject::Agent)).is_none());
}
