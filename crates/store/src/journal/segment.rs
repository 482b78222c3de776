//! A segment: one file of the journal. Its name says where it begins; its header says so too, and
//! which version of the format and which hash key it was written with.
//!
//! ```text
//!  0 "xgreyjnl" │ 8 version u32 │ 12 zero u32 │ 16 first position u64 │ 24 hash key's fingerprint u64
//!  32 zeros     │ 60 CRC-32C of bytes 0 to 59 u32
//! ```
//! The first twelve bytes and the checksum are those of every head: `head.rs`.

use std::io;

use super::Position;
use crate::disk::Disk;
use crate::head::{HEAD_BYTES, HeadKind, NoHead, long};

/// Bytes before the first frame.
pub(super) const HEADER_BYTES: usize = HEAD_BYTES;

/// The version of the format that is written, and the latest that is read.
pub(super) const VERSION: u32 = 1;

const KIND: HeadKind = HeadKind { magic: *b"xgreyjnl", version: VERSION };

const PREFIX: &str = "journal-";
const SUFFIX: &str = ".seg";

/// A file of the journal, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The position of its first change.
    pub first: Position,
    /// What it is called.
    pub name: String,
}

impl Segment {
    /// The segment that begins at `first`.
    pub fn at(first: Position) -> Self {
        Self { first, name: format!("{PREFIX}{first}{SUFFIX}") }
    }

    /// The segment of that name. `None` if it is the name of something else.
    pub fn of_name(name: &str) -> Option<Self> {
        let first = position_in(name, PREFIX, SUFFIX)?;
        Some(Self { first, name: name.to_owned() })
    }
}

/// The position in a name of ours: between what it begins and ends with, in twenty digits.
pub(crate) fn position_in(name: &str, prefix: &str, suffix: &str) -> Option<Position> {
    const DIGITS: usize = 20;
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok().and_then(Position::new))?
}

/// All segments there, in order.
///
/// # Errors
/// When the directory can't be read.
pub fn segments(disk: &dyn Disk) -> io::Result<Vec<Segment>> {
    let names = disk.names()?;
    let mut segments: Vec<_> = names.iter().filter_map(|name| Segment::of_name(name)).collect();
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: Position,
    pub(super) key_fingerprint: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[16..24].copy_from_slice(&self.first.get().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.key_fingerprint.to_le_bytes());
        KIND.seal(bytes)
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NoHead> {
        KIND.check(bytes)?;
        let first = Position::new(long(bytes, 16)).ok_or(NoHead::Broken)?;
        Ok(Self { first, key_fingerprint: long(bytes, 24) })
    }
}
