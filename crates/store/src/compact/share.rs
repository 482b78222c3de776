//! Which of all ids a shard holds: one of N ranges of equal width.
//!
//! ```text
//!  id, 58 bits:  ┌ prefix, 11 ┬──── fingerprint, 47 ────┐
//!                └───── top, 32 ─────┘   shard = top × N >> 32
//! ```
//! Since there are at least 2^11 shards, no range is wider than 2^47: index, N and fingerprint give
//! the id back, and a slot need not hold the prefix. Under another N the same ids are cut elsewhere,
//! so what is remembered can move house.
//!
//! Never knows: slots, tables, what lies in a range.

use super::{Fingerprint, TupleId};

/// The fewest shards there may be.
pub(super) const SHARDS_MIN: u32 = 1 << TupleId::PREFIX_BITS;

/// Bits of an id that choose the shard.
const TOP_BITS: u32 = 32;
const _: () = assert!(TOP_BITS >= TupleId::PREFIX_BITS && TOP_BITS < TupleId::BITS);
/// How many of these are the fingerprint's.
const TOP_FINGERPRINT_BITS: u32 = TOP_BITS - TupleId::PREFIX_BITS;
/// Bits of a fingerprint that take no part in choosing the shard.
const REST_BITS: u32 = TupleId::FINGERPRINT_BITS - TOP_FINGERPRINT_BITS;

/// One of the ranges that all ids are cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    index: u32,
    of: u32,
}

impl Share {
    /// The range `index` of `of`. `None` where ids could not be given back: fewer than
    /// [`SHARDS_MIN`] ranges, or no range of that index.
    pub(super) const fn new(index: u32, of: u32) -> Option<Self> {
        if of < SHARDS_MIN || index >= of { None } else { Some(Self { index, of }) }
    }

    /// In which of `of` ranges an id lies.
    #[inline]
    pub(super) const fn index_of(id: TupleId, of: u32) -> u32 {
        ((top(id) * of as u64) >> TOP_BITS) as u32
    }

    /// Which one it is.
    pub(super) const fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub(super) const fn of(self) -> u32 {
        self.of
    }

    /// The id in this range that has that fingerprint: the only one there may be. What it is for a
    /// fingerprint of another range means nothing.
    pub(super) const fn id(self, fingerprint: Fingerprint) -> TupleId {
        let prefix = self.top(fingerprint) >> TOP_FINGERPRINT_BITS;
        TupleId::join(prefix & (SHARDS_MIN as u64 - 1), fingerprint.get())
    }

    /// Whether any id in this range has that fingerprint.
    pub(super) const fn has(self, fingerprint: Fingerprint) -> bool {
        (self.top(fingerprint) * self.of as u64) >> TOP_BITS == self.index as u64
    }

    /// The first top that is not before the range and has the fingerprint's bits.
    const fn top(self, fingerprint: Fingerprint) -> u64 {
        let first = ((self.index as u64) << TOP_BITS).div_ceil(self.of as u64);
        let bits = fingerprint.get() >> REST_BITS;
        let top = first >> TOP_FINGERPRINT_BITS << TOP_FINGERPRINT_BITS | bits;
        if top < first { top + (1 << TOP_FINGERPRINT_BITS) } else { top }
    }
}

const fn top(id: TupleId) -> u64 {
    id.bits() >> (TupleId::BITS - TOP_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any number of shards, small ones and powers of two with zeal.
    fn shards() -> impl Strategy<Value = u32> {
        prop_oneof![
            Just(SHARDS_MIN),
            SHARDS_MIN..3 * SHARDS_MIN,
            (11u32..32, 0u32..3).prop_map(|(bits, off)| ((1 << bits) + off).max(1 + off) - 1),
            SHARDS_MIN..=u32::MAX,
        ]
        .prop_map(|of| of.max(SHARDS_MIN))
    }

    /// Any id, those at the edge of a shard with zeal.
    fn id_near(of: u32, index: u32, off: u64, anywhere: u64) -> TupleId {
        let bits = if off.is_multiple_of(4) {
            anywhere >> (u64::BITS - TupleId::BITS)
        } else {
            let first = (u64::from(index % of) << TOP_BITS) / u64::from(of);
            ((first << (TupleId::BITS - TOP_BITS)) + off).saturating_sub(1 << 33)
        };
        let last = (1 << TupleId::BITS) - 1;
        TupleId::from_bits(bits.clamp(1, last)).unwrap_or(TupleId::from_bits(1).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_share_and_a_fingerprint_give_the_id_back(
            of in shards(),
            index: u32,
            off in 0u64..1 << 34,
            anywhere: u64,
        ) {
            let id = id_near(of, index, off, anywhere);
            let share = Share::new(Share::index_of(id, of), of);
            prop_assert!(share.is_some(), "an index below {of}");
            let share = share.unwrap();
            let fingerprint = Fingerprint::of(id);
            prop_assert_eq!(share.id(fingerprint), id);
            prop_assert!(share.has(fingerprint));
        }

        #[test]
        fn a_fingerprint_that_is_not_of_a_share_is_told(of in shards(), index: u32, bits: u64) {
            let share = Share::new(index % of, of).unwrap();
            let Some(id) = TupleId::from_bits(bits >> (u64::BITS - TupleId::BITS)) else {
                return Ok(());
            };
            let fingerprint = Fingerprint::of(id);
            let is_there = (0..SHARDS_MIN as u64).any(|prefix| {
                Share::index_of(TupleId::join(prefix, fingerprint.get()), of) == share.index
            });
            prop_assert_eq!(share.has(fingerprint), is_there);
        }
    }

    #[test]
    fn ranges_are_equal_and_in_order() {
        for of in [SHARDS_MIN, 9216, 65_537] {
            let firsts: Vec<u64> = (0..=u64::from(of))
                .map(|index| (index << TOP_BITS).div_ceil(u64::from(of)))
                .collect();
            for (index, range) in (0..).zip(firsts.windows(2)) {
                let width = (1 << TOP_BITS) / u64::from(of);
                assert!((width..=width + 1).contains(&(range[1] - range[0])), "{index} of {of}");
                for top in [range[0], range[1] - 1] {
                    let id = TupleId::from_bits(top << (TupleId::BITS - TOP_BITS) | 1).unwrap();
                    assert_eq!(Share::index_of(id, of), index, "{index} of {of}");
                }
            }
        }
    }

    #[test]
    fn what_could_not_give_ids_back_is_no_share() {
        assert_eq!(Share::new(0, SHARDS_MIN - 1), None);
        assert_eq!(Share::new(SHARDS_MIN, SHARDS_MIN), None);
        assert!(Share::new(SHARDS_MIN - 1, SHARDS_MIN).is_some());
    }
}
