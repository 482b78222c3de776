//! What is said on a connection: one protocol's side of it, between a codec and the service.
//!
//! ```text
//!              ┌ ask(query) ────▶ one batch for all connections ─▶ Service::answer ─┐
//! bytes ─ read ┤                                                                     ├─▶ bytes, in the order
//!              └ reply(bytes) ───────────────────────────────────────────────────────┘    in which they are owed
//! ```
//! A dialogue is read once a turn of its worker's loop: it takes what it can of what has come, and puts questions
//! and replies on the [`Desk`]. Another front end is one codec in `wire` and one file here.
//!
//! Never knows: sockets, and when a peer has waited for too long.

mod greylistd;
mod milter;
mod postfix;

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use greylist::reply::Replies;
use greylist::{Query, Timestamp};
use wire::Limits;

use crate::config::{Changes, Protocol};
use crate::fault_log::FaultLog;
use crate::metrics::{Counters, Metrics};
use crate::service::{Outcome, Service};

/// Questions and replies of a turn's chunk of connections; when more have come, the rest wait for the next chunk.
/// About 40 KiB of the thread's stack.
pub(crate) const DUES_MAX: usize = 256;
/// Those of one connection, so that one that sends many at once waits its turn.
const DUES_OF_ONE: usize = 16;

/// On what terms a connection is served: what its listener was told, and who is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// Who may change tuples there.
    pub(crate) changes: Changes,
    /// Where the peer is; `None` for one on this host, over a UNIX socket.
    pub(crate) peer: Option<IpAddr>,
}

/// One protocol's side of a connection, and where it stands.
#[derive(Debug)]
pub(crate) enum Dialogue {
    Postfix(Box<postfix::Dialogue>),
    Milter(Box<milter::Dialogue>),
    Greylistd(Box<greylistd::Dialogue>),
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Open,
    /// The peer has shut down its writing side and waits for the answers (Exim), or is gone: what
    /// is left is a request, even without its end.
    ShutDown,
    /// We read no more: what is left is a piece of a request, and nothing to be answered.
    Ending,
    /// Nothing can be written either.
    Broken,
}

/// What has come and was not used yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) bytes: &'a [u8],
    /// Never [`Side::Broken`].
    pub(crate) side: Side,
}

/// How far a dialogue has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many bytes are done with, once what is owed for them is written.
    pub(crate) used: usize,
    pub(crate) next: Next,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// When more has come.
    Wait,
    /// At once: whole requests may be left.
    Again,
    /// Not at all: the connection ends when all that is owed is written.
    Close,
}

/// What a peer is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: it may be closed for one that asks.
    Between,
    /// A conversation that may pause: somebody types MAIL FROM, or sends a large message.
    Within,
    /// A request that is not all here yet.
    HalfSent,
}

/// What is owed to a connection, in order.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// The answer to the next of its questions, in these words.
    Answer(Wording),
    /// So many of the bytes that were ready.
    Ready(usize),
}

/// How an answer is put: in which protocol, and in which of its ways if it has more than one.
#[derive(Clone, Copy, Debug)]
enum Wording {
    Postfix,
    Milter,
    Greylistd(greylistd::Wording),
}

/// What is put together for one answer of the service, over all connections of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Papers<'a> {
    queries: ArrayVec<Query<'a>, DUES_MAX>,
    dues: ArrayVec<Due, DUES_MAX>,
}

/// Where one dialogue puts what it asks and what it says, and what it may look at.
pub(crate) struct Desk<'d, 'a> {
    pub(crate) service: &'d Arc<Service>,
    /// What all workers have counted.
    pub(crate) metrics: &'d Metrics,
    /// What this one counts.
    pub(crate) counters: &'d Counters,
    pub(crate) faults: &'d FaultLog,
    pub(crate) now: Timestamp,
    papers: &'d mut Papers<'a>,
    ready: &'d mut Vec<u8>,
    /// Where this connection's begin.
    first_due: usize,
}

impl Dialogue {
    /// The beginning of one on `terms`.
    pub(crate) fn new(terms: Terms, limits: Limits) -> Self {
        match terms.protocol {
            Protocol::Postfix => Self::postfix(limits),
            Protocol::Milter => Self::Milter(Box::new(milter::Dialogue::new(limits))),
            Protocol::Greylistd => {
                Self::Greylistd(Box::new(greylistd::Dialogue::new(terms, limits)))
            }
        }
    }

    /// The beginning of one that is on the same terms with everybody.
    pub(crate) fn postfix(limits: Limits) -> Self {
        Self::Postfix(Box::new(postfix::Dialogue::new(limits)))
    }

    /// Reads on in what has come.
    pub(crate) fn read<'a>(&'a mut self, incoming: Incoming<'a>, desk: &mut Desk<'_, 'a>) -> Taken {
        match self {
            Self::Postfix(dialogue) => dialogue.read(incoming, desk),
            Self::Milter(dialogue) => dialogue.read(incoming, desk),
            Self::Greylistd(dialogue) => dialogue.read(incoming, desk),
        }
    }

    /// What became of one of its questions; told in their order, once they are answered.
    pub(crate) fn decided(&mut self, outcome: &Outcome) {
        match self {
            // Each question stands for itself.
            Self::Postfix(_) | Self::Greylistd(_) => {}
            Self::Milter(dialogue) => dialogue.decided(outcome),
        }
    }

    /// What the peer is in the middle of, with so many bytes unused.
    pub(crate) fn rest(&self, unused: usize) -> Rest {
        match self {
            Self::Postfix(dialogue) => dialogue.rest(unused),
            Self::Milter(dialogue) => dialogue.rest(unused),
            Self::Greylistd(dialogue) => dialogue.rest(unused),
        }
    }

    /// Whether the one that [`Dialogue::postfix`] makes would do as well, with so many bytes unused.
    pub(crate) fn is_spare(&self, unused: usize) -> bool {
        match self {
            Self::Postfix(dialogue) => dialogue.rest(unused) == Rest::Between,
            // Who is there and what was negotiated stays.
            Self::Milter(_) | Self::Greylistd(_) => false,
        }
    }
}

/// Appends the bytes of one answer.
fn encode(
    wording: Wording,
    outcome: &Outcome,
    query: &Query<'_>,
    replies: &Replies,
    out: &mut Vec<u8>,
) {
    match wording {
        Wording::Postfix => wire::postfix::encode(outcome.effect, query, replies, out),
        Wording::Milter => wire::milter::encode(outcome.effect, query, replies, out),
        Wording::Greylistd(wording) => greylistd::encode(outcome.effect, wording, out),
    }
}

impl Protocol {
    /// Whether the kernel should acknowledge at once what has come: the peer sends what belongs together in two
    /// pieces and holds the second back until the first is acknowledged (Sendmail's milter side).
    pub(crate) fn wants_quick_acks(self) -> bool {
        match self {
            Self::Milter => true,
            Self::Postfix | Self::Greylistd => false,
        }
    }
}

impl<'a> Papers<'a> {
    /// All questions, in the order in which they were asked.
    pub(crate) fn queries(&self) -> &[Query<'a>] {
        &self.queries
    }

    /// How many replies and answers are owed.
    pub(crate) fn len(&self) -> usize {
        self.dues.len()
    }

    /// Whether no more can be owed.
    pub(crate) fn is_full(&self) -> bool {
        self.dues.is_full()
    }
}

/// What is owed, handed out connection by connection.
pub(crate) struct Owed<'p> {
    dues: std::slice::Iter<'p, Due>,
    answers: std::iter::Zip<std::slice::Iter<'p, Query<'p>>, std::slice::Iter<'p, Outcome>>,
    ready: &'p [u8],
    replies: &'p Replies,
}

impl<'p> Owed<'p> {
    /// What `papers` say, with what came of their questions, and what was ready.
    pub(crate) fn new(
        papers: &'p Papers<'p>,
        outcomes: &'p [Outcome],
        ready: &'p [u8],
        replies: &'p Replies,
    ) -> Self {
        let answers = papers.queries.iter().zip(outcomes);
        Self { dues: papers.dues.iter(), answers, ready, replies }
    }

    /// Appends the next `count` that are owed; says how many of them were answers.
    pub(crate) fn write(&mut self, count: usize, out: &mut Vec<u8>) -> usize {
        let mut answered = 0;
        for due in self.dues.by_ref().take(count) {
            match due {
                Due::Answer(wording) => {
                    answered += 1;
                    if let Some((query, outcome)) = self.answers.next() {
                        encode(*wording, outcome, query, self.replies, out);
                    }
                }
                Due::Ready(length) => {
                    let (bytes, rest) = self.ready.split_at(*length);
                    out.extend_from_slice(bytes);
                    self.ready = rest;
                }
            }
        }
        answered
    }
}

impl<'d, 'a> Desk<'d, 'a> {
    /// A desk for the next dialogue of a chunk.
    pub(crate) fn new(
        service: &'d Arc<Service>,
        metrics: &'d Metrics,
        number: usize,
        faults: &'d FaultLog,
        now: Timestamp,
        papers: &'d mut Papers<'a>,
        ready: &'d mut Vec<u8>,
    ) -> Self {
        let first_due = papers.len();
        let counters = metrics.worker(number);
        Self { service, metrics, counters, faults, now, papers, ready, first_due }
    }

    /// Whether nothing more may be asked or said in this turn.
    pub(crate) fn is_full(&self) -> bool {
        self.papers.is_full() || self.papers.len() - self.first_due >= DUES_OF_ONE
    }

    /// Asks; the answer is owed after all that was said before, put as `wording` says. Not when it is full.
    fn ask(&mut self, query: Query<'a>, wording: Wording) {
        debug_assert!(!self.is_full(), "asked a full desk");
        self.papers.queries.push(query);
        self.papers.dues.push(Due::Answer(wording));
    }

    /// Says what `write` appends. Not when it is full.
    pub(crate) fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(!self.is_full(), "said something at a full desk");
        let start = self.ready.len();
        write(self.ready);
        self.papers.dues.push(Due::Ready(self.ready.len() - start));
    }
}
