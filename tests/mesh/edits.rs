//! Edits while traffic flows: they apply at once, and what they are not about goes on undisturbed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::{
    Echo, Host, ORMESH, PATIENCE, Random, connected, echo, ended, figure, free_address, hosts, is_connected,
    is_kept_out, is_reachable, open_echo, reaches, serve, socks_dial, times, try_echo, until,
};

/// In every run, and in a soak.
const EDITS: (usize, usize) = (100, 1000);
const PORT_CHANGES: (usize, usize) = (8, 100);

#[test]
fn a_hundred_random_edits_leave_a_session_alone() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    server.good(&["client", "set", "client", "--port", "80"]);
    let traffic = Traffic::start(open_echo(import));

    let mut random = Random(0x7465_7374_2e31);
    let mut world = World::default();
    let mut took = Vec::new();
    let edits = times(EDITS.0, EDITS.1);
    for number in 0..edits {
        let begun = Instant::now();
        world.edit(&server, &laptop, &mut random, number, import);
        took.push(begun.elapsed());
    }
    took.sort();
    figure("an edit with its effect: median", format!("{:?}", took[edits / 2]));
    figure("an edit with its effect: slowest", format!("{:?}", took[edits - 1]));

    let turns = traffic.turns();
    traffic.wait_for_more(turns);
    traffic.end();
    let session = open_echo(import);
    assert_eq!(session.stream().peer_addr().unwrap(), import);
    let status = laptop.status();
    for (listen, _) in &world.imports {
        let known = status.remotes.iter().flat_map(|remote| &remote.imports);
        assert!(
            known.map(|import| import.listen.to_string()).any(|known| known == *listen),
            "{listen} is lost"
        );
    }
    assert_eq!(server.status().exports.len(), 1 + world.exports.len());
    assert_eq!(server.status().clients.len(), 1 + world.clients.len());
    assert_eq!(status.remotes.len(), 1 + world.remotes.len());
}

#[test]
fn another_name_ends_no_connection_and_keeps_keys_and_addresses_also_over_a_restart() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    let traffic = Traffic::start(open_echo(import));
    let address = laptop.good(&["remote", "show", "remote"]);

    server.good(&["client", "rename", "client", "anna"]);
    laptop.good(&["remote", "rename", "remote", "home"]);

    let turns = traffic.turns();
    traffic.wait_for_more(turns);
    open_echo(import);
    socks_dial(laptop.socks(), "home", 80).unwrap();
    assert!(socks_dial(laptop.socks(), "remote", 80).is_err());
    traffic.end();
    assert_eq!(laptop.good(&["remote", "show", "home"]), address);
    assert_eq!(server.good(&["client", "show", "anna"]), address);

    for host in [&mut server, &mut laptop] {
        host.stop();
        host.spawn_agent(&[]);
    }
    reaches(import);
    for host in [&server, &laptop] {
        let secrets = host.good(&["secrets", "status"]);
        assert!(!secrets.contains("interrupted"), "{secrets}");
    }

    let moved = free_address();
    laptop.good(&["import", "set", &import.to_string(), "--to", &moved.to_string()]);
    open_echo(moved);
    assert!(std::net::TcpStream::connect(import).is_err(), "nothing listens there any more");
    server.good(&["export", "set", "80", "--to", "81"]);
    assert!(is_kept_out(moved));
    reaches(laptop.import("home", 81));
}

#[test]
fn a_remote_that_is_deleted_ends_what_leads_to_it_and_nothing_else() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let _import = connected(&mut server, &mut laptop, echo.addr, 80);
    laptop.add_remote("other", &server.invite("other", &[]));
    laptop.wait_until("the other remote is reached", is_connected("other"));
    let mut by_socks = ["remote", "other"].map(|remote| socks_dial(laptop.socks(), remote, 80).unwrap());
    for stream in &mut by_socks {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let mut nc = laptop.command(ORMESH);
    nc.args(["nc", "remote", "80"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut nc = nc.spawn().unwrap();
    nc.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    nc.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert_eq!(echo.open(), 3);

    laptop.good(&["remote", "delete", "remote"]);

    let [mut deleted, mut other] = by_socks;
    assert_eq!(deleted.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // It ends though its standard input is open.
    let _stdin = nc.stdin.take();
    let nc = nc.wait_with_output().unwrap();
    let said = String::from_utf8(nc.stderr).unwrap();
    assert_eq!(nc.status.code(), Some(1), "{said}");
    assert!(said.contains("its remote was deleted"), "{said}");
    until("both have ended at the server", || echo.open() == 1);
    other.write_all(b"y").unwrap();
    other.read_exact(&mut [0]).unwrap();
}

#[test]
fn an_end_waits_a_moment_for_what_nc_is_about_to_hear() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let answers = serve(|mut stream| {
        let _ = stream.read(&mut [0]);
        thread::sleep(Duration::from_secs(1));
        let _ = stream.write_all(b"the answer");
    });
    connected(&mut server, &mut laptop, answers.addr, 80);
    let mut nc = laptop.command(ORMESH);
    nc.args(["nc", "remote", "80"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut nc = nc.spawn().unwrap();
    nc.stdin.take().unwrap().write_all(b"x").unwrap();
    until("the question arrives", || answers.open() == 1);

    laptop.stop();

    let nc = nc.wait_with_output().unwrap();
    assert_eq!((nc.stdout.as_slice(), nc.status.code()), (&b"the answer"[..], Some(0)));
}

#[test]
fn a_client_s_key_that_is_replaced_in_the_file_ends_what_the_old_one_had() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    let held = open_echo(import);
    let before = std::fs::read_to_string(server.config()).unwrap();
    let client: toml::Table = before.parse().unwrap();
    let old = client["client"]["client"]["key"].as_str().unwrap().to_owned();
    server.good(&["client", "add", "other"]);
    let after: toml::Table = std::fs::read_to_string(server.config()).unwrap().parse().unwrap();
    let new = after["client"]["other"]["key"].as_str().unwrap().to_owned();

    std::fs::write(server.config(), before.replace(&old, &new)).unwrap();

    assert!(ended(held.stream(), PATIENCE), "the old key's session goes on");
    server.wait_until("no session is counted", |status| status.clients[0].sessions == 0);
    assert!(is_kept_out(import), "the old key still lets in");

    // And what comes through the key that is there now is counted, and hears of what is granted later.
    std::fs::write(server.config(), before).unwrap();
    let _again = reaches(import);
    server.wait_until("its session is counted", |status| status.clients[0].sessions == 1);
    server.export(echo.addr, 81);
    let asked = ["ping", "remote", "81", "--count", "1"];
    until("the new port is told", || laptop.ormesh(&asked).stdout.contains("port 81 open"));
}

#[test]
fn a_client_s_ports_change_under_traffic() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let (first, second) = (echo(), echo());
    let import = connected(&mut server, &mut laptop, first.addr, 80);
    let other = laptop.import("remote", 81);
    let traffic = Traffic::start(open_echo(import));

    let mut worst = Duration::ZERO;
    let changes = times(PORT_CHANGES.0, PORT_CHANGES.1);
    for _ in 0..changes {
        server.export(second.addr, 81);
        let begun = Instant::now();
        let mut session = reaches(other);
        worst = worst.max(begun.elapsed());
        server.good(&["export", "delete", "81"]);
        assert!(session.turn().is_err(), "a session at a port that was taken away goes on");
        assert!(try_echo(other).is_err(), "a port that was taken away is reached");
    }
    figure("an added export reached by a client that is connected: slowest", format!("{worst:?}"));

    let turns = traffic.turns();
    traffic.wait_for_more(turns);
    traffic.end();
    assert_eq!(first.accepted(), 1, "the open session is the first one still");
    // An attempt that is late gets another beside it, which may arrive, too.
    assert!(second.accepted() >= changes, "{} of {changes}", second.accepted());
    server.wait_until("the service is published again", is_reachable("client"));
}

/// What the random edits have made so far.
#[derive(Default)]
struct World {
    exports: Vec<String>,
    clients: Vec<(String, String)>,
    remotes: Vec<String>,
    imports: Vec<(String, String)>,
    made: usize,
}

impl World {
    /// One edit of any kind, on either host; some are refused, as they must be.
    fn edit(&mut self, server: &Host, laptop: &Host, random: &mut Random, number: usize, import: SocketAddr) {
        self.made += 1;
        let name = format!("n{}", self.made);
        match random.below(10) {
            0 => {
                let port = (2000 + self.made).to_string();
                server.good(&["export", "add", "9", &port]);
                self.exports.push(port);
            }
            1 if !self.exports.is_empty() => {
                let port = self.exports.swap_remove(random.below(self.exports.len()));
                server.good(&["export", "delete", &port]);
            }
            // A few clients at a time: each is a service that is published.
            2 if self.clients.len() < 4 => {
                let invite = server.invite(&name, &["--port", "80"]);
                self.clients.push((name, invite));
            }
            3 if !self.clients.is_empty() => {
                let (name, _) = self.clients.swap_remove(random.below(self.clients.len()));
                server.good(&["client", "delete", &name]);
            }
            4 if !self.clients.is_empty() => {
                let (client, invite) = &self.clients[random.below(self.clients.len())];
                let remote = format!("r-{client}");
                if self.remotes.contains(&remote) {
                    let refused = laptop.ormesh_reading(&["remote", "add", &remote, "-"], invite);
                    assert_eq!(refused.code, 4, "{refused:?}");
                } else {
                    laptop.add_remote(&remote, invite);
                    self.remotes.push(remote);
                }
            }
            5 if !self.remotes.is_empty() => {
                let remote = self.remotes.swap_remove(random.below(self.remotes.len()));
                laptop.good(&["remote", "delete", &remote]);
                self.imports.retain(|(_, of)| *of != remote);
            }
            6 if self.imports.len() > 4 => {
                let (listen, _) = self.imports.swap_remove(random.below(self.imports.len()));
                laptop.good(&["import", "delete", &listen]);
                assert!(std::net::TcpStream::connect(&listen).is_err(), "a deleted import accepts");
            }
            7 => {
                let refused = laptop.ormesh(&["import", "add", "remote", "81", &import.to_string()]);
                assert_eq!(refused.code, 4, "{refused:?}");
                assert_eq!(server.ormesh(&["export", "add", "99999"]).code, 2);
            }
            8 if number.is_multiple_of(2) => {
                server.good(&["client", "set", "client", "--expires", "30d"]);
            }
            _ => {
                let remote = match self.remotes.len() {
                    0 => "remote".to_owned(),
                    len => self.remotes[random.below(len)].clone(),
                };
                let listen = free_address().to_string();
                laptop.good(&["import", "add", &remote, "80", &listen]);
                assert!(std::net::TcpStream::connect(&listen).is_ok(), "a new import does not accept");
                self.imports.push((listen, remote));
            }
        }
    }
}

/// A session in use all the time, by a thread of its own.
struct Traffic {
    turns: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Traffic {
    fn start(mut session: Echo) -> Self {
        let (turns, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, told) = (Arc::clone(&turns), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                session.turn().expect("the session goes on");
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { turns, stop, thread }
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    fn wait_for_more(&self, than: u64) {
        until("the session goes on", || self.turns() > than || self.thread.is_finished());
    }

    /// Ends it; panics if it had ended by itself.
    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the session went on to the end");
    }
}
