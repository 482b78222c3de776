//! Where a fingerprint may lie, and how room is made there.
//!
//! Each fingerprint has two home buckets, both computed from the fingerprint and the number of
//! buckets alone. When both are full, slots are pushed on to their other home; the way to a free slot
//! is found before anything moves, so a search that fails leaves the table as it was.
//!
//! Never knows: what a slot's state and tick mean; which slots may be given up is for the caller to
//! say.

use arrayvec::ArrayVec;

use super::memory::prefetch;
use super::{Bucket, Fingerprint, Place, Slot, Worth};

/// How many buckets a search for room looks into, at most; 512 slots. In a table that is 95 % full,
/// about seven buckets in ten are: to find nothing in so many has a chance of 10^-10.
const SEARCH_BUCKETS_MAX: usize = 64;
const _: () = assert!(SEARCH_BUCKETS_MAX <= u8::MAX as usize);

/// How many buckets have the other homes of their slots looked at if something was found that may be
/// given up: both homes. So one slot of 144 goes, in buckets that were looked into for an empty one
/// anyway. In a table that is 95 % full there is room further away with a chance of 1 in 200, and
/// in one that is 90 % full with one in 100,000: so nothing may be given up before the table is full.
const WIDENED: usize = 2;

/// One bucket that a search has reached, and how.
#[derive(Clone, Copy)]
struct Step {
    bucket: u32,
    /// The step that it was reached from; a step that is its own parent is a home.
    parent: u8,
    /// The slot there that has its other home here.
    lane: u8,
}

/// The buckets that can be reached from a fingerprint's homes by pushing slots to their other
/// homes, nearest first, each only once. The way to one never crosses itself: what lies behind a
/// bucket that comes up again was reached without it before.
struct Search {
    steps: ArrayVec<Step, SEARCH_BUCKETS_MAX>,
}

/// The two buckets, of so many, in which `fingerprint` may lie; the same one twice if there is only
/// one. There must be one.
#[inline]
pub(super) fn homes(fingerprint: Fingerprint, buckets: usize) -> [u32; 2] {
    // Each half of a well-mixed number, as a fraction of 2^32, times the number of buckets. All
    // 47 bits take part in both, so nothing is lost where a shard's tuples share some of them.
    let mixed = mix(fingerprint.get());
    let buckets = buckets as u64;
    let first = ((mixed >> 32) * buckets) >> 32;
    let second = ((mixed & 0xffff_ffff) * buckets) >> 32;
    let after = if first + 1 < buckets { first + 1 } else { 0 };
    [first as u32, if first == second { after } else { second } as u32]
}

/// Which slots of a bucket are so, one bit each.
#[inline]
pub(super) fn lanes(bucket: &Bucket, is: impl Fn(Slot) -> bool) -> u32 {
    bucket.0.iter().rev().fold(0, |bits, &slot| bits << 1 | u32::from(is(slot)))
}

/// A place in one of `homes` that is empty: in the emptier one, so that few tuples ever need to be
/// pushed.
#[inline]
pub(super) fn free(buckets: &[Bucket], homes: [u32; 2]) -> Option<Place> {
    let empty = homes.map(|home| lanes(&buckets[home as usize], Slot::is_empty));
    if empty == [0, 0] {
        return None;
    }
    let home = usize::from(empty[1].count_ones() > empty[0].count_ones());
    Some(Place { bucket: homes[home], lane: empty[home].trailing_zeros() as u8 })
}

/// Makes room in one of `homes`, both of which are full: a place there, now empty, and what lay in
/// the slot that was used up for it: nothing, or what is [`Worth::Nothing`], or the slot nearby that
/// is [`Worth::Less`] by most. `None`, with nothing changed, when there is no such slot nearby.
#[cold]
#[inline(never)]
pub(super) fn make_room(
    buckets: &mut [Bucket],
    homes: [u32; 2],
    worth: impl Fn(Slot) -> Worth,
) -> Option<(Place, Slot)> {
    let mut search = Search::from(homes);
    let mut least: Option<(u32, usize, usize)> = None;
    let mut at = 0;
    while at < search.steps.len() {
        for (lane, &slot) in buckets[search.steps[at].bucket as usize].0.iter().enumerate() {
            match worth(slot) {
                Worth::Nothing => return Some(search.push(buckets, at, lane)),
                Worth::Less(by) if least.is_none_or(|(most, ..)| by > most) => {
                    least = Some((by, at, lane));
                }
                Worth::Less(_) | Worth::More => {}
            }
        }
        if (at < WIDENED || least.is_none())
            && let Some(lane) = search.widen(buckets, at)
        {
            return Some(search.push(buckets, search.steps.len() - 1, lane));
        }
        at += 1;
    }
    least.map(|(_, at, lane)| search.push(buckets, at, lane))
}

impl Search {
    fn from(homes: [u32; 2]) -> Self {
        let home = |(step, bucket)| Step { bucket, parent: step, lane: 0 };
        let mut search = Self { steps: ArrayVec::new() };
        search.steps.push(home((0, homes[0])));
        search.add(home((1, homes[1])));
        search
    }

    fn add(&mut self, step: Step) {
        if self.steps.iter().all(|known| known.bucket != step.bucket) {
            self.steps.push(step);
        }
    }

    /// Adds the other homes of the slots in the bucket of step `at`. All buckets so far are full;
    /// stops at one that is not, which is then the last step, and says which lane is empty there.
    fn widen(&mut self, buckets: &[Bucket], at: usize) -> Option<usize> {
        let from = self.steps[at].bucket;
        let others = buckets[from as usize].0.map(|slot| {
            let [first, second] = homes(slot.fingerprint(), buckets.len());
            let other = if first == from { second } else { first };
            prefetch(&buckets[other as usize]);
            other
        });
        for (lane, bucket) in (0..).zip(others) {
            if self.steps.is_full() {
                return None;
            }
            self.add(Step { bucket, parent: at as u8, lane });
            let empty = lanes(&buckets[bucket as usize], Slot::is_empty);
            if empty != 0 {
                return Some(empty.trailing_zeros() as usize);
            }
        }
        None
    }

    /// Gives up the slot in `lane` of step `at`'s bucket, and pushes the slots on the way there one
    /// step on, the farthest first. What remains is a free place in a home.
    fn push(&self, buckets: &mut [Bucket], mut at: usize, lane: usize) -> (Place, Slot) {
        let mut hole = (self.steps[at].bucket as usize, lane);
        let given_up = buckets[hole.0].0[hole.1];
        loop {
            let step = self.steps[at];
            let parent = usize::from(step.parent);
            if parent == at {
                buckets[hole.0].0[hole.1] = Slot::EMPTY;
                return (Place { bucket: hole.0 as u32, lane: hole.1 as u8 }, given_up);
            }
            let from = (self.steps[parent].bucket as usize, usize::from(step.lane));
            buckets[hole.0].0[hole.1] = buckets[from.0].0[from.1];
            hole = from;
            at = parent;
        }
    }
}

/// Spreads each bit over all 64: twice an odd multiplier (2^64 over the golden ratio), with the high
/// half folded into the low one in between.
pub(super) const fn mix(bits: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let bits = bits.wrapping_mul(MULTIPLIER);
    (bits ^ bits >> 32).wrapping_mul(MULTIPLIER)
}
