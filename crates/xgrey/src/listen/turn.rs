//! A worker's loop. One turn takes all connections that are ready through three phases:
//!
//! ```text
//! epoll ─▶ ready ─┬▶ read each ─▶ decide all as one batch ─▶ write each ─▶ next chunk, next turn
//!                 └ at most CHUNK at once
//! ```
//! Phases instead of a task for each connection: the code of each phase stays in the processor's
//! caches for the whole chunk, the store sees batches, and the peer is woken once by a burst of
//! answers and not once by each. (Tasks on an async runtime took up to a third more processor
//! time: `docs/performance.md`.)
//!
//! Never knows: what a decision depends on.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use arrayvec::ArrayVec;
use greylist::Timestamp;
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use super::buffer::Buffer;
use super::connections::{Admission, Connection, Connections};
use super::worker::{Arrival, WorkerContext};
use crate::config::Protocol;
use crate::dialogue::{Desk, Dialogue, Incoming, Next, Owed, Papers, Rest, Side, Taken};
use crate::service::{Outcome, Scratch, wait_for};

/// Events taken from the kernel at once.
const EVENTS: usize = 1_024;
/// Connections taken through the phases together. 32 usual requests are 32 KiB: they stay near the
/// processor from the read to the answer.
const CHUNK: usize = 32;
/// How long a line of the decision log may wait for company while nothing happens.
const LOG_PATIENCE: Duration = Duration::from_millis(100);
/// The token of the waker; connections have their place in the slab.
const WAKER: Token = Token(usize::MAX);

/// What the pool tells a worker.
#[derive(Debug)]
pub(super) struct Orders {
    /// New connections.
    pub(super) arrivals: Receiver<Arrival>,
    /// How many connections it has or will have, for the pool to see.
    pub(super) load: Arc<AtomicUsize>,
    /// Whether to end.
    pub(super) stop: Arc<AtomicBool>,
}

/// A connection, as its worker sees it.
#[derive(Debug)]
struct Session {
    connection: Arc<Connection>,
    protocol: Protocol,
    side: Side,
    /// Bytes may have come since the last read that took all.
    readable: bool,
    /// The kernel has told that the end of the stream will be read: it won't tell again.
    closed: bool,
    /// Stands in the queue of those that are ready.
    queued: bool,
    /// Answers that the socket had no room for. While there are any, nothing is read.
    backlog: Vec<u8>,
    /// Where its dialogue stands; `None` if a spare one of the chunk does as well.
    dialogue: Option<Dialogue>,
    /// What has come of requests that are not answered yet: rarely anything, so that an idle
    /// connection has no buffer.
    unused: Option<Box<Buffer>>,
}

/// The loop and all its connections.
#[derive(Debug)]
pub(super) struct TurnLoop {
    poll: Poll,
    events: Events,
    orders: Orders,
    context: WorkerContext,
    connections: Arc<Connections>,
    sessions: Slab<Session>,
    ready: VecDeque<usize>,
    /// For the connections of a chunk, one each, in its order. Most leave nothing in them, so
    /// the same few lie in the processor's caches for all connections. A connection whose own dialogue
    /// sits here keeps the spare one meanwhile.
    dialogues: Vec<Dialogue>,
    buffers: Vec<Buffer>,
    work: Work,
}

/// Buffers of a chunk, kept for the next.
#[derive(Debug, Default)]
struct Work {
    scratch: Scratch,
    outcomes: Vec<Outcome>,
    /// Replies that need no decision, of all connections.
    ready: Vec<u8>,
    replies: Vec<u8>,
    parts: Vec<Part>,
}

/// One connection's part of a chunk.
#[derive(Debug)]
struct Part {
    place: usize,
    /// Bytes of its buffer that are done with.
    used: usize,
    /// How many answers and other replies it is owed, and how many of them are answers.
    dues: usize,
    answers: usize,
    /// Where its answers are among the replies.
    replies: Range<usize>,
    next: Next,
}

impl TurnLoop {
    /// The loop, and what wakes it.
    ///
    /// # Errors
    /// When the kernel gives no epoll.
    pub(super) fn new(
        context: WorkerContext,
        connections: Arc<Connections>,
        orders: Orders,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let limits = context.limits;
        let turns = Self {
            poll,
            events: Events::with_capacity(EVENTS),
            orders,
            context,
            connections,
            sessions: Slab::new(),
            ready: VecDeque::new(),
            dialogues: (0..CHUNK).map(|_| Dialogue::postfix(limits)).collect(),
            buffers: (0..CHUNK).map(|_| Buffer::new(limits.request_bytes_max)).collect(),
            work: Work::default(),
        };
        Ok((turns, waker))
    }

    /// Turns until told to stop.
    pub(super) fn run(mut self) {
        let mut logged_at = self.context.clock.now();
        while !self.orders.stop.load(Relaxed) {
            let patience = match (self.ready.is_empty(), self.context.decisions.is_empty()) {
                (false, _) => Some(Duration::ZERO),
                (true, false) => Some(LOG_PATIENCE),
                (true, true) => None,
            };
            if let Err(error) = self.poll.poll(&mut self.events, patience)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(target: "listen", %error, "could not wait for connections");
            }
            let now = self.context.clock.now();
            self.take_events(now);
            // Those that become ready meanwhile wait for the next turn, after the kernel was asked.
            let mut left = self.ready.len();
            while left > 0 {
                left = left.saturating_sub(self.chunk(now));
            }
            if self.events.is_empty() || now != logged_at {
                self.context.decisions.flush();
                logged_at = now;
            }
        }
        self.context.decisions.flush();
    }

    /// Notes what the kernel tells.
    fn take_events(&mut self, now: Timestamp) {
        let mut woken = false;
        for event in &self.events {
            if event.token() == WAKER {
                woken = true;
                continue;
            }
            let place = event.token().0;
            let Some(session) = self.sessions.get_mut(place) else { continue };
            session.closed |= event.is_read_closed() || event.is_error();
            session.readable |= event.is_readable() || session.closed;
            if !session.queued {
                session.queued = true;
                self.ready.push_back(place);
            }
        }
        if woken {
            while let Ok(arrival) = self.orders.arrivals.try_recv() {
                self.begin(arrival, now);
            }
        }
    }

    /// Takes a new connection in.
    fn begin(&mut self, Arrival { stream, terms }: Arrival, now: Timestamp) {
        let entry = self.sessions.vacant_entry();
        let place = entry.key();
        let admitted = stream
            .register(self.poll.registry(), Token(place))
            .map(|stream| self.connections.admit(stream, now, self.context.counters()));
        let Ok(Admission::Admitted(connection)) = admitted else {
            self.orders.load.fetch_sub(1, Relaxed);
            return;
        };
        let dialogue = Dialogue::new(terms, self.context.limits);
        // What came before we asked is told at once by the first event.
        entry.insert(Session {
            connection,
            protocol: terms.protocol,
            side: Side::Open,
            readable: false,
            closed: false,
            queued: false,
            backlog: Vec::new(),
            dialogue: (!dialogue.is_spare(0)).then_some(dialogue),
            unused: None,
        });
    }

    /// Takes up to [`CHUNK`] ready connections through the phases; says how many.
    fn chunk(&mut self, now: Timestamp) -> usize {
        let count = self.ready.len().min(CHUNK);
        let mut chunk = ArrayVec::<usize, CHUNK>::new();
        for place in self.ready.drain(..count) {
            // One that has ended since is gone from the slab.
            let Some(session) = self.sessions.get_mut(place) else { continue };
            session.queued = false;
            session.send_backlog();
            if session.backlog.is_empty() {
                let at = chunk.len();
                if let Some(dialogue) = &mut session.dialogue {
                    std::mem::swap(dialogue, &mut self.dialogues[at]);
                }
                if let Some(buffer) = session.unused.take() {
                    self.buffers[at] = *buffer;
                }
                session.receive(&mut self.buffers[at], now);
                chunk.push(place);
            }
        }
        self.decide(&chunk, now);
        let parts = std::mem::take(&mut self.work.parts);
        for (at, part) in parts.iter().enumerate() {
            self.buffers[at].consume(part.used);
            let session = &mut self.sessions[part.place];
            session.send(&self.work.replies[part.replies.clone()]);
            // A reply acknowledges what it answers; where there is none, the peer may hold its next packet back until an
            // acknowledgement comes, which the kernel likes to put off.
            if part.replies.is_empty() && session.protocol.wants_quick_acks() {
                session.connection.stream.acknowledge_at_once();
            }
        }
        for (at, part) in parts.iter().enumerate() {
            self.settle(at, part, now);
        }
        self.work.parts = parts;
        count
    }

    /// Decides what the connections of a chunk have sent, as one batch.
    fn decide(&mut self, chunk: &[usize], now: Timestamp) {
        let Self { context, sessions, dialogues, buffers, work, .. } = self;
        let WorkerContext { service, metrics, number, faults, decisions, .. } = context;
        let Work { scratch, outcomes, ready, replies, parts } = work;
        let counters = metrics.worker(*number);
        let mut papers = Papers::default();
        parts.clear();
        ready.clear();
        replies.clear();
        for ((&place, dialogue), buffer) in chunk.iter().zip(&mut *dialogues).zip(&*buffers) {
            let first = papers.len();
            let mut desk = Desk::new(service, metrics, *number, faults, now, &mut papers, ready);
            let incoming = Incoming { bytes: buffer.filled(), side: sessions[place].side };
            let (used, next) = match incoming.side {
                Side::Broken => (0, Next::Close),
                // Its turn comes again.
                _ if desk.is_full() => (0, Next::Again),
                _ => {
                    let Taken { used, next } = dialogue.read(incoming, &mut desk);
                    (used, next)
                }
            };
            let dues = papers.len() - first;
            parts.push(Part { place, used, dues, answers: 0, replies: 0..0, next });
        }
        if papers.len() == 0 {
            return;
        }
        let policy = service.policy();
        let queries = papers.queries();
        wait_for(service.answer(&policy, now, queries, scratch, outcomes));
        counters.outcomes(now, outcomes);
        decisions.write(&policy, now, queries, outcomes);
        let mut owed = Owed::new(&papers, outcomes, ready, &policy.replies);
        for part in &mut *parts {
            let start = replies.len();
            let protocol = sessions[part.place].protocol;
            part.answers = owed.write(part.dues, replies);
            counters.asked(protocol.into(), part.answers as u64);
            part.replies = start..replies.len();
        }
        drop(papers);
        let mut outcomes = outcomes.iter();
        for (part, dialogue) in parts.iter().zip(dialogues) {
            outcomes.by_ref().take(part.answers).for_each(|outcome| dialogue.decided(outcome));
        }
    }

    /// Decides what becomes of a connection after its part, the chunk's number `at`.
    fn settle(&mut self, at: usize, part: &Part, now: Timestamp) {
        let session = &mut self.sessions[part.place];
        let connection = &session.connection;
        let unused = self.buffers[at].filled().len();
        let rest = self.dialogues[at].rest(unused);
        let again = part.next == Next::Again;
        if part.next == Next::Close && session.side != Side::Broken {
            session.side = Side::Ending;
        }
        let done = match session.side {
            Side::Broken => true,
            _ if again || !session.backlog.is_empty() => false,
            Side::ShutDown | Side::Ending => true,
            Side::Open => false,
        };
        if session.side == Side::Open && connection.is_ending() && rest != Rest::HalfSent {
            // Only a read that finds the end shows that all that had come is answered; and a
            // socket closed with bytes unread resets its peer, who may lose answers by that.
            connection.take_no_more();
            session.readable = true;
        }
        // The chunk's next user finds a spare dialogue, and a buffer with nothing in it.
        let limits = self.context.limits;
        let dialogue = &mut self.dialogues[at];
        match &mut session.dialogue {
            Some(spare) => {
                std::mem::swap(spare, dialogue);
                if spare.is_spare(unused) {
                    session.dialogue = None;
                }
            }
            None if dialogue.is_spare(unused) => {}
            None => {
                session.dialogue = Some(std::mem::replace(dialogue, Dialogue::postfix(limits)));
            }
        }
        if unused > 0 {
            let buffer = Buffer::new(limits.request_bytes_max);
            session.unused = Some(Box::new(std::mem::replace(&mut self.buffers[at], buffer)));
        }
        if done {
            let session = self.sessions.remove(part.place);
            self.connections.remove(&session.connection, self.context.counters());
            self.orders.load.fetch_sub(1, Relaxed);
            return;
        }
        connection.rests(rest, now);
        // With a backlog, the event that tells of room queues it again.
        let goes_on = again || session.readable || session.side != Side::Open;
        if goes_on && session.backlog.is_empty() && !session.queued {
            session.queued = true;
            self.ready.push_back(part.place);
        }
    }
}

impl Session {
    /// Reads once, if there may be something.
    fn receive(&mut self, buffer: &mut Buffer, now: Timestamp) {
        if !self.readable || self.side != Side::Open {
            return;
        }
        let space = buffer.space();
        let room = space.len();
        match self.connection.stream.read(space) {
            Ok(0) if room > 0 => {
                self.readable = false;
                self.side = if self.connection.is_ending() { Side::Ending } else { Side::ShutDown };
            }
            Ok(read) => {
                buffer.fill(read);
                // A read that leaves room has emptied the socket: the next bytes make an event
                // (edge-triggered), and the read that would only say so is saved.
                self.readable = read == room || self.closed;
                self.connection.is_active(now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A peer that is gone is no news.
            Err(_) => self.side = Side::Broken,
        }
    }

    /// Writes `bytes`; what the socket has no room for goes to the backlog.
    fn send(&mut self, bytes: &[u8]) {
        let sent = self.write(bytes);
        if sent < bytes.len() && self.side != Side::Broken {
            self.backlog.extend_from_slice(&bytes[sent..]);
        }
    }

    /// Writes what could not be written before.
    fn send_backlog(&mut self) {
        if !self.backlog.is_empty() {
            let backlog = std::mem::take(&mut self.backlog);
            self.send(&backlog);
        }
    }

    /// How many of `bytes` the socket took.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.connection.stream.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.side = Side::Broken;
                    self.backlog.clear();
                    break;
                }
            }
        }
        sent
    }
}
