//! How a journal is kept, and what is said of it: whether it is well, since when it isn't, why, and
//! what it has written.

use std::fmt;
use std::io;
use std::sync::Arc;

use greylist::Timestamp;

use super::{BUFFER_BYTES_MAX, Position};

/// When changes are made safe from a power cut. (They are safe from the death of the process
/// whatever this says.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before [`super::Journal::commit`] returns.
    Always,
    /// When somebody calls [`super::Journal::sync`], which he does each second or so.
    #[default]
    Regularly,
    /// When the kernel gets round to it.
    Never,
}

/// How a journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When it is synced.
    pub sync: SyncPolicy,
    /// At how many bytes a segment ends and another is begun.
    pub segment_bytes: u64,
    /// What tells the hash key that ids are made with from any other:
    /// [`greylist::HashKey::fingerprint`].
    pub key_fingerprint: u64,
}

/// What was being done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Making it.
    Begin,
    /// Adding to it.
    Write,
    /// Having it outlive a power cut.
    Sync,
    /// Looking whether it is there.
    Check,
}

/// Why a journal is down.
#[derive(Clone, Debug)]
pub enum Why {
    /// The kernel refused.
    Io {
        /// What.
        doing: Doing,
        /// To which file of the state directory, or to that itself.
        file: String,
        /// What it said.
        error: Arc<io::Error>,
    },
    /// The file was removed or replaced by somebody else, or its directory was.
    Gone {
        /// Which file of the state directory.
        file: String,
    },
    /// More was appended without a commit than the buffer may hold.
    Overrun,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, file, error } => {
                let doing = match doing {
                    Doing::Begin => "make",
                    Doing::Write => "write to",
                    Doing::Sync => "sync",
                    Doing::Check => "look for",
                };
                write!(f, "cannot {doing} {file}: {error}")
            }
            Self::Gone { file } => write!(f, "{file} was removed or replaced by somebody else"),
            Self::Overrun => write!(
                f,
                "more than {} MiB of changes waited to be written",
                BUFFER_BYTES_MAX >> 20
            ),
        }
    }
}

/// Since when, why, and at what cost a journal is down.
#[derive(Clone, Debug)]
pub struct Down {
    /// The latest time that the journal knew when it went down.
    pub since: Timestamp,
    /// Why.
    pub why: Why,
    /// Changes that are in no file.
    pub not_kept: u64,
}

/// Whether changes outlive the process.
#[derive(Clone, Debug)]
pub enum Health {
    /// They do.
    Up,
    /// New ones do, but some between are missing until a snapshot has them.
    Mending(Down),
    /// They don't.
    Down(Down),
}

/// What has been written since the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Changes that there have been, ever.
    pub position: Position,
    /// Of these, all before this one are in files, unless the journal was down since.
    pub written: Position,
    /// Of these, all before this one outlive a power cut, unless the journal was down since.
    pub synced: Position,
    /// Bytes written.
    pub bytes: u64,
    /// Writes: commits that had something to write, each for all that waited.
    pub writes: u64,
    /// Segments begun.
    pub segments: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Times that it went down.
    pub faults: u64,
    /// Changes that are in no file, of all those times.
    pub not_kept: u64,
}

impl Why {
    pub(super) fn io(doing: Doing, file: &str, error: io::Error) -> Self {
        Self::Io { doing, file: file.to_owned(), error: Arc::new(error) }
    }
}
