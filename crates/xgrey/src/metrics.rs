//! What is counted: by the answer's reason, by list and verdict, by the time waited, by the second.
//!
//! Each worker counts into its own [`Counters`], so that two cores never write the same cache
//! line; who reads sums them up. What is counted of tuples that expire, the store says.
//!
//! ```text
//!  worker ─▶ Counters ─┬▶ each second: rates, cycles   (watch)
//!  worker ─▶ Counters ─┤
//!  others ─▶ Counters ─┴▶ Totals ─┬▶ since start ─▶ Look ─▶ XGreyStats, control socket
//!   store ─▶ CompactStats ─▶ ledger┘      + what earlier runs kept ─▶ since ever
//! ```
//! Never knows: what a number is for. `docs/statistics.md` says what each means.

mod cycles;
mod decisions;
mod fronts;
mod hand;
mod kept;
mod ledger;
mod rates;
mod seconds;
mod totals;
mod waits;
mod watch;
mod x_grey;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use greylist::{AcceptReason, Answer, DeferReason, Timestamp};
use parking_lot::Mutex;

pub use self::decisions::VERDICTS;
use self::decisions::{ASKED_TO_PASS, DecisionCounters};
pub use self::fronts::Front;
use self::fronts::FrontCounters;
pub use self::hand::Hand;
pub use self::kept::{Offline, is_note_of_counts, take_in};
pub use self::rates::{Decided, Rate};
use self::seconds::Seconds;
pub use self::totals::{Gone, Totals};
pub use self::waits::WAITS;
use self::waits::WaitCounters;
use self::watch::Watch;
pub use self::watch::{Ever, Look};
pub use self::x_grey::XGreyStats;
use crate::service::{ListsAsked, Outcome, TupleState};

/// Each kind of answer, as (action, reason): the words of [`Answer::action`] and
/// [`Answer::reason`].
pub const KINDS: [(&str, &str); 12] = [
    ("accept", "authenticated"),
    ("accept", "certificate"),
    ("accept", "local"),
    ("accept", "exempt-recipient"),
    ("accept", "rule"),
    ("accept", "passed"),
    ("accept", "known"),
    ("accept", "no-room"),
    ("accept", "fail-open"),
    ("defer", "new"),
    ("defer", "early"),
    ("reject", "rule"),
];

/// The answer's place in [`KINDS`].
fn kind(answer: &Answer) -> usize {
    match answer {
        Answer::Accept(AcceptReason::Authenticated) => 0,
        Answer::Accept(AcceptReason::Certificate) => 1,
        Answer::Accept(AcceptReason::Local) => 2,
        Answer::Accept(AcceptReason::ExemptRecipient) => 3,
        Answer::Accept(AcceptReason::Rule(_)) => 4,
        Answer::Accept(AcceptReason::Passed { .. }) => 5,
        Answer::Accept(AcceptReason::Known) => 6,
        Answer::Accept(AcceptReason::NoRoom) => 7,
        Answer::Accept(AcceptReason::FailOpen) => 8,
        Answer::Defer(DeferReason::New { .. }) => 9,
        Answer::Defer(DeferReason::Early { .. }) => 10,
        Answer::Reject(_) => 11,
    }
}

/// Things that happen to requests and connections, apart from answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// A request about another stage than RCPT: no objection.
    OtherStage,
    /// A request that could not be understood: no objection; over HTTP, an error.
    Faulty,
    /// A connection taken.
    Connected,
    /// A connection ended, whoever ended it.
    Disconnected,
    /// A connection refused, or a datagram ignored: its address is not in `allow`. Or a request without
    /// the token.
    NotAllowed,
    /// The oldest idle connection closed to make room for a new one.
    GaveWay,
    /// A new connection closed at once, since all others were busy.
    TooMany,
    /// Closed in the middle of a request that did not go on.
    HalfSent,
    /// Closed after having been idle for long.
    Idle,
    /// A line of the log thrown away, since whoever reads the log is too slow.
    LogLost,
    /// A datagram ignored: its checksum is wrong.
    BadCrc,
    /// A datagram ignored: it is shorter than a header.
    Short,
    /// A datagram ignored: it is longer than any request.
    Oversized,
    /// A datagram not answered, or not looked at: too much time had passed since it came.
    Late,
    /// A datagram answered with an error.
    Refused,
    /// An answer that the kernel did not take.
    Unsent,
}

impl Event {
    /// All of them, with the word for each.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::OtherStage, "other_stage"),
        (Self::Faulty, "faulty"),
        (Self::Connected, "connected"),
        (Self::Disconnected, "disconnected"),
        (Self::NotAllowed, "not_allowed"),
        (Self::GaveWay, "gave_way"),
        (Self::TooMany, "too_many"),
        (Self::HalfSent, "half_sent"),
        (Self::Idle, "idle"),
        (Self::LogLost, "log_lost"),
        (Self::BadCrc, "bad_crc"),
        (Self::Short, "short"),
        (Self::Oversized, "oversized"),
        (Self::Late, "late"),
        (Self::Refused, "refused"),
        (Self::Unsent, "unsent"),
    ];
}

/// What came of a query, in the order of the columns that count it by the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Accepted,
    Deferred,
    Rejected,
}

const SIDES: usize = 3;

impl Side {
    const fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Accept(_) => Self::Accepted,
            Answer::Defer(_) => Self::Deferred,
            Answer::Reject(_) => Self::Rejected,
        }
    }
}

/// One worker's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    decisions: DecisionCounters,
    waits: WaitCounters,
    /// What was decided in the last seconds: accepted, deferred, rejected.
    seconds: [Seconds; SIDES],
    hands: [AtomicU64; Hand::ALL.len()],
    events: [AtomicU64; Event::ALL.len()],
    fronts: FrontCounters,
}

impl Counters {
    /// Counts a batch: what came of queries that were decided at `now`.
    pub fn outcomes(&self, now: Timestamp, outcomes: &[Outcome]) {
        let mut sides = [0; SIDES];
        for Outcome { answer, lists, .. } in outcomes {
            sides[Side::of(answer) as usize] += 1;
            self.decisions.count(kind(answer), *lists);
            if let Answer::Accept(AcceptReason::Passed { waited }) = answer {
                self.waits.count(*waited);
            }
        }
        for (seconds, count) in self.seconds.iter().zip(sides) {
            if count > 0 {
                seconds.add(now, count);
            }
        }
    }

    /// Counts an event.
    pub fn event(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Relaxed);
    }

    /// Counts an event that happened `count` times.
    pub fn events(&self, event: Event, count: u64) {
        if count > 0 {
            self.events[event as usize].fetch_add(count, Relaxed);
        }
    }

    /// Counts `count` tuples to which something was done by hand.
    pub fn hand(&self, hand: Hand, count: u64) {
        self.hands[hand as usize].fetch_add(count, Relaxed);
    }

    /// Counts a query of an X-Grey client that asked for a tuple to be made white ("whitelist tuple") and
    /// came through the lists: those had a say, and `before` was known of the tuple. One that a list
    /// decided is an outcome like any other.
    pub fn asked_to_pass(&self, now: Timestamp, lists: ListsAsked, before: &TupleState) {
        self.hand(Hand::AskedToPass, 1);
        self.hand(Hand::passed(before), 1);
        self.decisions.count(ASKED_TO_PASS, lists);
        self.seconds[Side::Accepted as usize].add(now, 1);
    }

    fn add_to(&self, totals: &mut Totals) {
        let add = |sums: &mut [u64], counts: &[AtomicU64]| {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count.load(Relaxed);
            }
        };
        add(&mut totals.events, &self.events);
        add(&mut totals.hands, &self.hands);
        self.decisions.add_to(totals);
        self.waits.add_to(&mut totals.waits, &mut totals.waited_secs);
    }
}

/// All workers' counters.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[Counters]>,
    /// None until the service begins.
    watch: Mutex<Option<Watch>>,
    /// Each protocol, and at how many places it is listened for.
    listeners: ArcSwap<Vec<(String, u64)>>,
}

impl Metrics {
    /// Counters for that many workers, and one more for everything outside them.
    pub fn new(workers: usize) -> Self {
        let workers = (0..=workers).map(|_| Counters::default()).collect();
        Self { workers, watch: Mutex::new(None), listeners: ArcSwap::default() }
    }

    /// The counters of worker number `worker`; of whatever is no worker, if there is no such.
    pub fn worker(&self, worker: usize) -> &Counters {
        self.workers.get(worker).unwrap_or_else(|| self.outside())
    }

    /// The counters of whatever is no worker: acceptor, sweeper, log, admins.
    pub fn outside(&self) -> &Counters {
        &self.workers[self.workers.len() - 1]
    }

    /// Says where is listened: a protocol for each place.
    pub fn set_listeners(&self, protocols: impl IntoIterator<Item = String>) {
        let mut counted = BTreeMap::new();
        for protocol in protocols {
            *counted.entry(protocol).or_insert(0) += 1;
        }
        self.listeners.store(Arc::new(counted.into_iter().collect()));
    }

    /// Each protocol that is listened for, and at how many places.
    pub fn listeners(&self) -> Arc<Vec<(String, u64)>> {
        self.listeners.load_full()
    }

    /// How often `event` happened.
    pub fn event(&self, event: Event) -> u64 {
        let counts = self.workers.iter().map(|counters| &counters.events[event as usize]);
        counts.map(|count| count.load(Relaxed)).sum()
    }

    /// What all workers have counted; nothing of what has expired or was given up.
    fn counted(&self) -> Totals {
        let mut totals = Totals::default();
        self.workers.iter().for_each(|counters| counters.add_to(&mut totals));
        totals
    }

    /// What all workers have decided in a second of the last few.
    fn decided_in(&self, second: u64) -> Decided {
        let of = |side: Side| {
            let counts = self.workers.iter().map(|counters| &counters.seconds[side as usize]);
            counts.map(|seconds| seconds.at(second)).sum()
        };
        Decided {
            accepted: of(Side::Accepted),
            deferred: of(Side::Deferred),
            rejected: of(Side::Rejected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greylist::Secs;

    #[test]
    fn every_kind_of_answer_is_counted_under_its_own_words() {
        let answers = [
            Answer::Accept(AcceptReason::Authenticated),
            Answer::Accept(AcceptReason::Known),
            Answer::Accept(AcceptReason::FailOpen),
            Answer::Accept(AcceptReason::Passed { waited: Secs::new(61) }),
            Answer::Defer(DeferReason::New { wait: Secs::new(60) }),
            Answer::Defer(DeferReason::Early { wait: Secs::new(1) }),
        ];
        for answer in answers {
            assert_eq!(KINDS[kind(&answer)], (answer.action(), answer.reason()));
        }
    }

    #[test]
    fn what_workers_count_apart_is_read_as_one_sum() {
        let metrics = Metrics::new(2);
        for worker in [0, 1, 7] {
            metrics.worker(worker).event(Event::Faulty);
        }
        assert_eq!(metrics.event(Event::Faulty), 3);
    }

    #[test]
    fn each_event_stands_at_its_own_place_and_so_does_each_thing_done_by_hand() {
        for (place, (event, _)) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, place);
        }
        for (place, (hand, _)) in Hand::ALL.into_iter().enumerate() {
            assert_eq!(hand as usize, place);
        }
    }

    #[test]
    fn what_is_counted_by_the_second_is_read_as_one_sum() {
        let metrics = Metrics::new(2);
        let now = Timestamp::from_unix_secs(1_800_000_000);
        let outcome = |answer| Outcome {
            answer,
            effect: greylist::Effect::NoObjection,
            lists: ListsAsked::NONE,
        };
        let known = outcome(Answer::Accept(AcceptReason::Known));
        let new = outcome(Answer::Defer(DeferReason::New { wait: Secs::new(60) }));
        metrics.worker(0).outcomes(now, &[known, new, known]);
        metrics.worker(1).outcomes(now, &[new]);
        metrics.outside().asked_to_pass(now, ListsAsked::NONE, &TupleState::Unknown);
        let decided = metrics.decided_in(now.as_unix_secs());
        assert_eq!(decided, Decided { accepted: 3, deferred: 2, rejected: 0 });
        assert_eq!(metrics.counted().decided(), decided);
    }
}
