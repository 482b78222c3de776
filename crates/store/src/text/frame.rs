//! Frames: up to 64 KiB of records with a checksum, so that each can be read by itself, from either
//! end.
//!
//! ```text
//!   0: u32 mark "XGTX" · 4: u32 CRC-32C of all from 8 to the end, begun with the segment's seed
//!   8: u32 length of the whole frame, a multiple of 8 · 12: u32 records in it
//!  16: u64 base: seconds since 1970 · 24: the records, oldest first · zeros up to a multiple of 8
//!  -8: u32 the length again · -4: u32 mark "xgtx"
//! ```
//! The length at the end is what makes reading from the newest to the oldest possible. The seed is
//! the checksum of the segment's header, in which the hash key's fingerprint is, that nobody outside
//! knows: an address made to look like a frame passes for one nowhere, nor does what another
//! segment left on the same blocks of the disk.
//!
//! Never knows: files, buffers.

use std::iter;

use greylist::Timestamp;

use super::record::{RECORD_BYTES_MAX, RECORD_BYTES_MIN, Text};

/// The longest frame: 64 KiB, some 1,100 records.
pub(super) const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Frames begin and end at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

const MARK: [u8; 4] = *b"XGTX";
const END_MARK: [u8; 4] = *b"xgtx";
pub(super) const HEAD_BYTES: usize = 24;
pub(super) const TAIL_BYTES: usize = 8;
const FRAME_BYTES_MIN: usize =
    (HEAD_BYTES + RECORD_BYTES_MIN + TAIL_BYTES).next_multiple_of(ALIGNMENT);
const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(ALIGNMENT));

/// What a record can add to the bytes of frames at most: the end of a frame and all of the next.
pub(super) const GROWTH_BYTES_MAX: usize =
    2 * (TAIL_BYTES + ALIGNMENT - 1) + HEAD_BYTES + RECORD_BYTES_MAX;

/// The frame that is being filled.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: usize,
    base: Timestamp,
    count: u32,
}

/// Frames one after the other, the last of which may still be filled.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    open: Option<Open>,
    records: u64,
    /// The oldest and the newest time in them.
    span: Option<(Timestamp, Timestamp)>,
}

impl Frames {
    /// None yet, and room for that many bytes of them.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Bytes so far.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether another record, however long, fits without an allocation.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= GROWTH_BYTES_MAX
    }

    /// How many records there are.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// The oldest and the newest time among the records.
    pub(super) const fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.span
    }

    /// Adds a record.
    pub(super) fn push(&mut self, text: &Text<'_>) {
        let full = |open: Open, bytes: &Vec<u8>| {
            let rest = RECORD_BYTES_MAX + TAIL_BYTES + ALIGNMENT - 1;
            bytes.len() - open.start > FRAME_BYTES_MAX - rest
        };
        if self.open.is_some_and(|open| full(open, &self.bytes)) {
            self.close();
        }
        let mut open = self.open.unwrap_or_else(|| self.begin(text.first_try));
        if text.encode(open.base, &mut self.bytes).is_none() {
            self.close();
            open = self.begin(text.first_try);
            // From itself no time is far away.
            let _ = text.encode(open.base, &mut self.bytes);
        }
        open.count += 1;
        self.open = Some(open);
        self.records += 1;
        let at = text.first_try;
        self.span = Some(self.span.map_or((at, at), |(old, new)| (old.min(at), new.max(at))));
    }

    fn begin(&mut self, base: Timestamp) -> Open {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD_BYTES]);
        Open { start, base, count: 0 }
    }

    /// Ends the frame that is being filled; its checksum is still missing.
    pub(super) fn close(&mut self) {
        let Some(Open { start, base, count }) = self.open.take() else { return };
        let end = self.bytes.len() + TAIL_BYTES;
        let padding = (end - start).next_multiple_of(ALIGNMENT) - (end - start);
        self.bytes.extend_from_slice(&[0; ALIGNMENT][..padding]);
        // At most 64 KiB.
        let length = ((end + padding - start) as u32).to_le_bytes();
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(&END_MARK);
        let head = &mut self.bytes[start..start + HEAD_BYTES];
        head[..4].copy_from_slice(&MARK);
        head[8..12].copy_from_slice(&length);
        head[12..16].copy_from_slice(&count.to_le_bytes());
        head[16..].copy_from_slice(&base.as_unix_secs().to_le_bytes());
    }

    /// The whole frames from byte `start` on that are at most `bytes_max` long together, their
    /// checksums begun with `seed`. Empty if not even the next one fits, or there is none.
    pub(super) fn sealed(&mut self, start: usize, bytes_max: usize, seed: u32) -> &[u8] {
        self.close();
        let mut end = start;
        while let Some(length) = length_at(&self.bytes[end..]) {
            if end + length - start > bytes_max {
                break;
            }
            let frame = &mut self.bytes[end..end + length];
            let checksum = crc32c::crc32c_append(seed, &frame[8..]);
            frame[4..8].copy_from_slice(&checksum.to_le_bytes());
            end += length;
        }
        &self.bytes[start..end]
    }

    /// Forgets all, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.open, self.records, self.span) = (None, 0, None);
    }
}

/// The length that a frame at the start of `bytes` claims.
fn length_at(bytes: &[u8]) -> Option<usize> {
    let length: [u8; 4] = bytes.get(8..12)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(length)).ok()
}

/// What stands before the end of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A whole frame of that many bytes.
    Frame(usize),
    /// A frame, it seems, of that many bytes, which are not all there.
    Longer(usize),
    /// None.
    Nothing,
}

/// The frame that `bytes` end with.
pub(super) fn ending(bytes: &[u8], seed: u32) -> Ending {
    let Some((_, tail)) = bytes.split_last_chunk::<TAIL_BYTES>() else { return Ending::Nothing };
    let [l0, l1, l2, l3, end_mark @ ..] = *tail;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let possible =
        (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&length) && length.is_multiple_of(ALIGNMENT);
    if end_mark != END_MARK || !possible {
        return Ending::Nothing;
    }
    let Some(start) = bytes.len().checked_sub(length) else { return Ending::Longer(length) };
    let frame = &bytes[start..];
    let checksum = crc32c::crc32c_append(seed, &frame[8..]).to_le_bytes();
    if frame[..4] == MARK && frame[4..8] == checksum && length_at(frame) == Some(length) {
        Ending::Frame(length)
    } else {
        Ending::Nothing
    }
}

/// The records of a whole frame, oldest first. Ends early where they are not what a frame of this
/// version has in it.
pub(super) fn records(frame: &[u8]) -> impl Iterator<Item = (usize, Text<'_>)> {
    let number = |at: usize| Some(u32::from_le_bytes(frame.get(at..at + 4)?.try_into().ok()?));
    let count = number(12).unwrap_or(0);
    let base = frame.get(16..HEAD_BYTES).and_then(|bytes| bytes.try_into().ok());
    let base = Timestamp::from_unix_secs(base.map_or(0, u64::from_le_bytes));
    let mut at = HEAD_BYTES;
    let mut left = count;
    iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let bytes = frame.get(at..frame.len().checked_sub(TAIL_BYTES)?)?;
        let (text, length) = Text::decode(base, bytes)?;
        let here = at;
        at += length;
        Some((here, text))
    })
}

/// The record that [`records`] found at `at`.
pub(super) fn record(frame: &[u8], at: usize) -> Option<Text<'_>> {
    let base = frame.get(16..HEAD_BYTES)?.try_into().ok()?;
    let base = Timestamp::from_unix_secs(u64::from_le_bytes(base));
    Some(Text::decode(base, frame.get(at..frame.len().checked_sub(TAIL_BYTES)?)?)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::testing::text;
    use proptest::prelude::*;

    fn frames(numbers: impl IntoIterator<Item = u64>) -> Frames {
        let mut frames = Frames::default();
        for number in numbers {
            frames.push(&text(number, number % 1000));
        }
        frames
    }

    /// The ids of all records, from the last frame to the first.
    fn read_back(mut bytes: &[u8], seed: u32) -> Vec<u64> {
        let mut ids = Vec::new();
        while !bytes.is_empty() {
            let Ending::Frame(length) = ending(bytes, seed) else { panic!("no frame") };
            let (rest, frame) = bytes.split_at(bytes.len() - length);
            let mut here: Vec<_> = records(frame).map(|(_, text)| text.id.bits()).collect();
            here.reverse();
            ids.extend(here);
            bytes = rest;
        }
        ids
    }

    proptest! {
        #[test]
        fn frames_are_read_from_the_last_to_the_first(count in 0_u64..5000, seed: u32) {
            let mut frames = frames(1..=count);
            let bytes = frames.sealed(0, usize::MAX, seed);
            prop_assert!(bytes.len().is_multiple_of(ALIGNMENT));
            prop_assert_eq!(read_back(bytes, seed), (1..=count).rev().collect::<Vec<_>>());
        }

        #[test]
        fn a_frame_with_one_bit_changed_is_none(at: prop::sample::Index, bit in 0..8) {
            let mut frames = frames(1..=3);
            let mut bytes = frames.sealed(0, usize::MAX, 7).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(!matches!(ending(&bytes, 7), Ending::Frame(_)));
        }

        #[test]
        fn no_bytes_at_all_do_harm(bytes: Vec<u8>, seed: u32) {
            prop_assert_eq!(ending(&bytes, seed), Ending::Nothing);
            assert!(records(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn no_frame_is_longer_than_64_kib_and_none_is_begun_too_early() {
        let mut frames = frames(1..=5000);
        let mut at = 0;
        let mut lengths = Vec::new();
        let bytes = frames.sealed(0, usize::MAX, 0);
        while let Some(length) = length_at(&bytes[at..]) {
            lengths.push(length);
            at += length;
        }
        assert!(lengths.len() > 3, "{lengths:?}");
        for length in &lengths[..lengths.len() - 1] {
            assert!((FRAME_BYTES_MAX - 600..=FRAME_BYTES_MAX).contains(length), "{lengths:?}");
        }
    }

    #[test]
    fn as_many_whole_frames_are_sealed_as_fit() {
        let mut frames = frames(1..=5000);
        let first = frames.sealed(0, FRAME_BYTES_MAX, 0).len();
        assert_eq!(length_at(frames.sealed(0, FRAME_BYTES_MAX, 0)), Some(first));
        assert!(frames.sealed(0, first - 1, 0).is_empty());
        let rest = frames.sealed(first, usize::MAX, 0).len();
        assert_eq!(first + rest, frames.len());
        assert!(frames.sealed(first + rest, usize::MAX, 0).is_empty());
    }

    #[test]
    fn a_frame_of_another_segment_is_none_here() {
        let mut frames = frames(1..=3);
        assert_eq!(ending(frames.sealed(0, usize::MAX, 1), 2), Ending::Nothing);
    }

    #[test]
    fn what_a_record_adds_is_within_the_room_that_is_asked_for() {
        let address = [b'a'; 300];
        let mut frames = Frames::with_capacity(4 * FRAME_BYTES_MAX);
        let capacity = frames.bytes.capacity();
        let mut pushed = 0;
        while frames.has_room() {
            frames.push(&crate::text::testing::text_from(pushed + 1, 0, &address));
            pushed += 1;
        }
        frames.close();
        assert_eq!(frames.bytes.capacity(), capacity, "it was allocated anew");
        assert!(frames.len() + 2 * GROWTH_BYTES_MAX > capacity);
        assert_eq!(frames.records(), pushed);
    }
}
