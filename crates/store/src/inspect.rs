//! Looking through the files of a state directory, changing nothing: what is there, what is as it was
//! written, and what a start would find.
//!
//! Every byte that was written is read once and held against its checksum; a table is never built, so it
//! takes little memory whatever the state's size. Beside a running service it does no harm: what
//! is being written at the end of a file looks like a tail that a kill has torn, and a file that
//! goes away meanwhile is left out.
//!
//! Never knows: rules, configuration, who runs.

mod journals;
mod snapshots;
#[cfg(test)]
mod tests;
mod texts;

use std::io;
use std::sync::Arc;

use crate::Refusal;
use crate::disk::Disk;
use crate::journal::{Position, Segment};
use crate::snapshot::Snapshot;
use crate::text;

pub use self::journals::JournalFile;
pub use self::snapshots::{Estimate, SnapshotFile, estimate};

/// A file of a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFound {
    /// What it is called.
    pub name: String,
    /// Its length; 0 if that can't be told.
    pub bytes: u64,
    /// What it is, by its name.
    pub kind: Kind,
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The lock that says whose the directory is.
    Lock,
    /// What ids are made with.
    HashKey,
    /// The tables as they were at a position.
    Snapshot(Position),
    /// A part of the journal, from a position on.
    Journal(Position),
    /// Texts of tuples, by number.
    Texts(u64),
    /// What is being written, or was when a process died; the next start clears it away.
    Unfinished,
    /// None of ours.
    Other,
}

impl Kind {
    /// That of a file with this name.
    pub fn of_name(name: &str) -> Self {
        match name {
            "lock" => Self::Lock,
            "hash-key" => Self::HashKey,
            _ if name.ends_with(".new") => Self::Unfinished,
            _ => {
                let snapshot = Snapshot::of_name(name).map(|found| Self::Snapshot(found.position));
                let journal = || Segment::of_name(name).map(|found| Self::Journal(found.first));
                let texts = || text::number_in(name).map(Self::Texts);
                snapshot.or_else(journal).or_else(texts).unwrap_or(Self::Other)
            }
        }
    }

    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::HashKey => "hash key",
            Self::Snapshot(_) => "snapshot",
            Self::Journal(_) => "journal",
            Self::Texts(_) => "texts",
            Self::Unfinished => "unfinished",
            Self::Other => "not ours",
        }
    }
}

/// All files, by kind and then by position.
///
/// # Errors
/// When the directory can't be read.
pub fn files(disk: &dyn Disk) -> io::Result<Vec<FileFound>> {
    let found = disk.names()?.into_iter().filter_map(|name| {
        let kind = Kind::of_name(&name);
        let bytes = match disk.open(&name).and_then(|file| file.length()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => 0,
        };
        Some(FileFound { name, bytes, kind })
    });
    let mut found: Vec<FileFound> = found.collect();
    found.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    Ok(found)
}

/// A file, and what reading it has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file.
    pub file: FileFound,
    /// What is in it.
    pub content: Content,
    /// What is not as it was written, each with its place.
    pub damage: Vec<String>,
    /// What is as usual and yet worth saying.
    pub remarks: Vec<String>,
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A snapshot.
    Snapshot(SnapshotFile),
    /// A part of the journal.
    Journal(JournalFile),
    /// Texts of tuples, those included whose tuples are forgotten.
    Texts {
        /// How many.
        texts: u64,
    },
    /// Nothing that is looked at.
    NotRead,
}

/// What a start with these files would come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Why it would be refused; each is for an admin to mend.
    pub refusals: Vec<String>,
    /// The snapshot that it would begin with.
    pub snapshot: Option<String>,
    /// How many changes it would read from the journal.
    pub changes: u64,
    /// What would be lost.
    pub losses: Vec<String>,
}

/// What a state directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// All files.
    pub files: Vec<Checked>,
    /// What a start would come to.
    pub start: Start,
}

impl Verification {
    /// Whether every file is as it was written, and a start would go well.
    pub fn is_whole(&self) -> bool {
        self.start.refusals.is_empty()
            && self.start.losses.is_empty()
            && self.files.iter().all(|checked| checked.damage.is_empty())
    }
}

/// Reads all files. `key_fingerprint` is that of the hash key. `progress` is told how many bytes
/// have been read.
///
/// # Errors
/// When the directory can't be read, or a file is gone that was there: then somebody writes in it,
/// and it can be tried again.
pub fn verify(
    disk: &Arc<dyn Disk>,
    key_fingerprint: u64,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Verification> {
    let mut checked: Vec<Checked> = files(&**disk)?
        .into_iter()
        .map(|file| Checked {
            file,
            content: Content::NotRead,
            damage: Vec::new(),
            remarks: Vec::new(),
        })
        .collect();
    let mut start = Start::default();
    let mut read = 0;
    for file in &mut checked {
        match file.file.kind {
            Kind::Snapshot(position) => {
                let mut progress = |bytes| progress(read + bytes);
                snapshots::check(&**disk, position, key_fingerprint, file, &mut progress)?;
            }
            Kind::Texts(_) => texts::check(disk, key_fingerprint, file)?,
            _ => continue,
        }
        read += file.file.bytes;
        progress(read);
    }
    let from = snapshots::begin(&**disk, key_fingerprint, &checked, &mut start)?;
    let mut progress = |bytes| progress(read + bytes);
    journals::check(&**disk, key_fingerprint, from, &mut checked, &mut start, &mut progress)?;
    // What was taken away meanwhile would look like something that is missing.
    for checked in checked.iter().filter(|checked| is_read(checked.file.kind)) {
        if let Err(error) = disk.open(&checked.file.name)
            && error.kind() == io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(Verification { files: checked, start })
}

const fn is_read(kind: Kind) -> bool {
    matches!(kind, Kind::Snapshot(_) | Kind::Journal(_) | Kind::Texts(_))
}

/// How many bytes [`verify`] reads of these files.
pub fn bytes_to_verify(files: &[FileFound]) -> u64 {
    files.iter().filter(|file| is_read(file.kind)).map(|file| file.bytes).sum()
}

/// The version of a file's format, as its first bytes have it. `None` for what has none.
pub fn format_version(disk: &dyn Disk, name: &str) -> Option<u32> {
    const MAGICS: [&[u8; 8]; 3] = [b"xgreyjnl", b"xgreysnp", b"xgreytxt"];
    let mut start = [0; 12];
    disk.open(name).ok()?.read_at(0, &mut start).ok()?;
    let (magic, version) = start.split_first_chunk::<8>()?;
    let version = u32::from_le_bytes(version.try_into().ok()?);
    MAGICS.contains(&magic).then_some(version)
}

/// Why a file is not read, unless it is that it has gone.
fn unless_gone(refusal: Refusal) -> io::Result<Refusal> {
    match refusal {
        Refusal::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => Err(error),
        refusal => Ok(refusal),
    }
}
