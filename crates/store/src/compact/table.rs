//! A hash table of slots that is rebuilt at any size from nothing but its slots.
//!
//! A fingerprint lies in one of the sixteen slots of its two home buckets: looking one up touches
//! two cache lines, always. The homes follow from the fingerprint and the number of buckets (see
//! `search.rs`), and keep their order when that number changes: so a table is rebuilt from its first
//! bucket to its last, and the new one is written from its first bucket to its last, too.
//!
//! Never knows: what a slot's state and tick mean; which slots may be given up is for the caller
//! to say.

use greylist::State;

use super::memory::{Buckets, bytes, bytes_mut, prefetch};
use super::search::{free, homes, lanes, make_room};
use super::{Bucket, Fingerprint, LANES, Slot};

/// How many buckets a search for the most expendable slot looks into before it takes what it has
/// found; 128 slots, one after the other in memory.
const NEARBY_BUCKETS: u32 = 16;

/// One in that many buckets is looked at closely when a table is loaded: enough to find out that all
/// of it is wrong. That no bit has changed is for a checksum to say.
const CENSUS_SAMPLE: usize = 32;

/// Buckets of slots; none at all until something is put in.
#[derive(Debug)]
pub(super) struct Table {
    buckets: Buckets,
}

/// Where a slot lies. Good until the table changes its size or pushes slots around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: u32,
    pub(super) lane: u8,
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

impl Table {
    /// An empty one, in that memory.
    pub(super) fn new(buckets: Buckets) -> Self {
        Self { buckets }
    }

    /// How many buckets there are.
    #[inline]
    pub(super) fn buckets(&self) -> u32 {
        self.buckets.len() as u32
    }

    /// How many slots there are, in use or not.
    #[inline]
    pub(super) fn slots(&self) -> u64 {
        self.buckets.len() as u64 * LANES as u64
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.buckets.bytes()
    }

    /// Has the processor fetch both homes of `fingerprint`, and does not wait for them.
    #[inline]
    pub(super) fn prefetch(&self, fingerprint: Fingerprint) {
        if !self.buckets.is_empty() {
            for home in homes(fingerprint, self.buckets.len()) {
                prefetch(&self.buckets[home as usize]);
            }
        }
    }

    /// Where the slot of `fingerprint` lies, if there is one.
    #[inline]
    pub(super) fn find(&self, fingerprint: Fingerprint) -> Option<Place> {
        let buckets: &[Bucket] = &self.buckets;
        if buckets.is_empty() {
            return None;
        }
        let homes = homes(fingerprint, buckets.len());
        // Both lines are asked for before either is searched.
        let hits = homes.map(|home| lanes(&buckets[home as usize], |slot| slot.is_of(fingerprint)));
        let (bucket, hits) = if hits[0] != 0 { (homes[0], hits[0]) } else { (homes[1], hits[1]) };
        (hits != 0).then(|| Place { bucket, lane: hits.trailing_zeros() as u8 })
    }

    #[inline]
    pub(super) fn get(&self, place: Place) -> Slot {
        self.buckets[place.bucket as usize].0[usize::from(place.lane)]
    }

    /// Puts `slot`, or [`Slot::EMPTY`], at a place that belongs to its fingerprint.
    #[inline]
    pub(super) fn set(&mut self, place: Place, slot: Slot) {
        self.buckets[place.bucket as usize].0[usize::from(place.lane)] = slot;
    }

    /// An empty place for `fingerprint`, which must not be in the table, if it has one at once.
    #[inline]
    pub(super) fn free(&self, fingerprint: Fingerprint) -> Option<Place> {
        let buckets: &[Bucket] = &self.buckets;
        if buckets.is_empty() {
            return None;
        }
        free(buckets, homes(fingerprint, buckets.len()))
    }

    /// Makes room for `fingerprint`, which must not be in the table nor have a free place: a place
    /// for it, and what lay in the slot that was used up for it: nothing, or what is
    /// [`Worth::Nothing`], or the slot nearby that is [`Worth::Less`] by most. `None`, with nothing
    /// changed, when there is no such slot nearby.
    pub(super) fn make_room(
        &mut self,
        fingerprint: Fingerprint,
        worth: impl Fn(Slot) -> Worth,
    ) -> Option<(Place, Slot)> {
        if self.buckets.is_empty() {
            return None;
        }
        let homes = homes(fingerprint, self.buckets.len());
        make_room(&mut self.buckets, homes, worth)
    }

    /// The slot near `fingerprint`'s first home that ranks highest. Goes on through the whole table
    /// only as long as it finds none that has a rank.
    pub(super) fn highest_near(
        &self,
        fingerprint: Fingerprint,
        rank: impl Fn(Slot) -> Option<u32>,
    ) -> Option<Place> {
        if self.buckets.is_empty() {
            return None;
        }
        let [first, _] = homes(fingerprint, self.buckets.len());
        let mut best: Option<(u32, Place)> = None;
        for step in 0..self.buckets() {
            if step >= NEARBY_BUCKETS && best.is_some() {
                break;
            }
            let bucket = ((u64::from(first) + u64::from(step)) % self.buckets.len() as u64) as u32;
            for (lane, &slot) in self.buckets[bucket as usize].0.iter().enumerate() {
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

    /// Takes everything out, and gives the memory back.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
    }

    /// Gives it another number of buckets, a little more if that fills pages, and takes out what is
    /// not to `keep`. `false`, with nothing changed, if what is to stay does not fit in there.
    pub(super) fn rebuild(&mut self, buckets: u32, mut keep: impl FnMut(Slot) -> bool) -> bool {
        let rebuilt = self.buckets.replace(buckets, |old, new| {
            for (at, bucket) in (0..).zip(old) {
                for slot in bucket.0 {
                    if !slot.is_empty() && keep(slot) {
                        put_again(slot, at, old.len(), new).ok_or(())?;
                    }
                }
            }
            Ok::<_, ()>(())
        });
        rebuilt.is_ok()
    }

    /// Appends all buckets as they lie in memory, the lowest byte of a slot first.
    pub(super) fn copy(&self, to: &mut Vec<u8>) {
        let from = to.len();
        to.extend_from_slice(bytes(&self.buckets));
        if cfg!(target_endian = "big") {
            to[from..].as_chunks_mut::<8>().0.iter_mut().for_each(|slot| slot.reverse());
        }
    }

    /// Puts what [`Table::copy`] copied in place of all that is there: `read` is to write it. After
    /// an error the table is empty.
    pub(super) fn load<E>(
        &mut self,
        buckets: u32,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.clear();
        self.buckets.replace(buckets, |_, new| {
            read(bytes_mut(new))?;
            let slots = new.iter_mut().flat_map(|bucket| &mut bucket.0);
            slots.for_each(|slot| *slot = slot.to_le());
            Ok(())
        })
    }

    /// Counts what is in the table.
    pub(super) fn census(&self, is_ours: impl Fn(Fingerprint) -> bool) -> Census {
        let mut census = Census::default();
        for (at, bucket) in self.buckets.iter().enumerate() {
            for slot in bucket.0 {
                census.used += u32::from(!slot.is_empty());
                census.white += u32::from(slot.state() == State::White);
                census.strangers += u32::from(!slot.is_sane());
            }
            if at.is_multiple_of(CENSUS_SAMPLE) {
                let in_use = bucket.0.iter().filter(|slot| !slot.is_empty() && slot.is_sane());
                let is_strange = |&fingerprint: &Fingerprint| {
                    !is_ours(fingerprint)
                        || !homes(fingerprint, self.buckets.len()).contains(&(at as u32))
                };
                let fingerprints = in_use.map(|slot| slot.fingerprint());
                census.strangers += fingerprints.filter(is_strange).count() as u32;
            }
        }
        census
    }
}

/// Puts a slot from bucket `at`, of `old`, into `new`: in the home of the same order if it has room.
/// That is where the last slot went, or next to it. `None` if there is no room.
#[inline]
fn put_again(slot: Slot, at: u32, old: usize, new: &mut [Bucket]) -> Option<()> {
    let fingerprint = slot.fingerprint();
    let homes_now = homes(fingerprint, new.len());
    let home = homes_now[usize::from(homes(fingerprint, old)[0] != at)];
    let empty = lanes(&new[home as usize], Slot::is_empty);
    let place = if empty != 0 {
        Place { bucket: home, lane: empty.trailing_zeros() as u8 }
    } else if let Some(place) = free(new, homes_now) {
        place
    } else {
        make_room(new, homes_now, |_| Worth::More)?.0
    };
    new[place.bucket as usize].0[usize::from(place.lane)] = slot;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::TupleId;
    use super::super::memory::Ground;
    use super::super::search::mix;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn fingerprint(number: u64) -> Fingerprint {
        fingerprint_of(mix(mix(number + 1)))
    }

    fn fingerprint_of(bits: u64) -> Fingerprint {
        Fingerprint::of(TupleId::of(greylist::TupleKey(bits.into())))
    }

    /// One of many, in the region if that is possible; the others stay empty.
    fn table(buckets: u32) -> Table {
        let mut table = Table::new(Ground::reserve(3, 32_768).1.swap_remove(1));
        assert!(table.rebuild(buckets, |_| true));
        table
    }

    fn room(
        table: &mut Table,
        fingerprint: Fingerprint,
        worth: impl Fn(Slot) -> Worth,
    ) -> Option<(Place, Slot)> {
        match table.free(fingerprint) {
            Some(place) => Some((place, Slot::EMPTY)),
            None => table.make_room(fingerprint, worth),
        }
    }

    /// Puts tuples in until there is no room; says how many went in.
    fn fill(table: &mut Table, fingerprints: impl Iterator<Item = Fingerprint>) -> u64 {
        for (filled, fingerprint) in (0..).zip(fingerprints) {
            let Some((place, was)) = room(table, fingerprint, |_| Worth::More) else {
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
        assert_eq!(room(&mut table, newcomer, |_| Worth::More), None);
        // The highest rank within reach, whichever slot that is, goes; nothing else is lost.
        let (place, gone) =
            room(&mut table, newcomer, |slot| Worth::Less(slot.tick().into())).unwrap();
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
        assert_eq!(self::table(0).highest_near(fingerprint(5), |_| Some(1)), None);
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
                            (None, _) => room(&mut table, new, |slot| match (slot.tick(), op) {
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
                        if table.rebuild(buckets, |slot| slot.tick() % 16 != 1) {
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
