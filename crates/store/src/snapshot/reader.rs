//! Reading a snapshot, by several threads at once.
//!
//! Each takes the next piece ([`Reader::next_piece`]: a header of 64 bytes, under a lock) and reads what belongs to it where it
//! wants it ([`Reader::read_shard`]: one read, no lock). So together they read the file from its
//! beginning to its end, and no index is needed.

use std::fmt;

use memchr::memmem;
use parking_lot::Mutex;

use super::format::{End, FrameHeader, HEADER_BYTES, MARK, Subject, VERSION};
use super::{Header, ShardHeader, Snapshot, snapshots};
use crate::Refusal;
use crate::disk::{Disk, DiskFile, read_what_can_be};
use crate::head::NoHead;
use crate::journal::{Note, Seed, take_note};

/// So much is looked through at once for the next frame.
const SEARCH_BYTES: usize = 1024 * 1024;

/// More damages than this are counted, not told.
const DAMAGES_MAX: usize = 100;

/// An open snapshot.
#[derive(Debug)]
pub struct Reader {
    name: String,
    header: Header,
    file: Box<dyn DiskFile>,
    length: u64,
    seed: Seed,
    end: Option<End>,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// Where the next frame begins.
    at: u64,
    /// Given out, and not found to be damaged.
    shards: u32,
    is_end_told: bool,
    damages: Vec<Damage>,
    damages_untold: u64,
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A shard; its buckets are yet to be read: [`Reader::read_shard`].
    Shard(ShardPiece),
    /// A note.
    Note(Note),
}

/// Where a shard's buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPiece {
    /// What is said of it.
    pub header: ShardHeader,
    offset: u64,
    length: u32,
    checksum: u32,
}

impl ShardPiece {
    /// Bytes of its buckets, 64 each; at most [`super::SHARD_BYTES_MAX`].
    pub const fn bytes(&self) -> usize {
        self.length as usize
    }
}

/// A part of a snapshot that isn't as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// No frame begins where one should.
    Corrupt {
        /// Where.
        offset: u64,
        /// Bytes up to the next frame, or the end.
        bytes: u64,
    },
    /// The disk would not give some bytes.
    Unreadable {
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
        /// What the kernel said.
        error: String,
    },
    /// A shard's buckets are not what was written.
    Shard {
        /// Which shard.
        index: u32,
        /// Where its buckets begin.
        offset: u64,
        /// How many bytes they have.
        bytes: u64,
    },
    /// A note is not what was written.
    Note {
        /// Where it begins.
        offset: u64,
    },
    /// The file ends before its end.
    CutOff {
        /// Bytes that there are.
        bytes: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { offset, bytes } => {
                write!(f, "{bytes} bytes from byte {offset} on are corrupt")
            }
            Self::Unreadable { offset, bytes, error } => {
                write!(f, "{bytes} bytes from byte {offset} on can't be read: {error}")
            }
            Self::Shard { index, offset, bytes } => write!(
                f,
                "shard {index}, {bytes} bytes from byte {offset} on, is corrupt: its tuples are lost"
            ),
            Self::Note { offset } => write!(f, "the note at byte {offset} is corrupt"),
            Self::CutOff { bytes } => write!(f, "it ends after {bytes} bytes, before its end"),
        }
    }
}

/// The snapshot to begin with.
#[derive(Debug)]
pub struct Choice {
    /// The newest that is complete; if none is, the newest of which anything can be read. `None`: there is none.
    pub reader: Option<Reader>,
    /// Newer ones that were passed over.
    pub passed_over: Vec<PassedOver>,
}

/// A snapshot that was not chosen though it is newer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Which file.
    pub file: String,
    /// What is wrong with it.
    pub why: Spoilt,
}

/// What is wrong with a snapshot as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// Its first bytes are not what was written.
    Header,
    /// It has no end, so that it is not known what is missing.
    End,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.why {
            Spoilt::Header => "its first",
            Spoilt::End => "its last",
        };
        write!(f, "{} was passed over: {part} 64 bytes are corrupt", self.file)
    }
}

/// Opens the newest snapshot that is complete. `key_fingerprint` is that of the hash key
/// ([`greylist::HashKey::fingerprint`]).
///
/// # Errors
/// When there is one that may not be passed over: it is of a later version, or of another key, or
/// may not be read.
pub fn newest(disk: &dyn Disk, key_fingerprint: u64) -> Result<Choice, Refusal> {
    let all = snapshots(disk).map_err(|error| Refusal::Io { file: String::new(), error })?;
    let mut choice = Choice { reader: None, passed_over: Vec::new() };
    for snapshot in all.into_iter().rev() {
        let why = match Reader::open(disk, &snapshot, key_fingerprint) {
            Err(refusal) => return Err(refusal),
            Ok(None) => Spoilt::Header,
            Ok(Some(reader)) if reader.is_complete() => {
                choice.reader = Some(reader);
                return Ok(choice);
            }
            Ok(Some(reader)) => {
                choice.reader.get_or_insert(reader);
                Spoilt::End
            }
        };
        choice.passed_over.push(PassedOver { file: snapshot.name, why });
    }
    // Better than nothing.
    if let Some(reader) = &choice.reader {
        choice.passed_over.retain(|passed| passed.file != reader.name);
    }
    Ok(choice)
}

impl Reader {
    /// Opens a snapshot. `key_fingerprint` is that of the hash key. `None`: its first bytes are
    /// corrupt.
    ///
    /// # Errors
    /// When it must not be passed over.
    pub fn open(
        disk: &dyn Disk,
        snapshot: &Snapshot,
        key_fingerprint: u64,
    ) -> Result<Option<Self>, Refusal> {
        let name = snapshot.name.clone();
        let failed = |error| Refusal::Io { file: name.clone(), error };
        let file = disk.open(&name).map_err(failed)?;
        let length = file.length().map_err(failed)?;
        if length < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        file.read_at(0, &mut bytes).map_err(failed)?;
        let header = match Header::decode(&bytes) {
            Ok(header) => header,
            Err(NoHead::Newer { version }) => {
                return Err(Refusal::Newer { file: name, version, readable: VERSION });
            }
            Err(NoHead::Broken) => return Ok(None),
        };
        if header.key_fingerprint != key_fingerprint {
            return Err(Refusal::OtherKey { file: name });
        }
        if header.position != snapshot.position {
            let should_be = Snapshot::at(header.position).name;
            return Err(Refusal::Misnamed { file: name, should_be });
        }
        let seed = Seed::of(key_fingerprint);
        let end = end(&*file, length, seed);
        let at = HEADER_BYTES as u64;
        let progress =
            Progress { at, shards: 0, is_end_told: false, damages: Vec::new(), damages_untold: 0 };
        let progress = Mutex::new(progress);
        Ok(Some(Self { name, header, file, length, seed, end, progress }))
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the snapshot as a whole says.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the file.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes up to where the next piece begins, for whoever shows progress.
    pub fn bytes_passed(&self) -> u64 {
        self.progress.lock().at.min(self.length)
    }

    /// Whether it has its end, and so everything was written.
    pub const fn is_complete(&self) -> bool {
        self.end.is_some()
    }

    /// How many shards could not be read, when all pieces were taken: those of which there is no
    /// trace, and those with damaged buckets. Not known, and 0, if the end is missing.
    pub fn shards_lost(&self) -> u32 {
        let progress = self.progress.lock();
        self.end.map_or(0, |end| end.shards).saturating_sub(progress.shards)
    }

    /// What was found that isn't as it was written: the first hundred, and how many more.
    pub fn damages(&self) -> (Vec<Damage>, u64) {
        let progress = self.progress.lock();
        (progress.damages.clone(), progress.damages_untold)
    }

    /// The next shard or note. `None`: that was all. What is corrupt is passed over, and is among the
    /// damages.
    ///
    /// # Errors
    /// When there is something that must not be passed over: [`Refusal::UnknownKind`].
    pub fn next_piece(&self) -> Result<Option<Piece>, Refusal> {
        let mut progress = self.progress.lock();
        while progress.at < self.length {
            let at = progress.at;
            let Some(header) = self.frame_at(at) else {
                let (next, damage) = self.pass_over(at);
                progress.at = next;
                progress.damage(damage);
                continue;
            };
            progress.at = at + header.frame_length();
            if progress.at > self.length {
                // Told below.
                break;
            }
            let payload_at = at + HEADER_BYTES as u64;
            match header.subject {
                Subject::Shard(shard) if shard.index < self.header.shards => {
                    progress.shards += 1;
                    return Ok(Some(Piece::Shard(ShardPiece {
                        header: shard,
                        offset: payload_at,
                        length: header.length,
                        checksum: header.checksum,
                    })));
                }
                Subject::Shard(_) => {
                    let bytes = header.frame_length();
                    progress.damage(Damage::Corrupt { offset: at, bytes });
                }
                Subject::Note => match self.note_at(payload_at, &header) {
                    Some(note) => return Ok(Some(Piece::Note(note))),
                    None => progress.damage(Damage::Note { offset: at }),
                },
                Subject::End(_) if progress.at == self.length => {}
                // An end that isn't at the end: what follows is somebody else's.
                Subject::End(_) => {
                    let (offset, bytes) = (progress.at, self.length - progress.at);
                    progress.damage(Damage::Corrupt { offset, bytes });
                    progress.at = self.length;
                }
                Subject::Optional => {}
                Subject::Unknown { kind } => {
                    return Err(Refusal::UnknownKind { file: self.name.clone(), offset: at, kind });
                }
            }
        }
        if self.end.is_none() && !std::mem::replace(&mut progress.is_end_told, true) {
            progress.damage(Damage::CutOff { bytes: self.length });
        }
        Ok(None)
    }

    /// Reads a shard's buckets into `out`, which has room for exactly them.
    ///
    /// # Errors
    /// When they can't be read, or are not what was written; what is in `out` is of no use then.
    /// The damage is among the reader's too.
    ///
    /// # Panics
    /// When `out` is of another length than [`ShardPiece::bytes`].
    pub fn read_shard(&self, piece: &ShardPiece, out: &mut [u8]) -> Result<(), Damage> {
        assert_eq!(out.len(), piece.bytes(), "room for exactly the shard's buckets");
        let (offset, bytes) = (piece.offset, u64::from(piece.length));
        let damage = match self.file.read_at(offset, out) {
            Ok(()) if self.seed.checksum(out) == piece.checksum => return Ok(()),
            Ok(()) => Damage::Shard { index: piece.header.index, offset, bytes },
            Err(error) => Damage::Unreadable { offset, bytes, error: error.to_string() },
        };
        let mut progress = self.progress.lock();
        progress.shards -= 1;
        progress.damage(damage.clone());
        Err(damage)
    }

    fn note_at(&self, offset: u64, header: &FrameHeader) -> Option<Note> {
        let mut payload = vec![0; header.length as usize];
        self.file.read_at(offset, &mut payload).ok()?;
        (self.seed.checksum(&payload) == header.checksum).then(|| take_note(&payload))?
    }

    fn frame_at(&self, offset: u64) -> Option<FrameHeader> {
        let mut bytes = [0; HEADER_BYTES];
        self.file.read_at(offset, &mut bytes).ok()?;
        FrameHeader::decode(&bytes, self.seed)
    }

    /// Where the next frame begins after `at`, where none does, and what to say of that. The end
    /// of the file if there is none.
    fn pass_over(&self, at: u64) -> (u64, Damage) {
        let mark = memmem::Finder::new(&MARK);
        let mut bytes = Vec::new();
        let mut unread = None;
        let mut next = self.length;
        let mut from = at;
        'search: while from < self.length {
            let rest = usize::try_from(self.length - from).unwrap_or(usize::MAX);
            bytes.resize(rest.min(SEARCH_BYTES), 0);
            read_what_can_be(&*self.file, from, &mut bytes, |_, _, error| {
                unread.get_or_insert_with(|| error.to_string());
            });
            for found in mark.find_iter(&bytes) {
                let offset = from + found as u64;
                let may_be = found.is_multiple_of(HEADER_BYTES) && offset > at;
                if may_be && self.frame_at(offset).is_some() {
                    next = offset;
                    break 'search;
                }
            }
            from += bytes.len() as u64;
        }
        let bytes = next - at;
        let damage = match unread {
            Some(error) => Damage::Unreadable { offset: at, bytes, error },
            None => Damage::Corrupt { offset: at, bytes },
        };
        (next, damage)
    }
}

impl Progress {
    fn damage(&mut self, damage: Damage) {
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(damage);
        } else {
            self.damages_untold += 1;
        }
    }
}

/// What the end of the file says, if it is there.
fn end(file: &dyn DiskFile, length: u64, seed: Seed) -> Option<End> {
    let mut bytes = [0; HEADER_BYTES];
    file.read_at(length.checked_sub(HEADER_BYTES as u64)?, &mut bytes).ok()?;
    match FrameHeader::decode(&bytes, seed)?.subject {
        Subject::End(end) if end.length == length => Some(end),
        _ => None,
    }
}
