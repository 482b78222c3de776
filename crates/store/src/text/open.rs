//! What is there at a start: which segments can be read, up to where, and what is in the way.
//!
//! Of each segment the header and the last frame are read, no more: damage further in comes to light
//! when it is listed or rewritten. What a crash left half done is cleared away.
//!
//! Never knows: what is live.

use std::fmt;
use std::io;
use std::sync::Arc;

use greylist::Timestamp;

use super::backward::{Backward, Unreadable};
use super::segment::{self, HeaderFault, Named};
use super::shelf::{Segment, Shelf};
use super::{TextConfig, TextDamage, TextLog, Trouble, frame};
use crate::disk::Disk;

/// Why text can't be kept in a directory as it is. Each is for the admin to mend: nothing is taken
/// away unasked that another version or key could still read.
#[derive(Debug)]
pub enum TextRefusal {
    /// The kernel refuses.
    Io {
        /// The file, or the directory.
        file: String,
        /// What it says.
        error: io::Error,
    },
    /// A segment was written by a later version of this program.
    Version {
        /// Its name.
        file: String,
        /// The format's version.
        version: u32,
    },
    /// A segment was written with another hash key: its ids mean nothing here.
    OtherKey {
        /// Its name.
        file: String,
    },
}

impl fmt::Display for TextRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, error } => write!(f, "cannot read {file}: {error}"),
            Self::Version { file, version } => write!(
                f,
                "{file} was written by a later version of xgrey (format {version}): run that \
                 version, or remove all text-*.seg to do without the texts they hold; no tuple is \
                 lost with them"
            ),
            Self::OtherKey { file } => write!(
                f,
                "{file} was written with another hash key: restore that key, or remove all \
                 text-*.seg to do without the texts they hold; no tuple is lost with them"
            ),
        }
    }
}

impl std::error::Error for TextRefusal {}

/// What was found at a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextReport {
    /// Segments that can be read.
    pub segments: u64,
    /// What all take on disk.
    pub bytes: u64,
    /// Bytes at segments' ends that were half written when a process or the machine died.
    pub torn_bytes: u64,
    /// Segments that can't be read, or have lost their last frames.
    pub damage: TextDamage,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) shelf: Shelf,
    pub(super) report: TextReport,
    pub(super) next_number: u64,
}

const EPOCH: Timestamp = Timestamp::from_unix_secs(0);

/// Looks through a directory.
pub(super) fn look(disk: &dyn Disk, config: &TextConfig) -> Result<Found, TextRefusal> {
    let directory = |error| TextRefusal::Io { file: "the state directory".to_owned(), error };
    let mut numbers = Vec::new();
    for name in disk.names().map_err(directory)? {
        match segment::named(&name) {
            Named::Segment(number) => numbers.push(number),
            // Should it stay, it is in nobody's way.
            Named::Unfinished => _ = disk.remove(&name),
            Named::Other => {}
        }
    }
    numbers.sort_unstable();
    let mut found = Found { next_number: 1, ..Found::default() };
    let mut segments: Vec<Segment> = Vec::new();
    for number in numbers {
        found.next_number = number.saturating_add(1);
        let Some(segment) = inspect(disk, config, number, &mut found.report)? else { continue };
        // What it was merged from, but for a crash would be gone.
        while let Some(old) = segments.pop_if(|old| old.number >= segment.first) {
            let _ = disk.remove(&segment::name(old.number));
        }
        segments.push(segment);
    }
    for segment in segments {
        found.shelf.push(segment);
    }
    found.report.bytes = found.shelf.bytes();
    Ok(found)
}

/// Looks at one segment. `None` if there is nothing of it.
fn inspect(
    disk: &dyn Disk,
    config: &TextConfig,
    number: u64,
    report: &mut TextReport,
) -> Result<Option<Segment>, TextRefusal> {
    let name = segment::name(number);
    let unread = |bytes| Segment {
        number,
        first: number,
        length: bytes,
        bytes,
        newest: EPOCH,
        sifted: None,
        rests_until: EPOCH,
    };
    let mut unreadable = |name, why: &Unreadable, bytes| {
        report.damage.add_unreadable(name, why.to_string());
        Ok(Some(unread(bytes)))
    };
    let opened = disk.open(&name).and_then(|file| Ok((file.length()?, file)));
    let (bytes, file) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(TextRefusal::Io { file: name, error });
        }
        Err(error) => return unreadable(name, &Unreadable::Io(error), 0),
    };
    let mut reader = match Backward::begin(file, u64::MAX) {
        Ok(reader) if reader.header().number == number => reader,
        Ok(_) => return unreadable(name, &Unreadable::Header(HeaderFault::Corrupt), bytes),
        Err(Unreadable::TooShort) => {
            // Made, and never written to: should it stay, the next start finds it again.
            let _ = disk.remove(&name);
            return Ok(None);
        }
        Err(Unreadable::Header(HeaderFault::Version(version))) => {
            return Err(TextRefusal::Version { file: name, version });
        }
        Err(why) => return unreadable(name, &why, bytes),
    };
    let header = *reader.header();
    if header.key_fingerprint != config.key_fingerprint {
        return Err(TextRefusal::OtherKey { file: name });
    }
    let newest = match reader.previous() {
        Ok(Some((_, frame))) => frame::records(frame).map(|(_, text)| text.first_try).max(),
        Ok(None) => None,
        Err(error) => return unreadable(name, &Unreadable::Io(error), bytes),
    };
    report.segments += 1;
    report.torn_bytes += reader.holes().torn_bytes;
    report.damage.add_holes(|| name.clone(), reader.holes());
    Ok(Some(Segment {
        first: header.first,
        newest: newest.unwrap_or(EPOCH),
        sifted: header.sifted,
        ..unread(bytes)
    }))
}

impl TextLog {
    /// Takes the text that is in a directory, and goes on with it in a new segment. Nothing is
    /// written before there is something to write.
    ///
    /// # Errors
    /// When there is text that this version and key can't read, or that we may not read. What is
    /// corrupt is reported and left out.
    pub fn open(
        disk: Arc<dyn Disk>,
        config: TextConfig,
    ) -> Result<(Self, TextReport), TextRefusal> {
        let Found { shelf, report, next_number } = look(&*disk, &config)?;
        let log = Self::new(disk, config, shelf, next_number);
        // The bound may be lower than it was.
        if let Err(trouble) = log.make_room(0) {
            log.note(trouble);
        }
        Ok((log, report))
    }
}

impl Trouble {
    /// Something that is not what was once written.
    pub(super) fn corrupt(file: String, at: u64) -> Self {
        Self { doing: "read", file, why: format!("corrupt at byte {at}") }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Header(HeaderFault::Corrupt) => f.write_str("its header is corrupt"),
            Self::Header(HeaderFault::Version(version)) => {
                write!(f, "written by a later version of xgrey (format {version})")
            }
            Self::TooShort => f.write_str("it ends within its header"),
        }
    }
}
