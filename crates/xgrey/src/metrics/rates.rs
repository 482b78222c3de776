//! How many queries a second, a minute, an hour: in the last whole one, and in the one that had most.
//!
//! Seconds come one after the other, each when it is over, and are added up; so memory doesn't grow.
//! Minutes and hours are those of UTC.

use greylist::{Secs, Timestamp};

use super::seconds::KEPT;

/// A second is read when it is over for as long: whoever counts in it may have been held up.
const SETTLED_AFTER: u64 = 2;

/// Queries, by what was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Accepted.
    pub accepted: u64,
    /// Deferred.
    pub deferred: u64,
    /// Rejected.
    pub rejected: u64,
}

impl Decided {
    /// All together.
    pub const fn requests(&self) -> u64 {
        self.accepted + self.deferred + self.rejected
    }

    const fn add(&mut self, more: Self) {
        self.accepted += more.accepted;
        self.deferred += more.deferred;
        self.rejected += more.rejected;
    }
}

/// How many queries in stretches of one length.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How long a stretch is.
    pub length: Secs,
    /// What was decided in the last whole one.
    pub last: Decided,
    /// What was decided in the one that had most queries; of several the first.
    pub highest: Decided,
    /// When that began; `None` if no whole one had a query.
    pub highest_at: Option<Timestamp>,
    /// The number of the one that isn't over.
    number: u64,
    so_far: Decided,
}

impl Rate {
    fn new(length: Secs, now: u64) -> Self {
        Self {
            length,
            last: Decided::default(),
            highest: Decided::default(),
            highest_at: None,
            number: now / u64::from(length.get()),
            so_far: Decided::default(),
        }
    }

    /// All before `second` is over.
    fn close_before(&mut self, second: u64) {
        let number = second / u64::from(self.length.get());
        if number <= self.number {
            return;
        }
        let closed = std::mem::take(&mut self.so_far);
        if closed.requests() > self.highest.requests() {
            self.highest = closed;
            let begun = self.number * u64::from(self.length.get());
            self.highest_at = Some(Timestamp::from_unix_secs(begun));
        }
        self.last = if number == self.number + 1 { closed } else { Decided::default() };
        self.number = number;
    }
}

/// The rates of a service.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    rates: [Rate; 3],
    /// The first second that has not been added.
    next: u64,
}

impl Rates {
    /// From `now` on.
    pub(super) fn new(now: Timestamp) -> Self {
        let next = now.as_unix_secs();
        Self { rates: [1, 60, 3_600].map(|secs| Rate::new(Secs::new(secs), next)), next }
    }

    /// Adds the seconds that are over at `now`; `decided` says what was decided in each. Should this
    /// come so late that some are kept no longer, they count as if nothing had been asked in them.
    pub(super) fn advance(&mut self, now: Timestamp, decided: impl Fn(u64) -> Decided) {
        let now = now.as_unix_secs();
        let settled = (now + 1).saturating_sub(SETTLED_AFTER);
        let kept_from = (now + 1).saturating_sub(KEPT);
        for second in self.next.max(kept_from)..settled {
            let decided = decided(second);
            for rate in &mut self.rates {
                rate.close_before(second);
                rate.so_far.add(decided);
            }
        }
        if settled > self.next {
            self.next = settled;
            self.rates.iter_mut().for_each(|rate| rate.close_before(settled));
        }
    }

    /// Those of seconds, minutes and hours.
    pub(super) const fn all(&self) -> &[Rate; 3] {
        &self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15 08:00:00 UTC.
    const HOUR: u64 = 1_800_000_000;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(HOUR + secs)
    }

    fn deferred(deferred: u64) -> Decided {
        Decided { deferred, ..Decided::default() }
    }

    /// Last and highest, and when that began, of seconds, minutes and hours.
    fn shown(rates: &Rates) -> Vec<(u64, u64, Option<u64>)> {
        let shown = rates.all().iter().map(|rate| {
            let highest_at = rate.highest_at.map(|at| at.as_unix_secs() - HOUR);
            (rate.last.requests(), rate.highest.requests(), highest_at)
        });
        shown.collect()
    }

    #[test]
    fn whole_seconds_minutes_and_hours_are_counted_by_the_time_of_the_queries() {
        let mut rates = Rates::new(at(0));
        // 1 in the first second, 2 in the second one, ... then nothing.
        let decided =
            |second: u64| deferred(if second < HOUR + 90 { second - HOUR + 1 } else { 0 });
        rates.advance(at(3), decided);
        assert_eq!(shown(&rates)[0], (2, 2, Some(1)));
        for secs in 4..=91 {
            rates.advance(at(secs), decided);
        }
        let minute = (1..=60).sum();
        assert_eq!(shown(&rates), [(90, 90, Some(89)), (minute, minute, Some(0)), (0, 0, None)]);
        for secs in 92..=7_300 {
            rates.advance(at(secs), decided);
        }
        let (minute, hour) = ((61..=90).sum(), (1..=90).sum());
        assert_eq!(shown(&rates), [(0, 90, Some(89)), (0, minute, Some(60)), (0, hour, Some(0))]);
    }

    #[test]
    fn looking_late_or_twice_changes_nothing() {
        let decided = |second: u64| deferred(second % 7);
        let mut often = Rates::new(at(0));
        let mut late = often.clone();
        for secs in 0..8_000 {
            often.advance(at(secs), decided);
            often.advance(at(secs), decided);
            if secs % 6 == 0 {
                late.advance(at(secs), decided);
            }
        }
        late.advance(at(7_999), decided);
        assert_eq!(shown(&often), shown(&late));
    }

    #[test]
    fn after_a_long_pause_the_last_ones_were_empty() {
        let mut rates = Rates::new(at(0));
        for secs in 0..10 {
            rates.advance(at(secs), |_| deferred(5));
        }
        rates.advance(at(10 * 3_600), |_| Decided::default());
        assert_eq!(shown(&rates), [(0, 5, Some(0)), (0, 40, Some(0)), (0, 40, Some(0))]);
    }
}
