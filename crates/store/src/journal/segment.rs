//! A segment: one file of the journal. Its name says where it begins; its header says so too, and
//! which version of the format and which hash key it was written with.
//!
//! ```text
//!  0 "xgreyjnl" │ 8 version u32 │ 12 zero u32 │ 16 first position u64 │ 24 hash key's fingerprint u64
//!  32 zeros     │ 60 CRC-32C of bytes 0 to 59 u32
//! ```
//! In every version: the first twelve bytes, and the checksum. So a program can tell what is too new
//! for it from what is broken.

use std::io;

use super::Position;
use crate::disk::Disk;

/// Bytes before the first frame.
pub(super) const HEADER_BYTES: usize = 64;

/// What a segment begins with.
const MAGIC: [u8; 8] = *b"xgreyjnl";

/// The version of the format that is written, and the latest that is read.
pub(super) const VERSION: u32 = 1;

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

/// Why some bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// They are of a version that is later than this program.
    Newer {
        /// Which.
        version: u32,
    },
    /// They are not what was written.
    Broken,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.get().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.key_fingerprint.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NoHeader> {
        let word = |at: usize| bytes[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let long = |at: usize| bytes[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if bytes[..8] != MAGIC || word(60) != Some(crc32c::crc32c(&bytes[..60])) {
            return Err(NoHeader::Broken);
        }
        match word(8) {
            Some(VERSION) => {}
            Some(version) if version > VERSION => return Err(NoHeader::Newer { version }),
            _ => return Err(NoHeader::Broken),
        }
        let first = long(16).and_then(Position::new);
        match first.zip(long(24)) {
            Some((first, key_fingerprint)) => Ok(Self { first, key_fingerprint }),
            None => Err(NoHeader::Broken),
        }
    }
}
