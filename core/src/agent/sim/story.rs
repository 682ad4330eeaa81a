//! The story of one seed: several runs of an agent on one host, each ended by a crash or in order; in the last one no faults happen.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use super::chance::Dice;
use super::ground::{Mood, WHO, Weather};
use super::host::{Host, Peer, Started};
use super::shells::{self, Desk};
use super::tor::Tor;
use crate::engine::OnionEngine as _;
use crate::engine::fake::{FakeEngine, Link};
use crate::ipc::{Request, Response};
use crate::model::address::Port;
use crate::model::keys::ClientKey;
use crate::secrets::SecretId;

/// How long all is well before it must be as it is wanted: longer than the longest pause of anything that tries again, and once more.
const CALM: Duration = Duration::from_secs(260);

/// Longer than what a look finds takes to be mended and tried again.
const LOOK: Duration = Duration::from_secs(11);

/// So long after an outage all must work, after what the worst of them costs.
const HEALED: Duration = Duration::from_secs(30);

/// What became of a seed.
pub(super) struct Told {
    pub(super) trace: Vec<String>,
    pub(super) failure: Option<String>,
    pub(super) effects: u64,
}

thread_local! {
    /// What panicked on this thread: a task's panic is nobody's else.
    pub(super) static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Plays a seed from its beginning to its end.
pub(super) fn play(seed: u64) -> Told {
    let memory = std::path::Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let home = home.expect("a directory can be made");
    let root = home.path().canonicalize().expect("it is there");
    let host = Host::new(seed, &root);
    let mut dice = Dice::new(seed, "story");
    let lives = 1 + dice.below(4);
    for number in 1..=lives {
        let is_last = number == lives;
        let crash = (!is_last && dice.percent(80)).then(|| 1 + dice.below(700));
        let runtime = runtime();
        runtime.block_on(async {
            host.ground.begin(crash);
            tokio::select! {
                biased;
                // While it starts, too.
                () = host.ground.crash() => {}
                () = live(&host, number, is_last, &mut dice) => {}
            }
            host.ground.end();
        });
        // Whatever it was doing is no more: this is the crash.
        drop(runtime);
        host.truths.set_scene(None);
        host.truths.forget_unnoted();
        if let Some(panic) = PANIC.take() {
            host.ground.fail(&panic);
        }
        if host.ground.failure().is_some() {
            break;
        }
        if !is_last {
            between(&host, number);
        }
    }
    Told { trace: host.ground.trace(), failure: host.ground.failure(), effects: host.ground.effects() }
}

/// A runtime whose time passes only where everybody waits.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

/// With no agent, commands do by themselves what they can.
fn between(host: &Host, number: u64) {
    let runtime = runtime();
    runtime.block_on(async {
        host.ground.begin(None);
        host.ground.set_weather(|weather| weather.tor = Mood::Fine);
        let mut dice = Dice::new(host.seed, &format!("between {number}"));
        let desk = Desk::Alone(Box::new(host.without_agent()));
        for _ in 0..dice.below(4) {
            shells::type_command(host, "alone", &desk, &mut dice).await;
        }
        host.ground.end();
    });
}

/// One life of an agent.
async fn live(host: &Arc<Host>, number: u64, is_last: bool, dice: &mut Dice) {
    let mut started = host.start().await;
    if let Err(problem) = &started {
        host.ground.say(&format!("the agent does not start: {}", problem.message));
        if host.ground.has_crashed() {
            return;
        }
        // A person reads that, and does what it says.
        host.ground.set_weather(|weather| *weather = Weather::FINE);
        while host.truths.is_spoilt() {
            shells::mend(host, &Desk::Alone(Box::new(host.without_agent())), dice).await;
        }
        started = host.start().await;
    }
    let Started { mut life, tor, peers, visitor } = match started {
        Ok(started) => started,
        Err(problem) => return host.ground.fail(&format!("the agent does not start: {}", problem.message)),
    };
    let server = Arc::clone(&life.server);
    let watching = Arc::clone(host);
    tokio::spawn(async move {
        loop {
            watching.ground.stepped.notified().await;
            watching.truths.look();
        }
    });
    let acting = act(host, &server, &tor, &peers, &visitor, number, is_last);
    let whole = async {
        tokio::join!(life.run(), acting);
        host.ground.say("the agent was told to stop");
        life.refuse();
        life.end(std::future::pending()).await;
        host.truths.judge_end();
        host.ground.say("the agent has ended");
    };
    tokio::select! {
        biased;
        () = host.ground.crash() => {}
        () = whole => {}
    }
}

/// What happens in a life until it is told to stop.
async fn act(
    host: &Arc<Host>,
    server: &Arc<super::super::serve::Server>,
    tor: &Arc<Tor>,
    peers: &[Peer],
    visitor: &Arc<FakeEngine>,
    number: u64,
    is_last: bool,
) {
    let dice = |who: &str| Dice::new(host.seed, &format!("{who} in life {number}"));
    let until = host.ground.now() + dice("life").millis(20_000, 240_000);
    let goes_on = || host.ground.now() < until;
    let desk = Desk::Agent(Arc::clone(server));
    if number == 1 {
        shells::furnish(host, &desk, &mut dice("furniture")).await;
    }
    let typing = async |shell: u64| {
        let (name, mut dice) = (format!("shell {shell}"), dice(&format!("shell {shell}")));
        while goes_on() {
            shells::idle(host, &name, &mut dice).await;
            match dice.below(12) {
                0 => shells::look_at_status(host, server).await,
                1 if shell == 0 => pause(host, &desk, &mut dice).await,
                2 if shell == 1 => drop(server.doctor(None).await),
                3 if shell == 2 => shells::mend(host, &desk, &mut dice).await,
                _ => shells::type_command(host, &name, &desk, &mut dice).await,
            }
        }
    };
    let editing = async {
        let mut dice = dice("editor");
        while goes_on() {
            host.ground.turn("editor", dice.millis(5_000, 120_000)).await;
            shells::edit_by_hand(host, server, &mut dice).await;
        }
    };
    let (faults, visits) =
        (faults(host, tor, peers, dice("faults"), until), visits(host, visitor, dice("visits"), until));
    let all = async {
        tokio::join!(
            WHO.scope("shell 0", typing(0)),
            WHO.scope("shell 1", typing(1)),
            WHO.scope("shell 2", typing(2)),
            WHO.scope("editor", editing),
            WHO.scope("faults", faults),
            WHO.scope("visits", visits),
        );
    };
    all.await;
    if is_last {
        calm(host, server, peers, &desk).await;
        judge(host, &desk).await;
        tor.be_punctual();
        outages(host, tor, &mut dice("the last outage"), 90_000).await;
        sleep(HEALED).await;
        judge(host, &desk).await;
    }
    host.ground.say("the agent is told to stop");
    if let Err(problem) = server.answer(Request::Stop).await {
        host.ground.fail(&format!("it can't be stopped: {}", problem.message));
    }
}

async fn pause(host: &Host, desk: &Desk, dice: &mut Dice) {
    if desk.ask(Request::Pause).await.is_ok() {
        host.truths.pause(true);
        host.ground.say("paused");
        host.ground.turn("shell 0 is back", dice.millis(10, 150_000)).await;
    }
    host.truths.pause(false);
    let _ = desk.ask(Request::Resume).await;
    host.ground.say("resumed");
}

/// Things go wrong, mostly for a while.
async fn faults(host: &Host, tor: &Tor, peers: &[Peer], mut dice: Dice, until: Duration) {
    let ground = &host.ground;
    while ground.now() < until {
        ground.turn("faults", dice.millis(500, 30_000)).await;
        let lasts = dice.millis(1_000, 60_000);
        match dice.below(14) {
            0 | 1 => tor.die(),
            2 | 3 => {
                let mood = dice.pick(&[Mood::Refuses, Mood::Hangs]);
                ground.say(&format!("tor {mood:?} from now on"));
                ground.set_weather(|weather| weather.tor = mood);
                ground.turn("faults end", lasts).await;
                ground.set_weather(|weather| weather.tor = Mood::Fine);
            }
            4 | 5 => {
                let mood = dice.pick(&[Mood::Refuses, Mood::Hangs]);
                ground.say(&format!("the store {mood:?} from now on"));
                ground.set_weather(|weather| weather.store = mood);
                ground.turn("faults end", lasts).await;
                ground.set_weather(|weather| weather.store = Mood::Fine);
            }
            6 => {
                let addr = dice.pick(&[shells::listen(0), shells::listen(1), "127.0.0.1:9250".to_owned()]);
                ground.say(&format!("another program wants {addr}"));
                host.sockets.take(&addr);
                ground.turn("faults end", lasts).await;
                host.sockets.free(&addr);
            }
            7 => {
                ground.say("the disk is full");
                ground.set_weather(|weather| weather.disk_full = true);
                ground.turn("faults end", lasts).await;
                ground.set_weather(|weather| weather.disk_full = false);
                ground.say("the disk has room again");
            }
            8 => {
                let seconds = dice.pick(&[3_600, 86_400, 2 * 86_400, -3_600, -86_400]);
                ground.say(&format!("the clock is set by {seconds} s"));
                host.truths.jumped();
                ground.jump(seconds);
            }
            9 => {
                let peer = usize::try_from(dice.below(peers.len() as u64)).expect("few");
                ground.say(&format!("peer {peer} goes down"));
                peers[peer].set_up(false).await;
                ground.turn("faults end", lasts).await;
                ground.say(&format!("peer {peer} comes up"));
                peers[peer].set_up(true).await;
            }
            10 => tor.forget_keys(),
            11 | 12 => outages(host, tor, &mut dice, 60_000).await,
            _ => {
                let peer = usize::try_from(dice.below(peers.len() as u64)).expect("few");
                let link = dice.pick(&[Link::Cut, Link::Silent]);
                ground.say(&format!("the network of peer {peer} is {link:?}"));
                peers[peer].engine.set_link(link);
                ground.turn("faults end", lasts).await;
                ground.say(&format!("the network of peer {peer} is back"));
                peers[peer].engine.set_link(Link::Up);
            }
        }
    }
}

/// The network of this host is away: for a while, for so short a time that hardly anybody notices, or again and again. At most so many
/// milliseconds at a time.
async fn outages(host: &Host, tor: &Tor, dice: &mut Dice, most: u64) {
    let times = dice.pick(&[1, 1, 1, 2, 3, 5]);
    for time in 0..times {
        if time > 0 {
            host.ground.turn("faults pause", dice.millis(200, 20_000)).await;
        }
        let lasts = if dice.percent(50) { dice.millis(200, 6_000) } else { dice.millis(1_000, most) };
        tor.set_link(dice.pick(&[Link::Cut, Link::Silent]));
        host.truths.outage(true);
        host.ground.turn("faults end", lasts).await;
        tor.set_link(Link::Up);
        host.truths.outage(false);
    }
}

/// Clients use their invites.
async fn visits(host: &Host, visitor: &FakeEngine, mut dice: Dice, until: Duration) {
    while host.ground.now() < until {
        host.ground.turn("visits", dice.millis(500, 20_000)).await;
        let guests: Vec<_> = host.guests().iter().map(|(address, key)| (*address, *key)).collect();
        if guests.is_empty() {
            continue;
        }
        let (address, key) = dice.pick(&guests);
        let key = ClientKey::from_bytes(&key).expect("32 bytes");
        if host.ground.weather().disk_full {
            // That it was here can't be written down, so its key may go unnoted.
            host.truths.excuse([SecretId::Client(key.public())]);
        }
        visitor.add_client_key(&address, &key).await.expect("it runs");
        let number = dice.pick(&[1, 4000, 4001, 4002, 4003]);
        let port = Port::new(number).expect("not zero");
        let came = async {
            let mut stream = visitor.dial(&address, port, "visit").await?.reply().await?;
            host.ground.say(&format!("a client comes to {}:{number}", super::tor::short(&address)));
            let _ = timeout(shells::patience(), stream.read(&mut [0; 16])).await;
            Ok::<_, crate::engine::DialError>(())
        };
        let _ = timeout(Duration::from_secs(20), came).await;
        visitor.remove_client_key(&address).await.expect("it runs");
        // Nobody gets in without the key.
        let stranger = async { visitor.dial(&address, port, "stranger").await?.reply().await };
        if let Ok(Ok(_)) = timeout(Duration::from_secs(20), stranger).await {
            host.ground.fail(&format!("a stranger came to {}:{number}", super::tor::short(&address)));
        }
    }
}

/// Nothing goes wrong any more, and nobody does anything: all must come to be as it is wanted.
async fn calm(host: &Host, server: &Arc<super::super::serve::Server>, peers: &[Peer], desk: &Desk) {
    host.ground.say("calm");
    host.ground.set_weather(|weather| *weather = Weather::FINE);
    for number in 0..3 {
        host.sockets.free(&shells::listen(number));
    }
    host.sockets.free("127.0.0.1:9250");
    for peer in peers {
        peer.set_up(true).await;
    }
    host.truths.pause(false);
    if host.truths.is_spoilt() {
        let answer = desk.ask(Request::RestoreConfig).await;
        host.ground.say(&format!("config restore: {}", answer.is_ok()));
        host.truths.spoil(false);
    }
    server.reload().await;
    if let Err(problem) = desk.ask(Request::Resume).await {
        host.ground.fail(&format!("it can't be resumed: {}", problem.message));
    }
    sleep(CALM).await;
    // Nobody has looked for long: what a look finds (keys that tor forgot) is mended after it.
    let _ = desk.ask(Request::Status).await;
    sleep(LOOK).await;
}

/// All is as it is wanted.
async fn judge(host: &Host, desk: &Desk) {
    match desk.ask(Request::Status).await {
        Ok(Response::Status(status)) => {
            if let Err(why) = host.truths.judge_calm(&status) {
                host.ground.fail(&why);
            }
        }
        _ => host.ground.fail("no status"),
    }
}
