//! What a store keeps of a key: enough to tell tuples apart, and no more.
//!
//! ```text
//!  key, 128 bits: ┌ prefix, 11 ┬ … not kept … ┬ fingerprint, 47: never 0 ┐
//!  id,   58 bits:              ┌ prefix, 11 ┬ fingerprint, 47 ┐
//! ```
//! The prefix chooses where a tuple lies and need not be stored there; the fingerprint is what a slot
//! holds. Journal, text and backups name tuples by both together.
//!
//! Never knows: what a key is made of, where tuples lie.

use std::fmt;

use greylist::TupleKey;

/// 58 bits of a [`TupleKey`]. Two tuples in 2^58 have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TupleId(u64);

impl TupleId {
    /// Bits of a key, from the top, that are not part of the fingerprint.
    pub const PREFIX_BITS: u32 = 11;
    /// Bits of a key, from the bottom, that tell tuples with the same prefix apart.
    pub const FINGERPRINT_BITS: u32 = 47;
    /// Bits of an id.
    pub const BITS: u32 = Self::PREFIX_BITS + Self::FINGERPRINT_BITS;

    const FINGERPRINT_MASK: u64 = (1 << Self::FINGERPRINT_BITS) - 1;

    /// What is kept of `key`. The one key in 2^47 whose fingerprint would be 0, which means "empty"
    /// in a slot, goes by 1 instead: found like any other, only a little likelier to be taken for
    /// its neighbour.
    pub const fn of(key: TupleKey) -> Self {
        let prefix = (key.0 >> (u128::BITS - Self::PREFIX_BITS)) as u64;
        let fingerprint = key.0 as u64 & Self::FINGERPRINT_MASK;
        let fingerprint = if fingerprint == 0 { 1 } else { fingerprint };
        Self::join(prefix, fingerprint)
    }

    /// The id with these bits. `None` for what [`TupleId::of`] never gives.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits >> Self::BITS != 0 || bits & Self::FINGERPRINT_MASK == 0 {
            return None;
        }
        Some(Self(bits))
    }

    /// The id that has these two parts, the second never 0.
    pub(crate) const fn join(prefix: u64, fingerprint: u64) -> Self {
        debug_assert!(prefix >> Self::PREFIX_BITS == 0);
        debug_assert!(fingerprint != 0 && fingerprint >> Self::FINGERPRINT_BITS == 0);
        Self(prefix << Self::FINGERPRINT_BITS | fingerprint)
    }

    /// The bits, 1 to 2^58 - 1.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The lower 47 bits, never 0.
    pub const fn fingerprint(self) -> u64 {
        self.0 & Self::FINGERPRINT_MASK
    }
}

/// Fifteen hexadecimal digits.
impl fmt::Display for TupleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:015x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_key_has_the_fingerprint_that_means_empty() {
        for key in [0, 1 << 47, u128::MAX << 47] {
            let id = TupleId::of(TupleKey(key));
            assert_eq!(id.fingerprint(), 1, "{key:#x}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_the_keys_first_11_and_last_47_bits(key: u128) {
            let id = TupleId::of(TupleKey(key));
            prop_assert_eq!(id.bits() >> 47, (key >> 117) as u64);
            prop_assert_eq!(id.fingerprint(), ((key as u64) << 17 >> 17).max(1));
            prop_assert_eq!(TupleId::from_bits(id.bits()), Some(id));
        }

        #[test]
        fn only_bits_of_an_id_make_one(bits: u64) {
            let is_id = bits < 1 << 58 && bits & ((1 << 47) - 1) != 0;
            prop_assert_eq!(TupleId::from_bits(bits).is_some(), is_id);
        }
    }
}
