//! A frame: some changes, or one note, with all that is needed to know that they are whole. Bytes ⇄
//! types; no files.
//!
//! ```text
//!  0 mark │ 4 CRC-32C of all that follows │ 8 length of the payload u32 │ 12 count u16 │ 14 kind u8 │ 15 zero
//!  16 position of the first u64           │ 24 time in Unix seconds u64 │ 32 payload, zeros up to a multiple of 4
//!
//!  change   0 id and kind of outcome u64 │ 8 seconds after the frame's time i32
//!  note     0 length of the name u8 │ 1 has a value u8 │ 2 zero u16 │ 4 length of the value u32 │ 8 name │ value
//! ```
//! The checksum begins with the hash key's fingerprint: what another key made is no frame here,
//! and nobody who doesn't know it can hide a frame in a note.

use greylist::{State, Timestamp, Tuple};

use super::{Change, Note, Position};
use crate::TupleId;

/// What a frame begins with. The first byte is in no UTF-8 text.
pub(super) const MARK: [u8; 4] = [0xf7, b'x', b'g', b'j'];

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 32;

/// Frames begin at multiples of this.
pub(super) const ALIGN: usize = 4;

/// Bytes of a change.
const CHANGE_BYTES: usize = 12;

/// Changes of one frame, at most: 64 KiB of them.
pub(super) const CHANGES_MAX: u16 = (64 * 1024 / CHANGE_BYTES) as u16;

/// Bytes of a note before its name.
const NOTE_HEADER_BYTES: usize = 8;

/// No payload is longer: the longest note, 65,799 bytes, is longer than the most changes.
pub(crate) const PAYLOAD_BYTES_MAX: usize =
    NOTE_HEADER_BYTES + Note::NAME_BYTES_MAX + Note::VALUE_BYTES_MAX;
const _: () = assert!(PAYLOAD_BYTES_MAX >= CHANGES_MAX as usize * CHANGE_BYTES);

/// No frame is longer.
pub(super) const FRAME_BYTES_MAX: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX.next_multiple_of(ALIGN);

const KIND_CHANGES: u8 = 1;
const KIND_NOTE: u8 = 2;
/// Kinds from here on may be passed over by who doesn't know them.
const KIND_OPTIONAL_MIN: u8 = 0x80;

/// Where the kind of outcome lies in the first word of a change: above the id.
const OUTCOME_SHIFT: u32 = 62;
const _: () = assert!(TupleId::BITS <= OUTCOME_SHIFT);
const OUTCOME_GREY: u64 = 0;
const OUTCOME_WHITE: u64 = 1;
const OUTCOME_FORGOTTEN: u64 = 2;
const ID_MASK: u64 = (1 << OUTCOME_SHIFT) - 1;

/// What the checksums of a state directory begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    /// For what is made with the hash key of that fingerprint.
    pub(crate) fn of(key_fingerprint: u64) -> Self {
        Self(crc32c::crc32c(&key_fingerprint.to_le_bytes()))
    }

    pub(crate) fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// Frames, one after the other, on their way to a file.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// The frame that changes are being added to, the last one.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Where it begins.
    at: usize,
    time: u64,
    count: u16,
}

impl Frames {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all frames. Keeps the memory for the next, up to `bytes_max`.
    pub(super) fn clear(&mut self, bytes_max: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(bytes_max);
        self.open = None;
    }

    /// Adds the change that comes at `position`, right after the one before it.
    #[inline]
    pub(super) fn push(&mut self, position: Position, now: Timestamp, change: Change) {
        let (kind, time) = match change.outcome {
            Some(Tuple { state: State::Grey, since }) => (OUTCOME_GREY, since),
            Some(Tuple { state: State::White, since }) => (OUTCOME_WHITE, since),
            None => (OUTCOME_FORGOTTEN, now),
        };
        let time = time.as_unix_secs();
        let offset = match &mut self.open {
            Some(open) if open.count < CHANGES_MAX => {
                // Around the end of u64 and back: reading goes the same way.
                let offset = i32::try_from(time.wrapping_sub(open.time) as i64);
                open.count += u16::from(offset.is_ok());
                offset.ok()
            }
            _ => None,
        };
        let offset = offset.unwrap_or_else(|| self.open(position, now, time));
        let mut bytes = [0; CHANGE_BYTES];
        bytes[..8].copy_from_slice(&(change.id.bits() | kind << OUTCOME_SHIFT).to_le_bytes());
        bytes[8..].copy_from_slice(&offset.to_le_bytes());
        self.bytes.extend_from_slice(&bytes);
    }

    /// Opens a frame for one change of that time, and says how far that is from the frame's time.
    #[cold]
    fn open(&mut self, position: Position, now: Timestamp, time: u64) -> i32 {
        self.close();
        let at = self.bytes.len();
        let offset = i32::try_from(time.wrapping_sub(now.as_unix_secs()) as i64);
        let (time, offset) = offset.map_or((time, 0), |offset| (now.as_unix_secs(), offset));
        self.header(position, KIND_CHANGES, time);
        self.open = Some(Open { at, time, count: 1 });
        offset
    }

    fn header(&mut self, position: Position, kind: u8, time: u64) {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MARK);
        header[14] = kind;
        header[16..24].copy_from_slice(&position.get().to_le_bytes());
        header[24..].copy_from_slice(&time.to_le_bytes());
        self.bytes.extend_from_slice(&header);
    }

    /// Adds the note that comes at `position`.
    pub(super) fn push_note(&mut self, position: Position, now: Timestamp, note: &Note) {
        self.close();
        let at = self.bytes.len();
        self.header(position, KIND_NOTE, now.as_unix_secs());
        put_note(note, &mut self.bytes);
        let payload = self.bytes.len() - at - HEADER_BYTES;
        self.finish(at, payload, 1);
    }

    /// No more changes are added to the last frame: what comes next begins one of its own.
    pub(super) fn close(&mut self) {
        if let Some(Open { at, count, .. }) = self.open.take() {
            self.finish(at, usize::from(count) * CHANGE_BYTES, count);
        }
    }

    fn finish(&mut self, at: usize, payload: usize, count: u16) {
        self.bytes[at + 8..at + 12].copy_from_slice(&(payload as u32).to_le_bytes());
        self.bytes[at + 12..at + 14].copy_from_slice(&count.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
    }

    /// Closes the last frame, puts the checksums in, and gives the bytes, ready for a file.
    pub(super) fn seal(&mut self, seed: Seed) -> &[u8] {
        self.close();
        let mut rest = self.bytes.as_mut_slice();
        while let Some(length) = frame_length(rest) {
            let (frame, after) = rest.split_at_mut(length);
            let checksum = seed.checksum(&frame[8..]);
            frame[4..8].copy_from_slice(&checksum.to_le_bytes());
            rest = after;
        }
        &self.bytes
    }
}

/// A note's bytes, as they are in the journal and in snapshots.
pub(crate) fn put_note(note: &Note, out: &mut Vec<u8>) {
    let value = note.value();
    // `Note` has seen to it that both fit.
    out.push(note.name().len() as u8);
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(value.map_or(0, <[u8]>::len) as u32).to_le_bytes());
    out.extend_from_slice(note.name());
    out.extend_from_slice(value.unwrap_or_default());
}

/// The note with these bytes.
pub(crate) fn take_note(payload: &[u8]) -> Option<Note> {
    let (header, rest) = payload.split_first_chunk::<NOTE_HEADER_BYTES>()?;
    let (name, value) = rest.split_at_checked(usize::from(header[0]))?;
    if value.len() as u64 != u64::from(u32_at(header, 4)?) {
        return None;
    }
    let value = match header[1] {
        0 if value.is_empty() => None,
        1 => Some(value.to_vec()),
        _ => return None,
    };
    Note::new(name, value).ok()
}

/// A whole frame, seen to be as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) first: Position,
    pub(super) count: u16,
    /// Bytes of the frame, all of them.
    pub(super) length: usize,
    pub(super) time: Timestamp,
    kind: u8,
    payload: &'a [u8],
}

/// What is in a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// Changes: they are in the list given.
    Changes,
    /// A note.
    Note(Note),
    /// Something of a later version that need not be known.
    Optional,
    /// Something of a later version that must be known.
    Unknown {
        /// What sort of frame that is.
        kind: u8,
    },
}

impl<'a> Frame<'a> {
    /// The frame that `bytes` begin with. `None` if they don't begin with a whole one.
    pub(super) fn decode(seed: Seed, bytes: &'a [u8]) -> Option<Self> {
        let length = frame_length(bytes)?;
        let frame = bytes.get(..length)?;
        if seed.checksum(&frame[8..]) != u32_at(frame, 4)? {
            return None;
        }
        let payload = u32_at(frame, 8)? as usize;
        let (first, count) = (u64_at(frame, 16)?, u16::from_le_bytes([frame[12], frame[13]]));
        let first = Position::new(first)?;
        Position::new(first.get() + u64::from(count))?;
        Some(Self {
            first,
            count,
            length,
            time: Timestamp::from_unix_secs(u64_at(frame, 24)?),
            kind: frame[14],
            payload: &frame[HEADER_BYTES..HEADER_BYTES + payload],
        })
    }

    /// What is in it. Changes are put into `changes`, in place of what is there; those that no
    /// version of ours can have written are left out. `None` if the whole is like that.
    pub(super) fn inside(&self, changes: &mut Vec<Change>) -> Option<Inside> {
        changes.clear();
        match self.kind {
            KIND_CHANGES if self.payload.len() == usize::from(self.count) * CHANGE_BYTES => {
                let (all, _) = self.payload.as_chunks::<CHANGE_BYTES>();
                changes.extend(all.iter().filter_map(|bytes| self.change(bytes)));
                Some(Inside::Changes)
            }
            KIND_NOTE if self.count == 1 => take_note(self.payload).map(Inside::Note),
            KIND_CHANGES | KIND_NOTE => None,
            KIND_OPTIONAL_MIN.. => Some(Inside::Optional),
            kind => Some(Inside::Unknown { kind }),
        }
    }

    #[inline]
    fn change(&self, bytes: &[u8; CHANGE_BYTES]) -> Option<Change> {
        let [b0, b1, b2, b3, b4, b5, b6, b7, t0, t1, t2, t3] = *bytes;
        let word = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
        let offset = i64::from(i32::from_le_bytes([t0, t1, t2, t3]));
        let since = self.time.as_unix_secs().wrapping_add(offset as u64);
        let since = Timestamp::from_unix_secs(since);
        let outcome = match word >> OUTCOME_SHIFT {
            OUTCOME_GREY => Some(Tuple { state: State::Grey, since }),
            OUTCOME_WHITE => Some(Tuple { state: State::White, since }),
            OUTCOME_FORGOTTEN => None,
            _ => return None,
        };
        Some(Change { id: TupleId::from_bits(word & ID_MASK)?, outcome })
    }
}

/// How long the frame is that `bytes` begin with, by its header, which may be wrong.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..HEADER_BYTES)?;
    let payload = u32_at(header, 8)? as usize;
    let is_possible = header[..4] == MARK && header[15] == 0 && payload <= PAYLOAD_BYTES_MAX;
    is_possible.then(|| HEADER_BYTES + payload.next_multiple_of(ALIGN))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
