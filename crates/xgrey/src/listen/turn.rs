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
use greylist::{Query, Timestamp};
use mio::{Events, Poll, Token, Waker};
use slab::Slab;
use wire::postfix::{self, Decoded, Decoder, Request};

use super::buffer::Buffer;
use super::connections::{Admission, Connection, Connections};
use super::socket::Accepted;
use super::worker::WorkerContext;
use crate::metrics::Event;
use crate::service::{Outcome, Scratch, wait_for};

/// Events taken from the kernel at once.
const EVENTS: usize = 1_024;
/// Connections taken through the phases together. 32 usual requests are 32 KiB: they stay near the
/// processor from the read to the answer.
const CHUNK: usize = 32;
/// Requests decided together; when more have come, the rest wait for the next chunk. About 40 KiB
/// of the thread's stack.
const REQUESTS: usize = 256;
/// Requests of one connection in a chunk, so that one that sends many at once waits its turn.
const REQUESTS_OF_ONE: usize = 16;
/// How long a line of the decision log may wait for company while nothing happens.
const LOG_PATIENCE: Duration = Duration::from_millis(100);
/// The token of the waker; connections have their place in the slab.
const WAKER: Token = Token(usize::MAX);

/// What the pool tells a worker.
#[derive(Debug)]
pub(super) struct Orders {
    /// New connections.
    pub(super) arrivals: Receiver<Accepted>,
    /// How many connections it has or will have, for the pool to see.
    pub(super) load: Arc<AtomicUsize>,
    /// Whether to end.
    pub(super) stop: Arc<AtomicBool>,
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Open,
    /// The peer has shut down its writing side and waits for the answers (Exim), or is gone: what
    /// is left is a request, even without its empty line.
    ShutDown,
    /// We read no more: what is left is a piece of a request, and nothing to be answered.
    Ending,
    /// Nothing can be written either.
    Broken,
}

/// A connection, as its worker sees it.
#[derive(Debug)]
struct Session {
    connection: Arc<Connection>,
    side: Side,
    /// Bytes may have come since the last read that took all.
    readable: bool,
    /// The kernel has told that the end of the stream will be read: it won't tell again.
    closed: bool,
    /// Stands in the queue of those that are ready.
    queued: bool,
    /// Answers that the socket had no room for. While there are any, nothing is read.
    backlog: Vec<u8>,
    /// What has come of requests that are not answered yet: rarely anything, so that an idle
    /// connection has no buffer.
    partial: Option<Box<Partial>>,
}

/// The beginning of a request, or requests that wait for their turn.
#[derive(Debug)]
struct Partial {
    decoder: Decoder,
    buffer: Buffer,
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
    /// the same few lie in the processor's caches for all connections; they are apart from each
    /// other so that queries may borrow many buffers while decoders change.
    decoders: Vec<Decoder>,
    buffers: Vec<Buffer>,
    work: Work,
}

/// Buffers of a chunk, kept for the next.
#[derive(Debug, Default)]
struct Work {
    scratch: Scratch,
    outcomes: Vec<Outcome>,
    replies: Vec<u8>,
    parts: Vec<Part>,
}

/// One connection's part of a chunk.
#[derive(Debug)]
struct Part {
    place: usize,
    /// Bytes of its buffer that are done with.
    used: usize,
    /// How many answers it is owed.
    dues: usize,
    /// Where its answers are among the replies.
    replies: Range<usize>,
    /// Whether whole requests may be left.
    more: bool,
}

/// What is owed for one request.
#[derive(Clone, Copy)]
enum Due {
    /// The answer to the next of the chunk's queries.
    Answer,
    NoObjection,
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
            decoders: vec![Decoder::new(limits); CHUNK],
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
            while let Ok(accepted) = self.orders.arrivals.try_recv() {
                self.begin(accepted, now);
            }
        }
    }

    /// Takes a new connection in.
    fn begin(&mut self, accepted: Accepted, now: Timestamp) {
        let entry = self.sessions.vacant_entry();
        let place = entry.key();
        let admitted = accepted
            .register(self.poll.registry(), Token(place))
            .map(|stream| self.connections.admit(stream, now, self.context.counters()));
        let Ok(Admission::Admitted(connection)) = admitted else {
            self.orders.load.fetch_sub(1, Relaxed);
            return;
        };
        // What came before we asked is told at once by the first event.
        entry.insert(Session {
            connection,
            side: Side::Open,
            readable: false,
            closed: false,
            queued: false,
            backlog: Vec::new(),
            partial: None,
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
                if let Some(partial) = session.partial.take() {
                    let Partial { decoder, buffer } = *partial;
                    self.decoders[at] = decoder;
                    self.buffers[at] = buffer;
                }
                session.receive(&mut self.buffers[at], now);
                chunk.push(place);
            }
        }
        self.decide(&chunk, now);
        let parts = std::mem::take(&mut self.work.parts);
        for (at, part) in parts.iter().enumerate() {
            self.buffers[at].consume(part.used);
            self.sessions[part.place].send(&self.work.replies[part.replies.clone()]);
        }
        for (at, part) in parts.iter().enumerate() {
            self.settle(at, part, now);
        }
        self.work.parts = parts;
        count
    }

    /// Decides what the connections of a chunk have sent, as one batch.
    fn decide(&mut self, chunk: &[usize], now: Timestamp) {
        let Self { context, sessions, decoders, buffers, work, .. } = self;
        let Work { scratch, outcomes, replies, parts } = work;
        let mut queries = ArrayVec::<Query<'_>, REQUESTS>::new();
        let mut dues = ArrayVec::<Due, REQUESTS>::new();
        parts.clear();
        replies.clear();
        for ((&place, decoder), buffer) in chunk.iter().zip(decoders).zip(&*buffers) {
            let side = sessions[place].side;
            let bytes = buffer.filled();
            let first = dues.len();
            let (mut used, mut more) = (0, false);
            loop {
                if dues.is_full() || dues.len() - first == REQUESTS_OF_ONE {
                    more = true;
                    break;
                }
                let decoded = match side {
                    Side::Open | Side::Ending => decoder.decode(&bytes[used..]),
                    Side::ShutDown => decoder.finish(&bytes[used..]),
                    Side::Broken => Decoded::Need,
                };
                match decoded {
                    Decoded::Need => break,
                    Decoded::Discard { used: dropped } => used += dropped,
                    Decoded::Message { used: length, request } => {
                        used += length;
                        dues.push(due(request, &mut queries, context, now));
                    }
                }
            }
            parts.push(Part { place, used, dues: dues.len() - first, replies: 0..0, more });
        }
        if dues.is_empty() {
            return;
        }
        let policy = context.service.policy();
        wait_for(context.service.answer(&policy, now, &queries, scratch, outcomes));
        context.counters().outcomes(now, outcomes);
        context.decisions.write(&policy, now, &queries, outcomes);
        let (mut dues, mut answered) = (dues.iter(), queries.iter().zip(&*outcomes));
        for part in parts {
            let start = replies.len();
            for due in dues.by_ref().take(part.dues) {
                let answer = match due {
                    Due::Answer => answered.next(),
                    Due::NoObjection => None,
                };
                match answer {
                    Some((query, outcome)) => {
                        postfix::encode(outcome.effect, query, &policy.replies, replies);
                    }
                    None => postfix::encode_no_objection(replies),
                }
            }
            part.replies = start..replies.len();
        }
    }

    /// Decides what becomes of a connection after its part, the chunk's number `at`.
    fn settle(&mut self, at: usize, part: &Part, now: Timestamp) {
        let session = &mut self.sessions[part.place];
        let connection = &session.connection;
        let mid_request = self.decoders[at].is_mid_request(self.buffers[at].filled().len());
        let done = match session.side {
            Side::Broken => true,
            _ if part.more || !session.backlog.is_empty() => false,
            Side::ShutDown | Side::Ending => true,
            Side::Open => false,
        };
        if session.side == Side::Open && connection.is_ending() && !mid_request {
            // Only a read that finds the end shows that all that had come is answered; and a
            // socket closed with bytes unread resets its peer, who may lose answers by that.
            connection.take_no_more();
            session.readable = true;
        }
        if mid_request {
            // The chunk's next user finds a decoder and a buffer that nobody has used.
            let limits = self.context.limits;
            let buffer = Buffer::new(limits.request_bytes_max);
            session.partial = Some(Box::new(Partial {
                decoder: std::mem::replace(&mut self.decoders[at], Decoder::new(limits)),
                buffer: std::mem::replace(&mut self.buffers[at], buffer),
            }));
        }
        if done {
            let session = self.sessions.remove(part.place);
            self.connections.remove(&session.connection, self.context.counters());
            self.orders.load.fetch_sub(1, Relaxed);
            return;
        }
        if mid_request {
            connection.is_half_sent(now);
        } else {
            connection.is_between_requests();
        }
        // With a backlog, the event that tells of room queues it again.
        let goes_on = part.more || session.readable || session.side != Side::Open;
        if goes_on && session.backlog.is_empty() && !session.queued {
            session.queued = true;
            self.ready.push_back(part.place);
        }
    }
}

/// What is owed for a request; what it asks is added to `queries`.
fn due<'a>(
    request: Request<'a>,
    queries: &mut ArrayVec<Query<'a>, REQUESTS>,
    context: &WorkerContext,
    now: Timestamp,
) -> Due {
    match request {
        Request::Ask(query) => {
            queries.push(query);
            Due::Answer
        }
        Request::Pass(_) => {
            context.counters().event(Event::OtherStage);
            Due::NoObjection
        }
        Request::Faulty(fault) => {
            context.counters().event(Event::Faulty);
            context.faults.report(&fault, now);
            Due::NoObjection
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
