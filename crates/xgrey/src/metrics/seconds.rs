//! What one worker has done in each of the last few seconds: for rates that count whole seconds by the
//! time of the queries, however late whoever reads comes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::Timestamp;

/// Seconds that are kept.
pub(super) const KEPT: u64 = 8;

/// The low bits of a place are the count: 68,000,000,000 in a second.
const COUNT_BITS: u32 = 36;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Above it are the low bits of the second: they come again after 8 years.
const TAG_MAX: u64 = u64::MAX >> COUNT_BITS;

/// Counts of the last seconds, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Seconds([AtomicU64; KEPT as usize]);

impl Seconds {
    /// Counts `count` more in the second `now`.
    pub(super) fn add(&self, now: Timestamp, count: u64) {
        let second = now.as_unix_secs();
        let (place, tag) = (self.place(second), second & TAG_MAX);
        let mut seen = place.load(Relaxed);
        loop {
            let so_far = match (seen >> COUNT_BITS).wrapping_sub(tag) & TAG_MAX {
                0 => seen & COUNT_MAX,
                // The place is a later second's already.
                ahead if ahead <= TAG_MAX / 2 && seen != 0 => return,
                _ => 0,
            };
            let next = tag << COUNT_BITS | so_far.saturating_add(count).min(COUNT_MAX);
            match place.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// What was counted in a second, if it is one of the last [`KEPT`].
    pub(super) fn at(&self, second: u64) -> u64 {
        let seen = self.place(second).load(Relaxed);
        if seen >> COUNT_BITS == second & TAG_MAX { seen & COUNT_MAX } else { 0 }
    }

    fn place(&self, second: u64) -> &AtomicU64 {
        &self.0[(second % KEPT) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_count_until_eight_have_passed() {
        let seconds = Seconds::default();
        let start = 1_800_000_000;
        for second in start..start + 20 {
            seconds.add(Timestamp::from_unix_secs(second), second - start);
            seconds.add(Timestamp::from_unix_secs(second), 1);
        }
        let seen: Vec<u64> = (start..start + 21).map(|second| seconds.at(second)).collect();
        assert_eq!(seen[..12], [0; 12]);
        assert_eq!(seen[12..], [13, 14, 15, 16, 17, 18, 19, 20, 0]);
    }

    #[test]
    fn what_comes_too_late_to_be_kept_harms_no_other_second() {
        let seconds = Seconds::default();
        let at = Timestamp::from_unix_secs;
        seconds.add(at(1_800_000_008), 5);
        seconds.add(at(1_800_000_000), 7);
        assert_eq!((seconds.at(1_800_000_000), seconds.at(1_800_000_008)), (0, 5));
    }

    #[test]
    fn a_second_long_after_the_last_one_starts_from_nothing() {
        let seconds = Seconds::default();
        for second in [1_800_000_000, 1_800_000_000 + (1 << 27), u64::MAX / 2] {
            seconds.add(Timestamp::from_unix_secs(second), 3);
            assert_eq!(seconds.at(second), 3, "{second}");
        }
    }
}
