//! Two hosts, each with a way to the network of its own, an import between them, and what is measured there.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use std::io::{Read as _, Write as _};

use ormesh_core::model::status::{AgentState, AgentStatus, ClientState, RemoteState, Status};

use tornet::Network;

use crate::support::{Host, Uplink, connected, echo, hosts_on};

/// Between two looks at a status. Each starts a program.
const LOOK: Duration = Duration::from_millis(300);

/// Between two new connections while none works; each goes on beside the next.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How long both ends may say that something is not well when a connection works again.
const WELL: Duration = Duration::from_secs(60);

/// How long one connection is waited for.
pub(crate) const TRY: Duration = Duration::from_secs(150);

/// See the file's sentence.
pub(crate) struct Mesh {
    pub(crate) exporter: Host,
    pub(crate) importer: Host,
    pub(crate) import: SocketAddr,
    /// The exporter's, and the importer's.
    pub(crate) uplinks: [Uplink; 2],
    /// What they are on.
    pub(crate) network: Network,
}

impl Mesh {
    /// Brought up on a network, and proven to work.
    pub(crate) fn up(network: &Network) -> Self {
        let [mut exporter, mut importer] = hosts_on(network, ["exporter", "importer"]);
        let uplinks = [&mut exporter, &mut importer].map(|host| Uplink::of(host, network));
        let import = connected(&mut exporter, &mut importer, echo().addr, 80);
        Self { exporter, importer, import, uplinks, network: network.clone() }
    }

    /// How long it takes from now until a new connection works, and no longer than this.
    pub(crate) fn works_after(&self, at_most: Duration) -> Option<Duration> {
        works_after(self.import, at_most)
    }

    /// Waits until both ends say that all is well, so that what they say next is about the next fault; but not for ever.
    pub(crate) fn wait_until_well(&self) {
        let begun = Instant::now();
        while says_exporter(&self.exporter.status()) || says_importer(&self.importer.status()) {
            if begun.elapsed() >= WELL {
                println!("not well {WELL:?} after it works: {}", self.exporter.log_tail());
                return;
            }
            thread::sleep(LOOK);
        }
    }

    /// Looks at both ends while something is done: when each first said that all is not well.
    pub(crate) fn watched(&self, doing: impl FnOnce()) -> [Option<Duration>; 2] {
        watched([&self.exporter, &self.importer], doing)
    }
}

/// Looks at an exporter and an importer while something is done: when each first said that all is not well.
pub(crate) fn watched([exporter, importer]: [&Host; 2], doing: impl FnOnce()) -> [Option<Duration>; 2] {
    let done = AtomicBool::new(false);
    let (done, begun) = (&done, Instant::now());
    thread::scope(|scope| {
        let watching = [(exporter, says_exporter as fn(&Status) -> bool), (importer, says_importer)]
            .map(|(host, says)| scope.spawn(move || watch(host, says, begun, done)));
        doing();
        done.store(true, Ordering::SeqCst);
        watching.map(|watching| watching.join().unwrap())
    })
}

/// How long it takes from now until a new connection through an import works, and no longer than this.
pub(crate) fn works_after(import: SocketAddr, at_most: Duration) -> Option<Duration> {
    connections_work_after(at_most, move || echoes(import))
}

/// The same of connections that are made in another way.
pub(crate) fn connections_work_after(
    at_most: Duration,
    works: impl Fn() -> bool + Clone + Send + 'static,
) -> Option<Duration> {
    let begun = Instant::now();
    let (sender, worked) = mpsc::channel();
    while begun.elapsed() < at_most {
        let (sender, works) = (sender.clone(), works.clone());
        thread::spawn(move || {
            if works() {
                let _ = sender.send(());
            }
        });
        if worked.recv_timeout(TRY_AGAIN).is_ok() {
            return Some(begun.elapsed());
        }
    }
    None
}

fn watch(host: &Host, says: fn(&Status) -> bool, begun: Instant, done: &AtomicBool) -> Option<Duration> {
    while !done.load(Ordering::SeqCst) {
        if says(&host.status()) {
            return Some(begun.elapsed());
        }
        thread::sleep(LOOK);
    }
    None
}

/// Whether an exporter's status says that something is not well.
fn says_exporter(status: &Status) -> bool {
    let well =
        |state: &Option<ClientState>| matches!(state, Some(ClientState::Reachable | ClientState::Connected));
    !is_certain(status) || !status.clients.iter().all(|client| well(&client.state))
}

/// Whether an importer's status says that something is not well.
fn says_importer(status: &Status) -> bool {
    let well = |state: &Option<RemoteState>| matches!(state, Some(RemoteState::Reachable { .. }));
    !is_certain(status)
        || !status.remotes.iter().all(|remote| well(&remote.state) && remote.unconfirmed.is_none())
}

/// Whether it is online, and that was confirmed of late.
fn is_certain(status: &Status) -> bool {
    let is_certain = |agent: &AgentStatus| agent.state == AgentState::Online && agent.unconfirmed.is_none();
    status.agent.as_ref().is_some_and(is_certain)
}

/// Whether a new connection says back what it hears.
pub(crate) fn echoes(import: SocketAddr) -> bool {
    let tried = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(import)?;
        stream.set_read_timeout(Some(TRY))?;
        stream.write_all(b"anybody there?\n")?;
        let mut heard = [0; 15];
        stream.read_exact(&mut heard)?;
        Ok(&heard == b"anybody there?\n")
    };
    tried().unwrap_or(false)
}
