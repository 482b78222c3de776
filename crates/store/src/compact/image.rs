//! A shard as a snapshot holds it: a header, and its table as it lies in memory.
//!
//! Ticks mean nothing without the unit that they were counted in, which follows from the timing, and
//! the moments at which the shard was last seen and swept. So all these are in the header. A change
//! of timing passes from shard to shard: copies that are made meanwhile may differ in theirs.
//!
//! Never knows: files, checksums.

use greylist::{Timestamp, Timing, Tuple};

use super::{CompactStore, LANES, Placed, Scale, Share, Slot};

/// What must be known to read a shard's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardHeader {
    /// What the store went by.
    pub(crate) timing: Timing,
    /// Which of the shards it is; below `of`.
    pub(crate) index: u32,
    /// How many shards there were; at least 2,048.
    pub(crate) of: u32,
    /// The latest time that the shard had seen.
    pub(crate) seen: Timestamp,
    /// When it was last swept.
    pub(crate) swept: Timestamp,
    /// Buckets of 64 bytes in the table.
    pub(crate) buckets: u32,
}

impl ShardHeader {
    /// Whether ticks of `scale` could be told apart when the shard was copied. Always so for what
    /// was copied from a shard.
    pub(super) fn is_readable(&self, scale: &Scale) -> bool {
        let is_swept = self.swept <= self.seen && self.seen.since(self.swept) <= scale.slack();
        is_swept || self.buckets == 0
    }
}

/// What became of a shard that was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Tuples now remembered.
    pub(crate) tuples: u64,
    /// Tuples that have expired meanwhile, or by the timing of today.
    pub(crate) expired: u64,
    /// Tuples that there was no room for.
    pub(crate) no_room: u64,
}

/// Why a shard could not be loaded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LoadFault<E> {
    /// Its bytes could not be read.
    Read(E),
    /// They are not a table for this store: another number of shards, more than the bound allows,
    /// or not what was ever copied from a shard.
    Unfit,
}

/// How many slots of a table are in use, by its bytes.
pub(crate) fn slots_in_use(bytes: &[u8]) -> u64 {
    let slots = bytes.as_chunks::<{ size_of::<Slot>() }>().0;
    slots.iter().filter(|slot| !Slot::from_le_bytes(**slot).is_empty()).count() as u64
}

impl CompactStore {
    /// Appends a shard's table to `bytes`, as it lies in memory: slots of 64 bits, little endian.
    /// Calls `at` before, while nobody can change anything in the shard: all that a [`Recorder`]
    /// was told of it until then is in the copy, and nothing else.
    ///
    /// [`Recorder`]: super::Recorder
    pub(crate) fn copy_shard(
        &self,
        index: u32,
        bytes: &mut Vec<u8>,
        at: impl FnOnce(),
    ) -> ShardHeader {
        let shard = self.shards[index as usize].0.lock();
        at();
        shard.copy(bytes)
    }

    /// Whether [`CompactStore::load_shard`] can take a shard: the same ids lie in one of this
    /// store's, and the bound allows for its size. If not, [`CompactStore::load_slots`] can.
    pub(crate) fn fits(&self, header: &ShardHeader) -> bool {
        let shard = self.shards.get(header.index as usize);
        shard.is_some_and(|shard| shard.0.lock().fits(header))
    }

    /// Loads a shard that was copied from a store, in place of all that is in it.
    /// `read` gets 64 bytes a bucket to fill: the table's own memory, so nothing is
    /// copied. Holds the shard's lock meanwhile. Tells nobody.
    ///
    /// # Errors
    /// When `read` fails, or the shard is not one that [`CompactStore::fits`], or what was read is
    /// no table. Then the shard is empty.
    pub(crate) fn load_shard<E>(
        &self,
        header: &ShardHeader,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Loaded, LoadFault<E>> {
        let scale = Scale::new(header.timing).into();
        let shard = self.shards.get(header.index as usize).ok_or(LoadFault::Unfit)?;
        let mut shard = shard.0.lock();
        let expired = shard.tally().expired();
        shard.load(header, &scale, read)?;
        self.advance(header.seen);
        let tally = shard.tally();
        Ok(Loaded {
            tuples: u64::from(tally.grey) + u64::from(tally.white),
            expired: tally.expired() - expired,
            no_room: 0,
        })
    }

    /// Puts the tuples of a shard that was copied from a store in one by one, whatever the number of
    /// that store's shards. Tells nobody.
    ///
    /// # Errors
    /// When `bytes` is not what was copied from a shard with that header. Then nothing has changed.
    pub(crate) fn load_slots<E>(
        &self,
        header: &ShardHeader,
        bytes: &[u8],
    ) -> Result<Loaded, LoadFault<E>> {
        let scale = Scale::new(header.timing);
        let share = Share::new(header.index, header.of).ok_or(LoadFault::Unfit)?;
        let (slots, rest) = bytes.as_chunks::<{ size_of::<Slot>() }>();
        let in_use = || {
            let slots = slots.iter().map(|&bytes| Slot::from_le_bytes(bytes));
            slots.filter(|slot| !slot.is_empty())
        };
        let is_whole =
            rest.is_empty() && slots.len() as u64 == u64::from(header.buckets) * LANES as u64;
        let is_ours = |slot: Slot| slot.is_sane() && share.has(slot.fingerprint());
        if !is_whole || !header.is_readable(&scale) || !in_use().all(is_ours) {
            return Err(LoadFault::Unfit);
        }
        let seen = scale.at(header.seen);
        let mut loaded = Loaded::default();
        for slot in in_use() {
            let tuple: Tuple = scale.tuple(&seen, slot.state(), slot.tick());
            match self.apply(header.seen, share.id(slot.fingerprint()), Some(tuple)) {
                Placed::Stored => loaded.tuples += 1,
                Placed::Expired => loaded.expired += 1,
                Placed::NoRoom => loaded.no_room += 1,
            }
        }
        Ok(loaded)
    }
}
