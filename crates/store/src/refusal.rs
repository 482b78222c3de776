//! Why a file of the journal or a snapshot is not read at all, though it is not broken: to go on
//! without it would forget what is in it.

use std::fmt;
use std::io;

/// Why a file is not read.
#[derive(Debug)]
pub enum Refusal {
    /// A later version of the program wrote it.
    Newer {
        /// Which file.
        file: String,
        /// The version of its format.
        version: u32,
        /// The latest that this program reads.
        readable: u32,
    },
    /// A later version of the program wrote a part of it.
    UnknownKind {
        /// Which file.
        file: String,
        /// Where that part begins.
        offset: u64,
        /// What sort of part.
        kind: u8,
    },
    /// It was written with another hash key: none of its tuples would ever be found.
    OtherKey {
        /// Which file.
        file: String,
    },
    /// It has a name that isn't its own.
    Misnamed {
        /// Which file.
        file: String,
        /// What it should be called.
        should_be: String,
    },
    /// The kernel refused.
    Io {
        /// Which file; empty: the directory.
        file: String,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { file, version, readable } => write!(
                f,
                "{file} is of format version {version}, and this program reads up to {readable}: \
                 use the version of xgrey that wrote it, or a later one"
            ),
            Self::UnknownKind { file, offset, kind } => write!(
                f,
                "{file} has at byte {offset} what this program doesn't know (kind {kind}): use \
                 the version of xgrey that wrote it, or a later one"
            ),
            Self::OtherKey { file } => write!(
                f,
                "{file} was written with another hash key than the one in the file hash-key: \
                 restore both from the same backup, or start anew with another state directory"
            ),
            Self::Misnamed { file, should_be } => {
                write!(f, "{file} was renamed: give it back its name, {should_be}")
            }
            Self::Io { file, error } if file.is_empty() => {
                write!(f, "cannot list the state directory: {error}")
            }
            Self::Io { file, error } => write!(f, "cannot read {file}: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}
