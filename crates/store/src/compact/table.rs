//! A hash table of slots that is rebuilt at any size from nothing but its slots.
//!
//! Each fingerprint has two home buckets, both computed from the fingerprint and the number of
//! buckets alone, and lies in one of the sixteen slots there. Looking one up touches two cache
//! lines, always. When both homes are full, slots are pushed on to their other home; the way to a
//! free slot is found before anything moves, so a search that fails leaves the table as it was.
//!
//! Never knows: what a slot's state and tick mean; which slots may be given up is for the caller
//! to say.

use greylist::State;

use super::{Bucket, Fingerprint, LANES, Slot, allocate};

/// How many buckets a search for room looks into, at most; 512 slots. In a table that is 95 % full,
/// about seven buckets in ten are: to find nothing in so many has a chance of 10^-10. At the bound,
/// a large table is 98 % full before something must be given up.
const SEARCH_BUCKETS_MAX: usize = 64;
const _: () = assert!(SEARCH_BUCKETS_MAX <= u8::MAX as usize);

/// How many buckets a search for the most expendable slot looks into before it takes what it has
/// found; 128 slots, one after the other in memory.
const NEARBY_BUCKETS: u32 = 16;

/// Buckets of slots; none at all until something is put in.
#[derive(Debug)]
pub(super) struct Table {
    buckets: Box<[Bucket]>,
}

/// One in that many buckets is looked at closely when a table is loaded: enough to find out that all
/// of it is wrong. That no bit has changed is for a checksum to say.
const CENSUS_SAMPLE: u32 = 32;

/// What is in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Slots in use.
    pub(super) used: u32,
    /// Of these, the white ones.
    pub(super) white: u32,
    /// Slots that can't be what was put there.
    pub(super) strangers: u32,
}

/// Where a slot lies. Good until the table changes its size or pushes slots around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    bucket: u32,
    lane: u8,
}

/// What a slot in use is worth, to somebody who needs room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It may be used like an empty one.
    Nothing,
    /// If there is no other way, it may be given up; of several, the one with the greatest number.
    Less(u32),
    /// It must stay.
    More,
}

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
    steps: [Step; SEARCH_BUCKETS_MAX],
    len: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { buckets: allocate(0) }
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> u32 {
        self.buckets.len() as u32
    }

    /// How many slots there are, in use or not.
    pub(super) fn slots(&self) -> u64 {
        self.buckets.len() as u64 * LANES as u64
    }

    /// Has the processor fetch both homes of `fingerprint`, and does not wait for them.
    pub(super) fn prefetch(&self, fingerprint: Fingerprint) {
        for home in self.homes(fingerprint).into_iter().flatten() {
            super::memory::prefetch(&self.buckets[home as usize]);
        }
    }

    /// Where the slot of `fingerprint` lies, if there is one.
    pub(super) fn find(&self, fingerprint: Fingerprint) -> Option<Place> {
        let homes = self.homes(fingerprint)?;
        // Both lines are asked for before either is searched.
        let hits = homes.map(|home| lanes(self.bucket(home), |slot| slot.is_of(fingerprint)));
        let (bucket, hits) = if hits[0] != 0 { (homes[0], hits[0]) } else { (homes[1], hits[1]) };
        (hits != 0).then(|| Place { bucket, lane: hits.trailing_zeros() as u8 })
    }

    pub(super) fn get(&self, place: Place) -> Slot {
        self.buckets[place.bucket as usize].0[usize::from(place.lane)]
    }

    /// Puts `slot`, or [`Slot::EMPTY`], at a place that belongs to its fingerprint.
    pub(super) fn set(&mut self, place: Place, slot: Slot) {
        self.buckets[place.bucket as usize].0[usize::from(place.lane)] = slot;
    }

    /// Makes room for `fingerprint`, which must not be in the table: a place for it, and what lay
    /// in the slot that was used up for it: nothing, or what is [`Worth::Nothing`], or the slot
    /// nearby that is [`Worth::Less`] by most. `None`, with nothing changed, when there is no such
    /// slot nearby.
    pub(super) fn room(
        &mut self,
        fingerprint: Fingerprint,
        worth: impl Fn(Slot) -> Worth,
    ) -> Option<(Place, Slot)> {
        let homes = self.homes(fingerprint)?;
        let empty = homes.map(|home| lanes(self.bucket(home), Slot::is_empty));
        if empty != [0, 0] {
            // The emptier home, so that few tuples ever need to be pushed.
            let home = usize::from(empty[1].count_ones() > empty[0].count_ones());
            let lane = empty[home].trailing_zeros() as u8;
            return Some((Place { bucket: homes[home], lane }, Slot::EMPTY));
        }
        let mut search = Search::from(homes);
        let mut least: Option<(u32, usize, usize)> = None;
        let mut at = 0;
        while at < search.len {
            for (lane, &slot) in self.bucket(search.steps[at].bucket).iter().enumerate() {
                match worth(slot) {
                    Worth::Nothing => return Some(self.push(&search, at, lane)),
                    Worth::Less(by) if least.is_none_or(|(most, ..)| by > most) => {
                        least = Some((by, at, lane));
                    }
                    Worth::Less(_) | Worth::More => {}
                }
            }
            if let Some(lane) = self.widen(&mut search, at) {
                return Some(self.push(&search, search.len - 1, lane));
            }
            at += 1;
        }
        least.map(|(_, at, lane)| self.push(&search, at, lane))
    }

    /// The slot near `fingerprint`'s first home that ranks highest. Goes on through the whole table
    /// only as long as it finds none that has a rank.
    pub(super) fn highest_near(
        &self,
        fingerprint: Fingerprint,
        rank: impl Fn(Slot) -> Option<u32>,
    ) -> Option<Place> {
        let [first, _] = self.homes(fingerprint)?;
        let mut best: Option<(u32, Place)> = None;
        for step in 0..self.buckets() {
            if step >= NEARBY_BUCKETS && best.is_some() {
                break;
            }
            let bucket = ((u64::from(first) + u64::from(step)) % self.buckets.len() as u64) as u32;
            for (lane, &slot) in self.bucket(bucket).iter().enumerate() {
                let rank = if slot.is_empty() { None } else { rank(slot) };
                if rank > best.map(|(rank, _)| rank) {
                    best = rank.map(|rank| (rank, Place { bucket, lane: lane as u8 }));
                }
            }
        }
        best.map(|(_, place)| place)
    }

    /// Changes each slot in use to what `change` makes of it; [`Slot::EMPTY`] takes it out. The
    /// fingerprint must stay.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(Slot) -> Slot) {
        for slot in self.buckets.iter_mut().flat_map(|bucket| &mut bucket.0) {
            if !slot.is_empty() {
                *slot = change(*slot);
            }
        }
    }

    /// All slots in use, in no order.
    pub(super) fn slots_in_use(&self) -> impl Iterator<Item = Slot> {
        let slots = self.buckets.iter().flat_map(|bucket| bucket.0);
        slots.filter(|slot| !slot.is_empty())
    }

    /// Appends all buckets as they lie in memory, the lowest byte of a slot first.
    pub(super) fn copy(&self, bytes: &mut Vec<u8>) {
        let from = bytes.len();
        bytes.extend_from_slice(super::memory::bytes(&self.buckets));
        if cfg!(target_endian = "big") {
            bytes[from..].as_chunks_mut::<8>().0.iter_mut().for_each(|slot| slot.reverse());
        }
    }

    /// A table of what [`Table::copy`] copied: `read` is to write it.
    pub(super) fn load<E>(
        buckets: u32,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut buckets = allocate(buckets);
        read(super::memory::bytes_mut(&mut buckets))?;
        let slots = buckets.iter_mut().flat_map(|bucket| &mut bucket.0);
        slots.for_each(|slot| *slot = slot.to_le());
        Ok(Self { buckets })
    }

    /// Counts what is in the table.
    pub(super) fn census(&self, is_ours: impl Fn(Fingerprint) -> bool) -> Census {
        let mut census = Census::default();
        for (at, bucket) in (0..).zip(&self.buckets) {
            for slot in bucket.0 {
                census.used += u32::from(!slot.is_empty());
                census.white += u32::from(slot.state() == State::White);
                census.strangers += u32::from(!slot.is_sane());
            }
            if at % CENSUS_SAMPLE == 0 {
                let in_use = bucket.0.iter().filter(|slot| !slot.is_empty() && slot.is_sane());
                census.strangers += in_use
                    .map(|slot| slot.fingerprint())
                    .filter(|&fingerprint| {
                        let homes = self.homes(fingerprint);
                        !is_ours(fingerprint) || homes.is_none_or(|homes| !homes.contains(&at))
                    })
                    .count() as u32;
            }
        }
        census
    }

    /// The same slots, but for those not to `keep`, in a table of `buckets` buckets. `None` if they
    /// do not fit in there.
    pub(super) fn rebuilt(&self, buckets: u32, mut keep: impl FnMut(Slot) -> bool) -> Option<Self> {
        let mut table = Self { buckets: allocate(buckets) };
        for &slot in self.buckets.iter().flat_map(|bucket| &bucket.0) {
            if !slot.is_empty() && keep(slot) {
                let (place, _) = table.room(slot.fingerprint(), |_| Worth::More)?;
                table.set(place, slot);
            }
        }
        Some(table)
    }

    fn bucket(&self, index: u32) -> &[Slot; LANES] {
        &self.buckets[index as usize].0
    }

    /// The two buckets in which `fingerprint` may lie; the same one twice if there is only one.
    /// `None` if there are no buckets.
    fn homes(&self, fingerprint: Fingerprint) -> Option<[u32; 2]> {
        let buckets = self.buckets.len() as u64;
        if buckets == 0 {
            return None;
        }
        // Each half of a well-mixed number, as a fraction of 2^32, times the number of buckets. All
        // 47 bits take part in both, so nothing is lost where a shard's tuples share some of them.
        let mixed = mix(fingerprint.get());
        let first = ((mixed >> 32) * buckets) >> 32;
        let second = ((mixed & 0xffff_ffff) * buckets) >> 32;
        let second = if first != second {
            second
        } else if first + 1 < buckets {
            first + 1
        } else {
            0
        };
        Some([first as u32, second as u32])
    }

    /// Adds to `search`, all of whose buckets are full, the other homes of the slots in the bucket
    /// of its step `at`. Stops at one that is not full, which is then the last step, and says which
    /// lane is empty there.
    fn widen(&self, search: &mut Search, at: usize) -> Option<usize> {
        let from = search.steps[at].bucket;
        for (lane, &slot) in self.bucket(from).iter().enumerate() {
            if search.len == SEARCH_BUCKETS_MAX {
                return None;
            }
            let [first, second] = self.homes(slot.fingerprint())?;
            let bucket = if first == from { second } else { first };
            search.add(Step { bucket, parent: at as u8, lane: lane as u8 });
            let empty = lanes(self.bucket(bucket), Slot::is_empty);
            if empty != 0 {
                return Some(empty.trailing_zeros() as usize);
            }
        }
        None
    }

    /// Gives up the slot in `lane` of step `at`'s bucket, and pushes the slots on the way there one
    /// step on, the farthest first. What remains is a free place in a home.
    fn push(&mut self, search: &Search, mut at: usize, lane: usize) -> (Place, Slot) {
        let mut hole = Place { bucket: search.steps[at].bucket, lane: lane as u8 };
        let given_up = self.get(hole);
        loop {
            let step = search.steps[at];
            let parent = usize::from(step.parent);
            if parent == at {
                self.set(hole, Slot::EMPTY);
                return (hole, given_up);
            }
            let from = Place { bucket: search.steps[parent].bucket, lane: step.lane };
            self.set(hole, self.get(from));
            hole = from;
            at = parent;
        }
    }
}

impl Search {
    fn from(homes: [u32; 2]) -> Self {
        let home = Step { bucket: homes[0], parent: 0, lane: 0 };
        let mut search = Self { steps: [home; SEARCH_BUCKETS_MAX], len: 1 };
        search.add(Step { bucket: homes[1], parent: 1, lane: 0 });
        search
    }

    fn add(&mut self, step: Step) {
        if self.steps[..self.len].iter().all(|known| known.bucket != step.bucket) {
            self.steps[self.len] = step;
            self.len += 1;
        }
    }
}

/// Which slots of a bucket are so, one bit each.
fn lanes(bucket: &[Slot; LANES], is: impl Fn(Slot) -> bool) -> u32 {
    bucket.iter().rev().fold(0, |bits, &slot| bits << 1 | u32::from(is(slot)))
}

/// Spreads each bit over all 64: twice an odd multiplier (2^64 over the golden ratio), with the high
/// half folded into the low one in between.
const fn mix(bits: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let bits = bits.wrapping_mul(MULTIPLIER);
    (bits ^ bits >> 32).wrapping_mul(MULTIPLIER)
}

#[cfg(test)]
mod tests {
    use super::super::TupleId;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn fingerprint(number: u64) -> Fingerprint {
        fingerprint_of(mix(mix(number + 1)))
    }

    fn fingerprint_of(bits: u64) -> Fingerprint {
        Fingerprint::of(TupleId::of(greylist::TupleKey(bits.into())))
    }

    fn table(buckets: u32) -> Table {
        Table { buckets: allocate(buckets) }
    }

    /// Puts tuples in until there is no room; says how many went in.
    fn fill(table: &mut Table, fingerprints: impl Iterator<Item = Fingerprint>) -> u64 {
        for (filled, fingerprint) in (0..).zip(fingerprints) {
            let Some((place, was)) = table.room(fingerprint, |_| Worth::More) else {
                return filled;
            };
            assert!(was.is_empty());
            table.set(place, Slot::new(fingerprint, State::Grey, filled as u16));
        }
        unreachable!("there is an end to room")
    }

    #[test]
    fn a_table_of_any_size_fills_up_almost_whole_and_keeps_all_that_is_in_it() {
        for (buckets, percent_min) in
            [(1, 100), (2, 100), (3, 100), (33, 98), (1000, 97), (4096, 97)]
        {
            let mut table = table(buckets);
            let filled = fill(&mut table, (0..).map(fingerprint));
            let percent = filled * 100 / table.slots();
            assert!(percent >= percent_min, "{buckets} buckets: {percent} %");
            for number in 0..filled {
                let place = table.find(fingerprint(number));
                assert_eq!(place.map(|p| table.get(p).tick()), Some(number as u16), "{number}");
            }
        }
    }

    /// So it is in a shard that was split: its tuples share the first bits of their fingerprints.
    #[test]
    fn tuples_that_share_bits_fill_a_table_as_well() {
        for (shared_bits, shift) in [(8, 39), (16, 31), (16, 0)] {
            let mut table = table(1000);
            let mask = ((1_u64 << shared_bits) - 1) << shift;
            let alike = (0..).map(|number| {
                let bits = fingerprint(number).get() & !mask | 1 << shift;
                fingerprint_of(bits)
            });
            let percent = fill(&mut table, alike) * 100 / table.slots();
            assert!(percent >= 97, "{shared_bits} bits from {shift}: {percent} %");
        }
    }

    #[test]
    fn a_slot_that_may_be_given_up_is_found_beyond_full_homes() {
        let mut table = table(200);
        let filled = fill(&mut table, (0..).map(fingerprint));
        let newcomer = fingerprint(filled);
        assert_eq!(table.room(newcomer, |_| Worth::More), None);
        // The highest rank within reach, whichever slot that is, goes; nothing else is lost.
        let (place, gone) = table.room(newcomer, |slot| Worth::Less(slot.tick().into())).unwrap();
        assert!(table.get(place).is_empty());
        assert!(u64::from(gone.tick()) > filled / 2, "{} of {filled}", gone.tick());
        for number in 0..filled {
            let expected = number != u64::from(gone.tick());
            assert_eq!(table.find(fingerprint(number)).is_some(), expected, "{number}");
        }
    }

    #[test]
    fn the_highest_rank_is_found_however_far_away_it_is() {
        let mut table = table(200);
        fill(&mut table, (0..).map(fingerprint));
        for number in [0, 1, 17, 1111] {
            let rank = |slot: Slot| slot.is_of(fingerprint(number)).then_some(1);
            let place = table.highest_near(fingerprint(5), rank);
            assert_eq!(place, table.find(fingerprint(number)));
        }
        assert_eq!(table.highest_near(fingerprint(5), |_| None), None);
        assert_eq!(Table::new().highest_near(fingerprint(5), |_| Some(1)), None);
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Put(u8),
        Free(u8),
        /// Makes room at the cost of whatever ranks highest.
        Force(u8),
        Rebuild(u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => any::<u8>().prop_map(Op::Put),
            2 => any::<u8>().prop_map(Op::Free),
            2 => any::<u8>().prop_map(Op::Force),
            1 => (1u32..24).prop_map(Op::Rebuild),
        ]
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_map_holds(ops in prop::collection::vec(op(), 1..300)) {
            let mut table = table(8);
            let mut map: BTreeMap<u64, Slot> = BTreeMap::new();
            for (tick, &op) in (1..).zip(&ops) {
                match op {
                    Op::Put(number) | Op::Force(number) => {
                        let new = fingerprint(number.into());
                        let slot = Slot::new(new, State::White, tick);
                        let room = match (table.find(new), op) {
                            (Some(place), _) => Some((place, table.get(place))),
                            (None, _) => table.room(new, |slot| match (slot.tick(), op) {
                                (tick, _) if tick % 16 == 0 => Worth::Nothing,
                                (tick, Op::Force(_)) => Worth::Less(tick.into()),
                                _ => Worth::More,
                            }),
                        };
                        if let Some((place, was)) = room {
                            if !was.is_empty() {
                                prop_assert_eq!(map.remove(&was.fingerprint().get()), Some(was));
                            }
                            table.set(place, slot);
                            map.insert(new.get(), slot);
                        }
                    }
                    Op::Free(number) => {
                        let place = table.find(fingerprint(number.into()));
                        let known = map.remove(&fingerprint(number.into()).get());
                        prop_assert_eq!(place.map(|place| table.get(place)), known);
                        if let Some(place) = place {
                            table.set(place, Slot::EMPTY);
                        }
                    }
                    Op::Rebuild(buckets) => {
                        if let Some(rebuilt) = table.rebuilt(buckets, |slot| slot.tick() % 16 != 1) {
                            table = rebuilt;
                            map.retain(|_, slot| slot.tick() % 16 != 1);
                        }
                    }
                }
            }
            let mut held = BTreeMap::new();
            table.change_all(|slot| {
                held.insert(slot.fingerprint().get(), slot);
                slot
            });
            prop_assert_eq!(&held, &map, "each once, none lost");
            for slot in map.into_values() {
                prop_assert!(table.find(slot.fingerprint()).is_some(), "found where it lies");
            }
        }
    }
}
