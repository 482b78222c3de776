//! All open connections: how many there may be, which one gives way, which have been idle or
//! half-sent for too long, and how they end when the service does.
//!
//! A connection is ended by shutting its socket down: its worker then reads the end of the stream
//! and finishes it. Stopping shuts down only the reading side, so that what has already
//! arrived is still read and answered; a connection in mid-request may finish that request first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use greylist::{Secs, Timestamp};
use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown};

use super::socket::Stream;
use crate::dialogue::Rest;
use crate::metrics::{Counters, Event};

/// How long a conversation may pause at least, whatever is configured. A milter hears nothing while a message comes in
/// or an SMTP client thinks: RFC 5321 (its section on timeouts) has 10 minutes for a single wait, and sets no limit to
/// the time that a large message takes.
const PAUSE: Secs = Secs::new(60 * 60);

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// In the middle of a request, from its first byte on.
    pub request: Secs,
    /// Between requests.
    pub idle: Secs,
}

/// One connection, shared by its worker and the sweeper.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Unix seconds of the last byte or, before any, of the connection itself.
    active: AtomicU64,
    /// Unix seconds at which a request that is not all here yet began; 0 between requests.
    half_sent: AtomicU64,
    /// The peer is in the middle of a conversation, and pauses.
    within: AtomicBool,
    /// Already told to end.
    ending: AtomicBool,
}

impl Connection {
    /// Notes that bytes came.
    pub(super) fn is_active(&self, now: Timestamp) {
        self.active.store(now.as_unix_secs(), Relaxed);
    }

    /// Notes what the peer is in the middle of. When a request has begun and is not all here yet,
    /// later bytes do not move the time.
    pub(super) fn rests(&self, rest: Rest, now: Timestamp) {
        let begun = self.half_sent.load(Relaxed);
        match rest {
            Rest::HalfSent if begun == 0 => {
                self.half_sent.store(now.as_unix_secs().max(1), Relaxed);
            }
            Rest::Between | Rest::Within if begun != 0 => self.half_sent.store(0, Relaxed),
            _ => {}
        }
        let within = rest == Rest::Within;
        if self.within.load(Relaxed) != within {
            self.within.store(within, Relaxed);
        }
    }

    /// Whether it may be closed for one that asks.
    fn may_give_way(&self) -> bool {
        self.half_sent.load(Relaxed) == 0 && !self.within.load(Relaxed) && !self.is_ending()
    }

    /// Whether we have told it to end: the end of the stream is then not the peer's doing.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Has the stream end after what has already come.
    pub(super) fn take_no_more(&self) {
        let _ = shutdown(&self.stream, Shutdown::Read);
    }

    fn end(&self, how: Shutdown) {
        self.ending.store(true, Relaxed);
        let _ = shutdown(&self.stream, how);
    }

    /// Why it has been open for too long, if it has.
    fn overdue(&self, now: Timestamp, timeouts: &Timeouts) -> Option<Event> {
        let since = |unix: u64| now.since(Timestamp::from_unix_secs(unix));
        match self.half_sent.load(Relaxed) {
            0 => {
                let patience = match self.within.load(Relaxed) {
                    true => timeouts.idle.max(PAUSE),
                    false => timeouts.idle,
                };
                (since(self.active.load(Relaxed)) > patience).then_some(Event::Idle)
            }
            begun => (since(begun) > timeouts.request).then_some(Event::HalfSent),
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<Vec<Arc<Connection>>>,
    max: AtomicUsize,
}

/// What is to be done with a new connection.
pub(super) enum Admission {
    /// Serve it.
    Admitted(Arc<Connection>),
    /// All others are busy: close it.
    Refused,
}

impl Connections {
    /// None open; at most `max` at once.
    pub fn new(max: usize) -> Self {
        Self { open: Mutex::new(Vec::new()), max: AtomicUsize::new(max) }
    }

    /// Changes how many there may be; those that are open stay.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a new connection in. When that would be one too many, the one that has been idle for
    /// longest gives way; when none is idle, the new one is refused.
    pub(super) fn admit(&self, stream: Stream, now: Timestamp, counters: &Counters) -> Admission {
        let full = self.len() >= self.max.load(Relaxed);
        if full && !self.free_one(counters) {
            counters.event(Event::TooMany);
            return Admission::Refused;
        }
        let connection = Arc::new(Connection {
            stream,
            active: AtomicU64::new(now.as_unix_secs()),
            half_sent: AtomicU64::new(0),
            within: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        });
        counters.event(Event::Connected);
        self.open.lock().push(Arc::clone(&connection));
        Admission::Admitted(connection)
    }

    /// Ends the connection that has been idle for longest. False when none is idle.
    pub fn free_one(&self, counters: &Counters) -> bool {
        let open = self.open.lock();
        let idle = open.iter().filter(|connection| connection.may_give_way());
        let Some(oldest) = idle.min_by_key(|connection| connection.active.load(Relaxed)) else {
            return false;
        };
        oldest.end(Shutdown::Both);
        counters.event(Event::GaveWay);
        true
    }

    /// Forgets a connection that has ended.
    pub(super) fn remove(&self, connection: &Arc<Connection>, counters: &Counters) {
        counters.event(Event::Disconnected);
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|other| Arc::ptr_eq(other, connection)) {
            open.swap_remove(at);
        }
    }

    /// Ends what has been idle or half-sent for too long.
    pub fn sweep(&self, now: Timestamp, timeouts: &Timeouts, counters: &Counters) {
        for connection in &*self.open.lock() {
            if let Some(event) = connection.overdue(now, timeouts)
                && !connection.is_ending()
            {
                connection.end(Shutdown::Both);
                counters.event(event);
            }
        }
    }

    /// The service stops: answer what has arrived, let what is half-sent come, read no more.
    pub fn drain(&self) {
        for connection in &*self.open.lock() {
            if connection.half_sent.load(Relaxed) == 0 {
                connection.end(Shutdown::Read);
            } else {
                connection.ending.store(true, Relaxed);
            }
        }
    }
}
