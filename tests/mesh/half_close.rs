//! An answer arrives whole, or its reader sees a failure: whoever closes a side early, by each way to a remote and to each kind of peer.
//!
//! Each run tries short pauses, all at once. The whole table, with pauses of up to a minute, is printed by
//! `ORMESH_HALF_CLOSE="0 1 5 60" cargo test --features desktop --test mesh -- half_close --nocapture`.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use tornet::client::{Client, Options, Service};
use tornet::{Tools, shared};

use crate::support::{
    Host, ORMESH, PATIENCE, Server, Sshd, connected, hosts_beside, serve, socks_dial, until,
};

/// An x25519 pair in base32: 32 bytes of 0x01, and their public key.
const PRIVATE: &str = "AEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQ";
const PUBLIC: &str = "UTQJFEVWKHBHROLXFRLJ6X5JXMJ5SBVUNK3IZHPZ3QVUICPYUIEQ";

/// The pauses to try, in seconds, instead of the short ones.
const PAUSES: &str = "ORMESH_HALF_CLOSE";

/// Bytes of each half of an answer.
const HALF: usize = 1000;

const OBEYS: u16 = 80;
const SSH: u16 = 22;
/// The first of the ports whose servers speak unasked, one for each pause.
const SPEAKS: u16 = 100;

/// What happens on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Course {
    /// The application closes its side at once; the server sends one half of its answer, pauses, sends the other, and closes.
    NothingAsked,
    /// The application asks and closes its side; the server pauses before each half, then closes.
    Asked,
    /// The server closes its side after its answer, and reads on.
    ServerCloses,
    /// The server breaks the connection after one half and a pause.
    ServerBreaks,
    /// The server's tor dies after one half.
    TorDies,
    /// The application's agent dies after one half.
    AgentDies,
}

/// How an application reaches the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Import,
    UnixImport,
    Socks,
    Nc,
    Ssh,
}

const WAYS: [Way; 5] = [Way::Import, Way::UnixImport, Way::Socks, Way::Nc, Way::Ssh];

/// What happens, on a connection to whom, by which way.
type Case = (Course, &'static str, Way);

/// What the application saw: how many bytes, and how it ended.
type Seen = (usize, String);

#[test]
fn half_close_leaves_answers_whole_or_shows_a_failure() {
    let pauses = match std::env::var(PAUSES) {
        Ok(pauses) => pauses.split_whitespace().map(|pause| pause.parse().unwrap()).collect(),
        Err(_) => vec![0, 3],
    };
    let ([mut server, mut laptop], _room) = hosts_beside(["server", "laptop"], 1);
    let sshd = Sshd::start(&server.home().join("sshd"));
    let mut ports = vec![(OBEYS, obeys().addr), (SSH, sshd.addr)];
    ports.extend(pauses.iter().zip(SPEAKS..).map(|(pause, port)| (port, speaks(*pause).addr)));
    let service = Service { ports: ports.clone(), authorized: vec![PUBLIC.to_owned()] };
    let options = Options { service: Some(service), ..Options::default() };
    let tor = Client::start(shared(), &laptop.home().join("tor"), &Tools::find().unwrap(), &options).unwrap();
    let address = tor.onion_address().unwrap();
    let address = address.trim_end_matches(".onion");

    for (port, addr) in &ports[1..] {
        server.export(addr, *port);
    }
    laptop.add_remote("plain", &format!("{address}:descriptor:x25519:{PRIVATE}"));
    connected(&mut server, &mut laptop, ports[0].1, OBEYS);
    let mut laptop = Laptop::new(laptop, &sshd, &pauses);
    laptop.host.wait_until("the plain one is reached", |_| laptop.try_nc("plain"));

    let mut cases = Vec::new();
    for course in [Course::NothingAsked, Course::Asked, Course::ServerCloses, Course::ServerBreaks] {
        for remote in ["remote", "plain"] {
            for way in WAYS {
                cases.extend((0..pauses.len()).map(|pause| (course, remote, way, pause)));
            }
        }
    }
    let seen: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = cases
            .iter()
            .map(|&(course, remote, way, pause)| {
                let (laptop, pauses) = (&laptop, &pauses);
                scope.spawn(move || laptop.play(course, remote, way, pause, pauses[pause]))
            })
            .collect();
        all.into_iter().map(|case| case.join().unwrap()).collect()
    });
    let mut table: BTreeMap<_, Vec<Seen>> = BTreeMap::new();
    for ((course, remote, way, _), seen) in cases.iter().zip(seen) {
        table.entry((*course, *remote, *way)).or_default().push(seen);
    }

    // Who dies, at the end.
    let begun = laptop.begin_all(Course::TorDies, &["remote", "plain"]);
    server.kill_tor();
    drop(tor);
    // tor isn't always told of a circuit that died. To ormesh that is noticed by itself, to a plain tor at the next connection.
    let knocks = WAYS.map(|way| laptop.knock("plain", way));
    table.extend(begun.into_iter().map(|(case, rest)| (case, vec![rest.join().unwrap()])));
    knocks.into_iter().for_each(|knock| knock.join().unwrap());
    let log = laptop.host.log();
    for line in ["connection cut off", "connection through the SOCKS address cut off", "of ormesh nc cut off"]
    {
        assert!(log.contains(line), "no line in the log: {line}");
    }
    until("the remote is there again", || laptop.try_nc("remote"));
    let begun = laptop.begin_all(Course::AgentDies, &["remote"]);
    laptop.host.kill_agent();
    table.extend(begun.into_iter().map(|(case, rest)| (case, vec![rest.join().unwrap()])));

    println!("figure: half-close, pauses {pauses:?} s: bytes and how it ended");
    for ((course, remote, way), seen) in &table {
        let seen: Vec<_> = seen.iter().map(|(bytes, end)| format!("{bytes} {end}")).collect();
        println!(
            "figure: {:24} {remote:8} {:12} {}",
            format!("{course:?}"),
            format!("{way:?}"),
            seen.join(" | ")
        );
    }
    let wrong: Vec<_> = table
        .iter()
        .flat_map(|((course, remote, way), seen)| seen.iter().map(move |seen| (course, remote, way, seen)))
        .filter(|(course, remote, way, (bytes, end))| {
            let (most, wanted) = wanted(**course, remote, **way);
            // A server that breaks off may take back what it had said.
            let enough = if **course == Course::ServerBreaks { *bytes <= most } else { *bytes == most };
            !enough || *end != wanted
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What must be seen: how many bytes, or at most how many where the server breaks, and how it ends.
fn wanted(course: Course, remote: &str, way: Way) -> Seen {
    let end = match way {
        Way::Nc | Way::Ssh => "exit 0",
        _ => "end",
    };
    let broken = match way {
        Way::Nc => "exit 1",
        Way::Ssh => "exit 255",
        // A Unix socket has no reset: what was cut ends as if it were whole, and the log tells.
        Way::UnixImport => "end",
        _ => "reset",
    };
    let (bytes, end) = match (course, remote, way) {
        (Course::NothingAsked | Course::Asked, ..) => (2 * HALF, end),
        (Course::ServerCloses, _, Way::Import | Way::Socks) => (2 * HALF, "end, then reset"),
        (Course::ServerCloses, ..) => (2 * HALF, end),
        // How a backend ended can't be told through an ormesh's gate (ARCHITECTURE.md, "Half-close"); ssh has an end of its own.
        (Course::ServerBreaks, "remote", Way::Import | Way::UnixImport | Way::Socks | Way::Nc) => (HALF, end),
        (Course::ServerBreaks | Course::TorDies | Course::AgentDies, ..) => (HALF, broken),
    };
    (bytes, end.to_owned())
}

/// Does as the request says: `Asked 3`, say.
fn obeys() -> Server {
    serve(|mut stream| {
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        let (course, pause) = request.trim().split_once(' ').unwrap_or_default();
        let pause = Duration::from_secs(pause.parse().unwrap_or_default());
        let mut half = || stream.write_all(&[b'x'; HALF]);
        match course {
            "Asked" => {
                thread::sleep(pause);
                let _ = half();
                thread::sleep(pause);
                let _ = half();
            }
            "ServerCloses" => {
                let _ = half();
                thread::sleep(pause);
                let _ = half();
                let _ = stream.shutdown(Shutdown::Write);
                let _ = io::copy(&mut stream, &mut io::sink());
            }
            "ServerBreaks" => {
                let _ = half();
                thread::sleep(pause);
                let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            }
            "TorDies" => {
                let _ = half();
                let _ = io::copy(&mut stream, &mut io::sink());
            }
            _ => {}
        }
    })
}

/// Sends its answer unasked.
fn speaks(pause: u64) -> Server {
    serve(move |mut stream| {
        let _ = stream.write_all(&[b'x'; HALF]);
        thread::sleep(Duration::from_secs(pause));
        let _ = stream.write_all(&[b'x'; HALF]);
    })
}

/// The importing host, and where its imports listen.
struct Laptop {
    host: Host,
    imports: BTreeMap<(&'static str, u16), SocketAddr>,
    ssh_config: std::path::PathBuf,
}

impl Laptop {
    fn new(host: Host, sshd: &Sshd, pauses: &[u64]) -> Self {
        let mut imports = BTreeMap::new();
        for remote in ["remote", "plain"] {
            let speaking = (SPEAKS..).take(pauses.len());
            for port in speaking.chain([OBEYS]) {
                imports.insert((remote, port), host.import(remote, port));
                let path = host.home().join(format!("{remote}-{port}"));
                host.good(&["import", "add", remote, &port.to_string(), &format!("unix:{}", path.display())]);
            }
        }
        let stanzas = format!("Host *\n{}  HostKeyAlias sshd\n", sshd.stanza_lines("sshd"));
        let ssh_config = host.home().join("ssh_config");
        std::fs::write(&ssh_config, stanzas).unwrap();
        Self { host, imports, ssh_config }
    }

    /// Whether a plain remote's port answers.
    fn try_nc(&self, remote: &str) -> bool {
        let ran = self.host.ormesh_reading(&["nc", remote, &OBEYS.to_string()], "Asked 0\n");
        ran.stdout.len() == 2 * HALF
    }

    /// Plays one case to its end.
    fn play(&self, course: Course, remote: &'static str, way: Way, pause: usize, seconds: u64) -> Seen {
        let request = format!("{course:?} {seconds}\n");
        let (port, request) = match course {
            Course::NothingAsked => (SPEAKS + u16::try_from(pause).unwrap(), ""),
            _ => (OBEYS, request.as_str()),
        };
        let closes = matches!(course, Course::NothingAsked | Course::Asked);
        match way {
            Way::Import | Way::Socks => {
                let stream = self.open(remote, way, port);
                let (bytes, mut end) =
                    ask(&stream, request, closes, |stream| stream.shutdown(Shutdown::Write));
                if course == Course::ServerCloses && end == "end" {
                    end = format!("end, then {}", speak_on(&stream));
                }
                (bytes, end)
            }
            Way::UnixImport => {
                let stream = UnixStream::connect(self.host.home().join(format!("{remote}-{port}"))).unwrap();
                stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
                ask(&stream, request, closes, |stream| stream.shutdown(Shutdown::Write))
            }
            Way::Nc => self.run(&["nc", remote, &port.to_string()], request, closes).join().unwrap(),
            Way::Ssh => self.ssh(course, remote, request, closes, seconds).join().unwrap(),
        }
    }

    /// Opens connections in every way whose answers have begun, and gives what will be seen of the rest.
    fn begin_all(&self, course: Course, remotes: &[&'static str]) -> Vec<(Case, thread::JoinHandle<Seen>)> {
        let cases = remotes.iter().flat_map(|remote| WAYS.map(|way| (course, *remote, way)));
        cases.map(|case| (case, self.begin(case.1, case.2))).collect()
    }

    fn begin(&self, remote: &'static str, way: Way) -> thread::JoinHandle<Seen> {
        let (course, request) = (Course::TorDies, "TorDies 0\n");
        match way {
            Way::Import | Way::Socks => begun(self.open(remote, way, OBEYS), request),
            Way::UnixImport => {
                let stream = UnixStream::connect(self.host.home().join(format!("{remote}-{OBEYS}"))).unwrap();
                stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
                begun(stream, request)
            }
            Way::Nc => self.run(&["nc", remote, &OBEYS.to_string()], request, false),
            Way::Ssh => self.ssh(course, remote, request, false, 0),
        }
    }

    /// Tries a remote that is gone once more in the same way, until that fails.
    fn knock(&self, remote: &'static str, way: Way) -> thread::JoinHandle<()> {
        let (import, socks) = (self.imports[&(remote, OBEYS)], self.host.socks());
        let path = self.host.home().join(format!("{remote}-{OBEYS}"));
        let mut nc = self.host.command(ORMESH);
        nc.args(["nc", remote, &OBEYS.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        thread::spawn(move || match way {
            Way::Import => drop(TcpStream::connect(import).unwrap().read(&mut [0])),
            Way::UnixImport => drop(UnixStream::connect(path).unwrap().read(&mut [0])),
            Way::Socks => drop(socks_dial(socks, remote, OBEYS)),
            Way::Nc | Way::Ssh => drop(nc.output().unwrap()),
        })
    }

    fn open(&self, remote: &'static str, way: Way, port: u16) -> TcpStream {
        let stream = match way {
            Way::Socks => socks_dial(self.host.socks(), remote, port).unwrap(),
            _ => TcpStream::connect(self.imports[&(remote, port)]).unwrap(),
        };
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        stream
    }

    /// Runs ssh with a command that does what the server of the other ways does.
    fn ssh(
        &self,
        course: Course,
        remote: &str,
        request: &str,
        closes: bool,
        seconds: u64,
    ) -> thread::JoinHandle<Seen> {
        let half = format!("head -c {HALF} /dev/zero");
        let command = match course {
            Course::NothingAsked => format!("{half}; sleep {seconds}; {half}"),
            Course::Asked => format!("read line; sleep {seconds}; {half}; sleep {seconds}; {half}"),
            Course::ServerCloses => format!("{half}; sleep {seconds}; {half}; exec >&-; read line"),
            Course::ServerBreaks => format!("{half}; sleep {seconds}; kill -9 $PPID"),
            Course::TorDies | Course::AgentDies => format!("{half}; sleep 1000"),
        };
        let config = self.ssh_config.display().to_string();
        self.run(&["ssh", remote, "-F", &config, &command], request, closes)
    }

    /// Runs ormesh, says something to it, and gives what will be seen once its output and it have ended. It returns when the first
    /// half of the answer is there, or there is none.
    fn run(&self, args: &[&str], request: &str, closes: bool) -> thread::JoinHandle<Seen> {
        // One that is told of no end would be waited for without end: its exit code is then 124.
        let mut command = self.host.command("timeout");
        let limit = (PATIENCE * 2).as_secs().to_string();
        command.env_remove("ORMESH_LOG").args(["--foreground", &limit, ORMESH]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let _ = input.write_all(request.as_bytes());
        let input = (!closes).then_some(input);
        let mut output = child.stdout.take().unwrap();
        let mut first = vec![0; HALF];
        let first = (!closes && output.read_exact(&mut first).is_ok()).then_some(HALF);
        thread::spawn(move || {
            let mut rest = Vec::new();
            output.read_to_end(&mut rest).unwrap();
            let status = child.wait().unwrap();
            drop(input);
            (first.unwrap_or(0) + rest.len(), format!("exit {}", status.code().unwrap_or(-1)))
        })
    }
}

/// Says something, perhaps closes this side, and reads to the end.
fn ask<S>(stream: &S, request: &str, closes: bool, close: impl Fn(&S) -> io::Result<()>) -> Seen
where
    for<'a> &'a S: io::Read + io::Write,
{
    let mut both = stream;
    both.write_all(request.as_bytes()).unwrap();
    if closes {
        close(stream).unwrap();
    }
    read_on(stream)
}

/// Waits for the first half of an answer, and reads the rest elsewhere.
fn begun<S>(stream: S, request: &str) -> thread::JoinHandle<Seen>
where
    S: Send + 'static,
    for<'a> &'a S: io::Read + io::Write,
{
    (&mut &stream).write_all(request.as_bytes()).unwrap();
    (&mut &stream).read_exact(&mut [0; HALF]).unwrap();
    thread::spawn(move || {
        let (bytes, end) = read_on(&stream);
        (HALF + bytes, end)
    })
}

fn read_on<S>(stream: &S) -> Seen
where
    for<'a> &'a S: io::Read,
{
    let mut heard = Vec::new();
    let mut both = stream;
    let end = match both.read_to_end(&mut heard) {
        Ok(_) => "end".to_owned(),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "reset".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    (heard.len(), end)
}

/// Goes on speaking to a remote that has ended, and tells whether that fails.
fn speak_on(mut stream: &TcpStream) -> &'static str {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if stream.write_all(b"and another thing\n").is_err() {
            return "reset";
        }
        thread::sleep(Duration::from_millis(50));
    }
    "nothing"
}
