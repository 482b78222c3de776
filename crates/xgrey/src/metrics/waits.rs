//! How long tuples had waited when they passed: counted between fixed bounds.
//!
//! The bounds are lengths of time that an admin thinks in, fine where most retries come and up to the
//! longest usual window. They never change, or what was counted before could not be added.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::Secs;

/// The longest wait that is counted in each place; the last place, which has none, takes all that is
/// longer.
pub const WAITS: [Secs; 12] = [
    Secs::new(60),
    Secs::new(2 * 60),
    Secs::new(5 * 60),
    Secs::new(10 * 60),
    Secs::new(15 * 60),
    Secs::new(30 * 60),
    Secs::new(3_600),
    Secs::new(2 * 3_600),
    Secs::new(4 * 3_600),
    Secs::new(6 * 3_600),
    Secs::new(12 * 3_600),
    Secs::new(24 * 3_600),
];

/// How many places there are.
pub(super) const PLACES: usize = WAITS.len() + 1;

/// The waits that one worker has seen.
#[derive(Debug, Default)]
pub(super) struct WaitCounters {
    places: [AtomicU64; PLACES],
    /// All together, in seconds.
    secs: AtomicU64,
}

impl WaitCounters {
    pub(super) fn count(&self, waited: Secs) {
        let place = WAITS.partition_point(|&longest| longest < waited);
        self.places[place].fetch_add(1, Relaxed);
        self.secs.fetch_add(u64::from(waited.get()), Relaxed);
    }

    pub(super) fn add_to(&self, places: &mut [u64; PLACES], secs: &mut u64) {
        for (sum, place) in places.iter_mut().zip(&self.places) {
            *sum += place.load(Relaxed);
        }
        *secs += self.secs.load(Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_up_to_the_bound_that_it_does_not_exceed() {
        let counters = WaitCounters::default();
        let waits = [0, 60, 61, 1_500, 1_800, 1_801, 86_400, 86_401, 3_000_000];
        waits.iter().for_each(|&secs| counters.count(Secs::new(secs)));
        let (mut places, mut secs) = ([0; PLACES], 0);
        counters.add_to(&mut places, &mut secs);
        assert_eq!(places, [2, 1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 1, 2]);
        assert_eq!(secs, waits.into_iter().map(u64::from).sum::<u64>());
    }

    #[test]
    fn bounds_rise() {
        assert!(WAITS.is_sorted());
    }
}
