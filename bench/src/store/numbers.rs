//! Tuples by their numbers: each number stands for one tuple, its key, and the second of its first
//! attempt. So the bench remembers nothing of billions of tuples, and all resident memory is the
//! store's.
//!
//! ```text
//!  number  0 … oldest … │ … may pass … │ … too early … │ next     2^63 …
//!          expired      └─ window ──────┴─ embargo ─────┘ to come   never seen
//! ```
//! Never knows: the store, how long anything takes.

use std::ops::Range;

use greylist::{Timestamp, TupleKey};

/// When a run begins: any time, as long as it is the same for each run.
const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// From here on are the numbers of tuples that nobody ever tries.
pub(crate) const NEVER_SEEN: u64 = 1 << 63;

/// Which number comes when: evenly, so many in each window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    /// New tuples in a window.
    pub(crate) tuples: u64,
    /// Seconds.
    pub(crate) window: u32,
    /// Seconds; fewer than the window.
    pub(crate) embargo: u32,
}

impl Timeline {
    /// The second, from the start, in which tuple `number` first tries.
    pub(crate) fn second_of(&self, number: u64) -> u32 {
        let second = u128::from(number) * u128::from(self.window) / u128::from(self.tuples);
        u32::try_from(second).unwrap_or(u32::MAX)
    }

    /// The number of the first tuple that tries in this second, or later.
    pub(crate) fn first_of(&self, second: u32) -> u64 {
        let number = (u128::from(second) * u128::from(self.tuples)).div_ceil(self.window.into());
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    /// The oldest number whose window is still open in this second. A tuple lives through the
    /// whole last second of its window.
    pub(crate) fn oldest(&self, second: u32) -> u64 {
        second.checked_sub(self.window).map_or(0, |first| self.first_of(first))
    }

    /// The numbers, of those before `next`, that are too early to pass in this second.
    pub(crate) fn early(&self, second: u32, next: u64) -> Range<u64> {
        self.youngest_that_pass(second).min(next)..next
    }

    /// The numbers that may pass in `second`, and will not have expired in `last`.
    pub(crate) fn passing(&self, second: u32, last: u32) -> Range<u64> {
        let end = self.youngest_that_pass(second);
        self.oldest(last).min(end)..end
    }

    /// One after the youngest number that may pass.
    fn youngest_that_pass(&self, second: u32) -> u64 {
        second.checked_sub(self.embargo).map_or(0, |second| self.first_of(second + 1))
    }
}

/// A second of a run, as the store's time.
pub(crate) fn time(second: u32) -> Timestamp {
    START.after(greylist::Secs::new(second))
}

/// Makes the keys of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    offset: u64,
}

impl Keys {
    /// Other keys for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { offset: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// A key as the keyed hash would make it: 128 bits, well mixed. Two different numbers never
    /// have the same one.
    pub(crate) fn key(self, number: u64) -> TupleKey {
        let number = number.wrapping_add(self.offset);
        let half = |salt: u64| u128::from(mix(number ^ salt));
        TupleKey(half(0x5851_f42d_4c95_7f2d) << 64 | half(0x1405_7b7e_f767_814f))
    }
}

/// Each bit of the outcome depends on each bit of `bits`, and no two outcomes are the same: the
/// finalizer of SplitMix64.
const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Numbers of a range, spread over all of it, none twice: where the range has fewer than asked for,
/// all of them.
#[derive(Clone, Debug)]
pub(crate) struct Scattered {
    spread: Spread,
    places: Range<u64>,
}

impl Scattered {
    pub(crate) fn new(range: Range<u64>, count: u64) -> Self {
        let spread = Spread::over(range);
        Self { places: 0..count.min(spread.len()), spread }
    }
}

impl Iterator for Scattered {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.places.next().and_then(|place| self.spread.at(place))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.places.size_hint()
    }
}

/// An order of all numbers of a range in which each falls into one of the widest gaps so far.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    range: Range<u64>,
    stride: u64,
}

impl Spread {
    pub(crate) fn over(range: Range<u64>) -> Self {
        let len = range.end.saturating_sub(range.start);
        // The golden section of the range.
        let mut stride = (len as f64 * 0.618_033_988_749_895) as u64;
        while stride < len && gcd(stride, len) != 1 {
            stride += 1;
        }
        Self { range, stride }
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// The number at a place in the order; none beyond its end.
    pub(crate) fn at(&self, place: u64) -> Option<u64> {
        let len = self.len();
        let at = u128::from(place) * u128::from(self.stride) % u128::from(len.max(1));
        (place < len).then(|| self.range.start + at as u64)
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const BIG: Timeline = Timeline { tuples: 2_160_000_000, window: 21_600, embargo: 60 };

    #[test]
    fn a_hundred_thousand_come_each_second_of_six_hours() {
        for (number, second) in
            [(0, 0), (99_999, 0), (100_000, 1), (2_159_999_999, 21_599), (2_160_000_000, 21_600)]
        {
            assert_eq!(BIG.second_of(number), second, "{number}");
        }
        assert_eq!(BIG.oldest(21_600), 0, "the last second of their window is theirs");
        assert_eq!(BIG.oldest(21_601), 100_000);
        assert_eq!(BIG.early(100, 10_050_000), 4_100_000..10_050_000);
        assert_eq!(BIG.passing(100, 120), 0..4_100_000);
        assert_eq!(BIG.passing(21_700, 21_720), 12_000_000..2_164_100_000);
        assert_eq!(BIG.passing(59, 59), 0..0);
        assert_eq!(BIG.early(59, 5_000_000), 0..5_000_000);
    }

    proptest! {
        #[test]
        fn the_first_of_a_second_is_the_first(tuples in 1_u64..10_000, second in 0_u32..5_000) {
            let line = Timeline { tuples, window: 900, embargo: 60 };
            let first = line.first_of(second);
            prop_assert!(line.second_of(first) >= second);
            prop_assert!(first == 0 || line.second_of(first - 1) < second);
        }

        #[test]
        fn scattered_numbers_are_of_the_range_and_none_comes_twice(
            start in 0_u64..1 << 40,
            len in 0_u64..3_000,
            count in 0_u64..3_000,
        ) {
            let numbers: Vec<u64> = Scattered::new(start..start + len, count).collect();
            prop_assert_eq!(numbers.len() as u64, count.min(len));
            prop_assert!(numbers.iter().all(|number| (start..start + len).contains(number)));
            let distinct: BTreeSet<_> = numbers.iter().collect();
            prop_assert_eq!(distinct.len(), numbers.len());
        }
    }

    #[test]
    fn scattered_numbers_reach_all_of_a_large_range() {
        let tenths: Vec<u64> =
            Scattered::new(0..2_160_000_000, 30).map(|number| number / 216_000_000).collect();
        assert!((0..10).all(|tenth| tenths.iter().filter(|&&it| it == tenth).count() >= 2));
    }

    #[test]
    fn keys_differ_by_number_and_by_seed() {
        let keys: BTreeSet<_> = (0..100)
            .flat_map(|seed| [0, 1, NEVER_SEEN].map(|number| Keys::new(seed).key(number).0))
            .collect();
        assert_eq!(keys.len(), 300);
    }
}
