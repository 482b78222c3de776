//! The headers of a snapshot and of its frames. Bytes ⇄ types; no files.
//!
//! ```text
//!  file   0 "xgreysnp" │ 8 version u32 │ 12 zero u32 │ 16 position u64 │ 24 hash key's fingerprint u64
//!         32 created u64 │ 40 embargo u32 │ 44 window u32 │ 48 lifetime u32 │ 52 shards u32 │ 56 zero u32
//!         60 CRC-32C of bytes 0 to 59 u32
//!  frame  0 mark │ 4 CRC-32C of bytes 8 to 63 u32 │ 8 CRC-32C of the payload u32 │ 12 kind u8, 3 zeros
//!         16 length of the payload u32 │ 20 zero u32 │ 24 … 63 by kind, then zeros
//!  shard  24 index u32 │ 28 buckets u32 │ 32 seen u64 │ 40 swept u64      payload: the buckets
//!  note   payload as in the journal
//!  end    24 shards in the file u32 │ 28 notes u32 │ 32 length of the file u64    no payload
//! ```
//! A payload is followed by zeros up to a multiple of 64. The checksums of frames begin with the hash key's
//! fingerprint, as in the journal.

use greylist::{Secs, Timestamp, Timing};

use super::{Header, SHARD_BYTES_MAX, ShardHeader};
use crate::head::{HEAD_BYTES, HeadKind, NoHead, long, word};
use crate::journal::{PAYLOAD_BYTES_MAX, Position, Seed};

/// Bytes of a header, of the file's and of each frame's; all begin at multiples of it.
pub(super) const HEADER_BYTES: usize = HEAD_BYTES;

/// Bytes of a bucket.
pub(super) const BUCKET_BYTES: usize = 64;

/// What a frame begins with. The first byte is in no UTF-8 text.
pub(super) const MARK: [u8; 4] = [0xf7, b'x', b'g', b's'];

/// The version of the format that is written, and the latest that is read.
pub(super) const VERSION: u32 = 1;

const KIND: HeadKind = HeadKind { magic: *b"xgreysnp", version: VERSION };

const KIND_SHARD: u8 = 1;
const KIND_NOTE: u8 = 2;
const KIND_END: u8 = 3;
/// Kinds from here on may be passed over by who doesn't know them.
const KIND_OPTIONAL_MIN: u8 = 0x80;

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[16..24].copy_from_slice(&self.position.get().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.key_fingerprint.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created.as_unix_secs().to_le_bytes());
        bytes[40..44].copy_from_slice(&self.timing.embargo().get().to_le_bytes());
        bytes[44..48].copy_from_slice(&self.timing.window().get().to_le_bytes());
        bytes[48..52].copy_from_slice(&self.timing.lifetime().get().to_le_bytes());
        bytes[52..56].copy_from_slice(&self.shards.to_le_bytes());
        KIND.seal(bytes)
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NoHead> {
        KIND.check(bytes)?;
        let [embargo, window, lifetime] = [40, 44, 48].map(|at| Secs::new(word(bytes, at)));
        Ok(Self {
            position: Position::new(long(bytes, 16)).ok_or(NoHead::Broken)?,
            key_fingerprint: long(bytes, 24),
            timing: Timing::new(embargo, window, lifetime).map_err(|_| NoHead::Broken)?,
            shards: word(bytes, 52),
            created: Timestamp::from_unix_secs(long(bytes, 32)),
        })
    }
}

/// What the end of a snapshot says of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) shards: u32,
    pub(super) notes: u32,
    /// Bytes of the file, this frame included.
    pub(super) length: u64,
}

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Shard(ShardHeader),
    Note,
    End(End),
    /// Something of a later version that need not be known.
    Optional,
    /// Something of a later version that must be known.
    Unknown {
        kind: u8,
    },
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) subject: Subject,
    /// Bytes of the payload.
    pub(super) length: u32,
    /// Of the payload.
    pub(super) checksum: u32,
}

impl FrameHeader {
    /// The header for that payload.
    pub(super) fn of(subject: Subject, payload: &[u8], seed: Seed) -> Self {
        let checksum = seed.checksum(payload);
        // Shards are bounded by `SHARD_BYTES_MAX`, notes by what a `Note` is.
        Self { subject, length: payload.len() as u32, checksum }
    }

    /// Bytes from one frame's beginning to that of the next.
    pub(super) const fn frame_length(&self) -> u64 {
        HEADER_BYTES as u64 + (self.length as u64).next_multiple_of(HEADER_BYTES as u64)
    }

    pub(super) fn encode(&self, seed: Seed) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MARK);
        bytes[8..12].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[12] = match self.subject {
            Subject::Shard(ShardHeader { index, buckets, seen, swept }) => {
                bytes[24..28].copy_from_slice(&index.to_le_bytes());
                bytes[28..32].copy_from_slice(&buckets.to_le_bytes());
                bytes[32..40].copy_from_slice(&seen.as_unix_secs().to_le_bytes());
                bytes[40..48].copy_from_slice(&swept.as_unix_secs().to_le_bytes());
                KIND_SHARD
            }
            Subject::Note => KIND_NOTE,
            Subject::End(End { shards, notes, length }) => {
                bytes[24..28].copy_from_slice(&shards.to_le_bytes());
                bytes[28..32].copy_from_slice(&notes.to_le_bytes());
                bytes[32..40].copy_from_slice(&length.to_le_bytes());
                KIND_END
            }
            Subject::Optional => KIND_OPTIONAL_MIN,
            Subject::Unknown { kind } => kind,
        };
        let checksum = seed.checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are no whole header, or one that no version of ours writes.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES], seed: Seed) -> Option<Self> {
        if bytes[..4] != MARK || word(bytes, 4) != seed.checksum(&bytes[8..]) {
            return None;
        }
        let length = word(bytes, 16);
        let (subject, length_max) = match bytes[12] {
            KIND_SHARD => {
                let header = ShardHeader {
                    index: word(bytes, 24),
                    buckets: word(bytes, 28),
                    seen: Timestamp::from_unix_secs(long(bytes, 32)),
                    swept: Timestamp::from_unix_secs(long(bytes, 40)),
                };
                if u64::from(header.buckets) * BUCKET_BYTES as u64 != u64::from(length) {
                    return None;
                }
                (Subject::Shard(header), SHARD_BYTES_MAX)
            }
            KIND_NOTE => (Subject::Note, PAYLOAD_BYTES_MAX),
            KIND_END => {
                let (shards, notes) = (word(bytes, 24), word(bytes, 28));
                (Subject::End(End { shards, notes, length: long(bytes, 32) }), 0)
            }
            KIND_OPTIONAL_MIN.. => (Subject::Optional, SHARD_BYTES_MAX),
            kind => (Subject::Unknown { kind }, SHARD_BYTES_MAX),
        };
        (length as usize <= length_max).then(|| Self { subject, length, checksum: word(bytes, 8) })
    }
}
