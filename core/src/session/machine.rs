//! The session itself: feeds what comes on links to streams, and what streams say to links. See the head of this room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use super::codec::{self, Count, Counts, DATA_HEAD, Frame, Hello, Stands};
use super::dials::{Dials, Need};
use super::door;
use super::event::{Event, Events};
use super::incoming::Read;
use super::limits::{CHUNK, LINKS_SERVED, Limits, PAST_LINKS, WAITING, WAITING_TO_OPEN};
use super::link::{Link, State};
use super::opened::Opened;
use super::outgoing::Part;
use super::record::{Pending, Record, Waiting};
use super::schedule::{self, View};
use super::stream::{Known, Stream};
use super::words::{
    Cut, Farewell, LinkId, Luck, Moment, Refusal, Secret, SessionId, StreamId, TurnedAway, Violation,
};

/// Less room than this in a link is not used; by bulk, less than the second: it would go in crumbs, for each of which there is a record.
const LEAST_ROOM: usize = 64;
const LEAST_ROOM_OF_BULK: usize = 4 * 1024;
/// For how long bulk may pause and still counts as one.
const BULK_PAUSE: Duration = Duration::from_secs(2);
/// How long the first link may take. No connection has rested on the session yet.
const FIRST_LINK: Duration = Duration::from_secs(60);
/// A writer is woken for no less, unless that is all it will get.
const WORTH_WAKING: u64 = 4 * 1024;

/// The stream is not there: it has ended, was cut off or was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoStream;

/// How a session is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Streams that are open.
    pub streams: usize,
    /// Links that answer.
    pub links: usize,
    /// Links that owe an answer.
    pub suspect: usize,
    /// Since when there is none.
    pub holding_since: Option<Moment>,
    /// Bytes that were written and are not acknowledged.
    pub unacked: u64,
    /// The shortest round trip of the quickest link.
    pub round_trip: Option<Duration>,
}

/// Which end it is.
#[derive(Debug)]
enum Side {
    /// Opens streams and dials.
    Importer {
        dials: Dials,
        /// No answer was seen yet: the exporter may not know the session.
        is_fresh: bool,
        /// The first link, whose streams may go behind its hello at once.
        first: Option<LinkId>,
    },
    /// Accepts streams.
    Exporter,
}

/// See the file's sentence.
#[derive(Debug)]
pub struct Session {
    side: Side,
    id: SessionId,
    secret: Secret,
    limits: Limits,
    streams: BTreeMap<StreamId, Stream>,
    links: BTreeMap<LinkId, Link>,
    /// Links that are over, and what was received of them.
    past: VecDeque<(LinkId, u64)>,
    pending: Pending,
    events: Events,
    opened: Opened,
    /// Streams that may have something to say for the first time.
    sendable: BTreeSet<StreamId>,
    /// Streams whose writer waits.
    blocked: BTreeSet<StreamId>,
    /// The bulk stream that was served last.
    turn: StreamId,
    unacked: u64,
    /// Streams that had much to say when something came last.
    sharers: u64,
    grown: u64,
    holding_since: Option<Moment>,
    /// Since when bulk waits for links, and when it did last.
    bulk: Option<(Moment, Moment)>,
    /// When bulk of this end has waited for links last.
    waited: Option<Moment>,
    ended: Option<Farewell>,
    was_told: bool,
    goodbyes: BTreeSet<LinkId>,
}

impl Session {
    /// The importer's end. It dials once there is a stream.
    pub fn importer(id: SessionId, secret: Secret, limits: Limits, now: Moment) -> Self {
        let side = Side::Importer { dials: Dials::default(), is_fresh: true, first: None };
        Self::new(side, id, secret, limits, now)
    }

    /// The exporter's end, made for a link that said this and whose client has no such session. [`join`](Self::join) follows.
    pub fn exporter(hello: &Hello, limits: Limits, now: Moment) -> Result<Self, TurnedAway> {
        let hold = Duration::from_secs(hello.hold.into()).min(limits.longest_hold);
        let limits = Limits { hold, ..limits };
        match hello.is_fresh {
            true => Ok(Self::new(Side::Exporter, hello.session, hello.secret.clone(), limits, now)),
            false => Err(TurnedAway::Unknown),
        }
    }

    fn new(side: Side, id: SessionId, secret: Secret, limits: Limits, now: Moment) -> Self {
        Self {
            side,
            id,
            secret,
            limits,
            streams: BTreeMap::new(),
            links: BTreeMap::new(),
            past: VecDeque::new(),
            pending: Pending::default(),
            events: Events::default(),
            opened: Opened::default(),
            sendable: BTreeSet::new(),
            blocked: BTreeSet::new(),
            turn: StreamId(0),
            unacked: 0,
            sharers: 0,
            grown: 0,
            holding_since: Some(now),
            bulk: None,
            waited: None,
            ended: None,
            was_told: false,
            goodbyes: BTreeSet::new(),
        }
    }

    // Streams.

    /// Opens a stream to a port of the exporter. Bytes can be written at once. None where there is no room for it, or no session any more.
    pub fn open(&mut self, port: u16, now: Moment) -> Option<StreamId> {
        let is_importer = matches!(self.side, Side::Importer { .. });
        if matches!(self.side, Side::Importer { is_fresh: true, .. }) && self.streams.is_empty() {
            self.holding_since = Some(now);
        }
        if !is_importer || self.ended.is_some() || self.streams.len() >= self.limits.streams || port == 0 {
            return None;
        }
        if self.bare() >= WAITING_TO_OPEN {
            return None;
        }
        let stream = self.opened.give()?;
        self.streams.insert(stream, Stream::new(Known::No, false));
        self.pending.say(Record::Open(stream, port));
        Some(stream)
    }

    /// Accepts a stream: its backend is connected.
    pub fn accept(&mut self, stream: StreamId) -> Result<(), NoStream> {
        let found = self.streams.get_mut(&stream).ok_or(NoStream)?;
        if !std::mem::replace(&mut found.is_accepted, true) {
            self.pending.say(Record::Accept(stream));
        }
        Ok(())
    }

    /// Refuses a stream, which is gone.
    pub fn refuse(&mut self, stream: StreamId, why: Refusal) {
        if self.forget(stream) {
            self.pending.say(Record::Refuse(stream, why));
        }
    }

    /// Cuts a stream off, both ways: an application's connection was reset. It is gone.
    pub fn reset(&mut self, stream: StreamId, why: Cut) {
        if self.forget(stream) {
            self.pending.say(Record::Reset(stream, why));
        }
    }

    /// Takes as many of these bytes as there is room for. Where that is less than all, [`Event::Writable`] follows.
    pub fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Result<usize, NoStream> {
        let room = self.room(stream).ok_or(NoStream)?;
        let found = self.streams.get_mut(&stream).ok_or(NoStream)?;
        let many = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let (taken, rest) = bytes.split_at(many);
        found.outgoing.write(taken);
        self.unacked += taken.len() as u64;
        if !taken.is_empty() {
            self.sendable.insert(stream);
        }
        if !rest.is_empty() {
            self.blocked.insert(stream);
        }
        Ok(many)
    }

    /// How many bytes a stream may write now.
    fn room(&self, stream: StreamId) -> Option<u64> {
        let outgoing = &self.streams.get(&stream)?.outgoing;
        if self.ended.is_some() {
            return None;
        }
        // They share what there is, or the first ones would have it all.
        let for_large = self.limits.session_unacked - self.limits.kept_for_small;
        let share = (for_large / self.sharers.max(1)).max(Limits::SMALL);
        let large = share.saturating_sub(outgoing.unacked()).min(for_large.saturating_sub(self.unacked));
        let small = Limits::SMALL.saturating_sub(outgoing.unacked());
        let small = small.min(self.limits.session_unacked.saturating_sub(self.unacked));
        Some(outgoing.room(self.limits.stream_unacked).min(large.max(small)))
    }

    /// Counts those that have much to say. One that waits for its reader takes nothing from others.
    fn count_sharers(&mut self) {
        let has_much = |(id, other): &(&StreamId, &Stream)| {
            let outgoing = &other.outgoing;
            outgoing.unacked() > Limits::SMALL
                || (self.blocked.contains(id) && outgoing.room(self.limits.stream_unacked) > 0)
        };
        self.sharers = self.streams.iter().filter(has_much).count() as u64;
    }

    /// Says that nothing more is written to it. The other direction goes on.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), NoStream> {
        let found = self.streams.get_mut(&stream).ok_or(NoStream)?;
        if !found.outgoing.is_finished() {
            found.outgoing.finish();
            self.sendable.insert(stream);
        }
        Ok(())
    }

    /// Whether all that was written to it, and its end, has arrived. [`Event::Writable`] tells when.
    pub fn has_arrived(&self, stream: StreamId) -> Result<bool, NoStream> {
        self.streams.get(&stream).map(|found| found.outgoing.is_done()).ok_or(NoStream)
    }

    /// Whether it is there still.
    pub fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Reads bytes in order.
    pub fn read(&mut self, stream: StreamId, into: &mut [u8]) -> Result<Read, NoStream> {
        let found = self.streams.get_mut(&stream).ok_or(NoStream)?;
        let read = found.incoming.read(into);
        if let Read::Bytes(_) = read {
            let (grown, most) = (&mut self.grown, self.limits.session_unread);
            let may_grow = |more: u64| {
                let may = *grown + more <= most;
                *grown += if may { more } else { 0 };
                may
            };
            if found.incoming.more_credit(self.limits.stream_unread, may_grow) && !found.credit_waits {
                found.credit_waits = true;
                self.pending.say(Record::Credit(stream));
            }
        }
        if read == Read::End {
            self.tidy(stream);
        }
        Ok(read)
    }

    /// Forgets a stream that is over.
    fn tidy(&mut self, stream: StreamId) {
        if self.streams.get(&stream).is_some_and(Stream::is_done) {
            self.forget(stream);
        }
    }

    fn forget(&mut self, stream: StreamId) -> bool {
        let Some(found) = self.streams.remove(&stream) else { return false };
        self.unacked -= found.outgoing.unacked();
        self.grown -= found.incoming.grown();
        self.sendable.remove(&stream);
        self.blocked.remove(&stream);
        true
    }

    fn wake_writers(&mut self) {
        if self.blocked.is_empty() {
            return;
        }
        self.count_sharers();
        let is_worth = |stream: &StreamId| match (self.room(*stream), self.streams.get(stream)) {
            (Some(room), Some(found)) => room >= WORTH_WAKING || (room > 0 && found.outgoing.unacked() == 0),
            _ => false,
        };
        let woken: Vec<StreamId> = self.blocked.iter().copied().filter(is_worth).collect();
        for stream in woken {
            self.blocked.remove(&stream);
            self.events.push(Event::Writable(stream));
        }
    }

    // The session.

    /// The next thing that the driver is to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// How it is.
    pub fn standing(&self) -> Standing {
        Standing {
            streams: self.streams.len(),
            links: self.links.values().filter(|link| link.is_usable()).count(),
            suspect: self.links.values().filter(|link| link.is_suspect()).count(),
            holding_since: self.holding_since,
            unacked: self.unacked,
            round_trip: self.links.values().filter_map(|link| link.gauge.shortest()).min(),
        }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Ends it in order, at once: each stream is cut off at both ends, and each link says goodbye.
    pub fn close(&mut self, why: Farewell) {
        self.end(why, None, true);
    }

    fn end(&mut self, why: Farewell, violation: Option<Violation>, tell: bool) {
        if self.ended.replace(why).is_some() {
            return;
        }
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        for stream in streams {
            // What has come whole, and is acknowledged whole, only waits for its reader. Access that has ended waits for nobody.
            let stays = !matches!(why, Farewell::Revoked | Farewell::Deleted | Farewell::Violation);
            if stays && self.streams.get(&stream).is_some_and(Stream::needs_no_link) {
                continue;
            }
            self.forget(stream);
            self.events.push(Event::Reset(stream, why.into()));
        }
        self.pending.clear();
        self.was_told = !tell;
        if tell {
            self.goodbyes = self.links.keys().copied().collect();
        }
        if let Side::Importer { dials, .. } = &mut self.side {
            for link in dials.give_up() {
                self.events.push(Event::Close(link));
            }
        }
        self.events.push(Event::Ended(why, violation));
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether its links wait until the other end has closed them, and so has heard that it is over: where this end leaves.
    pub fn waits_to_be_heard(&self) -> bool {
        self.ended == Some(Farewell::Leaving) && !self.was_told
    }

    /// There is reason to think that links are gone, or that the way is free: the host was asleep, its network changed, tor was started
    /// again.
    pub fn probe(&mut self) {
        self.links.values_mut().for_each(Link::ask);
        if let Side::Importer { dials, .. } = &mut self.side {
            dials.reset();
        }
    }

    // Links.

    /// A dial has succeeded as far as the driver sees it: bytes can be sent. Gives whether the link is wanted still: else none may be.
    pub fn link_connected(&mut self, link: LinkId, now: Moment) -> bool {
        if !self.links.contains_key(&link) {
            self.link_begins(link, now);
        }
        self.links.get_mut(&link).map(|found| found.has_spoken = true).is_some()
    }

    /// A dial begins. What it is to say first can be asked for at once, so that it goes with the dial; [`link_connected`](Self::link_connected)
    /// follows before any of it leaves this host. Where a link is lost before that, what it was to say was shown to nobody.
    pub fn link_begins(&mut self, link: LinkId, now: Moment) {
        let received = self.counts();
        let hold = u32::try_from(self.limits.hold.as_secs()).unwrap_or(u32::MAX);
        let Side::Importer { dials, is_fresh, first } = &mut self.side else { return };
        if self.ended.is_some() || !dials.has(link) || self.links.contains_key(&link) {
            return self.events.push(Event::Close(link));
        }
        first.get_or_insert(link);
        let hello = Hello {
            session: self.id,
            secret: self.secret.clone(),
            is_fresh: *is_fresh,
            hold,
            link,
            received,
        };
        self.links.insert(link, Link::new(&Frame::Hello(hello), false, now));
    }

    /// A dial has failed.
    pub fn dial_failed(&mut self, link: LinkId, luck: Luck, now: Moment) {
        if let Side::Importer { dials, .. } = &mut self.side {
            dials.failed(link, &self.limits, luck, now);
        }
    }

    /// Lets a link in that said this first, at the exporter.
    pub fn join(&mut self, hello: &Hello, luck: Luck, now: Moment) -> Result<LinkId, TurnedAway> {
        if !matches!(self.side, Side::Exporter)
            || self.ended.is_some()
            || hello.session != self.id
            || !self.secret.matches(&hello.secret)
        {
            return Err(TurnedAway::Unknown);
        }
        let link = hello.link;
        self.settle(&hello.received, luck, now);
        let is_known = self.links.contains_key(&link) || self.past.iter().any(|(past, _)| *past == link);
        if is_known || self.links.len() >= LINKS_SERVED {
            return Err(TurnedAway::Full);
        }
        let is_new = self.links.is_empty() && self.past.is_empty();
        let welcome = Frame::Welcome { is_new, received: self.counts() };
        self.links.insert(link, Link::new(&welcome, true, now));
        self.holding_since = None;
        Ok(link)
    }

    /// A link is over: it has ended, was reset, or a byte could not be written.
    pub fn link_lost(&mut self, link: LinkId, luck: Luck, now: Moment) {
        self.drop_link(link, luck, now);
    }

    fn drop_link(&mut self, id: LinkId, luck: Luck, now: Moment) {
        let Some(mut link) = self.links.remove(&id) else {
            return self.dial_failed(id, luck, now);
        };
        self.move_away(id, link.take_in_flight());
        if !link.has_spoken {
            self.was_shown_to_nobody(id);
        }
        self.past.push_back((id, link.received()));
        if self.past.len() > PAST_LINKS {
            self.past.pop_front();
        }
        if let Side::Importer { dials, .. } = &mut self.side {
            match link.is_up {
                true => dials.lost(now.saturating_sub(link.began), &self.limits, luck, now),
                false => dials.failed(id, &self.limits, luck, now),
            }
        }
        if self.holding_since.is_none() && !self.links.values().any(|link| link.is_up) {
            self.holding_since = Some(now);
        }
    }

    /// A link that is gone has said nothing. Another one may be the first to carry streams.
    fn was_shown_to_nobody(&mut self, id: LinkId) {
        for stream in self.streams.values_mut() {
            stream.shown_on.take_if(|shown| *shown == id);
        }
        if let Side::Importer { first, .. } = &mut self.side
            && *first == Some(id)
        {
            *first = None;
        }
    }

    /// What was on its way over a link goes another way.
    fn move_away(&mut self, link: LinkId, records: Vec<(u64, Record)>) {
        for (frame, record) in records {
            let before = Some((link, frame));
            match record {
                Record::Data(stream, part) => {
                    let Some(found) = self.streams.get_mut(&stream) else { continue };
                    let is_bulk = found.outgoing.is_bulk();
                    let Some(part) = found.outgoing.lost(part) else { continue };
                    let waiting = Waiting { record: Record::Data(stream, part), before };
                    match is_bulk {
                        true => self.pending.push_bulk(waiting),
                        false => self.pending.push_urgent(waiting),
                    }
                    // There may be room for a frame of it again.
                    self.sendable.insert(stream);
                }
                Record::Credit(stream) => {
                    if let Some(found) = self.streams.get_mut(&stream)
                        && !found.credit_waits
                    {
                        found.credit_waits = true;
                        self.pending.push_urgent(Waiting { record, before: None });
                    }
                }
                Record::Open(stream, _) => {
                    if let Some(found) = self.streams.get_mut(&stream) {
                        found.known = Known::No;
                        self.pending.push_urgent(Waiting { record, before });
                    }
                }
                Record::Accept(_) | Record::Refuse(..) | Record::Reset(..) => {
                    self.pending.push_urgent(Waiting { record, before });
                }
            }
        }
    }

    /// What was received of links, for the other end: of those that are over, and of those that may be over for it.
    fn counts(&self) -> Counts {
        let alive = self.links.iter().filter(|(_, link)| link.is_up).map(|(id, link)| {
            let stands = if link.is_suspect() { Stands::Suspect } else { Stands::Sound };
            Count { link: *id, frames: link.received(), stands }
        });
        let past = self.past.iter().rev();
        let past = past.map(|(link, frames)| Count { link: *link, frames: *frames, stands: Stands::Over });
        let mut counts: Counts = alive.chain(past).collect();
        counts.truncate(PAST_LINKS);
        counts
    }

    /// What the other end has received is not sent again, and what it will not receive goes another way at once.
    fn settle(&mut self, counts: &[Count], luck: Luck, now: Moment) {
        for Count { link: id, frames, stands } in counts {
            match (stands, self.links.get_mut(id)) {
                (Stands::Sound, _) | (_, None) => {}
                (Stands::Suspect, Some(link)) => {
                    link.doubt(now);
                    let records = link.take_in_flight();
                    self.move_away(*id, records);
                }
                (Stands::Over, Some(_)) => {
                    self.drop_link(*id, luck, now);
                    self.events.push(Event::Close(*id));
                }
            }
            for record in self.pending.settle(*id, *frames) {
                self.arrived(record, false);
            }
        }
    }

    /// What a record said has arrived.
    fn arrived(&mut self, record: Record, was_in_flight: bool) {
        match record {
            Record::Data(stream, part) => {
                let Some(found) = self.streams.get_mut(&stream) else { return };
                let before = found.outgoing.unacked();
                found.outgoing.acked(part, was_in_flight);
                self.unacked -= before - found.outgoing.unacked();
                if found.outgoing.has_new() {
                    self.sendable.insert(stream);
                }
                if found.outgoing.is_done() {
                    self.events.push(Event::Writable(stream));
                }
                self.tidy(stream);
            }
            Record::Open(stream, _) => {
                if let Some(found) = self.streams.get_mut(&stream) {
                    found.known = Known::Yes;
                }
            }
            Record::Accept(_) | Record::Refuse(..) | Record::Credit(_) | Record::Reset(..) => {}
        }
    }

    /// Takes bytes that have come over a link. At the exporter: those behind the hello.
    pub fn input(&mut self, id: LinkId, bytes: &[u8], luck: Luck, now: Moment) {
        if self.ended.is_some() {
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        link.hear(now);
        let link_waits = !link.is_up;
        let mut inbox = std::mem::take(&mut link.inbox);
        inbox.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = inbox.get(at..).unwrap_or_default();
            if at == 0 && link_waits && door::is_an_answer(rest) {
                return self.not_let_in(id, TurnedAway::NotOffered, luck, now);
            }
            let (frame, length) = match codec::read(rest) {
                Ok(Some(read)) => read,
                Ok(None) => break,
                Err(violation) => return self.end(Farewell::Violation, Some(violation), true),
            };
            at += length;
            if let Err(violation) = self.take(id, frame, length, luck, now) {
                return self.end(Farewell::Violation, Some(violation), true);
            }
            if self.ended.is_some() || !self.links.contains_key(&id) {
                return;
            }
        }
        inbox.drain(..at);
        if inbox.is_empty() {
            inbox = Vec::new();
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.inbox = inbox;
        }
        self.wake_writers();
    }

    fn take(
        &mut self,
        id: LinkId,
        frame: Frame<'_>,
        length: usize,
        luck: Luck,
        now: Moment,
    ) -> Result<(), Violation> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if frame.is_counted() {
            link.count(length, now);
            if length >= CHUNK / 2 {
                link.carried_bulk(now);
            }
        }
        if !link.is_up && !matches!(frame, Frame::Welcome { .. } | Frame::No(_) | Frame::Goodbye(_)) {
            return Err(Violation::Unexpected);
        }
        match frame {
            Frame::Hello(_) => return Err(Violation::Unexpected),
            Frame::Welcome { is_new, received } => return self.welcome(id, is_new, &received, luck, now),
            Frame::No(why) => return self.turned_away(id, why, luck, now),
            Frame::Open(stream, port) => return self.take_open(stream, port),
            Frame::Accept(stream) => {
                self.importer_only()?;
                self.accepted(stream);
            }
            Frame::Refuse(stream, why) => {
                self.importer_only()?;
                self.known(stream)?;
                if self.forget(stream) {
                    self.events.push(Event::Refused(stream, why));
                }
            }
            Frame::Data { stream, offset, is_end, bytes } => {
                self.known(stream)?;
                let Some(found) = self.streams.get_mut(&stream) else { return Ok(()) };
                if found.incoming.take(offset, bytes, is_end)? {
                    self.events.push(Event::Readable(stream));
                }
                self.accepted(stream);
            }
            Frame::Credit(stream, limit) => {
                self.known(stream)?;
                if let Some(found) = self.streams.get_mut(&stream) {
                    found.outgoing.credit(limit);
                }
            }
            Frame::Reset(stream, why) => {
                if matches!(self.side, Side::Exporter) {
                    // It may overtake the opening, which then opens nothing.
                    self.opened.note(stream)?;
                }
                self.known(stream)?;
                if self.forget(stream) {
                    self.events.push(Event::Reset(stream, why));
                }
            }
            Frame::Ack { frames, bulk_waits } => {
                if bulk_waits {
                    link.far_waited = Some(now);
                }
                let records = link.acked(frames, now)?;
                for record in records {
                    self.arrived(record, true);
                }
                for record in self.pending.settle(id, frames) {
                    self.arrived(record, false);
                }
            }
            Frame::Ping(token) => link.owe_pong(token),
            Frame::Pong(token) => link.take_pong(token, now),
            Frame::Goodbye(why) => self.end(why, None, false),
        }
        self.not_flooded()
    }

    /// Frames without bytes of a stream that are not acknowledged.
    fn bare(&self) -> usize {
        self.pending.bare() + self.links.values().map(Link::bare).sum::<usize>()
    }

    fn not_flooded(&self) -> Result<(), Violation> {
        match self.bare() > WAITING {
            true => Err(Violation::Flood),
            false => Ok(()),
        }
    }

    fn importer_only(&self) -> Result<(), Violation> {
        match self.side {
            Side::Importer { .. } => Ok(()),
            Side::Exporter => Err(Violation::Unexpected),
        }
    }

    fn known(&self, stream: StreamId) -> Result<(), Violation> {
        match self.opened.has(stream) {
            true => Ok(()),
            false => Err(Violation::NoStream),
        }
    }

    fn accepted(&mut self, stream: StreamId) {
        if matches!(self.side, Side::Importer { .. })
            && let Some(found) = self.streams.get_mut(&stream)
            && !std::mem::replace(&mut found.is_accepted, true)
        {
            self.events.push(Event::Accepted(stream));
        }
    }

    fn take_open(&mut self, stream: StreamId, port: u16) -> Result<(), Violation> {
        if !matches!(self.side, Side::Exporter) {
            return Err(Violation::Unexpected);
        }
        if !self.opened.note(stream)? {
            return Ok(());
        }
        // The importer may have forgotten one that is not over here yet, so that it opens one too many in good faith.
        if self.streams.len() >= self.limits.streams {
            self.pending.say(Record::Refuse(stream, Refusal::Full));
            return self.not_flooded();
        }
        self.streams.insert(stream, Stream::new(Known::Yes, false));
        self.events.push(Event::Opened(stream, port));
        Ok(())
    }

    fn welcome(
        &mut self,
        id: LinkId,
        is_new: bool,
        received: &[Count],
        luck: Luck,
        now: Moment,
    ) -> Result<(), Violation> {
        let Side::Importer { dials, is_fresh, .. } = &mut self.side else {
            return Err(Violation::Unexpected);
        };
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if link.is_up || (is_new && !*is_fresh) {
            return Err(Violation::Unexpected);
        }
        link.is_up = true;
        link.gauge.round_trip(now.saturating_sub(link.began), now);
        link.began = now;
        link.carried_bulk(now);
        dials.succeeded(id);
        *is_fresh = false;
        self.holding_since = None;
        // What went behind a hello that is not answered goes over this link.
        let waiting: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| !link.is_up).map(|(other, _)| *other).collect();
        for other in waiting {
            let records = self.links.get_mut(&other).map(Link::take_in_flight);
            self.move_away(other, records.unwrap_or_default());
        }
        self.settle(received, luck, now);
        if is_new {
            // Another link has carried these before. Whether the exporter had delivered something of it and forgot, nobody knows.
            let is_doubtful = |stream: &Stream| stream.shown_on.is_some_and(|shown| shown != id);
            let doubtful: Vec<StreamId> =
                self.streams.iter().filter(|(_, stream)| is_doubtful(stream)).map(|(id, _)| *id).collect();
            for stream in doubtful {
                self.reset(stream, Cut::Forgotten);
                self.events.push(Event::Reset(stream, Cut::Forgotten));
            }
        }
        Ok(())
    }

    fn turned_away(&mut self, id: LinkId, why: TurnedAway, luck: Luck, now: Moment) -> Result<(), Violation> {
        if !matches!(self.side, Side::Importer { .. }) || self.links.get(&id).is_none_or(|link| link.is_up) {
            return Err(Violation::Unexpected);
        }
        self.not_let_in(id, why, luck, now);
        Ok(())
    }

    fn not_let_in(&mut self, id: LinkId, why: TurnedAway, luck: Luck, now: Moment) {
        let is_fresh = matches!(self.side, Side::Importer { is_fresh: true, .. });
        self.drop_link(id, luck, now);
        self.events.push(Event::Close(id));
        let farewell = match why {
            TurnedAway::Unknown => Farewell::Forgotten,
            TurnedAway::Version | TurnedAway::NotOffered => Farewell::NotOffered,
            TurnedAway::Full | TurnedAway::Other if is_fresh => Farewell::Other,
            // Another try may fare better.
            TurnedAway::Full | TurnedAway::Other => return,
        };
        if is_fresh {
            // What went over this link was not read. What went over another one that has not answered may have been.
            let is_untouched = |stream: &Stream| stream.shown_on.is_none_or(|shown| shown == id);
            let untouched: Vec<StreamId> =
                self.streams.iter().filter(|(_, stream)| is_untouched(stream)).map(|(id, _)| *id).collect();
            for stream in untouched {
                self.forget(stream);
                self.events.push(Event::NotTaken(stream));
            }
        }
        self.end(farewell, None, true);
    }

    /// Appends what this link is to send now, at most `room` bytes, and says how many. The driver asks each link after anything has
    /// happened, with the bytes that it takes at once (0 where it takes none), until all say 0. Bulk needs room for 4 KiB.
    pub fn poll_transmit(&mut self, id: LinkId, room: usize, now: Moment, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        if let Some(why) = self.ended {
            if room >= 4 && self.goodbyes.remove(&id) {
                Frame::Goodbye(why).write(out);
            }
            return out.len() - start;
        }
        let may_go_first = self.may_go_before_welcome(id);
        let bulk_waits = self.waited.is_some_and(|at| now <= at + BULK_PAUSE);
        let Some(link) = self.links.get_mut(&id) else { return 0 };
        link.room = room;
        if !link.write_greeting(room, out) {
            return 0;
        }
        let left = |out: &Vec<u8>| room.saturating_sub(out.len() - start);
        if link.is_up {
            link.write_signs(left(out), out, now);
            link.write_ack(left(out), out, bulk_waits, false, now);
        }
        if link.is_usable() || may_go_first {
            self.write_records(id, start + room, now, out);
        }
        let Some(link) = self.links.get_mut(&id) else { return out.len() - start };
        if link.is_up && out.len() > start && link.owes_ack() {
            link.write_ack(left(out), out, bulk_waits, true, now);
        }
        link.room = left(out);
        self.note_bulk(now);
        out.len() - start
    }

    /// Whether streams may go behind a hello that is not answered yet: without a round trip more. Not where another link has carried
    /// some before any answer came: an exporter that has forgotten them would take them for new ones.
    fn may_go_before_welcome(&self, id: LinkId) -> bool {
        let Side::Importer { is_fresh, first, .. } = &self.side else { return false };
        let is_waiting = self.links.get(&id).is_some_and(|link| !link.is_up);
        is_waiting
            && (!is_fresh || *first == Some(id))
            && !self.links.values().any(Link::is_usable)
            && self.links.iter().find(|(_, link)| !link.is_up).is_some_and(|(other, _)| *other == id)
    }

    fn write_records(&mut self, id: LinkId, until: usize, now: Moment, out: &mut Vec<u8>) {
        let is_choice = |(other, link): &(&LinkId, &Link)| link.is_usable() || **other == id;
        let mut views: Vec<View> = self.links.iter().filter(is_choice).map(|(_, link)| link.view()).collect();
        let Some(this) = self.links.iter().filter(is_choice).position(|(other, _)| *other == id) else {
            return;
        };
        let mut backlog = self.backlog();
        loop {
            let room = until.saturating_sub(out.len());
            if room < LEAST_ROOM {
                return;
            }
            let quick = schedule::carries_quick(&views, this);
            let bulk = room >= LEAST_ROOM_OF_BULK && schedule::carries_bulk(&views, this, backlog);
            let Some((record, is_bulk)) = self.next_record(id, room, quick, bulk) else { return };
            let before = out.len();
            if !self.write_record(id, record, out) {
                continue;
            }
            if is_bulk {
                backlog = backlog.saturating_sub(record.bytes());
            }
            if let Some(link) = self.links.get_mut(&id) {
                link.sent(record, out.len() - before, is_bulk, now);
                if let Some(view) = views.get_mut(this) {
                    *view = View { has_room: true, ..link.view() };
                }
            }
        }
    }

    /// The next thing that this link may say, and whether it is bulk.
    fn next_record(&mut self, id: LinkId, room: usize, quick: bool, bulk: bool) -> Option<(Record, bool)> {
        if quick {
            while let Some(waiting) = self.pending.pop_urgent(|record| may_go(&self.streams, record, id)) {
                if let Some(record) = self.fit(waiting, room, true) {
                    return Some((record, false));
                }
            }
            if let Some(record) = self.next_of_streams(id, room, false) {
                return Some((record, false));
            }
        }
        if bulk {
            while let Some(waiting) = self.pending.pop_bulk(|record| may_go(&self.streams, record, id)) {
                if let Some(record) = self.fit(waiting, room, false) {
                    return Some((record, true));
                }
            }
            return Some((self.next_of_streams(id, room, true)?, true));
        }
        None
    }

    /// So much of what waits as there is room for, if it is needed still; the rest waits on.
    fn fit(&mut self, waiting: Waiting, room: usize, is_urgent: bool) -> Option<Record> {
        let Record::Data(stream, part) = waiting.record else { return Some(waiting.record) };
        let outgoing = &mut self.streams.get_mut(&stream)?.outgoing;
        let part = outgoing.lacking(part)?;
        outgoing.sent_again();
        let most = room.saturating_sub(DATA_HEAD).min(CHUNK) as u64;
        if part.end - part.start <= most {
            return Some(Record::Data(stream, part));
        }
        let middle = part.start + most;
        let rest = Part { start: middle, ..part };
        self.pending.put_back(Waiting { record: Record::Data(stream, rest), ..waiting }, is_urgent);
        Some(Record::Data(stream, Part { end: middle, is_end: false, ..part }))
    }

    /// The next new bytes of a stream that may go over this link: each in turn.
    fn next_of_streams(&mut self, id: LinkId, room: usize, is_bulk: bool) -> Option<Record> {
        let most = room.saturating_sub(DATA_HEAD).min(CHUNK) as u64;
        let streams = &self.streams;
        let has_new = |stream: &StreamId| streams.get(stream).is_some_and(|found| found.outgoing.has_new());
        self.sendable.retain(has_new);
        // Many streams that have each a little would fill a queue as well as one that has much.
        let is_full = self.links.get(&id).is_some_and(Link::is_full);
        let may_go = |stream: &&StreamId| {
            streams.get(*stream).is_some_and(|found| {
                found.outgoing.is_bulk() == is_bulk
                    && found.may_go_on(id)
                    && (!is_full || found.outgoing.unacked() <= Limits::SMALL)
            })
        };
        let after = self.sendable.range((Bound::Excluded(self.turn), Bound::Unbounded));
        let stream = *after.chain(self.sendable.range(..=self.turn)).find(may_go)?;
        let part = self.streams.get_mut(&stream)?.outgoing.next_part(most)?;
        self.turn = stream;
        Some(Record::Data(stream, part))
    }

    /// Appends a record as a frame, unless there is no need for it any more.
    fn write_record(&mut self, id: LinkId, record: Record, out: &mut Vec<u8>) -> bool {
        match record {
            Record::Open(stream, port) => {
                let Some(found) = self.streams.get_mut(&stream) else { return false };
                found.known = Known::SoonOn(id);
                found.shown_on.get_or_insert(id);
                Frame::Open(stream, port).write(out);
            }
            Record::Accept(stream) => {
                if !self.streams.contains_key(&stream) {
                    return false;
                }
                Frame::Accept(stream).write(out);
            }
            Record::Refuse(stream, why) => Frame::Refuse(stream, why).write(out),
            Record::Reset(stream, why) => Frame::Reset(stream, why).write(out),
            Record::Credit(stream) => {
                let Some(found) = self.streams.get_mut(&stream) else { return false };
                found.credit_waits = false;
                Frame::Credit(stream, found.incoming.limit()).write(out);
            }
            Record::Data(stream, part) => {
                let Some(found) = self.streams.get(&stream) else { return false };
                let mut bytes = Vec::with_capacity(CHUNK);
                found.outgoing.copy(part, &mut bytes);
                let is_whole = bytes.len() as u64 == part.end - part.start;
                debug_assert!(is_whole, "no part is sent of which some is acknowledged");
                if !is_whole {
                    return false;
                }
                Frame::Data { stream, offset: part.start, is_end: part.is_end, bytes: &bytes }.write(out);
            }
        }
        true
    }

    fn backlog(&self) -> u64 {
        let unsent = |stream: &StreamId| self.streams.get(stream).map(|found| &found.outgoing);
        let bulk = self.sendable.iter().filter_map(unsent).filter(|outgoing| outgoing.is_bulk());
        bulk.map(|outgoing| outgoing.unsent()).sum::<u64>() + self.pending.bulk_bytes()
    }

    /// Whether bytes wait since all links are full.
    fn bulk_waits(&self) -> bool {
        let is_full = |link: &Link| link.is_full() || link.room < LEAST_ROOM_OF_BULK;
        let mut usable = self.links.values().filter(|link| link.is_usable()).peekable();
        usable.peek().is_some() && usable.all(is_full) && self.backlog() > 0
    }

    fn note_bulk(&mut self, now: Moment) {
        if self.bulk_waits() {
            self.waited = Some(now);
        }
        // What the far end says is not said back to it: else both would believe it for ever.
        let far = self.links.values().filter_map(|link| link.far_waited).max();
        let last = self.waited.max(far);
        self.bulk = match (self.bulk, last) {
            (Some((since, _)), Some(last)) if now <= last + BULK_PAUSE => Some((since, last)),
            (None, Some(last)) if now <= last + BULK_PAUSE => Some((now, last)),
            _ => None,
        };
    }

    // Time.

    /// How many links there should be.
    fn wanted(&self, now: Moment) -> usize {
        if self.ended.is_some() || (self.streams.is_empty() && self.pending.is_empty()) {
            return 0;
        }
        let since = self.bulk.map(|(since, _)| now.saturating_sub(since));
        let more = since.map_or(0, |since| self.limits.widen.iter().filter(|after| since >= **after).count());
        (1 + more).min(self.limits.links)
    }

    fn need(&self, now: Moment) -> Need {
        let is_fresh = matches!(self.side, Side::Importer { is_fresh: true, .. });
        Need {
            usable: self.links.values().filter(|link| link.is_usable()).count(),
            up: self.links.values().filter(|link| link.is_up).count(),
            wanted: self.wanted(now),
            may_race: !is_fresh,
        }
    }

    /// How long nothing is heard of a link until it is asked: see [`Limits::ping`]. The importer asks; the exporter only wants to know when
    /// that has stopped.
    fn ping(&self) -> Option<(Duration, Duration)> {
        let (first, longest) = self.limits.ping;
        match self.side {
            _ if self.streams.is_empty() => None,
            Side::Importer { .. } => Some((first, longest)),
            Side::Exporter => Some((longest * 2, longest * 2)),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if nothing happens before.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        if self.ended.is_some() {
            return None;
        }
        let ping = self.ping();
        let links = self.links.values().filter_map(|link| link.wake_at(&self.limits, ping));
        let hold = self.hold_until();
        let Side::Importer { dials, .. } = &self.side else { return links.chain(hold).min() };
        let dial = dials.due(self.need(now), &self.limits);
        let widen = self.bulk.and_then(|(since, _)| {
            let all = self.limits.widen.iter().map(|after| since + *after);
            all.filter(|at| *at > now).min()
        });
        let retire = self.spare().map(|(_, at)| at);
        links.chain(hold).chain(dial).chain(dials.limit(&self.limits)).chain(widen).chain(retire).min()
    }

    fn hold_until(&self) -> Option<Moment> {
        let hold = match self.side {
            Side::Importer { is_fresh: true, .. } if self.streams.is_empty() => return None,
            Side::Importer { is_fresh: true, .. } => FIRST_LINK,
            // Where nobody waits, it ends before the exporter forgets it, so that the next stream finds no session that is half over.
            Side::Importer { .. } if self.streams.is_empty() => self.limits.hold / 2,
            Side::Importer { .. } | Side::Exporter => self.limits.hold,
        };
        self.holding_since.map(|since| since + hold)
    }

    /// The link that bulk needs least, while there is more than one, and when it is closed.
    fn spare(&self) -> Option<(LinkId, Moment)> {
        let usable = || self.links.iter().filter(|(_, link)| link.is_usable());
        if usable().count() < 2 {
            return None;
        }
        let slowest = usable().max_by_key(|(id, link)| (link.gauge.shortest(), **id))?;
        let used = usable().map(|(_, link)| link.is_spare_since()).max()?;
        let bulk = self.bulk.map_or(Duration::ZERO, |(_, last)| last);
        Some((*slowest.0, used.max(bulk) + self.limits.retire))
    }

    /// Does what is due. The driver then asks for events and for what links are to send.
    pub fn handle_timeout(&mut self, luck: Luck, now: Moment) {
        if self.ended.is_some() {
            return;
        }
        if self.hold_until().is_some_and(|until| now >= until) {
            return self.end(Farewell::HoldOver, None, true);
        }
        let ping = self.ping();
        let mut looked = Vec::new();
        for (id, link) in &mut self.links {
            looked.push((*id, link.look(&self.limits, ping, now)));
        }
        for (id, state) in looked {
            match state {
                State::Sound => {}
                State::BecameSuspect => {
                    let records = self.links.get_mut(&id).map(Link::take_in_flight);
                    self.move_away(id, records.unwrap_or_default());
                }
                State::Over => {
                    self.drop_link(id, luck, now);
                    self.events.push(Event::Close(id));
                }
            }
        }
        self.note_bulk(now);
        self.handle_dials(luck, now);
    }

    fn handle_dials(&mut self, luck: Luck, now: Moment) {
        let Side::Importer { dials, .. } = &self.side else { return };
        for link in dials.late(&self.limits, now) {
            self.drop_link(link, luck, now);
            self.events.push(Event::Close(link));
        }
        if let Some((spare, at)) = self.spare()
            && now >= at
        {
            self.drop_link(spare, luck, now);
            self.events.push(Event::Close(spare));
        }
        let need = self.need(now);
        let Side::Importer { dials, .. } = &mut self.side else { return };
        while dials.due(need, &self.limits).is_some_and(|at| now >= at) {
            self.events.push(Event::Dial(dials.begin(now)));
        }
    }

    /// What must hold after each call.
    #[cfg(test)]
    pub fn check(&self) {
        let all = || self.streams.values();
        assert_eq!(self.unacked, all().map(|stream| stream.outgoing.unacked()).sum::<u64>());
        assert_eq!(self.grown, all().map(|stream| stream.incoming.grown()).sum::<u64>());
        assert!(self.unacked <= self.limits.session_unacked && self.grown <= self.limits.session_unread);
        assert!(self.streams.len() <= self.limits.streams);
        for stream in all() {
            assert!(stream.outgoing.unacked() <= self.limits.stream_unacked);
            assert!(stream.incoming.unread() <= self.limits.stream_unread);
        }
        assert!(self.links.len() <= LINKS_SERVED && self.past.len() <= PAST_LINKS);
        let in_flight: u64 = self.links.values().map(Link::in_flight).sum();
        assert!(in_flight < 2 * self.limits.session_unacked, "{in_flight} bytes on their way");
    }
}

/// Whether a record may go over this link now.
fn may_go(streams: &BTreeMap<StreamId, Stream>, record: &Record, link: LinkId) -> bool {
    match record {
        Record::Data(stream, _) => streams.get(stream).is_none_or(|found| found.may_go_on(link)),
        Record::Open(..) | Record::Accept(_) | Record::Refuse(..) | Record::Credit(_) | Record::Reset(..) => {
            true
        }
    }
}

#[cfg(test)]
mod tests;
