//! One session, driven: its machine behind a lock, the clock, luck, and who waits for what. Links and streams call in; what is to be done for
//! it comes out of [`Driven::next`].

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::session::codec::Hello;
use crate::session::event::Event;
use crate::session::incoming::Read;
use crate::session::limits::Limits;
use crate::session::machine::{NoStream, Session, Standing};
use crate::session::words::{
    Cut, Farewell, LinkId, Luck, Moment, Refusal, Secret, SessionId, StreamId, TurnedAway, Violation,
};

/// Bytes that are asked of a link at once. What lies in a socket can't be overtaken by a key press.
const ROOM: usize = 20 * 1024;

/// Bytes that are read from a link at once, and how often before others have their turn.
const CHUNK: usize = 16 * 1024;
const BUDGET: usize = 8;

/// Streams that are open at this end, whatever the machine has forgotten of them: twice what a session may have.
const STREAMS: usize = 512;

/// Between two looks at what is due and can't be done yet.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// What its keeper is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Dial, then [`Driven::carry`].
    Dial(LinkId),
    /// Somebody at the other end wants this port.
    Opened(StreamId, u16),
    /// It is over. Links end by themselves once they have said goodbye.
    Ended(Farewell, Option<Violation>),
}

/// How it stands with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forward) enum Word {
    /// The far side has not said anything yet.
    None,
    /// It has accepted it.
    Accepted,
    /// It has refused it.
    Refused(Refusal),
    /// It was cut off.
    Cut(Cut),
    /// The far side has let in no link, so nothing of it has arrived anywhere.
    NotTaken,
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct Driven {
    inner: Mutex<Inner>,
    began: Instant,
    /// Tells the keeper that there may be something to do.
    news: Notify,
    over: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    links: BTreeMap<LinkId, LinkEnd>,
    streams: BTreeMap<StreamId, StreamEnd>,
    tasks: VecDeque<Task>,
}

#[derive(Debug, Default)]
struct LinkEnd {
    waker: Option<Waker>,
    /// The machine wants it no more.
    is_closed: bool,
}

#[derive(Debug)]
struct StreamEnd {
    word: Word,
    reader: Option<Waker>,
    writer: Option<Waker>,
    asker: Option<Waker>,
}

impl StreamEnd {
    fn new(word: Word) -> Self {
        Self { word, reader: None, writer: None, asker: None }
    }
}

impl Inner {
    /// Takes what the machine has to tell, and whom to wake for it.
    fn take_events(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Dial(link) => {
                    self.links.insert(link, LinkEnd::default());
                    self.tasks.push_back(Task::Dial(link));
                }
                Event::Close(link) => {
                    if let Some(link) = self.links.get_mut(&link) {
                        link.is_closed = true;
                    }
                }
                // The far side counts one as over that is not here yet: it is not reset as fast as it opens others.
                Event::Opened(stream, _) if self.streams.len() >= STREAMS => {
                    self.session.refuse(stream, Refusal::Full);
                }
                Event::Opened(stream, port) => {
                    self.streams.insert(stream, StreamEnd::new(Word::None));
                    self.tasks.push_back(Task::Opened(stream, port));
                }
                Event::Accepted(stream) => self.tell(stream, Word::Accepted, wakers),
                Event::Refused(stream, why) => self.tell(stream, Word::Refused(why), wakers),
                Event::NotTaken(stream) => self.tell(stream, Word::NotTaken, wakers),
                Event::Reset(stream, why) => self.tell(stream, Word::Cut(why), wakers),
                Event::Readable(stream) => {
                    wakers.extend(self.streams.get_mut(&stream).and_then(|end| end.reader.take()));
                }
                Event::Writable(stream) => {
                    wakers.extend(self.streams.get_mut(&stream).and_then(|end| end.writer.take()));
                }
                Event::Ended(why, violation) => self.tasks.push_back(Task::Ended(why, violation)),
            }
        }
        wakers.extend(self.links.values_mut().filter_map(|link| link.waker.take()));
    }

    fn tell(&mut self, stream: StreamId, word: Word, wakers: &mut Vec<Waker>) {
        let Some(end) = self.streams.get_mut(&stream) else { return };
        end.word = word;
        wakers.extend(end.asker.take());
        wakers.extend(end.reader.take());
        wakers.extend(end.writer.take());
    }
}

/// Spreads times. Without random numbers they are not spread.
fn luck() -> Luck {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    Luck(u16::from_ne_bytes(bytes))
}

/// A new session's name and secret.
fn random() -> io::Result<(SessionId, Secret)> {
    let (mut id, mut secret) = ([0; 16], Secret([0; 32]));
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    getrandom::fill(&mut secret.0).map_err(io::Error::other)?;
    Ok((SessionId(id), secret))
}

impl Driven {
    /// The importer's end of a new session.
    pub(super) fn importer(limits: Limits) -> io::Result<Arc<Self>> {
        let (id, secret) = random()?;
        Ok(Self::of(Session::importer(id, secret, limits, Duration::ZERO)))
    }

    /// The exporter's end of the session that a link's hello speaks of. [`join`](Self::join) follows.
    pub(super) fn exporter(hello: &Hello, limits: Limits) -> Result<Arc<Self>, TurnedAway> {
        Session::exporter(hello, limits, Duration::ZERO).map(Self::of)
    }

    fn of(session: Session) -> Arc<Self> {
        let (links, streams, tasks) = Default::default();
        let inner = Inner { session, links, streams, tasks };
        let (inner, over) = (Mutex::new(inner), CancellationToken::new());
        Arc::new(Self { inner, began: Instant::now(), news: Notify::new(), over })
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the machine, and wakes whoever that concerns.
    fn turn<T>(&self, act: impl FnOnce(&mut Inner, Moment) -> T) -> T {
        let mut wakers = Vec::new();
        let done = {
            let mut inner = self.lock();
            let done = act(&mut inner, self.now());
            inner.take_events(&mut wakers);
            if inner.session.has_ended() {
                self.over.cancel();
            }
            done
        };
        wakers.into_iter().for_each(Waker::wake);
        self.news.notify_one();
        done
    }

    /// Waits for the next thing that is to be done for it. For one keeper. Cancel-safe.
    pub(super) async fn next(&self) -> Task {
        loop {
            let now = self.now();
            let is_due = |at: &Moment| *at <= now;
            if self.lock().session.poll_timeout(now).as_ref().is_some_and(is_due) {
                self.turn(|inner, now| inner.session.handle_timeout(luck(), now));
                // What is due may be for a link to say, which has its turn now.
                tokio::task::yield_now().await;
            }
            let (task, due) = {
                let mut inner = self.lock();
                (inner.tasks.pop_front(), inner.session.poll_timeout(now))
            };
            if let Some(task) = task {
                return task;
            }
            let news = self.news.notified();
            match due {
                // A link that can't say now what is due will say when it can.
                Some(at) if at <= now => sleep(LEAST_PAUSE).await,
                Some(at) => {
                    tokio::select! {
                        () = news => {}
                        () = sleep_until(self.began + at) => {}
                    }
                }
                None => news.await,
            }
        }
    }

    /// How it is.
    pub(super) fn standing(&self) -> Standing {
        self.lock().session.standing()
    }

    /// Since when there is no link.
    pub(super) fn holding_since(&self) -> Option<Instant> {
        Some(self.began + self.standing().holding_since?)
    }

    /// Whether it is over.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().session.has_ended()
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Ends it in order.
    pub(super) fn close(&self, why: Farewell) {
        self.turn(|inner, _| inner.session.close(why));
    }

    /// There is reason to think that links are gone, or that there is a way again.
    pub(super) fn probe(&self) {
        self.turn(|inner, _| inner.session.probe());
    }

    /// Whether all links are gone.
    pub(super) fn has_no_links(&self) -> bool {
        self.lock().links.is_empty()
    }

    // Links.

    /// Lets a link in, at the exporter. Its [`carry`](Self::carry) follows.
    pub(super) fn join(&self, hello: &Hello) -> Result<LinkId, TurnedAway> {
        self.turn(|inner, now| {
            let link = inner.session.join(hello, luck(), now)?;
            inner.links.insert(link, LinkEnd::default());
            Ok(link)
        })
    }

    /// A dial is about to begin: what is to be said first over it, at most so many bytes.
    pub(super) fn greet(&self, link: LinkId, most: usize) -> Vec<u8> {
        let mut first = Vec::new();
        self.turn(|inner, now| {
            inner.session.link_begins(link, now);
            inner.session.poll_transmit(link, most, now, &mut first);
        });
        first
    }

    /// Some of what is to be said first is about to leave this host. It must not where this gives false: the link is not wanted any more.
    pub(super) fn speaks(&self, link: LinkId) -> bool {
        self.turn(|inner, now| inner.session.link_connected(link, now))
    }

    /// Waits until the machine wants a link no more.
    pub(super) async fn closed(&self, link: LinkId) {
        poll_fn(|cx| {
            let mut inner = self.lock();
            match inner.links.get_mut(&link) {
                Some(end) if !end.is_closed => {
                    end.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// A link, or the dial for it, is over.
    pub(super) fn lost(&self, link: LinkId) {
        self.turn(|inner, now| {
            inner.links.remove(&link);
            inner.session.link_lost(link, luck(), now);
        });
    }

    /// Carries a link until it is over. `heard` has come over it already, and `said` is to go before all else.
    pub(super) async fn carry<S>(&self, link: LinkId, stream: &mut S, heard: &[u8], said: Vec<u8>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // However this ends.
        let _over = Over { driven: self, link };
        if !heard.is_empty() {
            self.turn(|inner, now| inner.session.input(link, heard, luck(), now));
        }
        let (mut out, mut at) = (said, 0);
        poll_fn(|cx| self.poll_link(link, &mut *stream, &mut out, &mut at, cx)).await;
    }

    /// Reads and writes as far as both go without waiting. Ready when the link is over.
    fn poll_link<S>(
        &self,
        link: LinkId,
        stream: &mut S,
        out: &mut Vec<u8>,
        at: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let has_ended = {
            let mut inner = self.lock();
            let has_ended = inner.session.has_ended();
            let Some(end) = inner.links.get_mut(&link) else { return Poll::Ready(()) };
            if end.is_closed && !has_ended {
                return Poll::Ready(());
            }
            end.waker = Some(cx.waker().clone());
            has_ended
        };
        let budget = if has_ended { 0 } else { BUDGET };
        for read in 1..=budget {
            let mut room = [std::mem::MaybeUninit::uninit(); CHUNK];
            let mut room = ReadBuf::uninit(&mut room);
            match Pin::new(&mut *stream).poll_read(cx, &mut room) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    self.turn(|inner, now| inner.session.input(link, room.filled(), luck(), now));
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
            if read == budget {
                cx.waker().wake_by_ref();
            }
        }
        loop {
            while let Some(rest) = out.get(*at..).filter(|rest| !rest.is_empty()) {
                match Pin::new(&mut *stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(written)) if written > 0 => *at += written,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => {
                        // It takes nothing now, which the machine is to know.
                        let mut inner = self.lock();
                        let now = self.now();
                        inner.session.poll_transmit(link, 0, now, &mut Vec::new());
                        return Poll::Pending;
                    }
                }
            }
            out.clear();
            *at = 0;
            if !self.fill(link, out) {
                break;
            }
        }
        // Also what a stream gathers.
        if ready!(Pin::new(&mut *stream).poll_flush(cx)).is_err() {
            return Poll::Ready(());
        }
        let (has_ended, waits) = {
            let inner = self.lock();
            (inner.session.has_ended(), inner.session.waits_to_be_heard())
        };
        match (has_ended, waits) {
            (false, _) => Poll::Pending,
            (true, true) => poll_closed(stream, cx),
            (true, false) => Poll::Ready(()),
        }
    }

    /// Takes what a link is to send; whether there was something. What it takes may change what others are to take.
    fn fill(&self, link: LinkId, out: &mut Vec<u8>) -> bool {
        let mut wakers = Vec::new();
        {
            let mut inner = self.lock();
            let now = self.now();
            if inner.session.poll_transmit(link, ROOM, now, out) == 0 {
                return false;
            }
            let others = inner.links.iter_mut().filter(|(other, _)| **other != link);
            wakers.extend(others.filter_map(|(_, end)| end.waker.take()));
        }
        wakers.into_iter().for_each(Waker::wake);
        self.news.notify_one();
        true
    }

    // Streams.

    /// Opens a stream, at the importer. None where there is no room, or no session any more.
    pub(super) fn open(&self, port: u16) -> Option<StreamId> {
        self.turn(|inner, now| {
            let stream = inner.session.open(port, now)?;
            inner.streams.insert(stream, StreamEnd::new(Word::None));
            Some(stream)
        })
    }

    /// Accepts a stream, at the exporter.
    pub(super) fn accept(&self, stream: StreamId) -> Result<(), NoStream> {
        self.turn(|inner, _| inner.session.accept(stream))
    }

    /// Refuses a stream, at the exporter.
    pub(super) fn refuse(&self, stream: StreamId, why: Refusal) {
        self.turn(|inner, _| {
            inner.streams.remove(&stream);
            inner.session.refuse(stream, why);
        });
    }

    /// Cuts a stream off.
    pub(super) fn reset(&self, stream: StreamId, why: Cut) {
        self.turn(|inner, _| {
            inner.streams.remove(&stream);
            inner.session.reset(stream, why);
        });
    }

    /// A stream that was said and read whole is left to the machine, which sends what is left of it.
    pub(super) fn leave(&self, stream: StreamId) {
        self.lock().streams.remove(&stream);
    }

    /// Why a stream is gone; by the other end's wish where that is not known.
    fn cut(inner: &Inner, stream: StreamId) -> Cut {
        match inner.streams.get(&stream).map(|end| end.word) {
            Some(Word::Cut(why)) => why,
            _ => Cut::Other,
        }
    }

    /// Waits for the far side's first word about a stream.
    pub(super) fn poll_word(&self, stream: StreamId, cx: &mut Context<'_>) -> Poll<Word> {
        let mut inner = self.lock();
        let Some(end) = inner.streams.get_mut(&stream) else { return Poll::Ready(Word::Cut(Cut::Other)) };
        if end.word == Word::None {
            end.asker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(end.word)
    }

    /// Reads a stream; none is its end.
    pub(super) fn poll_read(
        &self,
        stream: StreamId,
        into: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, Cut>> {
        self.turn(|inner, _| match inner.session.read(stream, into) {
            Ok(Read::Bytes(read)) => Poll::Ready(Ok(Some(read))),
            Ok(Read::End) => Poll::Ready(Ok(None)),
            Ok(Read::Nothing) => {
                if let Some(end) = inner.streams.get_mut(&stream) {
                    end.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Err(NoStream) => Poll::Ready(Err(Self::cut(inner, stream))),
        })
    }

    /// Writes to a stream.
    pub(super) fn poll_write(
        &self,
        stream: StreamId,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Cut>> {
        self.turn(|inner, _| match inner.session.write(stream, bytes) {
            Ok(0) if !bytes.is_empty() => {
                if let Some(end) = inner.streams.get_mut(&stream) {
                    end.writer = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Ok(written) => Poll::Ready(Ok(written)),
            Err(NoStream) => Poll::Ready(Err(Self::cut(inner, stream))),
        })
    }

    /// Whether this end has left.
    pub(super) fn has_left(&self) -> bool {
        self.lock().session.waits_to_be_heard()
    }

    /// Whether the machine has a stream no more, or it was cut off.
    pub(super) fn is_gone(&self, stream: StreamId) -> bool {
        !self.lock().session.has_stream(stream)
    }

    /// Waits until all that a stream has said has arrived.
    pub(super) fn poll_arrived(&self, stream: StreamId, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        self.turn(|inner, _| match (inner.session.has_arrived(stream), inner.streams.get_mut(&stream)) {
            (Ok(true), _) => Poll::Ready(Ok(())),
            (Ok(false), end) => {
                if let Some(end) = end {
                    end.writer = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            // It is over both ways, unless it was cut off.
            (Err(NoStream), Some(StreamEnd { word: Word::None | Word::Accepted, .. })) => Poll::Ready(Ok(())),
            (Err(NoStream), _) => Poll::Ready(Err(Self::cut(inner, stream))),
        })
    }

    /// Ends a stream's own direction.
    pub(super) fn finish(&self, stream: StreamId) -> Result<(), Cut> {
        self.turn(|inner, _| inner.session.finish(stream).map_err(|NoStream| Self::cut(inner, stream)))
    }
}

/// Waits until the other end has heard goodbye: it then closes its link. A tor that ends sooner would take the word with it.
fn poll_closed<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..BUDGET {
        let mut room = [std::mem::MaybeUninit::uninit(); CHUNK];
        let mut room = ReadBuf::uninit(&mut room);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut room)) {
            Ok(()) if !room.filled().is_empty() => {}
            _ => return Poll::Ready(()),
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Tells the machine that a link is over, whatever has ended it.
struct Over<'a> {
    driven: &'a Driven,
    link: LinkId,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.driven.lost(self.link);
    }
}
