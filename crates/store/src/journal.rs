//! The journal: each change to the table is in a file before any answer that depends on it leaves.
//!
//! ```text
//!  append(change) ─▶ buffer ─▶ commit(): write(2) ─▶ journal-00000000000000000000.seg
//!  under a shard's    frames    by one for all         journal-00000000000005242880.seg
//!  lock: no I/O                 who wait               …           │
//!                                                                  ▼
//!                                             read(): frames, in order, what is torn left out
//! ```
//! Why a log and not the table itself: 12 bytes a change at the end of a file cost a thousandth of
//! what a page anywhere in it does, and a torn tail harms nobody.
//!
//! A [`Position`] counts changes, not bytes: so a gap says how many are missing. A change is an
//! outcome, "this is now remembered of that tuple", so doing it twice does no harm.
//!
//! After a write or a sync that failed nobody knows what is in the file. The journal is *down* then:
//! changes are counted and dropped, nobody waits. It begins anew ([`Journal::begin_segment`]), in another
//! file, and is *mending* until a snapshot has what was missed ([`Journal::mended`]).
//!
//! `docs/formats.md` draws the files byte by byte.
//! Never knows: what a tuple means, who asked, what is in a note, any clock.

mod frame;
mod health;
mod reader;
mod report;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use frame::{PAYLOAD_BYTES_MAX, Seed, put_note, take_note};
pub use health::{Doing, Down, Health, Settings, Stats, SyncPolicy, Why};
pub use reader::{Batch, Content, read};
pub use report::{Finding, Report};
pub(crate) use segment::position_in;
pub use segment::{Segment, segments};
use writer::BUFFER_BYTES_MAX;
pub use writer::Journal;

use std::fmt;

use greylist::Tuple;

use crate::TupleId;

/// How many changes there have been, ever: the number that the next one gets. At most 2^62, so
/// that adding to one never overflows; a million changes a second reach that in 146,000 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first change.
    pub const START: Self = Self(0);
    /// The last one.
    pub const MAX: Self = Self(1 << 62);

    /// That many changes. `None` beyond [`Position::MAX`].
    pub const fn new(changes: u64) -> Option<Self> {
        if changes <= Self::MAX.0 { Some(Self(changes)) } else { None }
    }

    /// The number of changes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Where one is after `changes` more. The last position has none after it.
    #[must_use]
    pub const fn after(self, changes: u64) -> Self {
        let sum = self.0.saturating_add(changes);
        if sum <= Self::MAX.0 { Self(sum) } else { Self::MAX }
    }

    /// How many changes lie between `earlier` and this; 0 if that is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Twenty digits, as in file names: so names sort as positions do.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// What became of one tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub id: TupleId,
    /// What is remembered of it from now on. `None`: nothing.
    pub outcome: Option<Tuple>,
}

/// Something that somebody else wants remembered with the tuples, by name; the store doesn't read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Note {
    /// Bytes of a name, at most.
    pub const NAME_BYTES_MAX: usize = 255;
    /// Bytes of a value, at most: 64 KiB.
    pub const VALUE_BYTES_MAX: usize = 64 * 1024;

    /// A note of that name. `None` in place of a value: the note of that name is gone.
    ///
    /// # Errors
    /// When one of the two is too long, or the name is empty.
    pub fn new(name: impl Into<Vec<u8>>, value: Option<Vec<u8>>) -> Result<Self, BadNote> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::NAME_BYTES_MAX {
            return Err(BadNote::Name { bytes: name.len() });
        }
        match &value {
            Some(value) if value.len() > Self::VALUE_BYTES_MAX => {
                Err(BadNote::Value { bytes: value.len() })
            }
            _ => Ok(Self { name, value }),
        }
    }

    /// What it is called: 1 to 255 bytes.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What it says. `None`: it is gone.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

/// Why something is no [`Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadNote {
    /// The name is empty or longer than [`Note::NAME_BYTES_MAX`].
    Name {
        /// How long it is.
        bytes: usize,
    },
    /// The value is longer than [`Note::VALUE_BYTES_MAX`].
    Value {
        /// How long it is.
        bytes: usize,
    },
}

impl fmt::Display for BadNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { bytes } => {
                write!(f, "a name of {bytes} bytes: 1 to {} are possible", Note::NAME_BYTES_MAX)
            }
            Self::Value { bytes } => {
                write!(f, "a value of {bytes} bytes: {} are possible", Note::VALUE_BYTES_MAX)
            }
        }
    }
}

impl std::error::Error for BadNote {}
