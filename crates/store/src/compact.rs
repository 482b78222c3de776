//! The compact store: tuples of one machine, in memory, 8 bytes a slot.
//!
//! ```text
//!  key, 128 bits:  ┌ prefix, 10 ┬ … not kept … ┬ fingerprint, 47 ┐
//!                        │                       │
//!                        ▼                       ▼
//!                     1,024 shards ─ lock ─ table of 64-byte buckets ─ 8 slots
//! ```
//! Each shard has its own lock and grows on its own, by building its table anew. The bound is
//! shared out evenly: keys are spread by a keyed hash, so no shard can need much more than its
//! share, and none can be starved by its neighbours. When a shard has grown to its share, what has
//! expired goes first, then the oldest grey nearby; white holds at most three quarters, and beyond
//! that the longest-unused white nearby goes. When only greys that may still be retried are left,
//! a new tuple is [`Touch::NoRoom`].
//!
//! Never knows: what a key is made of, files, clocks.

mod memory;
mod shard;
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

use crate::{Attempt, Placed, StoreError, TupleStore};
use memory::{BUCKET_BYTES, Bucket, LANES, allocate};
use shard::{Limits, Shard, Tally};
use slot::{FINGERPRINT_BITS, Fingerprint, Slot};
use table::{Place, Table, Worth};
use tick::{Moment, Scale};

/// The top bits of a key, not shared with the fingerprint, that choose its shard.
const PREFIX_BITS: u32 = 10;
const _: () = assert!(PREFIX_BITS + FINGERPRINT_BITS <= u128::BITS);

/// 1,024 locks: two threads rarely want the same one, and an empty store takes 128 KiB.
const SHARDS: u32 = 1 << PREFIX_BITS;

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
    /// The smallest bound: 1 MiB, 131,072 slots; 128 for each of 1,024 shards.
    pub const BYTES_MIN: u64 = 1024 * 1024;

    /// A bound of that many bytes.
    ///
    /// # Errors
    /// When it is below [`Bound::BYTES_MIN`].
    pub const fn new(bytes: u64) -> Result<Self, BoundTooSmall> {
        if bytes < Self::BYTES_MIN { Err(BoundTooSmall { bytes }) } else { Ok(Self(bytes)) }
    }

    /// A bound under which that many tuples fit: up to 92 % of the slots room is found fast.
    ///
    /// # Errors
    /// When that is below [`Bound::BYTES_MIN`].
    pub const fn for_capacity(tuples: u64) -> Result<Self, BoundTooSmall> {
        Self::new((tuples / 92 + 1).saturating_mul(100 * size_of::<Slot>() as u64))
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
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
    /// Tuples whose window or lifetime was over.
    pub expired: u64,
    /// New tuples that could not be remembered, and so were accepted.
    pub no_room: u64,
    /// Times that a shard's table was built anew in another size.
    pub rebuilds: u64,
}

/// A lock and its shard, on cache lines of their own.
#[derive(Debug)]
#[repr(align(64))]
struct Locked(Mutex<Shard>);

const _: () = assert!(size_of::<Locked>() <= 128);

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

/// A bounded table of tuples in memory, shared by all threads. Forgets when the program ends.
#[derive(Debug)]
pub struct CompactStore {
    shards: Box<[Locked]>,
    bound: Bound,
    hash_key: HashKey,
    /// The latest time seen, in Unix seconds.
    seen_unix_secs: AtomicU64,
    sweeper: Mutex<Sweeper>,
}

impl CompactStore {
    /// An empty store: 1,024 shards of 128 bytes. Tables come with the tuples.
    pub fn new(config: CompactConfig) -> Self {
        let CompactConfig { timing, bound, hash_key } = config;
        let buckets_max = bound.bytes() / (u64::from(SHARDS) * BUCKET_BYTES as u64);
        let buckets_max = u32::try_from(buckets_max).unwrap_or(u32::MAX);
        let scale = Arc::new(Scale::new(timing));
        Self {
            shards: (0..SHARDS)
                .map(|seed| Shard::new(Arc::clone(&scale), Limits { buckets_max, seed }))
                .map(|shard| Locked(Mutex::new(shard)))
                .collect(),
            bound,
            hash_key,
            seen_unix_secs: AtomicU64::new(0),
            sweeper: Mutex::new(Sweeper { scale, next: 0, last: None }),
        }
    }

    /// What the keys of its tuples must be made with.
    pub fn hash_key(&self) -> &HashKey {
        &self.hash_key
    }

    /// One attempt, without the ceremony of a batch; see [`TupleStore::touch`].
    pub fn touch_one(&self, now: Timestamp, key: TupleKey) -> Touch {
        let now = self.advance(now);
        self.shard(key).lock().touch(now, Fingerprint::of(key))
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
            ..CompactStats::default()
        };
        for shard in &self.shards {
            let (slots, tally) = {
                let shard = shard.0.lock();
                (shard.slots(), *shard.tally())
            };
            stats.slots += slots;
            stats.add(&tally);
        }
        stats.bytes =
            stats.slots * size_of::<Slot>() as u64 + stats.shards * size_of::<Locked>() as u64;
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

    fn shard(&self, key: TupleKey) -> &Mutex<Shard> {
        &self.shards[(key.0 >> (u128::BITS - PREFIX_BITS)) as usize].0
    }
}

impl CompactStats {
    fn add(&mut self, tally: &Tally) {
        self.grey += u64::from(tally.grey);
        self.white += u64::from(tally.white);
        self.evicted_grey += tally.evicted_grey;
        self.evicted_white += tally.evicted_white;
        self.expired += tally.expired;
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
        let now = self.advance(now);
        for batch in attempts.chunks(PREFETCH) {
            for &Attempt { key } in batch {
                self.shard(key).lock().prefetch(Fingerprint::of(key));
            }
            let touch = |attempt: &Attempt| {
                self.shard(attempt.key).lock().touch(now, Fingerprint::of(attempt.key))
            };
            touches.extend(batch.iter().map(touch));
        }
        Ok(())
    }

    async fn peek(&self, now: Timestamp, key: TupleKey) -> Result<Option<Tuple>, StoreError> {
        let now = self.advance(now);
        Ok(self.shard(key).lock().peek(now, Fingerprint::of(key)))
    }

    async fn put(&self, now: Timestamp, key: TupleKey, tuple: Tuple) -> Result<Placed, StoreError> {
        let now = self.advance(now);
        Ok(self.shard(key).lock().put(now, Fingerprint::of(key), tuple))
    }

    async fn forget(&self, now: Timestamp, key: TupleKey) -> Result<Option<Tuple>, StoreError> {
        let now = self.advance(now);
        Ok(self.shard(key).lock().forget(now, Fingerprint::of(key)))
    }
}
