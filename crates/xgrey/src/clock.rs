//! The only place that reads a clock.
//!
//! Everything else takes `now` as an argument. The service's time is the wall clock as it was at
//! start plus `CLOCK_BOOTTIME` since: it goes on while the machine is suspended, and neither an
//! admin nor NTP can turn it back under the tuples' feet. How far the wall clock has moved away
//! meanwhile is reported, not followed.
#![allow(clippy::disallowed_methods, reason = "this is the one room that may read a clock")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use greylist::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// A clock that never runs backwards.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Wall clock minus boot clock, at start.
    offset: Duration,
}

impl Clock {
    /// Reads both clocks. A wall clock before 1970 counts as 1970.
    pub fn start() -> Self {
        Self { offset: wall().saturating_sub(boot()) }
    }

    /// The same clock, put forward so that it is not before `newest`, the latest time that the
    /// tuples know: what was remembered is never in the future. A wall clock that was put back
    /// between two starts so makes nothing old or young; time goes on from where the tuples are.
    #[must_use]
    pub fn not_before(self, newest: Timestamp) -> Self {
        let newest = Duration::from_secs(newest.as_unix_secs());
        Self { offset: self.offset.max(newest.saturating_sub(boot())) }
    }

    /// The service's time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_secs((self.offset + boot()).as_secs())
    }

    /// Whole seconds by which the wall clock is ahead of (positive) or behind the service's time.
    pub fn wall_step_secs(&self) -> i64 {
        let ours = self.offset + boot();
        let wall = wall();
        match wall.checked_sub(ours) {
            Some(ahead) => i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX),
            None => -i64::try_from((ours - wall).as_secs()).unwrap_or(i64::MAX),
        }
    }
}

/// Time since the machine booted, suspended time included. For deadlines and ages.
pub fn boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Processor time that the calling thread has had.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The wall clock, since 1970.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_time_starts_as_the_wall_clock() {
        let clock = Clock::start();
        let apart = clock.now().as_unix_secs().abs_diff(wall().as_secs());
        assert!(apart <= 1, "{apart} s apart");
        assert!(clock.wall_step_secs().abs() <= 1);
    }

    #[test]
    fn time_begins_where_the_tuples_are_if_the_wall_clock_is_behind_them() {
        let clock = Clock::start();
        let newest = Timestamp::from_unix_secs(wall().as_secs() + 86_400);
        let later = clock.not_before(newest);
        assert!(later.now() >= Timestamp::from_unix_secs(newest.as_unix_secs() - 1));
        assert!((-86_401..=-86_399).contains(&later.wall_step_secs()));
        let earlier = Timestamp::from_unix_secs(1);
        assert!(clock.not_before(earlier).wall_step_secs().abs() <= 1);
    }
}
