//! What has been counted since start.
//!
//! Each worker counts into its own [`Counters`], so that two cores never write the same cache
//! line; who reads sums them up. Never knows: what a number is for.

mod x_grey;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::{AcceptReason, Answer, DeferReason};

pub use self::x_grey::XGreyStats;

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
    /// A request that could not be understood: no objection.
    Faulty,
    /// A connection taken.
    Connected,
    /// A connection ended, whoever ended it.
    Disconnected,
    /// A connection refused: its address is not in `allow`.
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
}

impl Event {
    /// All of them, with the word for each.
    pub const ALL: [(Self, &'static str); 10] = [
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
    ];
}

/// One worker's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    answers: [AtomicU64; KINDS.len()],
    events: [AtomicU64; Event::ALL.len()],
}

impl Counters {
    /// Counts an answer.
    pub fn answer(&self, answer: &Answer) {
        self.answers[kind(answer)].fetch_add(1, Relaxed);
    }

    /// Counts an event.
    pub fn event(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Relaxed);
    }
}

/// All workers' counters.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[Counters]>,
}

impl Metrics {
    /// Counters for that many workers, and one more for everything outside them.
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..=workers).map(|_| Counters::default()).collect() }
    }

    /// The counters of worker number `worker`; of whatever is no worker, if there is no such.
    pub fn worker(&self, worker: usize) -> &Counters {
        self.workers.get(worker).unwrap_or_else(|| self.outside())
    }

    /// The counters of whatever is no worker: acceptor, sweeper, log.
    pub fn outside(&self) -> &Counters {
        &self.workers[self.workers.len() - 1]
    }

    /// Answers of each kind, as (action, reason, count).
    pub fn answers(&self) -> [(&'static str, &'static str, u64); KINDS.len()] {
        std::array::from_fn(|kind| {
            let (action, reason) = KINDS[kind];
            (action, reason, self.sum(|counters| &counters.answers[kind]))
        })
    }

    /// Events of each kind, as (word, count).
    pub fn events(&self) -> [(&'static str, u64); Event::ALL.len()] {
        Event::ALL.map(|(event, word)| (word, self.event(event)))
    }

    /// How often `event` happened.
    pub fn event(&self, event: Event) -> u64 {
        self.sum(|counters| &counters.events[event as usize])
    }

    fn sum(&self, one: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|counters| one(counters).load(Relaxed)).sum()
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
    fn each_event_stands_at_its_own_place() {
        for (place, (event, _)) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, place);
        }
    }
}
