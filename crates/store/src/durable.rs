//! What of a [`CompactStore`] outlives the process: table, journal and snapshots put together.
//!
//! ```text
//!  touch ─▶ shard, locked: change the slot, append to the journal's buffer
//!        ─▶ commit: the file has all that this batch made or saw ─▶ the answers may leave
//!
//!  sync,   each second: fdatasync
//!  upkeep, each second: is the journal well? is a snapshot due? then copy shard after shard,
//!                       rename, drop the segments that it replaces
//!  open,   at start:    newest good snapshot ─▶ the journal from there on ─▶ a new segment
//! ```
//! When the disk fails, mail doesn't wait: tuples are kept in memory alone, [`Durability::health`] says
//! so, and `upkeep` tries again each second. Durability is claimed again only when a new segment
//! *and* a whole snapshot are there.
//!
//! Never knows: threads, clocks; when it is called is for the caller to see to.

mod recovery;
#[cfg(test)]
mod tests;
mod upkeep;

use std::io;
use std::sync::Arc;

use greylist::{HashKey, Timestamp, Tuple};
use parking_lot::Mutex;

use crate::compact::Recorder;
use crate::disk::Disk;
use crate::journal::{self, Change, Health, Journal, Note, Position, SyncPolicy};
use crate::{CompactStore, TupleId};

pub use recovery::{OpenError, Opened, Opening, Progress, Read, Recovery};
use upkeep::Upkeep;
pub use upkeep::{Breath, Event};

/// How a store is kept on disk.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When changes are made safe from a power cut.
    pub sync: SyncPolicy,
    /// At how many bytes a segment of the journal ends.
    pub segment_bytes: u64,
    /// After how many bytes of journal a snapshot is taken. `None`: as many as the last snapshot
    /// has, at least 64 MiB.
    pub snapshot_after: Option<u64>,
}

/// Puts the state directory back as it must be before the journal is tried again: made, locked,
/// with the hash key in it.
pub type Prepare = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The part of a store that outlives the process.
pub(crate) struct Durable {
    journal: Journal,
    disk: Arc<dyn Disk>,
    prepare: Prepare,
    snapshot_after: Option<u64>,
    upkeep: Mutex<Upkeep>,
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable").field("journal", &self.journal).finish_non_exhaustive()
    }
}

/// How it stands with what outlives the process.
#[derive(Clone, Debug)]
pub struct Durability {
    /// Whether changes are kept on disk.
    pub health: Health,
    /// What the journal has written since the start.
    pub journal: journal::Stats,
    /// Bytes of journal since the last snapshot began; what a start would have to read.
    pub tail_bytes: u64,
    /// The last snapshot of this run.
    pub snapshot: Option<SnapshotTaken>,
    /// Why the last attempt at a snapshot failed; `None` if it did not.
    pub snapshot_fault: Option<String>,
    /// Notes kept.
    pub notes: u64,
}

/// A snapshot that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotTaken {
    /// When it was begun.
    pub at: Timestamp,
    /// The position from which the journal must be read after it.
    pub position: Position,
    /// Its length.
    pub bytes: u64,
}

/// Tells the journal.
pub(crate) struct ToJournal<'a> {
    journal: &'a Journal,
    now: Timestamp,
}

impl Recorder for ToJournal<'_> {
    #[inline]
    fn changed(&mut self, id: TupleId, outcome: Option<Tuple>) {
        self.journal.append(self.now, Change { id, outcome });
    }
}

impl Durable {
    /// Who is told of changes at `now`.
    pub(crate) const fn recorder(&self, now: Timestamp) -> ToJournal<'_> {
        ToJournal { journal: &self.journal, now }
    }

    /// Tells the journal of a note.
    pub(crate) fn append_note(&self, now: Timestamp, note: &Note) {
        self.journal.append_note(now, note);
    }

    /// Waits until all that was told is in the kernel's hands, or the journal is down.
    #[inline]
    pub(crate) fn commit(&self) {
        self.journal.commit();
    }
}

impl CompactStore {
    /// Makes what was written outlive a power cut. To be called as often as the policy says, by a
    /// thread that may wait for the disk. Nothing to do for a store in memory alone.
    pub fn sync(&self, now: Timestamp) {
        if let Some(durable) = self.durable() {
            durable.journal.sync(now);
        }
    }

    /// How it stands with what outlives the process. `None`: nothing does.
    pub fn durability(&self) -> Option<Durability> {
        let durable = self.durable()?;
        let journal = durable.journal.stats();
        let upkeep = durable.upkeep.lock();
        Some(Durability {
            health: durable.journal.health(),
            journal,
            tail_bytes: upkeep.tail_bytes(&journal),
            snapshot: upkeep.last(),
            snapshot_fault: upkeep.fault(),
            notes: self.note_count() as u64,
        })
    }
}

/// What files of a store name their hash key by.
fn key_of(hash_key: &HashKey) -> u64 {
    hash_key.fingerprint()
}
