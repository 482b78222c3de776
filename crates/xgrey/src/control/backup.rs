//! What crosses the control socket when state is exported or imported. The lines are those of the
//! backup's own format, many to a JSON string.
//!
//! ```text
//! ▶ {"command":"export"}                                      or with "after", to go on behind a mark
//! ◀ {"item":{"lines":"xgrey-export 1\n…","tuples":0, …}}      the head
//! ◀ {"item":{"lines":"tuple …\ntuple …\n","tuples":1400, …}}  some 64 KiB of lines, again and again
//! ◀ {"ok":{"texts":0,"tuples":1234567,"notes":0}}
//!
//! ▶ {"command":"import","head":"xgrey-export 1\n…"}
//! ◀ {"item":{"terms":"all"}}
//! ▶ {"lines":"tuple …\ntuple …\n"}                            some 64 KiB of lines
//! ◀ {"item":{"taken":{ … }}}                                  what has become of lines so far
//! ▶ "end"
//! ◀ {"ok":{ … }}                                              what has become of all
//! ```
//! `{"command":"import-texts"}` goes on in the same way, without a head: only lines `text` are of use then,
//! and what they have for ids is not read.
//!
//! In an import nothing is sent before the answer to what was sent last: so whoever reads faster than
//! tuples can be taken in waits, and no queue grows.

use serde::{Deserialize, Serialize};

use crate::backup::{CHUNK_BYTES, LINE_BYTES_MAX, Mark, Taken, Terms};

/// Longest line of an upload, in bytes: the lines up to a chunk and one more, each of whose bytes may
/// take two in JSON; 640 KiB.
pub const UPLOAD_BYTES_MAX: u64 = 2 * (CHUNK_BYTES + LINE_BYTES_MAX) as u64 + 64;

/// What of the state is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportWanted {
    /// What follows this, since the rest is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Mark>,
}

/// What is to be taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOffered {
    /// The export's head, as lines.
    pub head: String,
}

/// What follows an [`ImportOffered`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upload {
    /// Some lines, whole.
    Lines(String),
    /// That was all.
    End,
}

/// What is said to each [`Upload`] but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uploaded {
    /// To the head: what can be used.
    Terms(Terms),
    /// What has become of lines so far.
    Taken(Taken),
}
