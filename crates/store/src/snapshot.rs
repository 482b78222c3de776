//! Snapshots: the whole table in one file, shard by shard, as the tables lie in memory.
//!
//! A snapshot says from which position the journal has to be read to make it whole: the one at which it was begun.
//! Changes made while it is written may be in it or not; doing them again does no harm. It is written
//! beside its name, synced, and renamed: under its name it is always complete, unless the disk
//! has spoilt it since.
//!
//! ```text
//!  header 64 │ shard: header 64, its buckets … │ shard … │ note … │ end 64
//! ```
//! A shard's bytes begin at a multiple of 64 and are read by one call to where they are wanted.
//!
//! `docs/formats.md` draws the file byte by byte.
//! Never knows: what is in a bucket, what a shard's numbers mean, any clock.

mod format;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Choice, Damage, PassedOver, Piece, Reader, ShardPiece, Spoilt, newest};
pub use writer::{Writer, drop_before, drop_unfinished};

use std::io;

use greylist::{Timestamp, Timing};

use crate::disk::Disk;
use crate::journal::{Position, position_in};

const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".snap";
/// What the name of one that is being written ends with.
const NEW_SUFFIX: &str = ".snap.new";

/// Bytes of one shard's buckets, at most: 64 MiB, of which 2 MiB are used.
pub const SHARD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a snapshot as a whole says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// From where the journal has to be read.
    pub position: Position,
    /// What tells the hash key of its tuples from any other:
    /// [`greylist::HashKey::fingerprint`].
    pub key_fingerprint: u64,
    /// What its ticks are counted by.
    pub timing: Timing,
    /// How many shards the table has; each has at most one frame.
    pub shards: u32,
    /// When it was begun.
    pub created: Timestamp,
}

/// What is said of one shard beside its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardHeader {
    /// Which one: from 0 to one less than [`Header::shards`].
    pub index: u32,
    /// How many buckets its table has.
    pub buckets: u32,
    /// The latest time it has seen.
    pub seen: Timestamp,
    /// When it was last swept.
    pub swept: Timestamp,
}

/// A snapshot's file, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// From where the journal has to be read.
    pub position: Position,
    /// What it is called.
    pub name: String,
}

impl Snapshot {
    /// The snapshot that was begun at `position`.
    pub fn at(position: Position) -> Self {
        Self { position, name: format!("{PREFIX}{position}{SUFFIX}") }
    }

    /// The snapshot of that name. `None` if it is the name of something else.
    pub fn of_name(name: &str) -> Option<Self> {
        let position = position_in(name, PREFIX, SUFFIX)?;
        Some(Self { position, name: name.to_owned() })
    }
}

/// All snapshots there, oldest first.
///
/// # Errors
/// When the directory can't be read.
pub fn snapshots(disk: &dyn Disk) -> io::Result<Vec<Snapshot>> {
    let names = disk.names()?;
    let mut snapshots: Vec<_> = names.iter().filter_map(|name| Snapshot::of_name(name)).collect();
    snapshots.sort_by_key(|snapshot| snapshot.position);
    Ok(snapshots)
}
