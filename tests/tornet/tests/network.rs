//! The network as its users meet it, on real tors: up, joined, used by two clients, and gone with its owner.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tornet::client::{Client, ClientAuth, DialError, Options, Service};
use tornet::{Network, Tools, Tornet, shared};

const PATIENCE: Duration = Duration::from_secs(120);

/// An x25519 pair in base32: 32 bytes of 0x01, and their public key.
const PRIVATE: &str = "AEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQ";
const PUBLIC: &str = "UTQJFEVWKHBHROLXFRLJ6X5JXMJ5SBVUNK3IZHPZ3QVUICPYUIEQ";
/// Another private key: 32 bytes of 0x02.
const WRONG_PRIVATE: &str = "AIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBA";

#[test]
fn every_node_holds_the_full_consensus_once_up() {
    let network = shared();

    for node in network.nodes() {
        let state = network.node_state(node).unwrap();
        assert!(state.is_full(), "{}: {state}", node.name);
    }
    let lines = fs::read_to_string(network.client_torrc()).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), network.torrc_lines());
}

#[test]
fn only_the_authorised_reach_a_service() {
    let network = shared();
    let tools = Tools::find().unwrap();
    let dirs = tempfile::tempdir().unwrap();
    let service = Service { ports: vec![(80, echo())], authorized: vec![PUBLIC.to_owned()] };
    let host = start(
        network,
        &dirs.path().join("host"),
        &tools,
        Options { service: Some(service), ..Options::default() },
    );
    let address = host.onion_address().unwrap();

    let key = |private: &str| Options {
        client_auth: vec![ClientAuth { onion_address: address.to_owned(), private_key: private.to_owned() }],
        ..Options::default()
    };
    let mut authorised = start(network, &dirs.path().join("authorised"), &tools, key(PRIVATE));
    let mut mistaken = start(network, &dirs.path().join("mistaken"), &tools, key(WRONG_PRIVATE));
    let mut stranger = start(network, &dirs.path().join("stranger"), &tools, Options::default());

    assert_eq!(echoed(authorised.dial_until(address, 80, PATIENCE).unwrap()), *b"hello");
    assert_eq!(refusal(&mut stranger, address, 80), 0xf4);
    assert_eq!(refusal(&mut mistaken, address, 80), 0xf5);
    assert_eq!(refusal(&mut authorised, address, 81), 0x05);
}

#[test]
fn a_service_added_by_control_is_reached_from_another_client() {
    let network = shared();
    let tools = Tools::find().unwrap();
    // A space, since a user's directory may have one.
    let dirs = tempfile::Builder::new().prefix("with space # ").tempdir().unwrap();
    let mut host = start(network, &dirs.path().join("host"), &tools, Options::default());
    let mut visitor = start(network, &dirs.path().join("visitor"), &tools, Options::default());

    let added = host
        .control()
        .command(&format!("ADD_ONION NEW:ED25519-V3 Flags=DiscardPK Port=80,{}", echo()))
        .unwrap();
    let address = format!("{}.onion", added[0].strip_prefix("ServiceID=").unwrap());

    assert_eq!(echoed(visitor.dial_until(&address, 80, PATIENCE).unwrap()), *b"hello");
}

#[test]
fn every_node_ends_when_its_owner_is_killed() {
    let dirs = tempfile::tempdir().unwrap();
    let mut owner = Holder::start(dirs.path(), None);
    owner.wait_ready();
    let network = Network::join(dirs.path()).unwrap();
    assert!(network.nodes().iter().all(|node| is_alive(node.pid, dirs.path())));

    owner.0.kill().unwrap(); // SIGKILL
    owner.0.wait().unwrap();

    wait_until("every node is gone", || !network.nodes().iter().any(|node| is_alive(node.pid, dirs.path())));
    assert!(Network::join(dirs.path()).unwrap_err().to_string().contains("no private Tor network runs"));
}

#[test]
fn command_starts_shows_and_ends_a_network() {
    let dirs = tempfile::tempdir().unwrap();
    let dir = dirs.path();

    let before = tornet("status", dir);
    let up = tornet("up", dir);
    let network = Network::join(dir);
    let during = tornet("status", dir);
    let again = tornet("up", dir);
    let down = tornet("down", dir);
    let after = tornet("status", dir);
    let down_again = tornet("down", dir);

    assert!(!before.status.success());
    assert!(up.status.success(), "{up:?}");
    let client_torrc = dir.canonicalize().unwrap().join("client.torrc");
    assert!(text(&up).contains(&format!("ORMESH_TOR_NETWORK={}", client_torrc.display())), "{up:?}");
    assert!(during.status.success(), "{during:?}");
    assert_eq!(text(&during).matches("6 of 6 nodes usable").count(), 6, "{during:?}");
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("runs there already"), "{again:?}");
    assert!(down.status.success(), "{down:?}");
    assert!(!after.status.success());
    assert!(down_again.status.success());
    assert!(!network.unwrap().nodes().iter().any(|node| is_alive(node.pid, dir)));
}

#[test]
fn two_networks_start_at_once_from_one_empty_cache() {
    let dirs = tempfile::tempdir().unwrap();
    let cache = dirs.path().join("cache");
    let (one, two) = (dirs.path().join("one"), dirs.path().join("two"));

    let mut holders = [Holder::start(&one, Some(&cache)), Holder::start(&two, Some(&cache))];
    holders.iter_mut().for_each(Holder::wait_ready);

    for dir in [&one, &two] {
        let network = Network::join(dir).unwrap();
        assert!(network.nodes().iter().all(|node| network.node_state(node).unwrap().is_full()));
    }
}

#[test]
fn a_node_that_fails_is_named_and_its_log_quoted() {
    let dirs = tempfile::tempdir().unwrap();
    // Keys made by the real tor, nodes that are no tor at all.
    drop(
        Tornet::up_with_cache(&dirs.path().join("first"), &Tools::find().unwrap(), &tornet::cache_dir())
            .unwrap(),
    );
    let tools = Tools { tor: "/bin/ls".into(), ..Tools::find().unwrap() };

    let error = Tornet::up_with_cache(&dirs.path().join("second"), &tools, &tornet::cache_dir()).unwrap_err();

    let error = format!("{error:#}");
    assert!(
        error.contains("node a0 failed") && error.contains("unrecognized option '--defaults-torrc"),
        "{error}"
    );
}

/// `tornet up --foreground`, killed on drop.
struct Holder(Child);

impl Holder {
    fn start(dir: &Path, cache: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tornet"));
        command.args(["up", "--foreground", "--dir"]).arg(dir).stdout(Stdio::piped());
        if let Some(cache) = cache {
            command.env("ORMESH_CACHE", cache);
        }
        Self(command.spawn().unwrap())
    }

    fn wait_ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tornet(verb: &str, dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tornet")).arg(verb).arg("--dir").arg(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn start(network: &Network, dir: &Path, tools: &Tools, options: Options) -> Client {
    Client::start(network, dir, tools, &options).unwrap()
}

/// A server on loopback that says back what it hears.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

fn echoed(mut stream: TcpStream) -> [u8; 5] {
    let mut answer = [0; 5];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// tor's refusal to dial; an attempt that times out, or comes before the descriptor does, is made again.
fn refusal(client: &mut Client, address: &str, port: u16) -> u8 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.dial(address, port) {
            Err(DialError::Refused(code)) if code != 0xf0 => return code,
            Err(_) if Instant::now() < deadline => {}
            result => panic!("no refusal: {result:?}"),
        }
    }
}

/// Whether the process lives and is the network's: its command line names the directory. A dead one's is empty.
fn is_alive(pid: u32, dir: &Path) -> bool {
    let dir = dir.canonicalize().unwrap();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains(&*dir.to_string_lossy())
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
