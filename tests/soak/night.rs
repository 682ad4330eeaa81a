//! Nights: faults by chance, one after the other, while every importer goes on connecting. How long each took to heal, and how many minutes
//! outside of faults had a connection that worked.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tornet::{Tools, Tornet};

use crate::mesh::{echoes, works_after};
use crate::support::{Host, Random, Signal, Uplink, echo, figure, hosts_on, is_connected, is_running, send};
use crate::table::{asked, seconds};

/// Nothing may take longer to heal.
const STUCK: Duration = Duration::from_secs(60);
/// One that did is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(300);
const MINUTE: Duration = Duration::from_secs(60);

/// How a night goes.
struct Plan {
    /// Between the end of a fault and the next, in seconds: at least, and at most.
    calm: (u64, u64),
    /// Between two connections of an importer.
    every: Duration,
}

/// Five clients, a fault every half to two minutes.
#[test]
#[ignore = "takes minutes to hours; cargo xtask soak runs it"]
fn five_clients_are_never_stuck() {
    night::<6>(&Plan { calm: (30, 120), every: Duration::from_secs(5) });
}

/// One client, a fault about every five minutes.
#[test]
#[ignore = "takes minutes to hours; cargo xtask soak runs it"]
fn all_minutes_without_a_fault_are_good() {
    night::<2>(&Plan { calm: (200, 340), every: Duration::from_secs(10) });
}

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Cut,
    Silent,
    TorKilled,
    TorWedged,
    AgentKilled,
    /// Of all relays at once; no host's.
    RelaysGone,
}

const FAULTS: [Fault; 6] =
    [Fault::Cut, Fault::Silent, Fault::TorKilled, Fault::TorWedged, Fault::AgentKilled, Fault::RelaysGone];

/// A host with its way to the network.
struct End {
    host: Host,
    uplink: Uplink,
}

/// A fault that was.
struct Was {
    began: Instant,
    ended: Instant,
    /// Until each importer had a connection that worked, since its end; since its beginning where it has none of its own.
    healed: Option<Duration>,
}

/// `HOSTS` hosts: an exporter, and its clients.
fn night<const HOSTS: usize>(plan: &Plan) {
    let seed = asked("ORMESH_SOAK_SEED").map_or(1, |seed| seed.parse::<u64>().unwrap());
    // Seeds that are near to each other begin alike; a Weyl step parts them.
    let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    println!("seed: {seed}");
    let tools = Tools::find().unwrap();
    let dir = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
    let mut network = Tornet::up(dir.path(), &tools).unwrap();
    let mut names = ["client"; HOSTS];
    names[0] = "exporter";
    let mut ends: Vec<End> = hosts_on(network.network(), names)
        .into_iter()
        .map(|mut host| End { uplink: Uplink::of(&mut host, network.network()), host })
        .collect();
    let imports = set_up(&mut ends);
    let connecting: Vec<_> = imports.iter().map(|import| Connecting::start(*import, plan.every)).collect();
    let (begun, until) = (Instant::now(), Instant::now() + seconds());
    let mut faults: Vec<Was> = Vec::new();
    while faults.is_empty() || Instant::now() < until {
        let (least, most) = plan.calm;
        let calm = least + random.below(usize::try_from(most - least).unwrap()) as u64;
        // What is being tried is that time passes.
        thread::sleep(Duration::from_secs(calm));
        let fault = FAULTS[random.below(FAULTS.len())];
        let (end, lasts) = (random.below(HOSTS), Duration::from_secs(5 + random.below(36) as u64));
        let was = play(fault, &mut ends[end], lasts, &mut network, &tools, &imports);
        println!("fault: {fault:?} of host {end} for {:?}: healed {:?}", was.ended - was.began, was.healed);
        faults.push(was);
    }
    let ended = Instant::now();
    let told: Vec<Vec<Try>> = connecting.into_iter().map(Connecting::end).collect();
    let minutes = minutes(begun, ended, &faults, &told);
    tell(&faults, &told, minutes);
    assert!(
        faults.iter().all(|was| was.healed.is_some_and(|healed| healed <= STUCK)),
        "an import was stuck for longer than {STUCK:?}"
    );
    assert!(minutes.is_good(), "too few minutes had a connection that worked: {minutes}");
}

/// Brings them up, each client with an import, and gives where.
fn set_up(ends: &mut [End]) -> Vec<SocketAddr> {
    let (exporter, clients) = ends.split_first_mut().unwrap();
    exporter.host.export(echo().addr, 80);
    exporter.host.start();
    let set_up = |(number, client): (usize, &mut End)| {
        client.host.add_remote("remote", &exporter.host.invite(&format!("client{number}"), &[]));
        let import = client.host.import("remote", 80);
        client.host.start();
        import
    };
    let imports = clients.iter_mut().enumerate().map(set_up).collect();
    for client in clients {
        client.host.wait_until("the remote is reached", is_connected("remote"));
    }
    imports
}

fn play(
    fault: Fault,
    end: &mut End,
    lasts: Duration,
    network: &mut Tornet,
    tools: &Tools,
    imports: &[SocketAddr],
) -> Was {
    let began = Instant::now();
    match fault {
        Fault::Cut | Fault::Silent => {
            if matches!(fault, Fault::Cut) {
                end.uplink.cut()
            } else {
                end.uplink.silence()
            }
            thread::sleep(lasts);
            end.uplink.restore();
        }
        Fault::TorKilled => end.host.kill_tor(),
        Fault::TorWedged => {
            let tor = end.host.tor_pid();
            send(tor, Signal::STOP);
            let healed = all_work(imports);
            if is_running(tor) {
                send(tor, Signal::CONT);
            }
            return Was { began, ended: Instant::now(), healed };
        }
        Fault::AgentKilled => {
            end.host.kill_agent();
            thread::sleep(lasts / 4);
            end.host.spawn_agent(&[]);
        }
        Fault::RelaysGone => {
            network.stop_nodes();
            thread::sleep(lasts);
            network.start_nodes(tools).unwrap();
        }
    }
    let ended = Instant::now();
    Was { began, ended, healed: all_work(imports) }
}

/// How long it takes from now until a new connection through each of them works.
fn all_work(imports: &[SocketAddr]) -> Option<Duration> {
    let trying: Vec<_> = imports.iter().map(|import| (*import, PATIENCE)).collect();
    let trying: Vec<JoinHandle<_>> = trying
        .into_iter()
        .map(|(import, patience)| thread::spawn(move || works_after(import, patience)))
        .collect();
    let worked: Option<Vec<_>> = trying.into_iter().map(|trying| trying.join().unwrap()).collect();
    worked?.into_iter().max()
}

/// A connection that was tried: when it was over, and whether it worked.
#[derive(Clone, Copy)]
struct Try {
    over: Instant,
    took: Duration,
    worked: bool,
}

/// One that connects again and again.
struct Connecting {
    done: Arc<AtomicBool>,
    tries: Arc<Mutex<Vec<Try>>>,
    thread: JoinHandle<()>,
}

impl Connecting {
    fn start(import: SocketAddr, every: Duration) -> Self {
        let (done, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_done, told) = (Arc::clone(&done), Arc::clone(&tries));
        let thread = thread::spawn(move || {
            while !is_done.load(Ordering::SeqCst) {
                let told = Arc::clone(&told);
                // Beside the next: one that waits holds up nobody.
                thread::spawn(move || {
                    let begun = Instant::now();
                    let worked = echoes(import);
                    let tried = Try { over: Instant::now(), took: begun.elapsed(), worked };
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(tried);
                });
                thread::sleep(every);
            }
        });
        Self { done, tries, thread }
    }

    /// What came of those that are over.
    fn end(self) -> Vec<Try> {
        self.done.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Minutes of each client that no fault touched, and those of them that had a connection that worked.
#[derive(Clone, Copy, Debug)]
struct Minutes {
    good: usize,
    all: usize,
}

impl Minutes {
    /// Whether 99.9 of a hundred were good.
    fn is_good(self) -> bool {
        1000 * self.good >= 999 * self.all
    }
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.good, self.all)
    }
}

fn minutes(begun: Instant, ended: Instant, faults: &[Was], told: &[Vec<Try>]) -> Minutes {
    let mut minutes = Minutes { good: 0, all: 0 };
    let whole = (0..).map(|number| begun + number * MINUTE).take_while(|start| *start + MINUTE <= ended);
    for start in whole {
        let end = start + MINUTE;
        if faults.iter().any(|was| was.began < end && was.ended > start) {
            continue;
        }
        for tries in told {
            minutes.all += 1;
            let is_good = |tried: &Try| tried.worked && tried.over >= start && tried.over < end;
            minutes.good += usize::from(tries.iter().any(is_good));
        }
    }
    minutes
}

fn tell(faults: &[Was], told: &[Vec<Try>], minutes: Minutes) {
    let mut healed: Vec<f64> =
        faults.iter().map(|was| was.healed.map_or(f64::INFINITY, |time| time.as_secs_f64())).collect();
    healed.sort_by(f64::total_cmp);
    let part = |part: f64| {
        let place = (part * healed.len() as f64).ceil() as usize;
        format!("{:.1}", healed[place.saturating_sub(1)])
    };
    figure("faults", faults.len());
    figure(
        "time to heal, median / p90 / p99 / worst",
        format!("{} / {} / {} / {} s", part(0.5), part(0.9), part(0.99), part(1.0)),
    );
    figure("minutes without a fault that were good", minutes);
    let tries = || told.iter().flatten();
    let worked = tries().filter(|tried| tried.worked).count();
    figure("connections that worked", format!("{worked} of {}", tries().count()));
    let slowest = tries().filter(|tried| tried.worked).map(|tried| tried.took).max().unwrap_or_default();
    figure("the slowest of them", format!("{:.1} s", slowest.as_secs_f64()));
}

#[test]
fn a_minute_is_good_by_one_connection_and_counts_only_without_a_fault() {
    let begun = Instant::now();
    let at = |seconds: u64| begun + Duration::from_secs(seconds);
    let tried = |over: u64, worked: bool| Try { over: at(over), took: Duration::ZERO, worked };
    let fault = Was { began: at(70), ended: at(119), healed: None };
    let told = [vec![tried(10, true), tried(100, true), tried(130, false), tried(185, true)]];

    // The second minute has a fault, the third no connection that worked, the last is not over.
    let minutes = minutes(begun, at(250), &[fault], &told);

    assert_eq!((minutes.good, minutes.all), (2, 3));
    assert!(!minutes.is_good() && Minutes { good: 999, all: 1000 }.is_good());
}
