//! The memory that slots lie in: buckets of eight, each one cache line.
//!
//! Looking into a bucket costs one access to memory, whichever of its slots is meant. An array of
//! aligned structs says all that; nothing here is unsafe.
//! Never knows: what is in a slot.

use super::Slot;

/// Slots in a bucket.
pub(super) const LANES: usize = 8;

/// Bytes in a bucket: one cache line.
pub(super) const BUCKET_BYTES: usize = 64;

/// Eight slots.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Bucket(pub(super) [Slot; LANES]);

const _: () = assert!(size_of::<Bucket>() == BUCKET_BYTES);
const _: () = assert!(align_of::<Bucket>() == BUCKET_BYTES);

/// An array of empty buckets; exactly that many, and for none of them no allocation.
pub(super) fn allocate(buckets: u32) -> Box<[Bucket]> {
    vec![Bucket([Slot::EMPTY; LANES]); buckets as usize].into_boxed_slice()
}
