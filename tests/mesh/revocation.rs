//! Revocation: all sessions of the client end at both ends, nobody else's, and it holds whatever happens next.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ormesh_core::model::status::{ClientState, ClientStatus, Status};
use tornet::client::{Client, ClientAuth, Options};
use tornet::{Tools, shared};

use crate::support::{
    Host, LOOK, ORMESH, PATIENCE, Random, connected, echo, ended, figure, hosts, is_connected, is_kept_out,
    is_reachable, open_echo, serve, tor_places, until,
};

const SESSIONS: usize = 50;

#[test]
fn fifty_sessions_end_at_both_ends_and_no_other() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let (theirs, other) = (echo(), echo());
    server.export(other.addr, 81);
    laptop.add_remote("other", &server.invite("other", &[]));
    let other_import = laptop.import("other", 81);
    let import = connected(&mut server, &mut laptop, theirs.addr, 80);
    laptop.wait_until("the other remote is reached", is_connected("other"));
    let mut untouched = open_echo(other_import);
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| open_echo(import)).collect();
    assert_eq!(theirs.open(), SESSIONS);

    let begun = Instant::now();
    server.good(&["client", "delete", "client"]);
    figure("revoke with 50 sessions: the command", format!("{:?}", begun.elapsed()));
    for session in &sessions {
        assert!(ended(session.stream(), PATIENCE), "a session of the revoked client goes on");
    }
    figure("revoke with 50 sessions: all ended at the client", format!("{:?}", begun.elapsed()));
    until("all sessions end at the server", || theirs.open() == 0);
    figure("revoke with 50 sessions: all ended at both ends", format!("{:?}", begun.elapsed()));

    assert!(sessions.iter_mut().all(|session| session.turn().is_err()));
    untouched.turn().expect("another client's session goes on");
    open_echo(other_import).turn().expect("another client connects");
    assert!(is_kept_out(import), "the revoked client connects");
    assert_eq!(theirs.accepted(), SESSIONS, "a revoked client's connection arrived");
}

/// Downloads that run at once.
const DOWNLOADS: usize = 5;

/// So far each has come before the client is revoked.
const WELL_UNDER_WAY: usize = 5_000_000;

/// How often a client is revoked in the midst of downloads. It once took from 5 to 160 s until they were told, and seldom less.
const ROUNDS: usize = 3;

/// For downloads to end; it takes a third of a second.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn downloads_at_full_speed_are_told_at_once() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let endless = serve(|mut stream| {
        let bytes = [b'x'; 65536];
        while stream.write_all(&bytes).is_ok() {}
    });
    server.export(endless.addr, 80);
    server.start();
    laptop.start();
    for round in 0..ROUNDS {
        let name = format!("c{round}");
        laptop.add_remote(&name, &server.invite(&name, &[]));
        let import = laptop.import(&name, 80);
        laptop.wait_until("the remote is reached", is_connected(&name));
        let downloads: Vec<_> = (0..DOWNLOADS).map(|_| Download::begin(import)).collect();
        until("all are well under way", || downloads.iter().all(|one| one.bytes() > WELL_UNDER_WAY));

        let begun = Instant::now();
        server.good(&["client", "delete", &name]);
        let told = |one: &Download| one.thread.is_finished();
        while !downloads.iter().all(told) {
            let ended = downloads.iter().filter(|one| told(one)).count();
            assert!(begun.elapsed() < SOON, "{ended} of {DOWNLOADS} have ended");
            thread::sleep(LOOK);
        }
        figure("revoke with downloads: all ended at the client", format!("{:?}", begun.elapsed()));
        assert!(is_kept_out(import), "the revoked client connects");
    }
}

/// A download that reads as fast as it can, in a thread of its own. When it ends it is tried again at once, as download managers do.
struct Download {
    bytes: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl Download {
    fn begin(import: SocketAddr) -> Self {
        let bytes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&bytes);
        let mut stream = TcpStream::connect(import).unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                count.fetch_add(read, Ordering::SeqCst);
            }
            let again = TcpStream::connect(import);
            thread::spawn(move || again.is_ok_and(|mut again| again.read(&mut [0]).is_ok()));
        });
        Self { bytes, thread }
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }
}

#[test]
fn it_holds_when_the_agent_is_killed_at_any_moment() {
    let [mut server] = hosts(["server"]);
    let _tor = tor_places(1);
    let echo = echo();
    server.export(echo.addr, 80);
    server.good(&["client", "add", "keeper"]);
    let names: Vec<String> = (0..4).map(|number| format!("c{number}")).collect();
    for name in &names {
        server.good(&["client", "add", name]);
    }
    let token = |name: &str| server.good(&["client", "token", name, "--format", "auth-private"]);
    let tokens: Vec<String> = names.iter().map(|name| token(name)).chain([token("keeper")]).collect();
    let auth = |line: &String| {
        let (address, key) = line.trim().split_once(":descriptor:x25519:").unwrap();
        ClientAuth { onion_address: address.to_owned(), private_key: key.to_owned() }
    };
    let keys: Vec<ClientAuth> = tokens.iter().map(auth).collect();
    let onions: Vec<String> = keys.iter().map(|key| format!("{}.onion", key.onion_address)).collect();

    let mut random = Random(0x6f72_6d65_7368);
    for (name, key) in names.iter().zip(&keys) {
        server.start();
        server.wait_until("the client is reachable", is_reachable(name));
        let mut delete = server.command(ORMESH);
        let mut delete = delete
            .args(["client", "delete", name])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The random moment itself, not a wait for something.
        thread::sleep(Duration::from_millis(random.below(60) as u64));
        server.kill_agent();
        let told = delete.wait().unwrap().success();

        let gone = find(&server.status(), name).is_none();
        assert!(gone || !told, "{name} was said to be revoked and is not");
        if !gone {
            // It was killed before anything was written: so nothing is half done, and it can be said again.
            server.good(&["client", "delete", name]);
        }
        assert!(find(&server.status(), name).is_none());
        let service_key = server.secrets().join(format!("service-{}", key.onion_address));
        server.start();
        until("the revoked client's key is erased", || !service_key.exists());
        server.stop();
    }

    server.start();
    server.wait_until("the other client is reachable", is_reachable("keeper"));
    let options = Options { client_auth: keys, ..Options::default() };
    let tools = Tools::find().unwrap();
    let mut visitor = Client::start(shared(), &server.home().join("visitor"), &tools, &options).unwrap();
    visitor.dial_until(&onions[4], 80, PATIENCE).unwrap();
    until("the keeper's connection arrives", || echo.accepted() == 1);
    for onion in &onions[..4] {
        assert!(visitor.dial(onion, 80).is_err(), "a revoked client connects");
    }
    assert_eq!(echo.accepted(), 1);
}

#[test]
fn it_needs_no_secret_store() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    server.good(&["client", "add", "keeper"]);
    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    let session = open_echo(import);
    let keys_before = fs::read_dir(server.secrets()).unwrap().count();

    let store = Store::take_away(&server);
    let deleted = server.ormesh(&["client", "delete", "client"]);
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert!(ended(session.stream(), PATIENCE));
    until("the session ends at the server", || echo.open() == 0);
    assert!(is_kept_out(import));

    server.kill_agent();
    server.start();
    server.wait_until("the other client's keys are missed", |status| {
        let state = find(status, "keeper").and_then(|client| client.state.clone());
        matches!(state, Some(ClientState::Failing { .. }))
    });
    assert!(find(&server.status(), "client").is_none());
    assert!(!server.status().problems.is_empty(), "the missing store is not told");

    store.give_back();
    server.wait_until("the other client is reachable", is_reachable("keeper"));
    until("the revoked client's key is erased", || {
        fs::read_dir(server.secrets()).unwrap().count() < keys_before
    });
    assert!(is_kept_out(import));
    assert_eq!(echo.accepted(), 1);
}

/// The file store out of the way, with a file in its place: unusable for root, too.
struct Store {
    store: PathBuf,
    away: PathBuf,
}

impl Store {
    fn take_away(host: &Host) -> Self {
        let (store, away) = (host.secrets(), host.home().join("away"));
        fs::rename(&store, &away).unwrap();
        fs::write(&store, "").unwrap();
        Self { store, away }
    }

    fn give_back(self) {
        fs::remove_file(&self.store).unwrap();
        fs::rename(&self.away, &self.store).unwrap();
    }
}

fn find<'a>(status: &'a Status, name: &str) -> Option<&'a ClientStatus> {
    status.clients.iter().find(|client| client.name.as_str() == name)
}
