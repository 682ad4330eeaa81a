//! Two agents, the links between them, and the applications at both ends, in simulated time. A seed decides everything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use super::app::{App, Plan};
use super::dice::Dice;
use super::wire::{Nature, Pipe};
use crate::session::door;
use crate::session::event::Event;
use crate::session::limits::Limits;
use crate::session::machine::Session;
use crate::session::words::{
    Cut, Farewell, LinkId, Luck, Moment, Refusal, Secret, SessionId, StreamId, Violation,
};

/// The port that is refused.
pub(super) const REFUSED: u16 = 2;

/// Importer and exporter.
pub(super) const NEAR: usize = 0;
pub(super) const FAR: usize = 1;

/// Bytes of a link's greeting at most.
const GREETING: usize = 4096;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Bytes arrive at this end of a link.
    Arrive(LinkId, usize, Vec<u8>),
    /// An end learns that a link is over.
    Lost(LinkId, usize),
    /// A dial has succeeded, or not.
    Dialled(LinkId, bool),
    /// Something is due.
    Wake,
    /// The network goes, or comes back.
    Network(bool),
    /// The importer's application opens this stream.
    Open(usize),
    /// The backend of a stream is connected, or not.
    Backend(StreamId, bool),
}

struct Wire {
    nature: Nature,
    pipes: [Pipe; 2],
    open: [bool; 2],
    is_silent: bool,
    /// What the exporter has of a hello.
    knocking: Option<Vec<u8>>,
}

/// What the network does.
pub(super) struct Weather {
    /// The next link's nature.
    pub(super) nature: Box<dyn FnMut(&mut Dice) -> Nature>,
    /// One dial in so many fails.
    pub(super) dial_fails: u64,
    /// When there is no network.
    pub(super) outages: Vec<(Moment, Moment)>,
}

/// A stream that is to be opened.
pub(super) struct Wish {
    pub(super) at: Moment,
    pub(super) port: u16,
    pub(super) near: Plan,
    pub(super) far: Plan,
}

/// See the file's sentence.
pub(super) struct World {
    pub(super) now: Moment,
    pub(super) dice: Dice,
    queue: BinaryHeap<Reverse<(Moment, u64, What)>>,
    count: u64,
    wakes: BTreeSet<Moment>,
    pub(super) sessions: [Option<Session>; 2],
    limits: Limits,
    wires: BTreeMap<LinkId, Wire>,
    /// What links that are being dialled are to say first.
    greetings: BTreeMap<LinkId, Vec<u8>>,
    weather: Weather,
    is_up: bool,
    wishes: Vec<Wish>,
    plans: BTreeMap<StreamId, Plan>,
    pub(super) apps: [BTreeMap<StreamId, App>; 2],
    pub(super) unopened: usize,
    pub(super) ended: [Option<(Farewell, Option<Violation>)>; 2],
    pub(super) carried: u64,
    pub(super) most_links: usize,
    pub(super) dials: u64,
    pub(super) trace: bool,
    /// The exporter's agent is killed at that time, and started again.
    pub(super) forgets_at: Option<Moment>,
}

impl World {
    pub(super) fn new(seed: u64, limits: Limits, weather: Weather, wishes: Vec<Wish>) -> Self {
        let dice = Dice::new(seed);
        let near = Session::importer(SessionId([1; 16]), Secret([2; 32]), limits.clone(), Duration::ZERO);
        let mut world = Self {
            now: Duration::ZERO,
            dice,
            queue: BinaryHeap::new(),
            count: 0,
            wakes: BTreeSet::new(),
            sessions: [Some(near), None],
            limits,
            wires: BTreeMap::new(),
            greetings: BTreeMap::new(),
            weather,
            is_up: true,
            unopened: wishes.len(),
            wishes,
            plans: BTreeMap::new(),
            apps: Default::default(),
            ended: [None, None],
            carried: 0,
            most_links: 0,
            dials: 0,
            trace: false,
            forgets_at: None,
        };
        for index in 0..world.wishes.len() {
            world.at(world.wishes[index].at, What::Open(index));
        }
        for (from, to) in world.weather.outages.clone() {
            world.at(from, What::Network(false));
            world.at(to, What::Network(true));
        }
        world
    }

    fn at(&mut self, at: Moment, what: What) {
        // Rounded up, so that one turn serves several.
        let at = match what {
            What::Wake => Duration::from_millis(u64::try_from(at.max(self.now).as_millis()).unwrap() + 1),
            _ => at,
        };
        if what == What::Wake && !self.wakes.insert(at) {
            return;
        }
        self.count += 1;
        self.queue.push(Reverse((at.max(self.now), self.count, what)));
    }

    fn luck(&mut self) -> Luck {
        Luck(self.dice.next() as u16)
    }

    pub(super) fn is_over(&self) -> bool {
        self.unopened == 0 && self.apps.iter().all(|apps| apps.values().all(App::is_over))
    }

    /// Runs until all applications are over, or until then. Whether they are.
    pub(super) fn run(&mut self, until: Moment) -> bool {
        self.pump();
        while !self.is_over() {
            let Some(Reverse((at, _, what))) = self.queue.pop() else { return false };
            if at > until {
                return false;
            }
            self.now = at;
            if self.trace && !matches!(what, What::Wake) {
                let shown = match &what {
                    What::Arrive(link, end, bytes) => format!("{} bytes for {end} on {link:?}", bytes.len()),
                    other => format!("{other:?}"),
                };
                eprintln!("{:?} {shown}", self.now);
            }
            self.happen(what);
            self.pump();
        }
        true
    }

    /// Lets time pass until then, whatever applications do.
    pub(super) fn pass(&mut self, until: Moment) {
        self.pump();
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            let Some(Reverse((at, _, what))) = self.queue.pop() else { return };
            self.now = at;
            self.happen(what);
            self.pump();
        }
        self.now = until;
    }

    fn happen(&mut self, what: What) {
        let (now, luck) = (self.now, self.luck());
        match what {
            What::Wake => {
                self.wakes.remove(&now);
                if self.forgets_at.is_some_and(|at| now >= at) {
                    self.forgets_at = None;
                    self.forget_far();
                }
                for session in self.sessions.iter_mut().flatten() {
                    if session.poll_timeout(now).is_some_and(|at| at <= now) {
                        session.handle_timeout(luck, now);
                    }
                }
            }
            What::Arrive(link, end, bytes) => self.arrive(link, end, &bytes, luck),
            What::Lost(link, end) => {
                if let Some(wire) = self.wires.get_mut(&link)
                    && std::mem::replace(&mut wire.open[end], false)
                    && let Some(session) = &mut self.sessions[end]
                {
                    session.link_lost(link, luck, now);
                }
            }
            What::Dialled(link, succeeds) => {
                let Some(session) = &mut self.sessions[NEAR] else { return };
                let greeting = self.greetings.remove(&link);
                if !succeeds || !self.is_up {
                    return match greeting {
                        Some(_) => session.link_lost(link, luck, now),
                        None => session.dial_failed(link, luck, now),
                    };
                }
                let nature = (self.weather.nature)(&mut self.dice);
                let wire = Wire {
                    nature,
                    pipes: Default::default(),
                    open: [true; 2],
                    is_silent: false,
                    knocking: Some(Vec::new()),
                };
                self.wires.insert(link, wire);
                session.link_connected(link, now);
                if let Some(greeting) = greeting {
                    self.send(link, NEAR, &greeting);
                }
            }
            What::Network(is_up) => {
                self.is_up = is_up;
                if !is_up {
                    let told = self.dice.once_in(2);
                    let links: Vec<LinkId> = self.wires.keys().copied().collect();
                    for link in links {
                        self.silence(link, told);
                    }
                } else if self.dice.once_in(2)
                    && let Some(session) = &mut self.sessions[NEAR]
                {
                    session.probe();
                }
            }
            What::Open(index) => {
                self.unopened -= 1;
                let Some(session) = &mut self.sessions[NEAR] else { return };
                let wish = &self.wishes[index];
                let Some(stream) = session.open(wish.port, now) else { return };
                self.plans.insert(stream, wish.far.clone());
                self.apps[NEAR].insert(stream, App::new(stream, true, wish.near.clone()));
            }
            What::Backend(stream, is_there) => {
                let Some(session) = &mut self.sessions[FAR] else { return };
                if !is_there {
                    return session.refuse(stream, Refusal::Unreachable);
                }
                if session.accept(stream).is_ok() {
                    let again =
                        self.apps[FAR].insert(stream, App::new(stream, false, self.plans[&stream].clone()));
                    assert!(again.is_none(), "{stream:?} is opened twice");
                }
            }
        }
    }

    /// A link dies: both ends are told after a while, or nobody is.
    fn silence(&mut self, link: LinkId, is_told: bool) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if std::mem::replace(&mut wire.is_silent, true) || !is_told {
            return;
        }
        for end in [NEAR, FAR] {
            let after = Duration::from_millis(self.dice.between(0, 3000));
            self.at(self.now + after, What::Lost(link, end));
        }
    }

    fn forget_far(&mut self) {
        self.sessions[FAR] = None;
        for app in self.apps[FAR].values_mut().filter(|app| !app.is_over()) {
            app.cut = Some(Cut::Other);
        }
        let links: Vec<LinkId> = self.wires.keys().copied().collect();
        for link in links {
            self.wires.get_mut(&link).unwrap().open[FAR] = false;
            self.silence(link, true);
        }
    }

    fn arrive(&mut self, link: LinkId, end: usize, bytes: &[u8], luck: Luck) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if !wire.open[end] {
            return;
        }
        if end == NEAR || wire.knocking.is_none() {
            if let Some(session) = &mut self.sessions[end] {
                session.input(link, bytes, luck, now);
            }
            return;
        }
        let mut knocking = wire.knocking.take().unwrap();
        knocking.extend_from_slice(bytes);
        let Some((hello, length)) = door::knock(&knocking).expect("a hello") else {
            wire.knocking = Some(knocking);
            return;
        };
        let joined = match &mut self.sessions[FAR] {
            Some(session) => session.join(&hello, luck, now),
            none => Session::exporter(&hello, self.limits.clone(), now).and_then(|session| {
                let session = none.insert(session);
                session.join(&hello, luck, now)
            }),
        };
        match joined {
            Ok(joined) => {
                assert_eq!(joined, link);
                if let Some(session) = &mut self.sessions[FAR] {
                    session.input(link, &knocking[length..], luck, now);
                }
            }
            Err(why) => {
                let no = door::no(why);
                self.send(link, FAR, &no);
                self.wires.get_mut(&link).unwrap().open[FAR] = false;
            }
        }
    }

    fn send(&mut self, link: LinkId, end: usize, bytes: &[u8]) {
        self.carried += bytes.len() as u64;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if wire.is_silent || !wire.open[end] {
            return;
        }
        let (arrivals, dies) = wire.pipes[end].take(bytes, &wire.nature, &mut self.dice, self.now);
        let free = wire.pipes[end].free_at(&wire.nature);
        let told = wire.nature.is_told;
        for (at, bytes) in arrivals {
            self.at(at, What::Arrive(link, 1 - end, bytes));
        }
        self.at(free, What::Wake);
        if dies {
            self.silence(link, told);
        }
    }

    /// Lets both ends do all that they can now.
    fn pump(&mut self) {
        for end in [NEAR, FAR] {
            loop {
                self.take_events(end);
                let wakes: Vec<Moment> = match &mut self.sessions[end] {
                    Some(session) => {
                        self.apps[end].values_mut().filter_map(|app| app.run(session, self.now)).collect()
                    }
                    None => Vec::new(),
                };
                for at in wakes {
                    self.at(at, What::Wake);
                }
                if !self.transmit(end) {
                    break;
                }
            }
            if let Some(session) = &self.sessions[end] {
                session.check();
                let standing = session.standing();
                if end == NEAR {
                    self.most_links = self.most_links.max(standing.links);
                }
                if let Some(at) = session.poll_timeout(self.now) {
                    assert!(at > self.now || self.queue.len() < 1_000_000, "it never rests");
                    self.at(at, What::Wake);
                }
            }
        }
        if let Some(at) = self.forgets_at {
            self.at(at, What::Wake);
        }
    }

    fn transmit(&mut self, end: usize) -> bool {
        let links: Vec<LinkId> = self.wires.keys().copied().collect();
        let mut any = false;
        for link in links {
            let wire = &self.wires[&link];
            if !wire.open[end] || (end == FAR && wire.knocking.is_some()) {
                continue;
            }
            let room = wire.pipes[end].room(&wire.nature, self.now);
            let mut out = Vec::new();
            let Some(session) = &mut self.sessions[end] else { return false };
            let said = session.poll_transmit(link, room, self.now, &mut out);
            assert_eq!(said, out.len());
            assert!(said <= room, "{said} bytes where {room} have room");
            if said > 0 {
                any = true;
                self.send(link, end, &out);
            }
        }
        any
    }

    fn take_events(&mut self, end: usize) {
        while let Some(event) = self.sessions[end].as_mut().and_then(Session::poll_event) {
            if self.trace {
                eprintln!("{:?} {end}: {event:?}", self.now);
            }
            let apps = &mut self.apps[end];
            match event {
                Event::Dial(link) => {
                    self.dials += 1;
                    let after = Duration::from_millis(self.dice.between(200, 1500));
                    let fails = self.weather.dial_fails > 0 && self.dice.once_in(self.weather.dial_fails);
                    if self.dice.once_in(2)
                        && let Some(session) = &mut self.sessions[end]
                    {
                        // What it is to say goes with the dial.
                        let mut greeting = Vec::new();
                        session.link_begins(link, self.now);
                        session.poll_transmit(link, GREETING, self.now, &mut greeting);
                        self.greetings.insert(link, greeting);
                    }
                    // Some never answer.
                    if !(fails && self.dice.once_in(2)) {
                        self.at(self.now + after, What::Dialled(link, !fails));
                    }
                }
                Event::Close(link) => {
                    if let Some(wire) = self.wires.get_mut(&link) {
                        wire.open[end] = false;
                        let delay = wire.nature.delay;
                        if !wire.is_silent {
                            self.at(self.now + delay, What::Lost(link, 1 - end));
                        }
                    }
                }
                Event::Opened(stream, port) => {
                    let after = Duration::from_millis(self.dice.between(0, 200));
                    self.at(self.now + after, What::Backend(stream, port != REFUSED));
                }
                Event::Refused(stream, _) => {
                    apps.get_mut(&stream).unwrap().refused = true;
                }
                Event::Reset(stream, cut) => {
                    if let Some(app) = apps.get_mut(&stream) {
                        // One that has said and read all does not care.
                        if !app.is_over() {
                            app.cut = Some(cut);
                            app.done_at = self.now;
                        }
                    } else {
                        assert_eq!(end, FAR, "a reset for a stream that was never there");
                    }
                }
                Event::NotTaken(stream) => {
                    let app = apps.get_mut(&stream).unwrap();
                    app.cut = Some(Cut::Other);
                    app.done_at = self.now;
                    assert!(!self.apps[FAR].contains_key(&stream), "something of {stream:?} has arrived");
                }
                Event::Accepted(_) => {}
                Event::Readable(stream) => {
                    if let Some(app) = apps.get_mut(&stream) {
                        app.is_readable = true;
                    }
                }
                Event::Writable(stream) => {
                    if let Some(app) = apps.get_mut(&stream) {
                        app.is_writable = true;
                    }
                }
                Event::Ended(why, violation) => {
                    assert_eq!(violation, None, "at {end}");
                    self.ended[end] = Some((why, violation));
                    let links: Vec<LinkId> = self.wires.keys().copied().collect();
                    self.transmit(end);
                    for link in links {
                        let wire = self.wires.get_mut(&link).unwrap();
                        if std::mem::replace(&mut wire.open[end], false) && !wire.is_silent {
                            let at = self.now + wire.nature.delay * 2;
                            self.at(at, What::Lost(link, 1 - end));
                        }
                    }
                }
            }
        }
    }
}
