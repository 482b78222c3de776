//! One slot of the table: all that is remembered of a tuple, in 64 bits.
//!
//! ```text
//!  63      62            47 46                                            0
//! ┌───────┬────────────────┬───────────────────────────────────────────────┐
//! │ white │ tick           │ fingerprint: never 0, so a slot of 0 is empty │
//! └───────┴────────────────┴───────────────────────────────────────────────┘
//! ```
//! Never knows: what a tick stands for, where slots lie.

use greylist::State;

use super::TupleId;

const STATE_BITS: u32 = 1;
const TICK_BITS: u32 = 16;
const FINGERPRINT_BITS: u32 = TupleId::FINGERPRINT_BITS;
const _: () = assert!(STATE_BITS + TICK_BITS + FINGERPRINT_BITS == 64);
const _: () = assert!(TICK_BITS == u16::BITS);

const TICK_SHIFT: u32 = FINGERPRINT_BITS;
const WHITE: u64 = 1 << (FINGERPRINT_BITS + TICK_BITS);
const FINGERPRINT_MASK: u64 = (1 << FINGERPRINT_BITS) - 1;

/// What tells the tuples of a shard apart: 47 bits of the id, 1 to 2^47 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// Of the tuple with that id.
    pub(super) const fn of(id: TupleId) -> Self {
        Self(id.fingerprint())
    }

    /// The 47 bits.
    pub(super) const fn get(self) -> u64 {
        self.0
    }
}

/// 64 bits: empty, or a tuple's state, tick and fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Slot(u64);

const _: () = assert!(size_of::<Slot>() == 8);

impl Slot {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn new(fingerprint: Fingerprint, state: State, tick: u16) -> Self {
        let white = match state {
            State::Grey => 0,
            State::White => WHITE,
        };
        Self(white | (tick as u64) << TICK_SHIFT | fingerprint.0)
    }

    /// From the bytes of a snapshot, the lowest first.
    pub(super) const fn from_le_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// As it is in memory, of what lies there as in a snapshot; and the other way round.
    pub(super) const fn to_le(self) -> Self {
        Self(self.0.to_le())
    }

    /// Whether it is empty or has a fingerprint: so is every slot that was made here.
    pub(super) const fn is_sane(self) -> bool {
        self.0 == 0 || self.0 & FINGERPRINT_MASK != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is the tuple with that fingerprint. Never so for an empty slot.
    pub(super) const fn is_of(self, fingerprint: Fingerprint) -> bool {
        self.0 & FINGERPRINT_MASK == fingerprint.0
    }

    /// Of a slot that is not empty.
    pub(super) const fn fingerprint(self) -> Fingerprint {
        Fingerprint(self.0 & FINGERPRINT_MASK)
    }

    /// Of a slot that is not empty.
    pub(super) const fn state(self) -> State {
        if self.0 & WHITE == 0 { State::Grey } else { State::White }
    }

    /// Of a slot that is not empty.
    pub(super) const fn tick(self) -> u16 {
        (self.0 >> TICK_SHIFT) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greylist::TupleKey;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slot_gives_back_what_was_put_in(key: u128, tick: u16, white: bool) {
            let state = if white { State::White } else { State::Grey };
            let fingerprint = Fingerprint::of(TupleId::of(TupleKey(key)));
            let slot = Slot::new(fingerprint, state, tick);
            prop_assert_eq!(
                (slot.fingerprint(), slot.state(), slot.tick()),
                (fingerprint, state, tick)
            );
            prop_assert!(slot.is_of(fingerprint) && !slot.is_empty());
            prop_assert!(!Slot::EMPTY.is_of(fingerprint));
        }
    }
}
