//! The memory that slots lie in: buckets of eight, each one cache line.
//!
//! Looking into a bucket costs one access to memory, whichever of its slots is meant. An array of
//! aligned structs says all that. The only unsafe code of the program is here, for what has no safe
//! name yet: asking the processor to fetch ahead.
//! Never knows: what is in a slot.

use super::Slot;

/// Slots in a bucket.
pub(super) const LANES: usize = 8;

/// Bytes in a bucket: one cache line.
pub(super) const BUCKET_BYTES: usize = 64;

/// Eight slots.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Bucket(pub(super) [Slot; LANES]);

const _: () = assert!(size_of::<Bucket>() == BUCKET_BYTES);
const _: () = assert!(align_of::<Bucket>() == BUCKET_BYTES);

/// An array of empty buckets; exactly that many, and for none of them no allocation.
pub(super) fn allocate(buckets: u32) -> Box<[Bucket]> {
    vec![Bucket([Slot::EMPTY; LANES]); buckets as usize].into_boxed_slice()
}

/// The bytes of buckets, as they lie there.
#[expect(unsafe_code, reason = "there is no safe name for this in the standard library")]
pub(super) const fn bytes(buckets: &[Bucket]) -> &[u8] {
    // SAFETY: a bucket is eight slots, and a slot is a `u64`: 64 bytes, none of them padding. The
    // slice covers the same memory and borrows from `buckets`.
    unsafe { std::slice::from_raw_parts(buckets.as_ptr().cast(), size_of_val(buckets)) }
}

/// The bytes of buckets, to be written; whatever is written makes slots.
#[expect(unsafe_code, reason = "there is no safe name for this in the standard library")]
pub(super) const fn bytes_mut(buckets: &mut [Bucket]) -> &mut [u8] {
    // SAFETY: as in `bytes`; and any 64 bits are a slot.
    unsafe { std::slice::from_raw_parts_mut(buckets.as_mut_ptr().cast(), size_of_val(buckets)) }
}

/// Has the processor fetch a bucket, and goes on. A hint: where there is no such instruction,
/// nothing happens.
#[inline]
pub(super) fn prefetch(bucket: &Bucket) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "there is no stable safe prefetch")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program could see and cannot fault, and this
        // is the address of a live bucket.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(bucket).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bucket;
}
