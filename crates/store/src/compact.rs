//! The compact store: tuples of one machine, in memory, 8 bytes a slot.
//!
//! ```text
//!  key, 128 bits:  ┌ prefix, 11 ┬ … not kept … ┬ fingerprint, 47 ┐   together: the id, 58 bits
//!                        │                       │
//!                        ▼                       ▼
//!              2,048 shards or more ─ lock ─ table of 64-byte buckets ─ 8 slots
//! ```
//! All ids are cut into as many ranges as there are shards, and the bound alone says how many that
//! are: so many that no full table has more than 2 MiB, and no request waits for more than one such
//! table to be built anew.
//!
//! Each shard has its own lock and grows on its own, by building its table anew. The bound is
//! shared out evenly: keys are spread by a keyed hash, so no shard can need much more than its
//! share, and none can be starved by its neighbours. When a shard has grown to its share, what has
//! expired goes first, then the oldest grey nearby; white holds at most three quarters, and beyond
//! that the longest-unused white nearby goes. When only greys that may still be retried are left,
//! a new tuple is [`Touch::NoRoom`].
//!
//! Never knows: what a key is made of, files, clocks.

mod image;
mod memory;
mod search;
mod shard;
mod share;
mod slot;
mod table;
mod tick;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greylist::{HashKey, Timestamp, Timing, Touch, Tuple, TupleKey};
use parking_lot::Mutex;

use crate::durable::{Durable, ToJournal};
use crate::journal::Change;
use crate::notes::Notes;
use crate::{Attempt, Merged, Placed, StoreError, TupleId, TupleStore};
pub(crate) use image::{LoadFault, Loaded, ShardHeader, slots_in_use};
use memory::{BUCKET_BYTES, Bucket, Buckets, Ground, LANES, prefetch};
pub use memory::{HugePages, NoHugePages};
use shard::{Limits, Shard, Tally};
use share::{SHARDS_MIN, Share};
use slot::{Fingerprint, Slot};
use table::{Place, Table, Worth};
use tick::{Moment, Scale};

/// The size of a full table that no shard may outgrow: one huge page. To build it anew takes a few
/// milliseconds.
const TABLE_BYTES_MAX: u64 = 2 << 20;

/// As many shards as 32 TiB need; with their locks they would take 2 GiB.
const SHARDS_MAX: u64 = 1 << 24;

/// Slots that each of the fewest shards has at the smallest bound.
const SHARD_SLOTS_MIN: u64 = 128;

/// How many attempts have their buckets fetched before the first is looked at: the waits for
/// memory overlap, and 32 buckets stay in the first-level cache.
const PREFETCH: usize = 16;

/// Every slot is swept at least this often, in seconds, if only so that memory is given back soon
/// and counts are about right. 16 GiB in 15 minutes are 19 MB/s.
const SWEEP_ROUND_SECS_MAX: u32 = 15 * 60;

/// How many bytes of slots a store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(u64);

impl Bound {
    /// The smallest bound: 2 MiB, 262,144 slots; 128 for each of 2,048 shards.
    pub const BYTES_MIN: u64 = SHARDS_MIN as u64 * SHARD_SLOTS_MIN * size_of::<Slot>() as u64;

    /// A bound of that many bytes.
    ///
    /// # Errors
    /// When it is below [`Bound::BYTES_MIN`].
    pub const fn new(bytes: u64) -> Result<Self, BoundTooSmall> {
        if bytes < Self::BYTES_MIN { Err(BoundTooSmall { bytes }) } else { Ok(Self(bytes)) }
    }

    /// A bound under which that many tuples fit: up to 92 % of the slots room is found fast. Shards
    /// are not filled evenly; where they are so small that it matters, the fullest must have room.
    pub const fn for_capacity(tuples: u64) -> Self {
        let slots = (tuples / 92 + 1).saturating_mul(100);
        // Of 2,048 shards none has five standard deviations more than the mean; 97 % can be filled.
        let each = tuples / SHARDS_MIN as u64 + 1;
        let fullest = (each + 5 * (each.isqrt() + 1)) * 100 / 97 + 1;
        let fullest = fullest.saturating_mul(SHARDS_MIN as u64);
        let slots = if fullest > slots { fullest } else { slots };
        let bytes = slots.saturating_mul(size_of::<Slot>() as u64);
        // A shard has whole buckets, and if it is not small, whole pages: what is left is of no use.
        let step = SHARDS_MIN as u64 * memory::PAGE_BYTES as u64;
        let steps = bytes.div_ceil(step);
        Self(if steps == 0 { step } else { steps.saturating_mul(step) })
    }

    /// How many shards, and how many buckets each may have.
    const fn shares(self) -> (u32, u32) {
        let shards = self.0 / TABLE_BYTES_MAX;
        let shards = if shards < SHARDS_MIN as u64 { SHARDS_MIN as u64 } else { shards };
        let shards = if shards > SHARDS_MAX { SHARDS_MAX } else { shards };
        let bytes = self.0 / shards;
        let bytes = if bytes > TABLE_BYTES_MAX { TABLE_BYTES_MAX } else { bytes };
        let buckets = (bytes / BUCKET_BYTES as u64) as u32;
        (shards as u32, memory::pages_within(buckets))
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// About how many tuples fit: 92 % of the slots, up to which room is found fast.
    pub const fn capacity(self) -> u64 {
        self.0 / size_of::<Slot>() as u64 / 100 * 92
    }
}

/// Why a number of bytes is no [`Bound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundTooSmall {
    /// What was asked for.
    pub bytes: u64,
}

impl fmt::Display for BoundTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes are too few for the table of tuples: it needs at least {} MiB",
            self.bytes,
            Bound::BYTES_MIN >> 20
        )
    }
}

impl std::error::Error for BoundTooSmall {}

/// Who is told of each change of a tuple, while the lock of its shard is held: what is told of one
/// tuple is told in the order in which it happened.
pub(crate) trait Recorder {
    /// `id` now stands for that tuple, or for nothing: it was forgotten, or given up for another.
    /// That a tuple has expired is not told.
    fn changed(&mut self, id: TupleId, outcome: Option<Tuple>);
}

/// Nobody.
impl Recorder for () {
    fn changed(&mut self, _: TupleId, _: Option<Tuple>) {}
}

/// The journal, if there is one.
struct Told<'a>(Option<ToJournal<'a>>);

impl Recorder for Told<'_> {
    #[inline]
    fn changed(&mut self, id: TupleId, outcome: Option<Tuple>) {
        if let Some(journal) = &mut self.0 {
            journal.changed(id, outcome);
        }
    }
}

/// What a [`CompactStore`] is made from.
#[derive(Clone, Debug)]
pub struct CompactConfig {
    /// Embargo, window, lifetime.
    pub timing: Timing,
    /// How many bytes of slots it may hold.
    pub bound: Bound,
    /// What the keys of its tuples are made with; random, from the caller.
    pub hash_key: HashKey,
}

/// What is in a store, and what has happened in it since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactStats {
    /// Grey tuples, those included that have expired since their shard was last swept.
    pub grey: u64,
    /// White tuples, likewise.
    pub white: u64,
    /// Slots, in use or not.
    pub slots: u64,
    /// Bytes of slots and shards.
    pub bytes: u64,
    /// Bytes of slots that there may be.
    pub bound_bytes: u64,
    /// Shards, each with a lock of its own.
    pub shards: u64,
    /// Grey tuples given up to make room.
    pub evicted_grey: u64,
    /// White tuples given up since white held more than its share.
    pub evicted_white: u64,
    /// Grey tuples whose window was over: they never came back in time.
    pub expired_grey: u64,
    /// White tuples whose lifetime was over.
    pub expired_white: u64,
    /// New tuples that could not be remembered, and so were accepted.
    pub no_room: u64,
    /// Times that a shard's table was built anew in another size.
    pub rebuilds: u64,
    /// Whether full tables lie on huge pages.
    pub huge_pages: HugePages,
}

/// A lock and its shard, on cache lines of their own.
#[derive(Debug)]
#[repr(align(64))]
struct Locked(Mutex<Shard>);

const _: () = assert!(size_of::<Locked>() <= 192);

/// How far the slow sweep has come.
#[derive(Debug)]
struct Sweeper {
    scale: Arc<Scale>,
    /// The shard whose turn is next.
    next: usize,
    /// When shards were last swept; `None` before the first time.
    last: Option<Timestamp>,
}

impl Sweeper {
    /// How many seconds a sweep of all shards may take: a quarter of the slack, so that touches
    /// never need to sweep while time runs as usual.
    fn round_secs(&self) -> u32 {
        (self.scale.slack().get() / 4).clamp(1, SWEEP_ROUND_SECS_MAX)
    }
}

/// A bounded table of tuples in memory, shared by all threads. Made by [`CompactStore::new`] it
/// forgets when the program ends; by [`CompactStore::open`] it doesn't.
#[derive(Debug)]
pub struct CompactStore {
    shards: Box<[Locked]>,
    ground: Arc<Ground>,
    bound: Bound,
    hash_key: HashKey,
    /// The latest time seen, in Unix seconds.
    seen_unix_secs: AtomicU64,
    sweeper: Mutex<Sweeper>,
    notes: Notes,
    /// What of it outlives the process; nothing for a store in memory alone.
    durable: Option<Box<Durable>>,
}

impl CompactStore {
    /// An empty store: shards of 192 bytes, and addresses for tables. Memory comes with the tuples.
    pub fn new(config: CompactConfig) -> Self {
        let (shards, buckets_max) = config.bound.shares();
        Self::on(Ground::reserve(shards, buckets_max), config)
    }

    /// An empty store in that memory.
    fn on((ground, memory): (Arc<Ground>, Vec<Buckets>), config: CompactConfig) -> Self {
        let CompactConfig { timing, bound, hash_key } = config;
        let (shards, buckets_max) = bound.shares();
        let scale = Arc::new(Scale::new(timing));
        let shares = (0..shards).filter_map(|index| Share::new(index, shards));
        let new = |(share, buckets)| {
            let limits = Limits { buckets_max, share };
            Locked(Mutex::new(Shard::new(buckets, Arc::clone(&scale), limits)))
        };
        Self {
            shards: shares.zip(memory).map(new).collect(),
            ground,
            bound,
            hash_key,
            seen_unix_secs: AtomicU64::new(0),
            sweeper: Mutex::new(Sweeper { scale, next: 0, last: None }),
            notes: Notes::default(),
            durable: None,
        }
    }

    /// What the keys of its tuples must be made with.
    pub fn hash_key(&self) -> &HashKey {
        &self.hash_key
    }

    /// How large it may become.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> u32 {
        self.shards.len() as u32
    }

    /// The latest time that it has been given.
    pub fn newest_time(&self) -> Timestamp {
        Timestamp::from_unix_secs(self.seen_unix_secs.load(Ordering::Relaxed))
    }

    /// One attempt, without the ceremony of a batch; see [`TupleStore::touch`].
    pub fn touch_one(&self, now: Timestamp, key: TupleKey) -> Touch {
        let now = self.advance(now);
        let id = TupleId::of(key);
        let touch = self.shard(id).lock().touch(now, id, &mut self.recorder(now));
        self.commit();
        touch
    }

    /// See [`TupleStore::peek`].
    pub fn peek_id(&self, now: Timestamp, id: TupleId) -> Option<Tuple> {
        let now = self.advance(now);
        self.shard(id).lock().peek(now, id)
    }

    /// See [`TupleStore::put`].
    pub fn put_id(&self, now: Timestamp, id: TupleId, tuple: Tuple) -> Placed {
        let now = self.advance(now);
        let placed = self.shard(id).lock().put(now, id, tuple, &mut self.recorder(now));
        self.commit();
        placed
    }

    /// Puts each of `tuples`, which another memory knows, together with what is known here, as
    /// [`greylist::tuple::merge`] says, and appends what came of it to `merged`. Atomic for each
    /// tuple; does no harm when it is done again. At most 100,000 at once.
    pub fn merge(&self, now: Timestamp, tuples: &[(TupleId, Tuple)], merged: &mut Vec<Merged>) {
        let now = self.advance(now);
        let told = &mut self.recorder(now);
        for batch in tuples.chunks(PREFETCH) {
            for &(id, _) in batch {
                self.shard(id).lock().prefetch(id);
            }
            let merge = |&(id, tuple): &_| self.shard(id).lock().merge(now, id, tuple, told);
            merged.extend(batch.iter().map(merge));
        }
        self.commit();
    }

    /// See [`TupleStore::forget`].
    pub fn forget_id(&self, now: Timestamp, id: TupleId) -> Option<Tuple> {
        let now = self.advance(now);
        let known = self.shard(id).lock().forget(now, id, &mut self.recorder(now));
        self.commit();
        known
    }

    /// Appends all that a shard knows to `out`, in no order; up to 262,144 tuples. Holds the
    /// shard's lock meanwhile.
    ///
    /// # Panics
    /// When there is no such shard: see [`CompactStore::shard_count`].
    pub fn scan_shard(&self, index: u32, now: Timestamp, out: &mut Vec<(TupleId, Tuple)>) {
        let now = self.advance(now);
        self.shards[index as usize].0.lock().scan(now, out);
    }

    /// Makes changes again, in order, as a [`Recorder`] was told of them; tells nobody.
    pub(crate) fn apply_all(&self, changes: &[Change]) {
        for batch in changes.chunks(PREFETCH) {
            for &Change { id, .. } in batch {
                self.shard(id).lock().prefetch(id);
            }
            for &Change { id, outcome } in batch {
                // It was made at or after its own time; how long after makes no difference.
                let now = outcome.map_or(Timestamp::from_unix_secs(0), |tuple| tuple.since);
                let _ = self.apply(now, id, outcome);
            }
        }
    }

    /// Makes `outcome` true of a tuple again, as a [`Recorder`] was told it; tells nobody.
    fn apply(&self, now: Timestamp, id: TupleId, outcome: Option<Tuple>) -> Placed {
        let now = self.advance(now);
        let mut shard = self.shard(id).lock();
        let Some(tuple) = outcome else {
            shard.forget(now, id, &mut ());
            return Placed::Stored;
        };
        shard.put(now, id, tuple, &mut ())
    }

    /// Who is told of changes at `now`.
    fn recorder(&self, now: Timestamp) -> Told<'_> {
        Told(self.durable.as_deref().map(|durable| durable.recorder(now)))
    }

    /// Waits until all that was told so far is safe from the death of the process.
    fn commit(&self) {
        if let Some(durable) = &self.durable {
            durable.commit();
        }
    }

    /// The same store, kept by `durable` from now on.
    pub(crate) fn kept(self, durable: Durable) -> Self {
        Self { durable: Some(Box::new(durable)), ..self }
    }

    /// The same store, with these notes in place of its own.
    pub(crate) fn with_notes(self, notes: Notes) -> Self {
        Self { notes, ..self }
    }

    /// What else is kept with the tuples.
    pub(crate) fn notes_by_name(&self) -> &Notes {
        &self.notes
    }

    /// What of it outlives the process.
    pub(crate) fn durable(&self) -> Option<&Durable> {
        self.durable.as_deref()
    }

    /// What it goes by.
    pub fn timing(&self) -> Timing {
        *self.sweeper.lock().scale.timing()
    }

    /// Which of the shards `id` lies in.
    pub(crate) fn shard_of(&self, id: TupleId) -> u32 {
        Share::index_of(id, self.shards.len() as u32)
    }

    /// Sweeps some of the shards: as many as are due at `now`, given when this was last called. To
    /// be called each second, from one thread. Holds one lock at a time, none longer than it takes
    /// to pass over one shard.
    pub fn sweep_some(&self, now: Timestamp) {
        let now = self.advance(now);
        let mut sweeper = self.sweeper.lock();
        let elapsed = sweeper.last.map_or(0, |last| now.since(last).get());
        sweeper.last = Some(now);
        let shards = self.shards.len() as u64;
        let due = (shards * u64::from(elapsed)).div_ceil(u64::from(sweeper.round_secs()));
        for _ in 0..due.min(shards) {
            let next = sweeper.next;
            sweeper.next = (next + 1) % self.shards.len();
            self.shards[next].0.lock().sweep(now);
        }
        self.ground.trim_heap();
    }

    /// Sweeps all shards: what there is has not expired at `now`. Holds one lock at a time. Takes as
    /// long as it takes to pass over all slots: seconds for billions of them.
    pub fn sweep_all(&self, now: Timestamp) {
        let now = self.advance(now);
        for shard in &self.shards {
            shard.0.lock().sweep(now);
        }
        self.ground.trim_heap();
    }

    /// Goes by another timing from now on. Each tuple keeps its time, to the old unit or the new
    /// one, whichever is coarser. Shards change over one after the other, each for as long as it
    /// takes to pass over its slots.
    pub fn retime(&self, now: Timestamp, timing: Timing) {
        let now = self.advance(now);
        let scale = Arc::new(Scale::new(timing));
        // Held until all have changed: of two that come at once, one has the last word everywhere.
        let mut sweeper = self.sweeper.lock();
        if *sweeper.scale.timing() == timing {
            return;
        }
        for shard in &self.shards {
            shard.0.lock().rescale(now, Arc::clone(&scale));
        }
        sweeper.scale = scale;
    }

    /// What is in it, and what has happened. Asks one shard after the other.
    pub fn stats(&self) -> CompactStats {
        let mut stats = CompactStats {
            bound_bytes: self.bound.bytes(),
            shards: self.shards.len() as u64,
            huge_pages: self.ground.huge_pages(),
            ..CompactStats::default()
        };
        for shard in &self.shards {
            let shard = shard.0.lock();
            stats.slots += shard.table().slots();
            stats.bytes += shard.table().bytes() + size_of::<Locked>() as u64;
            stats.add(shard.tally());
        }
        stats
    }

    /// `now`, or the latest time seen if that is later.
    fn advance(&self, now: Timestamp) -> Timestamp {
        let now = now.as_unix_secs();
        let seen = self.seen_unix_secs.load(Ordering::Relaxed);
        if now <= seen {
            return Timestamp::from_unix_secs(seen);
        }
        // Once a second: the line stays shared among the cores for the rest of it.
        Timestamp::from_unix_secs(self.seen_unix_secs.fetch_max(now, Ordering::Relaxed).max(now))
    }

    fn shard(&self, id: TupleId) -> &Mutex<Shard> {
        &self.shards[self.shard_of(id) as usize].0
    }

    /// [`TupleStore::touch`], before the commit.
    fn touch_batch(&self, now: Timestamp, attempts: &[Attempt], touches: &mut Vec<Touch>) {
        let now = self.advance(now);
        let told = &mut self.recorder(now);
        for batch in attempts.chunks(PREFETCH) {
            // The shards first: a lock waits for its own line, and while it is taken the processor doesn't look
            // ahead, so one by one they would cost more than their buckets.
            for id in batch.iter().map(|attempt| TupleId::of(attempt.key)) {
                prefetch(self.shard(id));
            }
            for id in batch.iter().map(|attempt| TupleId::of(attempt.key)) {
                self.shard(id).lock().prefetch(id);
            }
            touches.extend(batch.iter().map(|attempt| {
                let id = TupleId::of(attempt.key);
                self.shard(id).lock().touch(now, id, told)
            }));
        }
    }
}

impl CompactStats {
    /// Tuples whose window or lifetime was over.
    pub const fn expired(&self) -> u64 {
        self.expired_grey + self.expired_white
    }

    fn add(&mut self, tally: &Tally) {
        self.grey += u64::from(tally.grey);
        self.white += u64::from(tally.white);
        self.evicted_grey += tally.evicted_grey;
        self.evicted_white += tally.evicted_white;
        self.expired_grey += tally.expired_grey;
        self.expired_white += tally.expired_white;
        self.no_room += tally.no_room;
        self.rebuilds += tally.rebuilds;
    }
}

/// Always ready at once, and never fails.
impl TupleStore for CompactStore {
    async fn touch(
        &self,
        now: Timestamp,
        attempts: &[Attempt],
        touches: &mut Vec<Touch>,
    ) -> Result<(), StoreError> {
        self.touch_batch(now, attempts, touches);
        self.commit();
        Ok(())
    }

    async fn peek(&self, now: Timestamp, key: TupleKey) -> Result<Option<Tuple>, StoreError> {
        Ok(self.peek_id(now, TupleId::of(key)))
    }

    async fn put(&self, now: Timestamp, key: TupleKey, tuple: Tuple) -> Result<Placed, StoreError> {
        Ok(self.put_id(now, TupleId::of(key), tuple))
    }

    async fn forget(&self, now: Timestamp, key: TupleKey) -> Result<Option<Tuple>, StoreError> {
        Ok(self.forget_id(now, TupleId::of(key)))
    }
}
