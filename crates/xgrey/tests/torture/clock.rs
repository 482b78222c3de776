//! Time for the checker: when a request left, when its answer came, when to kill.
//!
//! The tests' one other place in which time passes: what is checked here is that a service keeps
//! its times over a restart, so a checker needs a clock of its own. It is the one that the service
//! counts by: the wall clock at the service's start, plus `CLOCK_BOOTTIME` since.

use std::time::Duration;

use rustix::event::{PollFd, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

/// Before an answer's second is taken, the service's clock may be this much behind the moment in
/// which its request was sent: the service reads it once a turn, before it reads requests, and on
/// busy cores it may lose the processor in between.
const BEHIND: Duration = Duration::from_secs(1);

/// By how much two readings of the same clocks may differ: the wall clock is slewed by NTP, and we
/// and the service read it at different moments.
const APART: Duration = Duration::from_millis(250);

/// Time since the machine booted.
pub(crate) fn boot() -> Duration {
    read(ClockId::Boottime)
}

/// The wall clock, since 1970.
pub(crate) fn wall() -> Duration {
    read(ClockId::Realtime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Lets time pass until that moment after boot.
pub(crate) fn wait_until(moment: Duration) {
    while ready_by(&mut [], moment) {}
}

/// Waits until one of `fds` is ready (true) or that moment after boot has come (false).
pub(crate) fn ready_by(fds: &mut [PollFd<'_>], moment: Duration) -> bool {
    loop {
        let left = moment.saturating_sub(boot());
        if left.is_zero() {
            return false;
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // Zero: time is up, by a clock that may differ from ours by a little. An error: a signal.
        if poll(fds, Some(&timeout)).is_ok_and(|count| count > 0) {
            return true;
        }
    }
}

/// Seconds since 1970 as one process of the service may count them, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Span {
    /// Any second at all.
    pub(crate) const ANY: Self = Self { first: 0, last: u32::MAX };

    /// The seconds that both have.
    pub(crate) fn and(self, other: Self) -> Option<Self> {
        let Self { first, last } = other;
        let both = Self { first: self.first.max(first), last: self.last.min(last) };
        (both.first <= both.last).then_some(both)
    }

    /// From the earlier beginning to the later end.
    pub(crate) fn or(self, other: Self) -> Self {
        let Self { first, last } = other;
        Self { first: self.first.min(first), last: self.last.max(last) }
    }

    /// Each second earlier by that many.
    pub(crate) fn earlier(self, secs: u32) -> Self {
        let Self { first, last } = self;
        Self { first: first.saturating_sub(secs), last: last.saturating_sub(secs) }
    }
}

/// How far the wall clock is ahead of the boot clock: what a process of the service counts by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offset(Duration);

impl Offset {
    /// As it is now.
    pub(crate) fn now() -> Self {
        // Losing the processor between the two readings makes the difference too small.
        let readings = (0..5).map(|_| wall().saturating_sub(boot()));
        Self(readings.max().unwrap_or_default())
    }

    /// That many seconds, for tests.
    #[cfg(test)]
    pub(crate) fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Whether the wall clock was stepped between the two.
    pub(crate) fn is_apart_from(self, other: Self) -> bool {
        self.0.abs_diff(other.0) >= APART
    }

    /// The seconds in which the service may believe a request to have come that was sent and
    /// answered at these moments after boot.
    pub(crate) fn span(self, sent: Duration, answered: Duration) -> Span {
        let secs = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Span {
            first: secs((self.0 + sent).saturating_sub(BEHIND + APART)),
            last: secs(self.0 + answered + APART),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_from_a_second_before_it_left_to_when_its_answer_came() {
        let offset = Offset(Duration::from_secs(1_000));
        let at = Duration::from_millis;
        let span = |first, last| Span { first, last };
        assert_eq!(offset.span(at(10_500), at(10_500)), span(1_009, 1_010));
        assert_eq!(offset.span(at(10_200), at(10_800)), span(1_008, 1_011));
    }

    #[test]
    fn spans_meet_join_and_move() {
        let span = |first, last| Span { first, last };
        assert_eq!(span(1, 5).and(span(4, 9)), Some(span(4, 5)));
        assert_eq!(span(1, 3).and(span(4, 9)), None);
        assert_eq!(span(1, 3).or(span(7, 9)), span(1, 9));
        assert_eq!(span(3, 8).earlier(5), span(0, 3));
        assert_eq!(span(3, 8).and(Span::ANY), Some(span(3, 8)));
    }
}
