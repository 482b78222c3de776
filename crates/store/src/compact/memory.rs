//! The memory that slots lie in: buckets of eight, each one cache line.
//!
//! Looking into a bucket costs one access to memory, whichever of its slots is meant. Small tables
//! lie on the heap. From four pages on a table lies in a place of its own, in one region that is
//! reserved at the start, and takes memory only where it was written to:
//!
//! ```text
//!  region:  ┌ full tables, on huge pages ┬ places of 64 KiB ┬ of 512 KiB ┬ of 2 MiB ┐
//!  owners:    0 1 2 …                      0 1 2 … 0 1 2 …    …             …
//!             one each                     two each, in turn: the old table and the new one
//! ```
//! Why not the heap: a table that has moved gives its memory back at once, whatever lies around it;
//! and no page of a small table is a huge one. Why places of several sizes: each 2 MiB of addresses
//! in which there is anything cost the kernel a page of its tables. Why huge pages have an area of
//! their own: so the whole region is four mappings, however many tables there are.
//!
//! Where the region can't be reserved (a limit of address space, strict accounting), all tables lie
//! on the heap; where there are no huge pages, full tables lie on small ones.
//!
//! The only unsafe code of the program is here.
//!
//! Never knows: what is in a slot, when a table grows.

use std::ffi::c_void;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::Slot;

/// Slots in a bucket.
pub(super) const LANES: usize = 8;

/// Bytes in a bucket: one cache line.
pub(super) const BUCKET_BYTES: usize = 64;

/// Bytes in a page, and in a huge one. Where pages are larger, less memory is given back.
pub(super) const PAGE_BYTES: usize = 4096;
const HUGE_BYTES: usize = 2 << 20;
const PAGE_BUCKETS: u32 = (PAGE_BYTES / BUCKET_BYTES) as u32;

/// The smallest table that is not on the heap, in bytes: four pages, so that a table that grows by a
/// quarter needs no more than one page that is not full.
const PLACE_BYTES_MIN: usize = 16 << 10;

/// Sizes of places, in bytes. The kernel's tables take 4 KiB for each 2 MiB of places in use: next
/// to nothing for the two of 64 KiB, 1/64 of a table of 512 KiB.
const PLACE_BYTES: [usize; 3] = [64 << 10, 512 << 10, HUGE_BYTES];
const _: () = assert!(PLACE_BYTES_MIN < PLACE_BYTES[0]);
const _: () = assert!(HUGE_BYTES == super::TABLE_BYTES_MAX as usize);

/// The heap is asked to give memory back when tables there have become smaller by that many bytes.
/// A bound of 18 GiB has 144 MiB of tables there, just before they leave.
const TRIM_BYTES: u64 = 8 << 20;

/// Eight slots.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Bucket(pub(super) [Slot; LANES]);

const _: () = assert!(size_of::<Bucket>() == BUCKET_BYTES);
const _: () = assert!(align_of::<Bucket>() == BUCKET_BYTES);

/// Whether tables that have grown to their full size lie on huge pages: fewer waits for the
/// processor to find out where an address is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// They are asked for; how many there are is for the kernel to say.
    InUse,
    /// No table will ever be as large as a huge page: the bound is below 4 GiB.
    #[default]
    TooSmall,
    /// They can't be had. All works, a little slower.
    Unavailable(NoHugePages),
}

/// Why there are no huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHugePages {
    /// Addresses could not be reserved, so that all tables are on the heap. The number is the
    /// system's error; 0 if there are not that many addresses.
    NotReserved(i32),
    /// The kernel is set to give none, or does not know them.
    NotInKernel,
    /// This process is set to get none.
    NotForProcess,
    /// The kernel refused them here; the number is its error.
    Refused(i32),
}

impl fmt::Display for HugePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = std::io::Error::from_raw_os_error;
        match *self {
            Self::InUse => f.write_str("in use"),
            Self::TooSmall => f.write_str("not needed below 4 GiB"),
            Self::Unavailable(NoHugePages::NotReserved(0)) => {
                f.write_str("unavailable: there are not enough addresses for the table's bound")
            }
            Self::Unavailable(NoHugePages::NotReserved(error)) => {
                write!(f, "unavailable: addresses cannot be reserved: {}", system(error))
            }
            Self::Unavailable(NoHugePages::NotInKernel) => write!(f, "unavailable: see {THP}"),
            Self::Unavailable(NoHugePages::NotForProcess) => {
                f.write_str("unavailable: switched off for this process (PR_SET_THP_DISABLE)")
            }
            Self::Unavailable(NoHugePages::Refused(error)) => {
                write!(f, "unavailable: {}", system(error))
            }
        }
    }
}

/// Where the kernel says whether it gives huge pages: the word in brackets.
const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// What all tables of a store stand on.
#[derive(Debug)]
pub(super) struct Ground {
    region: Option<Region>,
    huge_pages: HugePages,
    /// Bytes of tables on the heap, and the most there were since the heap last gave memory back.
    heap_bytes: AtomicU64,
    heap_bytes_peak: AtomicU64,
}

impl Ground {
    /// Memory for `owners` tables, empty as yet, each of up to `buckets_max` buckets.
    pub(super) fn reserve(owners: u32, buckets_max: u32) -> (Arc<Self>, Vec<Buckets>) {
        let (region, huge_pages) = match Region::reserve(owners, buckets_max) {
            Ok((region, huge_pages)) => (Some(region), huge_pages),
            Err(error) => (None, HugePages::Unavailable(NoHugePages::NotReserved(error))),
        };
        Self::for_all(region, huge_pages, owners)
    }

    /// The same, on the heap.
    #[cfg(test)]
    pub(super) fn heap(owners: u32) -> (Arc<Self>, Vec<Buckets>) {
        Self::for_all(None, HugePages::TooSmall, owners)
    }

    fn for_all(
        region: Option<Region>,
        huge_pages: HugePages,
        owners: u32,
    ) -> (Arc<Self>, Vec<Buckets>) {
        let (heap_bytes, heap_bytes_peak) = Default::default();
        let ground = Self { region, huge_pages, heap_bytes, heap_bytes_peak };
        let ground = Arc::new(ground);
        // The only line that makes any: each owner's places belong to one of them.
        let for_one = |owner| Buckets { ground: Arc::clone(&ground), owner, held: Held::NONE };
        let all = (0..owners).map(for_one).collect();
        (ground, all)
    }

    /// Whether full tables lie on huge pages.
    pub(super) fn huge_pages(&self) -> HugePages {
        self.huge_pages
    }

    /// Has the heap give memory back to the system, if tables there take less than they did. Holds
    /// up whoever needs the heap meanwhile, for milliseconds; rare, since each table leaves the heap
    /// only once.
    pub(super) fn trim_heap(&self) {
        let bytes = self.heap_bytes.load(Ordering::Relaxed);
        let peak = self.heap_bytes_peak.load(Ordering::Relaxed);
        if peak.saturating_sub(bytes) < TRIM_BYTES {
            return;
        }
        self.heap_bytes_peak.store(bytes, Ordering::Relaxed);
        #[cfg(target_env = "gnu")]
        #[expect(unsafe_code, reason = "a C function")]
        // SAFETY: it takes no pointer, and may be called at any time.
        unsafe {
            libc::malloc_trim(0);
        }
    }

    /// Where a table of that many buckets belongs that must not lie where `old` is.
    fn spot(&self, buckets: u32, old: Spot) -> Spot {
        let bytes = buckets as usize * BUCKET_BYTES;
        if self.region.is_none() || bytes < PLACE_BYTES_MIN {
            return Spot::Heap;
        }
        if bytes == HUGE_BYTES && old != Spot::Huge {
            return Spot::Huge;
        }
        // Of the last size, should a table be larger than it may be: `Region::place` sees to that.
        let is_enough = |&size: &usize| bytes <= size;
        let size = PLACE_BYTES.iter().position(is_enough).unwrap_or(PLACE_BYTES.len() - 1) as u8;
        let turn = u8::from(old == Spot::Place { size, turn: 0 });
        Spot::Place { size, turn }
    }

    /// Empty buckets for `owner`, which must not have anything in `spot`.
    fn take(&self, spot: Spot, owner: u32, buckets: u32) -> Held {
        let at = match (&self.region, spot) {
            _ if buckets == 0 => return Held::NONE,
            (Some(region), Spot::Huge | Spot::Place { .. }) => {
                let at = region.place(spot, owner, buckets);
                region.populate(at, buckets);
                at
            }
            _ => {
                let bytes = u64::from(buckets) * BUCKET_BYTES as u64;
                let sum = self.heap_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                self.heap_bytes_peak.fetch_max(sum, Ordering::Relaxed);
                let empty = vec![Bucket([Slot::EMPTY; LANES]); buckets as usize];
                NonNull::from(Box::leak(empty.into_boxed_slice())).cast()
            }
        };
        Held { at, len: buckets, spot }
    }

    /// Gives back what was taken. Nobody looks at it any more.
    fn give_back(&self, held: &mut Held) {
        let Held { at, len, spot } = std::mem::replace(held, Held::NONE);
        match (&self.region, spot) {
            _ if len == 0 => {}
            (Some(region), Spot::Huge | Spot::Place { .. }) => region.discard(at, len),
            _ => {
                let bytes = u64::from(len) * BUCKET_BYTES as u64;
                self.heap_bytes.fetch_sub(bytes, Ordering::Relaxed);
                let buckets = NonNull::slice_from_raw_parts(at, len as usize);
                #[expect(unsafe_code, reason = "a box that was taken apart is put together")]
                // SAFETY: `take` made these from a box of that many, and it was owned by nobody
                // but `held`, which is no more.
                drop(unsafe { Box::from_raw(buckets.as_ptr()) });
            }
        }
    }
}

/// In which part of the memory a table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Heap,
    Huge,
    Place {
        /// Of [`PLACE_BYTES`].
        size: u8,
        /// Which of the owner's two.
        turn: u8,
    },
}

/// Buckets that somebody owns.
#[derive(Debug)]
struct Held {
    /// Of the first; dangling if there are none.
    at: NonNull<Bucket>,
    len: u32,
    spot: Spot,
}

impl Held {
    const NONE: Self = Self { at: NonNull::dangling(), len: 0, spot: Spot::Heap };

    #[expect(unsafe_code, reason = "memory that came from the kernel")]
    fn buckets(&self) -> &[Bucket] {
        // SAFETY: see `buckets_mut`.
        unsafe { NonNull::slice_from_raw_parts(self.at, self.len as usize).as_ref() }
    }

    #[expect(unsafe_code, reason = "memory that came from the kernel")]
    fn buckets_mut(&mut self) -> &mut [Bucket] {
        // SAFETY: `Ground::take` made `at` point to `len` buckets that only this value owns: on the
        // heap, or in a place which belongs to one owner, who has at most one `Held` in it. They
        // are initialised, since memory from the kernel is zero and a slot may be. Borrowed from
        // `self`; `Ground::give_back` takes them out of it.
        unsafe { NonNull::slice_from_raw_parts(self.at, self.len as usize).as_mut() }
    }
}

/// The memory of one table: buckets, and the right to places in the region.
pub(super) struct Buckets {
    ground: Arc<Ground>,
    owner: u32,
    held: Held,
}

#[expect(unsafe_code, reason = "a pointer to what nobody else points to")]
// SAFETY: `held` owns its buckets as a box does; all else is `Send`.
unsafe impl Send for Buckets {}
#[expect(unsafe_code, reason = "a pointer to what nobody else points to")]
// SAFETY: through `&Buckets` they can only be read.
unsafe impl Sync for Buckets {}

impl Buckets {
    /// Bytes of memory that they take: whole pages, but on the heap.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.len() * BUCKET_BYTES;
        let in_pages = self.held.spot != Spot::Heap;
        (if in_pages { bytes.next_multiple_of(PAGE_BYTES) } else { bytes }) as u64
    }

    /// Puts `len` buckets, at most as many as there may be, in place of those that there are.
    /// `fill` gets the old ones and the new ones, which are empty.
    ///
    /// # Errors
    /// Those of `fill`; then nothing has changed.
    pub(super) fn replace<E>(
        &mut self,
        len: u32,
        fill: impl FnOnce(&[Bucket], &mut [Bucket]) -> Result<(), E>,
    ) -> Result<(), E> {
        let spot = self.ground.spot(len, self.held.spot);
        let held = self.ground.take(spot, self.owner, len);
        let mut fresh = Fresh { ground: &self.ground, held };
        fill(self.held.buckets(), fresh.held.buckets_mut())?;
        // The old ones, or after a fault or panic the new ones, are given back with `fresh`.
        std::mem::swap(&mut self.held, &mut fresh.held);
        Ok(())
    }

    /// Takes all buckets away.
    pub(super) fn clear(&mut self) {
        self.ground.give_back(&mut self.held);
    }
}

impl Deref for Buckets {
    type Target = [Bucket];

    #[inline]
    fn deref(&self) -> &[Bucket] {
        self.held.buckets()
    }
}

impl DerefMut for Buckets {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Bucket] {
        self.held.buckets_mut()
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        // Places go with the region.
        if self.held.spot == Spot::Heap {
            self.clear();
        }
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("owner", &self.owner).field("held", &self.held).finish()
    }
}

/// Buckets that are to be given back.
struct Fresh<'a> {
    ground: &'a Ground,
    held: Held,
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        self.ground.give_back(&mut self.held);
    }
}

/// Addresses from the kernel, most of them with no memory behind.
#[derive(Debug)]
struct Region {
    /// What was mapped.
    mapped: NonNull<u8>,
    mapped_bytes: usize,
    /// From where it is used: the first multiple of a huge page's size.
    base: NonNull<u8>,
    /// Bytes of the area for full tables on huge pages; may be 0.
    huge_bytes: usize,
    /// How many tables have places.
    owners: usize,
}

#[expect(unsafe_code, reason = "a pointer to memory that each owner has its own part of")]
// SAFETY: the region itself never looks into its memory.
unsafe impl Send for Region {}
#[expect(unsafe_code, reason = "a pointer to memory that each owner has its own part of")]
// SAFETY: as above; and the kernel's calls may come from any thread.
unsafe impl Sync for Region {}

impl Region {
    /// Places for `owners` tables of up to `buckets_max` buckets. Fails with the system's error, or
    /// with 0 if there are not that many addresses.
    fn reserve(owners: u32, buckets_max: u32) -> Result<(Self, HugePages), i32> {
        let full_bytes = buckets_max as usize * BUCKET_BYTES;
        let each: usize = PLACE_BYTES
            .iter()
            .filter(|&&size| is_needed(size, full_bytes))
            .map(|size| 2 * size)
            .sum();
        let huge_bytes = if full_bytes == HUGE_BYTES { owners as usize * HUGE_BYTES } else { 0 };
        let bytes = each.checked_mul(owners as usize).ok_or(0)?;
        let bytes = bytes.checked_add(huge_bytes).ok_or(0)?;
        // Of which all but a part of one huge page is used, whatever the address.
        let mapped_bytes = bytes.checked_add(HUGE_BYTES).ok_or(0)?;
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the kernel chooses the address, so nothing that is there changes.
        let mapped = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), mapped_bytes, protection, flags)
        };
        let mapped: NonNull<u8> =
            NonNull::new(mapped.map_err(|error| error.raw_os_error())?.cast()).ok_or(0)?;
        let ahead = mapped.as_ptr().addr().wrapping_neg() % HUGE_BYTES;
        #[expect(unsafe_code, reason = "pointer arithmetic")]
        // SAFETY: `ahead` is less than `HUGE_BYTES`, and at least as much was mapped.
        let base = unsafe { mapped.add(ahead) };
        let region = Self { mapped, mapped_bytes, base, huge_bytes, owners: owners as usize };
        let huge_pages = region.prepare(bytes);
        Ok((region, huge_pages))
    }

    /// Tells the kernel what is what: nothing of it in core dumps, huge pages for full tables only.
    fn prepare(&self, bytes: usize) -> HugePages {
        // Where these fail, memory is used in another way than is best.
        let _ = self.advise(0, bytes, Advice::LinuxDontDump);
        let _ = self.advise(self.huge_bytes, bytes - self.huge_bytes, Advice::LinuxNoHugepage);
        if self.huge_bytes == 0 {
            return HugePages::TooSmall;
        }
        if let Err(error) = self.advise(0, self.huge_bytes, Advice::LinuxHugepage) {
            return HugePages::Unavailable(NoHugePages::Refused(error.raw_os_error()));
        }
        let enabled = std::fs::read_to_string(THP).unwrap_or_default();
        if enabled.is_empty() || enabled.contains("[never]") {
            return HugePages::Unavailable(NoHugePages::NotInKernel);
        }
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: this one asks and changes nothing.
        let disabled = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) };
        if disabled > 0 {
            return HugePages::Unavailable(NoHugePages::NotForProcess);
        }
        HugePages::InUse
    }

    /// The place `spot`, not the heap, of an owner; large enough for `buckets`.
    fn place(&self, spot: Spot, owner: u32, buckets: u32) -> NonNull<Bucket> {
        let (owner, owners) = (owner as usize, self.owners);
        let (offset, size) = match spot {
            Spot::Heap | Spot::Huge => (owner * HUGE_BYTES, HUGE_BYTES),
            Spot::Place { size, turn } => {
                let size = usize::from(size);
                let before: usize = PLACE_BYTES[..size].iter().map(|size| 2 * owners * size).sum();
                let number = usize::from(turn) * owners + owner;
                (self.huge_bytes + before + number * PLACE_BYTES[size], PLACE_BYTES[size])
            }
        };
        assert!(
            owner < owners && buckets as usize * BUCKET_BYTES <= size,
            "the place is too small"
        );
        assert!(offset + size <= self.mapped_bytes - HUGE_BYTES, "there is no such place");
        #[expect(unsafe_code, reason = "pointer arithmetic")]
        // SAFETY: from `base` on at least `mapped_bytes - HUGE_BYTES` are mapped.
        unsafe { self.base.add(offset) }.cast()
    }

    /// Has the kernel put memory behind a place that is about to be written to: at once, in place of
    /// one fault for each page. Where it can't (before Linux 5.14), faults do it.
    fn populate(&self, at: NonNull<Bucket>, buckets: u32) {
        let _ = self.advise_buckets(at, buckets, Advice::LinuxPopulateWrite);
    }

    /// Gives the memory behind a place back. From then on it is empty.
    fn discard(&self, at: NonNull<Bucket>, buckets: u32) {
        if self.advise_buckets(at, buckets, Advice::LinuxDontNeed).is_err() {
            // Locked in memory, for one. It stays, but must be as good as new.
            #[expect(unsafe_code, reason = "memory that came from the kernel")]
            // SAFETY: that many are mapped, and nobody refers to them: see `Ground::give_back`.
            unsafe {
                at.write_bytes(0, buckets as usize);
            }
        }
    }

    fn advise_buckets(
        &self,
        at: NonNull<Bucket>,
        buckets: u32,
        advice: Advice,
    ) -> rustix::io::Result<()> {
        let offset = at.as_ptr().addr() - self.base.as_ptr().addr();
        self.advise(offset, buckets as usize * BUCKET_BYTES, advice)
    }

    /// Advises the kernel on whole pages. Only for parts that the caller owns, where the advice
    /// changes what is in them.
    fn advise(&self, offset: usize, bytes: usize, advice: Advice) -> rustix::io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        assert!(offset + bytes <= self.mapped_bytes, "not ours");
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the addresses are mapped here, as asserted. Of the advice given here, only
        // `LinuxDontNeed` changes what is there, to zeros; `discard` is called for what nobody
        // refers to, and places begin and end with whole pages.
        unsafe {
            let at: *mut c_void = self.base.add(offset).as_ptr().cast();
            rustix::mm::madvise(at, bytes, advice)
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: it was mapped here, and whatever points into it holds an `Arc` of this.
        let _ = unsafe { rustix::mm::munmap(self.mapped.as_ptr().cast(), self.mapped_bytes) };
    }
}

/// Whether a store whose full tables have `full_bytes` needs places of `size` bytes: those up to the
/// first that is enough.
fn is_needed(size: usize, full_bytes: usize) -> bool {
    let smaller = PLACE_BYTES.iter().rev().find(|&&smaller| smaller < size);
    full_bytes >= PLACE_BYTES_MIN && smaller.is_none_or(|&smaller| smaller < full_bytes)
}

/// As many buckets as fill the pages that `buckets` need, if they lie in pages.
pub(super) const fn whole_pages(buckets: u32) -> u32 {
    if (buckets as usize) * BUCKET_BYTES < PLACE_BYTES_MIN {
        return buckets;
    }
    buckets.saturating_add(PAGE_BUCKETS - 1) / PAGE_BUCKETS * PAGE_BUCKETS
}

/// As many buckets as fill whole pages and are not more, if they lie in pages.
pub(super) const fn pages_within(buckets: u32) -> u32 {
    if (buckets as usize) * BUCKET_BYTES < PLACE_BYTES_MIN {
        return buckets;
    }
    buckets / PAGE_BUCKETS * PAGE_BUCKETS
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

/// Has the processor fetch a value, each cache line of it, and goes on. A hint: where there is no such
/// instruction, nothing happens.
#[inline]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "there is no stable safe prefetch")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start: *const i8 = std::ptr::from_ref(value).cast();
        for line in (0..size_of::<T>()).step_by(size_of::<Bucket>()) {
            // SAFETY: a prefetch reads nothing that the program could see and cannot fault, and this
            // is an address within a live value.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use greylist::State;

    /// A slot like no other.
    fn slot(number: usize) -> Slot {
        Slot::new(
            super::super::Fingerprint::of(crate::TupleId::join(1, number as u64 + 1)),
            State::White,
            7,
        )
    }

    fn resize(buckets: &mut Buckets, len: u32) -> [usize; 2] {
        let mut lengths = [0, 0];
        let resized = buckets.replace(len, |old, new| {
            assert!(new.iter().flat_map(|bucket| bucket.0).all(Slot::is_empty), "as good as new");
            lengths = [old.len(), new.len()];
            Ok::<_, ()>(())
        });
        assert_eq!(resized, Ok(()));
        lengths
    }

    #[test]
    fn no_two_tables_share_memory_whatever_their_sizes() {
        for buckets_max in [16, 255, 300, 5_000, 32_704, 32_768] {
            let (ground, mut all) = Ground::reserve(7, buckets_max);
            assert!(ground.region.is_some());
            let sizes = [1, 200, 256, 1024, 1025, 8192, 8193, 32_704, 32_768];
            // Each owner goes through all sizes, twice in each, at a pace of its own.
            for turn in 0..2 * sizes.len() {
                let mut ends = BTreeMap::new();
                for (number, buckets) in all.iter_mut().enumerate() {
                    let size = sizes[(turn / 2 + number) % sizes.len()].min(buckets_max);
                    resize(buckets, size);
                    buckets.iter_mut().for_each(|bucket| bucket.0 = [slot(number); LANES]);
                    let range = buckets.as_ptr_range();
                    assert_eq!(range.start.addr() % BUCKET_BYTES, 0);
                    ends.insert(range.start, range.end);
                }
                let ranges: Vec<_> = ends.into_iter().collect();
                assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:?}");
                for (number, buckets) in all.iter().enumerate() {
                    let mut slots = buckets.iter().flat_map(|bucket| bucket.0);
                    assert!(slots.all(|found| found == slot(number)), "{number} in turn {turn}");
                }
            }
        }
    }

    #[test]
    fn a_fill_that_fails_or_panics_changes_nothing_and_leaves_nothing_behind() {
        for (_, mut all) in [Ground::reserve(3, 32_768), Ground::heap(3)] {
            let buckets = &mut all[1];
            for len in [10, 300, 32_768] {
                resize(buckets, len);
                buckets[0].0[0] = slot(1);
                for other in [20, 400, 20_000, 32_768] {
                    let failed = buckets.replace(other, |_, new| {
                        new.iter_mut().for_each(|bucket| bucket.0 = [slot(2); LANES]);
                        Err("no")
                    });
                    assert_eq!(failed, Err("no"));
                    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        buckets.replace::<()>(other, |_, new| {
                            new.iter_mut().for_each(|bucket| bucket.0 = [slot(3); LANES]);
                            std::panic::resume_unwind(Box::new("no"))
                        })
                    }));
                    assert!(panicked.is_err());
                    assert_eq!((buckets.len(), buckets[0].0[0]), (len as usize, slot(1)));
                }
            }
            assert_eq!(resize(buckets, 20_000), [32_768, 20_000]);
            assert_eq!(resize(buckets, 20_001), [20_000, 20_001]);
            assert_eq!(resize(buckets, 32_768), [20_001, 32_768]);
            buckets.clear();
            assert_eq!((buckets.len(), buckets.bytes()), (0, 0));
            assert_eq!(resize(buckets, 32_768), [0, 32_768]);
        }
    }

    #[test]
    fn bytes_are_those_of_whole_pages_and_the_heap_is_counted() {
        let (ground, mut all) = Ground::reserve(2, 32_768);
        let buckets = &mut all[0];
        for (len, bytes, on_heap) in [
            (255, 255 * 64, 255 * 64),
            (256, 16_384, 0),
            (257, 20_480, 0),
            (1, 64, 64),
            (32_768, 2 << 20, 0),
        ] {
            resize(buckets, len);
            assert_eq!(buckets.bytes(), bytes, "{len}");
            assert_eq!(ground.heap_bytes.load(Ordering::Relaxed), on_heap, "{len}");
        }
        for (buckets, up, down) in
            [(1, 1, 1), (255, 255, 255), (256, 256, 256), (257, 320, 256), (32_767, 32_768, 32_704)]
        {
            assert_eq!((whole_pages(buckets), pages_within(buckets)), (up, down), "{buckets}");
        }
        drop(all);
        assert_eq!(ground.heap_bytes.load(Ordering::Relaxed), 0);
    }
}
