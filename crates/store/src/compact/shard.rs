//! One shard: a table of slots, the time by which its ticks are read, and what to do when it fills
//! up. Here slots, ticks and table meet.
//!
//! Ticks go round, so each shard knows the latest moment it has seen and the moment when it was
//! last swept; no slot was written after the one, nor had anything expired at the other. As long as
//! the two are no further apart than the slack, every tick stands for one moment only. Before that
//! would change (after a stop, a suspend, a clock that stepped), the shard is swept, with its ticks
//! still read at the moment that it knew before. So no old grey ever looks fresh.
//!
//! Each change of a slot is told to a [`Recorder`] at once: what was put there, or that something was
//! forgotten or given up. What expires is not told: it expires wherever it is read.
//!
//! Never knows: its neighbours, its lock.

use std::sync::Arc;

use greylist::tuple::judge;
use greylist::{Secs, State, Timestamp, Touch, Tuple};

use super::memory::{Buckets, whole_pages};
use super::{
    Bucket, Fingerprint, LANES, LoadFault, Merged, Moment, Place, Placed, Recorder, Scale,
    ShardHeader, Share, Slot, Table, TupleId, Worth,
};

/// How long after the end of the embargo a grey tuple is kept whatever happens. RFC 5321, section
/// 4.5.4.1, has senders wait for half an hour between tries: one that was too early then comes back
/// within this time.
const RETRY_SPAN: Secs = Secs::new(30 * 60);

/// Buckets of a shard's first table.
const BUCKETS_MIN: u32 = 2;

/// When a table is swept and when it grows, in parts of its slots, those that have expired included.
struct Fullness {
    /// So full, it is swept, ...
    full_64ths: u64,
    /// ... and grows if it is still so full then. Else sweeps would come too often.
    grow_64ths: u64,
    /// By how much at least; up to a quarter more, see [`Shard::larger`].
    growth_1024ths: u64,
    /// How full it is after it has shrunk.
    shrunk_64ths: u64,
}

impl Fullness {
    /// Every byte counts: at 54/64, a sweep frees at least 7/64, and passes over 9 slots for each of these.
    const DENSE: Self =
        Self { full_64ths: 61, grow_64ths: 54, growth_1024ths: 128, shrunk_64ths: 48 };
    /// A new tuple's time counts: a table that is filled up and grows by little spends a third of it on searches for
    /// room and on being built anew.
    const SPARSE: Self =
        Self { full_64ths: 50, grow_64ths: 44, growth_1024ths: 640, shrunk_64ths: 32 };
    /// Tables are sparse as long as those of all shards together are smaller, in bytes.
    const SPARSE_BYTES: u64 = 32 << 20;

    /// Of a table of so many buckets, one of so many.
    const fn of(buckets: u32, shards: u32) -> Self {
        let bytes = buckets as u64 * size_of::<Bucket>() as u64 * shards as u64;
        if bytes < Self::SPARSE_BYTES { Self::SPARSE } else { Self::DENSE }
    }

    /// Fails to compile where a table that has grown is small enough to shrink, or one that has shrunk full
    /// enough to grow.
    const fn check(self) {
        let growth_1024ths_max = self.growth_1024ths + 255;
        assert!(self.grow_64ths * 1024 / (1024 + growth_1024ths_max) > SHRINK_64THS);
        assert!(SHRINK_64THS < self.shrunk_64ths && self.shrunk_64ths < self.grow_64ths);
    }
}

/// A table less full than this after a sweep shrinks, so that a flood's memory is given back.
const SHRINK_64THS: u64 = 20;

const _: () = Fullness::DENSE.check();
const _: () = Fullness::SPARSE.check();

/// White holds at most this part of a shard at its bound: [numerator, denominator].
const WHITE_SHARE: [u64; 2] = [3, 4];

/// What has happened in a shard, and what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Grey slots, those included that have expired since the last sweep.
    pub(super) grey: u32,
    /// White slots, likewise.
    pub(super) white: u32,
    /// Grey tuples given up for others.
    pub(super) evicted_grey: u64,
    /// White tuples given up for others.
    pub(super) evicted_white: u64,
    /// Grey tuples whose window was over.
    pub(super) expired_grey: u64,
    /// White tuples whose lifetime was over.
    pub(super) expired_white: u64,
    /// New tuples that could not be remembered.
    pub(super) no_room: u64,
    /// Times that the table was built anew in another size.
    pub(super) rebuilds: u64,
}

impl Tally {
    const fn used(&self) -> u64 {
        self.grey as u64 + self.white as u64
    }

    pub(super) const fn expired(&self) -> u64 {
        self.expired_grey + self.expired_white
    }

    const fn of(&mut self, state: State) -> &mut u32 {
        match state {
            State::Grey => &mut self.grey,
            State::White => &mut self.white,
        }
    }

    const fn expire(&mut self, state: State) {
        *self.of(state) -= 1;
        match state {
            State::Grey => self.expired_grey += 1,
            State::White => self.expired_white += 1,
        }
    }

    const fn evict(&mut self, state: State) {
        *self.of(state) -= 1;
        match state {
            State::Grey => self.evicted_grey += 1,
            State::White => self.evicted_white += 1,
        }
    }
}

/// How much a shard may hold, and how it goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Buckets that the table may have; at least [`BUCKETS_MIN`].
    pub(super) buckets_max: u32,
    /// Which ids it holds.
    pub(super) share: Share,
}

/// The tuples whose ids lie in one range. What each touch needs comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shard {
    table: Table,
    /// The latest time seen; no slot is from after it.
    seen: Moment,
    scale: Arc<Scale>,
    /// When it was last swept.
    swept: Timestamp,
    /// When a search for room last failed, if nothing was freed since. One such search a second is
    /// enough: in a flood, they would be all that is done.
    no_room: Option<Timestamp>,
    limits: Limits,
    tally: Tally,
}

impl Shard {
    /// An empty one: it allocates nothing.
    pub(super) fn new(buckets: Buckets, scale: Arc<Scale>, limits: Limits) -> Self {
        let never = Timestamp::from_unix_secs(0);
        Self {
            table: Table::new(buckets),
            seen: scale.at(never),
            swept: never,
            no_room: None,
            scale,
            limits,
            tally: Tally::default(),
        }
    }

    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Where its slots lie.
    pub(super) const fn table(&self) -> &Table {
        &self.table
    }

    /// Has the processor fetch where the tuple would lie.
    pub(super) fn prefetch(&self, id: TupleId) {
        self.table.prefetch(Fingerprint::of(id));
    }

    /// Looks up, judges, remembers.
    pub(super) fn touch(&mut self, now: Timestamp, id: TupleId, told: &mut impl Recorder) -> Touch {
        self.advance(now);
        let now = self.seen.now();
        let place = self.table.find(Fingerprint::of(id));
        let known = place.map(|place| self.read(self.table.get(place)));
        let (touch, tuple) = judge(self.scale.timing(), known, now);
        if let Some((place, known)) = place.zip(known) {
            if tuple != known {
                self.replace(place, id, tuple, told);
            }
        } else if !self.insert(id, tuple, told) {
            self.tally.no_room += 1;
            return Touch::NoRoom;
        }
        touch
    }

    /// What is known.
    pub(super) fn peek(&mut self, now: Timestamp, id: TupleId) -> Option<Tuple> {
        self.advance(now);
        let tuple = self.read(self.table.get(self.table.find(Fingerprint::of(id))?));
        (!self.is_expired(tuple)).then_some(tuple)
    }

    /// Remembers `tuple`, whatever was known.
    pub(super) fn put(
        &mut self,
        now: Timestamp,
        id: TupleId,
        tuple: Tuple,
        told: &mut impl Recorder,
    ) -> Placed {
        self.advance(now);
        if self.is_expired(tuple) {
            self.forget(now, id, told);
            return Placed::Expired;
        }
        let tuple = Tuple { since: tuple.since.min(self.seen.now()), ..tuple };
        if let Some(place) = self.table.find(Fingerprint::of(id)) {
            self.replace(place, id, tuple, told);
            Placed::Stored
        } else if self.insert(id, tuple, told) {
            Placed::Stored
        } else {
            self.tally.no_room += 1;
            Placed::NoRoom
        }
    }

    /// Puts `tuple` together with what is known. What has expired changes nothing.
    pub(super) fn merge(
        &mut self,
        now: Timestamp,
        id: TupleId,
        tuple: Tuple,
        told: &mut impl Recorder,
    ) -> Merged {
        let known = self.peek(now, id);
        if self.is_expired(tuple) {
            return Merged::Expired;
        }
        let tuple = Tuple { since: tuple.since.min(self.seen.now()), ..tuple };
        let merged = known.map_or(tuple, |known| greylist::tuple::merge(known, tuple));
        if known == Some(merged) {
            return Merged::Known;
        }
        match (self.put(now, id, merged, told), known) {
            (Placed::NoRoom, _) => Merged::NoRoom,
            (_, None) => Merged::New,
            // A time that only a finer unit could tell from the one known.
            (_, known) if self.peek(now, id) == known => Merged::Known,
            (_, Some(_)) => Merged::Changed,
        }
    }

    /// Forgets, and says what was known.
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        id: TupleId,
        told: &mut impl Recorder,
    ) -> Option<Tuple> {
        self.advance(now);
        // Whether or not anything is known: under a timing that is longer, what has expired here
        // would come back from what was told before.
        told.changed(id, None);
        let place = self.table.find(Fingerprint::of(id))?;
        let tuple = self.read(self.table.get(place));
        self.table.set(place, Slot::EMPTY);
        self.no_room = None;
        if self.is_expired(tuple) {
            self.tally.expire(tuple.state);
            return None;
        }
        *self.tally.of(tuple.state) -= 1;
        Some(tuple)
    }

    /// Appends all that is known, in no order.
    pub(super) fn scan(&mut self, now: Timestamp, out: &mut Vec<(TupleId, Tuple)>) {
        self.advance(now);
        let share = self.limits.share;
        out.extend(self.table.slots_in_use().filter_map(|slot| {
            let tuple = self.read(slot);
            (!self.is_expired(tuple)).then(|| (share.id(slot.fingerprint()), tuple))
        }));
    }

    /// Appends the table as it lies in memory, the lowest byte of a slot first.
    pub(super) fn copy(&self, bytes: &mut Vec<u8>) -> ShardHeader {
        self.table.copy(bytes);
        ShardHeader {
            timing: *self.scale.timing(),
            index: self.limits.share.index(),
            of: self.limits.share.of(),
            seen: self.seen.now(),
            swept: self.swept,
            buckets: self.table.buckets(),
        }
    }

    /// Whether a shard may be loaded here as a whole: it is for the same ids, and not too large.
    pub(super) fn fits(&self, header: &ShardHeader) -> bool {
        Share::new(header.index, header.of) == Some(self.limits.share)
            && header.buckets <= self.limits.buckets_max
    }

    /// Takes over what [`Shard::copy`] copied; `scale` is that of the header's timing. What is there
    /// is lost. After a fault it is empty.
    pub(super) fn load<E>(
        &mut self,
        header: &ShardHeader,
        scale: &Arc<Scale>,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), LoadFault<E>> {
        let seen = self.seen.now();
        self.table.clear();
        (self.tally.grey, self.tally.white) = (0, 0);
        if !self.fits(header) || !header.is_readable(scale) {
            return Err(LoadFault::Unfit);
        }
        self.table.load(header.buckets, read).map_err(LoadFault::Read)?;
        let census = self.table.census(|fingerprint| self.limits.share.has(fingerprint));
        if census.strangers > 0 {
            self.table.clear();
            return Err(LoadFault::Unfit);
        }
        (self.tally.grey, self.tally.white) = (census.used - census.white, census.white);
        (self.seen, self.swept) = (scale.at(header.seen), header.swept);
        if scale.timing() != self.scale.timing() {
            let wanted = std::mem::replace(&mut self.scale, Arc::clone(scale));
            self.rescale(header.seen, wanted);
        }
        self.advance(seen);
        Ok(())
    }

    /// Frees the slots of all that has expired, and memory that is no longer needed.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.sweep_slots(now);
        let used = self.tally.used();
        if used == 0 {
            self.table.clear();
        } else if used * 64 < self.table.slots() * SHRINK_64THS {
            let shrunk = self.fullness().shrunk_64ths;
            let buckets = used * 64 / (shrunk * LANES as u64) + 1;
            let buckets = whole_pages((buckets as u32).max(BUCKETS_MIN));
            if buckets < self.table.buckets() {
                self.rebuild(buckets);
            }
        }
    }

    /// Counts time by another scale from now on. Tuples that have expired by it are gone.
    pub(super) fn rescale(&mut self, now: Timestamp, scale: Arc<Scale>) {
        let now = now.max(self.seen.now());
        let (old, seen, tally) = (&self.scale, &self.seen, &mut self.tally);
        self.table.change_all(|slot| {
            let tuple = old.tuple(seen, slot.state(), slot.tick());
            if tuple.expired(scale.timing(), now) {
                tally.expire(tuple.state);
                return Slot::EMPTY;
            }
            Slot::new(slot.fingerprint(), tuple.state, scale.tick(tuple))
        });
        self.seen = scale.at(now);
        self.swept = now;
        self.no_room = None;
        self.scale = scale;
    }

    /// Makes `now` the latest time seen, unless a later one has been. Sweeps first if ticks could
    /// no longer be told apart then.
    fn advance(&mut self, now: Timestamp) {
        if now <= self.seen.now() {
            return;
        }
        if self.tally.used() == 0 {
            self.swept = now;
        } else if now.since(self.swept) > self.scale.slack() {
            self.sweep_slots(now);
        }
        self.seen = self.scale.at(now);
    }

    fn sweep_slots(&mut self, now: Timestamp) {
        let now = now.max(self.seen.now());
        let (scale, tally) = (&self.scale, &mut self.tally);
        let then = self.seen;
        let is_readable = now.since(self.swept) <= scale.slack();
        self.seen = scale.at(now);
        let seen = &self.seen;
        self.table.change_all(|slot| {
            let (state, tick) = (slot.state(), slot.tick());
            let is_expired = if is_readable {
                seen.is_expired(state, tick)
            } else {
                scale.tuple(&then, state, tick).expired(scale.timing(), now)
            };
            if is_expired {
                tally.expire(state);
                return Slot::EMPTY;
            }
            slot
        });
        self.swept = now;
        self.no_room = None;
    }

    /// What a slot in use stands for.
    fn read(&self, slot: Slot) -> Tuple {
        self.scale.tuple(&self.seen, slot.state(), slot.tick())
    }

    /// The slot that stands for a tuple.
    fn slot(&self, id: TupleId, tuple: Tuple) -> Slot {
        Slot::new(Fingerprint::of(id), tuple.state, self.scale.tick(tuple))
    }

    fn is_expired(&self, tuple: Tuple) -> bool {
        tuple.expired(self.scale.timing(), self.seen.now())
    }

    /// Writes `tuple` where another time or state of it, which may have expired, is.
    fn replace(&mut self, place: Place, id: TupleId, tuple: Tuple, told: &mut impl Recorder) {
        let was = self.table.get(place);
        if was == self.slot(id, tuple) {
            return;
        }
        let known = self.read(was);
        if self.is_expired(known) {
            self.tally.expire(known.state);
        } else {
            *self.tally.of(known.state) -= 1;
        }
        self.write(place, id, tuple, told);
    }

    /// Writes a tuple that is not in the table. `false` if there is no room for it.
    fn insert(&mut self, id: TupleId, tuple: Tuple, told: &mut impl Recorder) -> bool {
        let fingerprint = Fingerprint::of(id);
        self.grow_if_full();
        loop {
            if let Some(place) = self.table.free(fingerprint) {
                self.write(place, id, tuple, told);
                return true;
            }
            if self.no_room == Some(self.seen.now()) {
                return false;
            }
            if let Some((place, was)) = self.make_room(fingerprint) {
                if !was.is_empty() {
                    self.give_up(was, told);
                }
                self.write(place, id, tuple, told);
                return true;
            }
            if !self.grow() {
                self.no_room = Some(self.seen.now());
                return false;
            }
        }
    }

    /// Makes room near the full homes of `fingerprint`: of what has expired or, at the bound, of the
    /// oldest grey that is past its time to be retried.
    fn make_room(&mut self, fingerprint: Fingerprint) -> Option<(Place, Slot)> {
        let is_at_bound = self.table.buckets() == self.limits.buckets_max;
        // As long as there is room somewhere, it is looked for further away: nobody is forgotten for
        // having full neighbours.
        if (!is_at_bound || !self.is_full(Fullness::DENSE.full_64ths))
            && let Some(made) = self.make_room_from(fingerprint, u32::MAX)
        {
            return Some(made);
        }
        if !is_at_bound {
            return None;
        }
        let span = self.scale.timing().embargo().saturating_add(RETRY_SPAN);
        self.make_room_from(fingerprint, self.scale.grey_age(&self.seen, span))
    }

    /// The same, of what has expired or of the oldest grey that is at least so old.
    fn make_room_from(
        &mut self,
        fingerprint: Fingerprint,
        expendable_from: u32,
    ) -> Option<(Place, Slot)> {
        let seen = &self.seen;
        self.table.make_room(fingerprint, |slot| {
            let (state, tick) = (slot.state(), slot.tick());
            let age = u32::from(seen.age(state, tick));
            if seen.is_expired(state, tick) {
                Worth::Nothing
            } else if state == State::Grey && age >= expendable_from {
                Worth::Less(age)
            } else {
                Worth::More
            }
        })
    }

    /// Writes to a place whose last tuple is no longer counted. If that makes white hold more than
    /// its share of the bound, the longest-unused white tuple nearby goes first.
    fn write(&mut self, place: Place, id: TupleId, tuple: Tuple, told: &mut impl Recorder) {
        let white_max =
            u64::from(self.limits.buckets_max) * LANES as u64 * WHITE_SHARE[0] / WHITE_SHARE[1];
        if tuple.state == State::White && u64::from(self.tally.white) >= white_max {
            self.evict_white_near(Fingerprint::of(id), told);
        }
        self.table.set(place, self.slot(id, tuple));
        *self.tally.of(tuple.state) += 1;
        told.changed(id, Some(tuple));
    }

    fn evict_white_near(&mut self, fingerprint: Fingerprint, told: &mut impl Recorder) {
        let seen = &self.seen;
        let rank = |slot: Slot| {
            let unused = seen.age(slot.state(), slot.tick());
            (slot.state() == State::White && !slot.is_of(fingerprint)).then_some(unused.into())
        };
        if let Some(place) = self.table.highest_near(fingerprint, rank) {
            self.give_up(self.table.get(place), told);
            self.table.set(place, Slot::EMPTY);
            self.no_room = None;
        }
    }

    /// Counts and tells a slot that was in use and is not any more, to make room.
    fn give_up(&mut self, slot: Slot, told: &mut impl Recorder) {
        let tuple = self.read(slot);
        if self.is_expired(tuple) {
            self.tally.expire(tuple.state);
        } else {
            self.tally.evict(tuple.state);
            told.changed(self.limits.share.id(slot.fingerprint()), None);
        }
    }

    /// Whether so many 64ths of the slots are in use, be it by what has expired.
    fn is_full(&self, limit_64ths: u64) -> bool {
        self.tally.used() * 64 >= self.table.slots() * limit_64ths
    }

    fn fullness(&self) -> Fullness {
        Fullness::of(self.table.buckets(), self.limits.share.of())
    }

    /// Grows a table in which room is getting hard to find, unless sweeping helps enough.
    fn grow_if_full(&mut self) {
        let fullness = self.fullness();
        if self.table.buckets() == self.limits.buckets_max || !self.is_full(fullness.full_64ths) {
            return;
        }
        self.sweep_slots(self.seen.now());
        if self.is_full(fullness.grow_64ths) {
            self.grow();
        }
    }

    /// Gives the table more buckets. `false` if the bound does not allow that.
    fn grow(&mut self) -> bool {
        let mut buckets = self.table.buckets();
        while buckets < self.limits.buckets_max {
            buckets = self.larger(buckets);
            if self.rebuild(buckets) {
                return true;
            }
        }
        false
    }

    /// The next size: 1/8 to 3/8 more, 1/4 in the mean; of a sparse table 5/8 to 7/8. Not the same for each shard, or they would
    /// all grow in the same minute, and all be a quarter too large in the next. The last step is not
    /// shorter than the others: to build a table that is almost full takes long, and may fail.
    fn larger(&self, buckets: u32) -> u32 {
        let max = self.limits.buckets_max;
        let dice = (self.limits.share.index() ^ buckets).wrapping_mul(0x9e37_79b9) >> 24;
        let least = Fullness::of(buckets, self.limits.share.of()).growth_1024ths;
        let more = u64::from(buckets) * (least + u64::from(dice)) / 1024;
        let larger = (u64::from(buckets) + more.max(1)).max(u64::from(BUCKETS_MIN));
        if larger + larger / 8 >= u64::from(max) { max } else { whole_pages(larger as u32) }
    }

    /// Puts all that has not expired into a table of that size. `false`, with nothing changed, if
    /// it does not fit in there.
    fn rebuild(&mut self, buckets: u32) -> bool {
        let seen = &self.seen;
        let mut tally = self.tally;
        let is_rebuilt = self.table.rebuild(buckets, |slot| {
            let is_expired = seen.is_expired(slot.state(), slot.tick());
            if is_expired {
                tally.expire(slot.state());
            }
            !is_expired
        });
        if is_rebuilt {
            tally.rebuilds += 1;
            self.tally = tally;
        }
        is_rebuilt
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Ground;
    use super::*;
    use greylist::Timing;

    const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

    fn at(secs: u32) -> Timestamp {
        START.after(Secs::new(secs))
    }

    fn limits(buckets_max: u32, index: u32) -> Limits {
        Limits { buckets_max, share: Share::new(index, 2048).unwrap() }
    }

    fn shard(buckets_max: u32) -> Shard {
        let scale = Arc::new(Scale::new(Timing::DEFAULT));
        let buckets = Ground::reserve(1, buckets_max).1.swap_remove(0);
        Shard::new(buckets, scale, limits(buckets_max, 5))
    }

    #[test]
    fn nobody_is_given_up_while_there_is_room_however_old() {
        let mut shard = shard(4096);
        let slots = 4096 * LANES as u64;
        for number in 0..slots * 94 / 100 {
            // Two a second: most are far past their time to be retried.
            let fingerprint = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17 | 1;
            let id = TupleId::join(5, fingerprint);
            let _ = shard.touch(at(number as u32 / 2), id, &mut ());
        }
        let Tally { evicted_grey, no_room, .. } = *shard.tally();
        assert_eq!((evicted_grey, no_room, shard.tally().expired()), (0, 0, 0));
    }

    /// The store's time is read before the lock is taken: another thread may have been faster.
    #[test]
    fn a_touch_that_comes_to_the_lock_late_does_not_turn_time_back() {
        let mut shard = shard(64);
        let id = TupleId::join(5, 1);
        let early = Touch::Early { wait: Secs::new(60) };
        assert!(matches!(shard.touch(at(5000), id, &mut ()), Touch::New { .. }));
        assert_eq!(shard.touch(at(0), id, &mut ()), early);
        shard.sweep(at(0));
        shard.rescale(at(0), Arc::new(Scale::new(Timing::RFC6647)));
        assert_eq!(shard.touch(at(0), id, &mut ()), early);
    }

    #[test]
    fn dense_tables_grow_by_a_quarter_in_the_mean_up_to_the_bound_and_not_in_step() {
        let sizes = |index| {
            let shard = Shard { limits: limits(20_000, index), ..shard(0) };
            let next = move |&buckets: &u32| Some(shard.larger(buckets));
            let dense = Fullness::SPARSE_BYTES / size_of::<Bucket>() as u64 / 2_048;
            let sizes = std::iter::successors(Some(dense as u32), next);
            sizes.take_while(|&buckets| buckets < 20_000).chain([20_000]).collect::<Vec<_>>()
        };
        let mut steps = 0;
        for index in 0..100 {
            let sizes = sizes(index);
            let pairs: Vec<_> = sizes.windows(2).collect();
            let (last, others) = pairs.split_last().unwrap();
            for pair in others {
                let range = pair[0] + pair[0] / 8 - 1..=pair[0] * 11 / 8 + 64;
                assert!(pair[1] > pair[0] && range.contains(&pair[1]), "{sizes:?}");
            }
            assert!((last[0] * 10 / 9..=last[0] * 8 / 5).contains(&last[1]), "{sizes:?}");
            steps += sizes.len();
        }
        // From 256 to 20,000 are 20 times a quarter.
        assert!((1700..=2300).contains(&steps), "{steps}");
        assert_ne!(sizes(1)[5..15], sizes(2)[5..15]);
    }

    #[test]
    fn sparse_tables_begin_small_and_grow_by_three_quarters_in_the_mean() {
        for index in 0..100 {
            let shard = Shard { limits: limits(20_000, index), ..shard(0) };
            assert_eq!(shard.larger(0), BUCKETS_MIN);
            for buckets in BUCKETS_MIN..256 {
                let range = buckets + buckets * 5 / 8..=buckets * 15 / 8 + 64;
                assert!(range.contains(&shard.larger(buckets)), "{buckets}");
            }
        }
    }
}
