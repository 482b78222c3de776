//! Cleanup cycles: X-Grey cleaned its table up each 300 s, and counted from one time to the next.
//!
//! Ours cleans up all the time; the cycles are kept for their numbers.

use greylist::{Secs, Timestamp};

/// How long a cycle is: X-Grey's default.
pub(super) const CYCLE: Secs = Secs::new(300);

/// What is counted in each cycle.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerCycle {
    /// How many there had been when the running cycle began.
    before: u64,
    /// How many in the last whole cycle.
    pub(super) last: u64,
    /// How many in the cycle that had most.
    pub(super) highest: u64,
}

impl PerCycle {
    fn close(&mut self, total: u64) {
        self.last = total.saturating_sub(self.before);
        self.highest = self.highest.max(self.last);
        self.before = total;
    }
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) reads: u64,
    /// Tuples that were stored.
    pub(super) stored: u64,
    /// Tuples that there are.
    pub(super) tuples: u64,
}

/// The cycles since the start.
#[derive(Clone, Debug)]
pub(super) struct Cycles {
    /// When the running one ends.
    end: Timestamp,
    pub(super) finished: u64,
    pub(super) requests: PerCycle,
    pub(super) reads: PerCycle,
    pub(super) writes: PerCycle,
    /// The fewest tuples at the start or at the end of a cycle.
    pub(super) tuples_low: u64,
}

impl Cycles {
    /// From `now` on, with so many tuples.
    pub(super) fn new(now: Timestamp, tuples: u64) -> Self {
        Self {
            end: now.after(CYCLE),
            finished: 0,
            requests: PerCycle::default(),
            reads: PerCycle::default(),
            writes: PerCycle::default(),
            tuples_low: tuples,
        }
    }

    /// Whether a cycle is over at `now`.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.end
    }

    /// Ends the cycles that are over at `now`. What was counted since the last call belongs to the first
    /// of them.
    pub(super) fn advance(&mut self, now: Timestamp, counts: &Counts) {
        while self.is_over(now) {
            self.end = self.end.after(CYCLE);
            self.finished += 1;
            self.requests.close(counts.requests);
            self.reads.close(counts.reads);
            // A cleanup is a write of the cycle that it ends.
            self.writes.close(counts.stored + self.finished);
            self.tuples_low = self.tuples_low.min(counts.tuples);
        }
    }

    /// Requests in a whole cycle, in the mean, rounded to the nearest.
    pub(super) fn requests_mean(&self) -> u64 {
        (self.requests.before + self.finished / 2).checked_div(self.finished).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(1_800_000_123 + secs)
    }

    fn counts(requests: u64, tuples: u64) -> Counts {
        Counts { requests, reads: requests, stored: requests, tuples }
    }

    #[test]
    fn cycles_are_300_seconds_from_the_start() {
        let mut cycles = Cycles::new(at(0), 7);
        cycles.advance(at(299), &counts(10, 1));
        assert_eq!((cycles.finished, cycles.requests.last, cycles.tuples_low), (0, 0, 7));
        cycles.advance(at(300), &counts(10, 9));
        assert_eq!((cycles.finished, cycles.requests.last, cycles.tuples_low), (1, 10, 7));
        assert_eq!((cycles.reads.last, cycles.writes.last), (10, 11));
        cycles.advance(at(599), &counts(15, 5));
        cycles.advance(at(600), &counts(15, 5));
        assert_eq!((cycles.finished, cycles.requests.last, cycles.requests.highest), (2, 5, 10));
        assert_eq!((cycles.writes.last, cycles.writes.highest, cycles.tuples_low), (6, 11, 5));
    }

    /// As in a captured answer: 9 requests in 12 cycles, 4 of them in one, are 1 in the mean.
    #[test]
    fn the_mean_is_rounded_to_the_nearest() {
        let mut cycles = Cycles::new(at(0), 0);
        assert_eq!(cycles.requests_mean(), 0);
        for (end, requests) in [4, 4, 9].into_iter().enumerate() {
            cycles.advance(at(300 * (end as u64 + 1)), &counts(requests, 0));
        }
        assert_eq!(cycles.requests_mean(), 3);
        cycles.advance(at(300 * 12), &counts(9, 0));
        assert_eq!((cycles.requests_mean(), cycles.finished), (1, 12));
        cycles.advance(at(300 * 18), &counts(9, 0));
        assert_eq!(cycles.requests_mean(), 1, "0.5");
        cycles.advance(at(300 * 19), &counts(9, 0));
        assert_eq!(cycles.requests_mean(), 0);
    }
}
